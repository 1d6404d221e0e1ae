//! A master that sentinels watch.

use queue::{Place, Server};
use servers::{Program, Sentinels};

use crate::life::{connect, live, refusal, survive, warnings};

pub fn server(sentinels: &Sentinels) -> Server {
    let place = Place::Sentinels { urls: sentinels.urls(), master: Sentinels::MASTER.into() };
    Server { place, ..Server::default() }
}

#[tokio::test]
async fn a_run_goes_on_when_its_master_dies_and_the_replica_is_promoted() {
    let mut sentinels = Sentinels::start(&Program::of_this_system());
    live(Server { resp3: true, ..server(&sentinels) }).await;
    assert!(refusal(Server::at(sentinels.sentinels[0].url())).await.contains("it is a sentinel"));
    let place = Place::Sentinels { urls: sentinels.urls(), master: "another".into() };
    assert!(refusal(Server { place, ..Server::default() }).await.contains("watches no master \"another\""));
    sentinels.replica.ask::<()>("CONFIG SET maxmemory-policy allkeys-lru");
    let warned = warnings(server(&sentinels)).await.join("\n");
    assert!(warned.contains(&format!("127.0.0.1:{} may take over", sentinels.replica.port())), "{warned}");
    assert!(warned.contains("allkeys-lru"), "{warned}");
    sentinels.replica.ask::<()>("CONFIG SET maxmemory-policy noeviction");
    assert!(warnings(server(&sentinels)).await.is_empty());

    // The first one that is asked being gone is no hindrance.
    sentinels.sentinels[0].kill();
    let queue = connect(server(&sentinels)).await;
    survive(&queue, async || {
        sentinels.master.kill();
        sentinels.wait_for_promotion();
    })
    .await;
    assert!(warnings(server(&sentinels)).await.is_empty(), "the dead server is no danger");
}

#[tokio::test]
async fn a_run_goes_on_when_its_master_hangs_and_it_may_come_back_as_a_replica() {
    let sentinels = Sentinels::start(&Program::of_this_system());
    let queue = connect(server(&sentinels)).await;
    survive(&queue, async || {
        sentinels.master.freeze();
        sentinels.wait_for_promotion();
    })
    .await;
    sentinels.master.thaw();
    servers::wait_until("it is a replica", || sentinels.master.info("role") == "slave");
    survive(&queue, async || ()).await;
}
