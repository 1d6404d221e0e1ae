//! A cluster of six nodes. A deployment lives on the master of its hash tag's slot.

use std::time::Duration;

use queue::{Place, Server, Settings};
use servers::{Cluster, Program};

use crate::life::{connect, connect_with, live, refusal, settings, survive, warnings};

pub fn server(cluster: &Cluster) -> Server {
    Server { place: Place::Cluster(cluster.urls()), ..Server::default() }
}

#[tokio::test]
async fn a_run_goes_on_when_the_master_of_its_slot_dies() {
    let mut cluster = Cluster::start(&Program::of_this_system());
    live(server(&cluster)).await;
    let master = cluster.first_master_of("{cs}");
    let alone = refusal(Server::at(cluster.nodes[master].url())).await;
    assert!(alone.contains("it is a node of a cluster; name some nodes in `cluster`"), "{alone}");
    cluster.nodes[master + 3].ask::<()>("CONFIG SET maxmemory-policy volatile-lru appendonly no");
    let warned = warnings(server(&cluster)).await.join("\n");
    assert!(warned.contains(&format!("127.0.0.1:{} may take over", cluster.nodes[master + 3].port())), "{warned}");
    assert!(warned.contains("volatile-lru"), "{warned}");

    // Only that node is named: the others are heard of.
    let place = Place::Cluster(vec![cluster.nodes[master].url()]);
    let queue = connect(Server { place, resp3: true, ..Server::default() }).await;
    survive(&queue, async || cluster.nodes[master].kill()).await;
    assert_eq!(cluster.nodes[master + 3].info("role"), "master");
}

#[tokio::test]
async fn two_deployments_live_on_different_nodes_and_the_death_of_one_is_nothing_to_the_other() {
    let mut cluster = Cluster::start(&Program::of_this_system());
    let at = |tag: &str| Settings { prefix: format!("{{{tag}}}"), ..settings(server(&cluster)) };
    let tags = ["north", "south", "east", "west", "centre"];
    let other = tags.iter().find(|tag| cluster.first_master_of(tag) != cluster.first_master_of("north")).unwrap();
    let (north, south) = (connect_with(at("north")).await, connect_with(at(other)).await);
    let (of_north, of_south) = (cluster.first_master_of("north"), cluster.first_master_of(other));
    tokio::join!(survive(&north, async || cluster.nodes[of_north].kill()), survive(&south, async || ()));
    let keys = |node: usize| cluster.nodes[node].ask::<Vec<String>>("KEYS *");
    assert!(keys(of_south).iter().all(|key| key.starts_with(&format!("{{{other}}}"))));
    assert!(keys(of_north + 3).iter().all(|key| key.starts_with("{north}")));
    assert!(!keys(of_south).is_empty() && !keys(of_north + 3).is_empty());
}

/// While a slot moves, half of its keys are elsewhere: scripts must wait until it is one again.
#[tokio::test]
async fn a_run_goes_on_when_its_slot_moves_to_another_node() {
    let cluster = Cluster::start(&Program::of_this_system());
    let queue = connect_with(Settings { lease: Duration::from_secs(30), ..settings(server(&cluster)) }).await;
    let from = cluster.first_master_of("{cs}");
    let to = (from + 1) % 3;
    let executed = survive(&queue, async || {
        let slot: u16 = cluster.nodes[from].ask("CLUSTER KEYSLOT {cs}");
        let id = |node: usize| cluster.nodes[node].ask::<String>("CLUSTER MYID");
        cluster.nodes[to].ask::<()>(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", id(from)));
        cluster.nodes[from].ask::<()>(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(to)));
        let port = cluster.nodes[to].port();
        for key in cluster.nodes[from].ask::<Vec<String>>(&format!("CLUSTER GETKEYSINSLOT {slot} 1000")) {
            // Slowly, so that workers meet the slot in between.
            tokio::time::sleep(Duration::from_millis(50)).await;
            cluster.nodes[from].ask::<()>(&format!("MIGRATE 127.0.0.1 {port} {key} 0 5000"));
        }
        for node in [to, from, (from + 2) % 3] {
            cluster.nodes[node].ask::<()>(&format!("CLUSTER SETSLOT {slot} NODE {}", id(to)));
        }
    })
    .await;
    assert!(cluster.nodes[from].ask::<Vec<String>>("KEYS *").is_empty());
    assert_eq!(executed, 400, "nothing was lost, so nothing had to be done again");
}
