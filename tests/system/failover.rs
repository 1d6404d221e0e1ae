//! Pushes on a Redis that is more than one server on a socket: its master dies in the middle, or it lets in only whom it
//! knows.

use std::path::Path;

use servers::{Authority, Cluster, Program, Sentinels, Server};

use crate::support::{Process, Rig, documents_in, small, wait_until};

/// Many batches of little.
const PUSH: &[&str] = &["push", "target", "--batch-size", "50"];

fn start_worker(rig: &mut Rig, config: &Path) -> Process {
    let worker = rig.spawn_with(config, &["worker"]);
    wait_until("the worker is alive", || {
        let workers = rig.run_with(config, &["workers"]);
        workers.code == 0 && workers.json().as_array().is_some_and(|workers| !workers.is_empty())
    });
    worker
}

/// A push on this Redis, in the middle of which its master dies, brings everything over by itself.
fn push_while(redis: &str, the_master_dies: impl FnOnce()) {
    let mut rig = Rig::new(&small());
    let documents = documents_in(&rig.source());
    let proxy = rig.proxy("target");
    let config = rig.config_on("failover", redis, &[("target", &proxy.address())]);
    let _worker = start_worker(&mut rig, &config);
    let gate = proxy.hold("write", 8);
    let push = rig.spawn_with(&config, PUSH);
    gate.wait_for(1);
    the_master_dies();
    gate.open();
    let push = push.wait().expect_code(0);
    // What was settled in the last moment may be forgotten and is done again: the target's agent knows who wrote it.
    assert_eq!((push.count("created"), push.count("unchanged")), (documents, 0));
    assert_eq!(push.json()["dead_jobs"], 0);
    rig.assert_equal();
    let again = rig.run_with(&config, PUSH).expect_code(0);
    assert_eq!((again.count("created"), again.count("updated")), (0, 0));
}

#[test]
fn a_push_goes_on_when_sentinels_promote_another_master() {
    let mut sentinels = Sentinels::start(&Program::of_this_system());
    let redis = format!("{{ sentinels = {:?}, master = {:?} }}", sentinels.urls(), Sentinels::MASTER);
    push_while(&redis, || sentinels.master.kill());
    assert_eq!(sentinels.replica.info("role"), "master");
}

#[test]
fn a_push_goes_on_when_the_master_of_its_slot_in_a_cluster_dies() {
    let mut cluster = Cluster::start(&Program::of_this_system());
    let master = cluster.first_master_of("{cs}");
    let redis = format!("{{ cluster = {:?}, protocol = 3 }}", cluster.urls());
    push_while(&redis, || cluster.nodes[master].kill());
    assert_eq!(cluster.nodes[master + 3].info("role"), "master");
}

#[test]
fn a_push_over_tls_by_a_user_with_only_the_documented_permissions() {
    let documented = include_str!("../../docs/redis.md").lines().find_map(|line| line.strip_prefix("ACL SETUSER "));
    let user: Vec<&str> = documented.unwrap().split(' ').collect();
    let password = user.iter().find_map(|word| word.strip_prefix('>')).unwrap();
    let (authority, stranger) = (Authority::new("ours"), Authority::new("stranger"));
    let (certificate, ours) = (authority.sign("server", "127.0.0.1"), authority.sign("client", "client"));
    let options = [&["--user"], user.as_slice(), &["--user", "default", "off"]].concat();
    let server = Server::start_with_tls(&Program::of_this_system(), &certificate, &options);

    let mut rig = Rig::new(&small());
    let file = rig.folder.path().join("password");
    std::fs::write(&file, format!("{password}\n")).unwrap();
    let redis = |ca: &Path| {
        format!(
            "{{ url = 'rediss://127.0.0.1:{}', username = '{}', password_file = '{}', ca = '{}', cert = '{}', key = '{}' }}",
            server.port(),
            user[0],
            file.display(),
            ca.display(),
            ours.cert.display(),
            ours.key.display()
        )
    };
    let config = rig.config_on("tls", &redis(&authority.ca()), &[]);
    let _worker = start_worker(&mut rig, &config);
    let push = rig.run_with(&config, PUSH).expect_code(0);
    assert!(!push.stderr.contains("could not"), "{}", push.stderr);
    rig.assert_equal();

    let config = rig.config_on("stranger", &redis(&stranger.ca()), &[]);
    let said = rig.run_with(&config, PUSH).expect_code(2);
    said.says(&["the certificate of 127.0.0.1", "is not signed by ca", &stranger.ca().display().to_string()]);
}
