//! Servers that the queue must not run on are refused, and what cannot be seen is said.

use queue::{Place, Server};
use servers::Program;

use crate::life::{refusal, settings, warnings};

#[tokio::test]
async fn a_server_that_is_not_what_the_settings_say_is_named() {
    let server = servers::Server::start(&Program::of_this_system(), &["--appendonly", "no"]);
    let as_place = |place: Place| Server { place, ..Server::default() };
    let as_cluster = refusal(as_place(Place::Cluster(vec![server.url()]))).await;
    assert!(as_cluster.contains(&format!("127.0.0.1:{} is no node of a cluster", server.port())), "{as_cluster}");
    let sentinels = Place::Sentinels { urls: vec![server.url()], master: "m".into() };
    let as_sentinel = refusal(as_place(sentinels)).await;
    assert!(as_sentinel.contains(&format!("127.0.0.1:{} is no sentinel", server.port())), "{as_sentinel}");
    assert!(warnings(Server::at(server.url())).await[0].contains("no append-only file"));
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_without_being_shown() {
    let error = refusal(Server::at("redis//user:geheim@host")).await;
    assert!(error.contains("no redis://, rediss:// or unix:// URL") && !error.contains("geheim"), "{error}");
    let place = Place::Sentinels { urls: Vec::new(), master: "m".into() };
    assert!(refusal(Server { place, ..Server::default() }).await.contains("no address"));
    let with_secrets = Server { password: Some("geheim".into()), ..Server::at("redis://user:geheim@127.0.0.1:1") };
    assert!(!format!("{:?}", settings(with_secrets.clone())).contains("geheim"));
    let unreachable = refusal(with_secrets).await;
    assert!(unreachable.contains("127.0.0.1:1") && !unreachable.contains("geheim"), "{unreachable}");
}
