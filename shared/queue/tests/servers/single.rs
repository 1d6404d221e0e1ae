//! The server of this system by itself, and those that come in wheels in every topology.

use std::path::Path;

use queue::Server;
use servers::{Cluster, Program, Sentinels, Wheel};

use crate::life::live;
use crate::{cluster, sentinel};

async fn live_with_both_protocols(program: &Program) {
    for resp3 in [false, true] {
        let server = servers::Server::start(program, &[]);
        live(Server { resp3, ..Server::at(server.url()) }).await;
    }
}

async fn live_on(wheel: &Wheel, version: &str, test: &str) {
    let program = match Program::of_wheel(wheel, &Path::new(env!("CARGO_TARGET_TMPDIR")).join("wheels")) {
        Ok(program) => program,
        Err(reason) => return servers::say_skipped(test, &reason),
    };
    let server = servers::Server::start(&program, &[]);
    let said = [server.info("valkey_version"), server.info("redis_version")];
    assert!(said.iter().any(|said| said.starts_with(version)), "{said:?}");
    live_with_both_protocols(&program).await;
    live(sentinel::server(&Sentinels::start(&program))).await;
    live(cluster::server(&Cluster::start(&program))).await;
}

#[tokio::test]
async fn runs_live_on_the_server_of_this_system_over_resp2_and_resp3() {
    live_with_both_protocols(&Program::of_this_system()).await;
}

#[tokio::test]
async fn runs_live_on_valkey_9() {
    live_on(&Wheel::VALKEY_9, "9.", "runs_live_on_valkey_9").await;
}

#[tokio::test]
async fn runs_live_on_redis_8() {
    live_on(&Wheel::REDIS_8, "8.", "runs_live_on_redis_8").await;
}
