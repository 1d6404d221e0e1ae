//! Agents that end TLS themselves, over the command line and the config: who is believed on either side, a certificate that
//! is replaced while they run, and what `doctor` says of it.

use std::path::{Path, PathBuf};

use servers::{Authority, Certificate};

use crate::doctor::found;
use crate::support::{Output, Rig, small, wait_until};

/// Two agents over https, each with a certificate of `servers`; the target's lets in whom `clients` has signed.
struct Ends {
    rig: Rig,
    servers: Authority,
    clients: Authority,
    target: Certificate,
}

impl Ends {
    fn new() -> Self {
        let mut rig = Rig::without_instances();
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        let (source, target) = (servers.sign("source", "127.0.0.1"), servers.sign("target", "127.0.0.1"));
        instances::make(&rig.source(), &small()).unwrap();
        instances::make_empty(&rig.target()).unwrap();
        start(&mut rig, "source", &source, None);
        start(&mut rig, "target", &target, Some(&clients));
        Self { rig, servers, clients, target }
    }

    /// A config that believes this authority, and has this certificate.
    fn config(&self, name: &str, ca: &Authority, own: Option<&Certificate>) -> PathBuf {
        let mut lines = format!("ca = \"{}\"\n", ca.ca().display());
        if let Some(own) = own {
            lines += &format!("client_cert = \"{}\"\nclient_key = \"{}\"\n", own.cert.display(), own.key.display());
        }
        let text = std::fs::read_to_string(self.rig.config()).unwrap();
        let text = text.replace("url = \"http://", &format!("{lines}url = \"https://"));
        write(self.rig.folder.path(), name, &text)
    }

    fn doctor(&mut self, config: &Path) -> Output {
        self.rig.run_with(config, &["doctor", "target"])
    }

    /// Puts a certificate where the target's is, and waits until it is shown.
    fn replace(&mut self, config: &Path, by: &Certificate, level: &str, says: &str) -> Output {
        std::fs::copy(&by.cert, &self.target.cert).unwrap();
        std::fs::copy(&by.key, &self.target.key).unwrap();
        let mut doctor = None;
        wait_until("the new certificate is shown", || {
            let output = self.doctor(config);
            let (is, words) = found(&output, "target", "certificate");
            doctor = Some(output);
            is == level && words.contains(says)
        });
        doctor.unwrap()
    }
}

fn start(rig: &mut Rig, name: &str, certificate: &Certificate, client_ca: Option<&Authority>) {
    let (cert, key) = (certificate.cert.display(), certificate.key.display());
    let mut text = format!("[agent]\ntls_cert = \"{cert}\"\ntls_key = \"{key}\"\n");
    if let Some(ca) = client_ca {
        text += &format!("tls_client_ca = \"{}\"\n", ca.ca().display());
    }
    let file = write(rig.folder.path(), &format!("agent-{name}.toml"), &text);
    rig.start_agent_with(name, &["--config", file.to_str().unwrap()]);
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn check_push_and_doctor_work_over_https_with_an_authority_and_a_client_certificate_of_ones_own() {
    let mut ends = Ends::new();
    let own = ends.clients.sign("worker", "worker");
    let config = ends.config("tls.toml", &ends.servers, Some(&own));
    ends.rig.run_with(&config, &["check"]).expect_code(0);
    ends.rig.start_worker_with(&config, &[]);
    ends.rig.run_with(&config, &["push", "target"]).expect_code(0);
    ends.rig.assert_equal();
    let doctor = ends.rig.run_with(&config, &["doctor"]).expect_code(0);
    for instance in ["source", "target"] {
        let (level, says) = found(&doctor, instance, "certificate");
        assert!(level == "ok" && says.contains("until 4096-01-01"), "{says}");
    }

    // Without a certificate of our own, and with one that another authority has signed.
    let stranger = ends.servers.sign("stranger", "stranger");
    for (name, own) in [("none.toml", None), ("stranger.toml", Some(&stranger))] {
        let config = ends.config(name, &ends.servers, own);
        ends.rig.run_with(&config, &["check", "source"]).expect_code(0);
        let check = ends.rig.run_with(&config, &["check", "target"]).expect_code(5);
        assert!(check.stdout.contains("client_cert"), "{check:?}");
        let doctor = ends.doctor(&config).expect_code(1);
        assert_eq!(found(&doctor, "target", "certificate").0, "error", "{name}");
    }
}

#[test]
fn a_certificate_replaced_while_agents_run_is_used_and_doctor_tells_when_it_ends() {
    let mut ends = Ends::new();
    let own = ends.clients.sign("worker", "worker");
    let config = ends.config("tls.toml", &ends.servers, Some(&own));
    ends.rig.start_worker_with(&config, &[]);
    ends.rig.run_with(&config, &["push", "target"]).expect_code(0);

    let later = ends.servers.sign_until("later", "127.0.0.1", 15);
    ends.replace(&config, &later, "ok", "until 20").expect_code(0);
    let soon = ends.servers.sign_until("soon", "127.0.0.1", 10);
    ends.replace(&config, &soon, "warning", "in 9 days").expect_code(0);
    instances::change(&ends.rig.source(), 10.0, 1).unwrap();
    ends.rig.run_with(&config, &["push", "target"]).expect_code(0);
    ends.rig.assert_equal();

    let over = ends.servers.sign_until("over", "127.0.0.1", -1);
    ends.replace(&config, &over, "error", "expired").expect_code(1);
    let foreign = Authority::new("foreign");
    ends.replace(&config, &foreign.sign("foreign", "127.0.0.1"), "error", "nobody whom we trust has signed")
        .expect_code(1);
    ends.rig.run_with(&config, &["check", "target"]).expect_code(5);
}

#[test]
fn plain_http_to_another_machine_is_refused_unless_the_config_says_so() {
    let mut rig = Rig::new(&small());
    let text = std::fs::read_to_string(rig.config()).unwrap();
    let elsewhere = text.replace(&rig.address("target"), "nobody.invalid:8101");
    let refused = write(rig.folder.path(), "refused.toml", &elsewhere);
    for command in [&["check", "target"][..], &["push", "target"], &["doctor"]] {
        rig.run_with(&refused, command).expect_code(2).says(&["[instance.target]", "allow_http = true"]);
    }
    let url = "url = \"http://nobody.invalid:8101\"\n";
    let allowed =
        write(rig.folder.path(), "allowed.toml", &elsewhere.replace(url, &format!("{url}allow_http = true\n")));
    rig.run_with(&allowed, &["check", "target"]).expect_code(5);
}

/// As on a small system without ca-certificates.
#[test]
fn where_the_system_has_no_authorities_plain_http_and_an_authority_of_ones_own_work_and_https_says_what_is_missing() {
    let mut ends = Ends::new();
    let none = ends.rig.folder.path().join("none");
    std::fs::create_dir(&none).unwrap();
    let empty = write(&none, "empty.pem", "");
    ends.rig.environment =
        vec![("SSL_CERT_DIR", none.display().to_string()), ("SSL_CERT_FILE", empty.display().to_string())];
    let own = ends.clients.sign("worker", "worker");
    let config = ends.config("tls.toml", &ends.servers, Some(&own));
    ends.rig.start_worker_with(&config, &[]);
    ends.rig.run_with(&config, &["push", "target"]).expect_code(0);
    ends.rig.assert_equal();

    let text = std::fs::read_to_string(&config).unwrap();
    let named: Vec<&str> = text.lines().filter(|line| !line.starts_with("ca =")).collect();
    let unnamed = write(ends.rig.folder.path(), "unnamed.toml", &named.join("\n"));
    let refused = ends.rig.run_with(&unnamed, &["check", "source"]).expect_code(5);
    assert!(refused.stdout.contains("ca-certificates"), "{}", refused.stdout);
    assert_eq!(refused.stderr, "", "said once");
    ends.rig.add_empty("plain");
    ends.rig.run(&["check", "plain"]).expect_code(0);
}
