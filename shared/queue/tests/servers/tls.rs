//! TLS with an authority of one's own and certificates of clients.

use queue::{Certificates, Place, Server};
use servers::{Authority, Certificate, Program};

use crate::life::{live, refusal};

struct Secured {
    authority: Authority,
    server: servers::Server,
    ours: Certificate,
}

impl Secured {
    fn start(options: &[&str]) -> Self {
        // The process's choice; another test may have made it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authority = Authority::new("ours");
        let certificate = authority.sign("server", "127.0.0.1");
        let ours = authority.sign("client", "client");
        let server = servers::Server::start_with_tls(&Program::of_this_system(), &certificate, options);
        Self { authority, server, ours }
    }

    fn url(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.server.port())
    }

    fn with(&self, ours: &Certificate) -> Certificates {
        let client = Some((ours.cert.clone(), ours.key.clone()));
        Certificates { ca: Some(self.authority.ca()), client }
    }

    fn server(&self) -> Server {
        Server { certificates: self.with(&self.ours), ..Server::at(self.url()) }
    }
}

#[tokio::test]
async fn runs_live_over_tls_with_an_own_authority_and_client_certificates() {
    let secured = Secured::start(&[]);
    for resp3 in [false, true] {
        live(Server { resp3, ..secured.server() }).await;
    }
}

#[tokio::test]
async fn nodes_that_a_cluster_names_are_reached_over_tls_too() {
    // Its own choice for the bus, 10,000 higher, lies among the ports that the system gives to clients.
    let bus = servers::free_port().to_string();
    let secured = Secured::start(&["--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-port", &bus]);
    let client = redis::TlsCertificates {
        client_tls: Some(redis::ClientTlsConfig {
            client_cert: std::fs::read(&secured.ours.cert).unwrap(),
            client_key: std::fs::read(&secured.ours.key).unwrap(),
        }),
        root_cert: Some(std::fs::read(secured.authority.ca()).unwrap()),
    };
    let mut connection = redis::Client::build_with_tls(secured.url(), client).unwrap().get_connection().unwrap();
    redis::cmd("CLUSTER").arg(&["ADDSLOTSRANGE", "0", "16383"]).exec(&mut connection).unwrap();
    servers::wait_until("the cluster serves", || {
        let info: redis::InfoDict = redis::cmd("CLUSTER").arg("INFO").query(&mut connection).unwrap();
        info.get::<String>("cluster_state").unwrap() == "ok"
    });
    live(Server { place: Place::Cluster(vec![secured.url()]), ..secured.server() }).await;
}

#[tokio::test]
async fn what_is_wrong_with_certificates_is_said_in_words() {
    let secured = Secured::start(&[]);
    let place = format!("127.0.0.1:{}", secured.server.port());
    let says = async |certificates: Certificates, words: &str| {
        let said = refusal(Server { certificates, ..Server::at(secured.url()) }).await;
        assert!(said.contains(words), "{said:?} does not say {words:?}");
    };
    let stranger = Authority::new("stranger");
    let theirs = stranger.sign("client", "client");

    let of_stranger = Certificates { ca: Some(stranger.ca()), ..secured.with(&secured.ours) };
    let words = format!("the certificate of {place} is not signed by ca {}", stranger.ca().display());
    says(of_stranger, &words).await;
    let of_nobody = Certificates { ca: None, ..secured.with(&secured.ours) };
    says(of_nobody, &format!("the certificate of {place} is not signed by any authority this system trusts")).await;
    let anonymous = Certificates { client: None, ..secured.with(&secured.ours) };
    says(anonymous, &format!("{place} wants a certificate of ours: name it with `cert` and `key`")).await;
    says(secured.with(&theirs), &format!("{place} does not accept our certificate")).await;
    let missing = Certificates { ca: Some("/not/there.pem".into()), client: None };
    says(missing, "the ca /not/there.pem cannot be read").await;

    let elsewhere = format!("rediss://localhost:{}", secured.server.port());
    let said = refusal(Server { certificates: secured.with(&secured.ours), ..Server::at(elsewhere) }).await;
    assert!(said.contains("the certificate of localhost") && said.contains("is not valid"), "{said}");
    let said = refusal(Server::at(secured.url().replace("rediss", "redis"))).await;
    assert!(said.contains("does it want TLS?"), "{said}");
    let said = refusal(Server { certificates: secured.with(&secured.ours), ..Server::at("redis://127.0.0.1:1") }).await;
    assert!(said.contains("certificates are given, but 127.0.0.1:1 is no rediss:// URL"), "{said}");
    let plain = servers::Server::start(&Program::of_this_system(), &[]);
    let said = refusal(Server::at(plain.url().replace("redis:", "rediss:"))).await;
    assert!(said.contains("if it speaks no TLS, its URL begins with redis://"), "{said}");
}
