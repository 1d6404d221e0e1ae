//! What Redis does with the same stream commands and no queue around them: one loop, one connection.

use std::time::Instant;

use anyhow::{Result, ensure};
use redis::aio::MultiplexedConnection;
use redis::{Value, cmd, pipe};

use crate::PAYLOAD;
use crate::server::Server;

const STREAM: &str = "ceiling";
const GROUP: &str = "workers";
/// Entries of one pipeline of XADD.
const PIPELINE: usize = 1000;

/// Jobs a second.
pub struct Ceiling {
    pub add_one_by_one: f64,
    pub add_pipelined: f64,
    pub drain_one_by_one: f64,
    /// Reads of 64, then XACK and XDEL of those, in one round trip.
    pub drain: f64,
}

pub async fn measure(server: &Server, jobs: usize) -> Result<Ceiling> {
    let mut connection = redis::Client::open(server.url())?.get_multiplexed_async_connection().await?;
    let few = jobs / 10;
    server.empty()?;
    let begun = Instant::now();
    for _ in 0..few {
        cmd("XADD").arg(&[STREAM, "*", "job"]).arg(&PAYLOAD).exec_async(&mut connection).await?;
    }
    let add_one_by_one = few as f64 / begun.elapsed().as_secs_f64();
    let drain_one_by_one = drain(&mut connection, few, 1).await?;
    let begun = Instant::now();
    for _ in 0..jobs / PIPELINE {
        let mut adds = pipe();
        for _ in 0..PIPELINE {
            adds.cmd("XADD").arg(&[STREAM, "*", "job"]).arg(&PAYLOAD).ignore();
        }
        adds.exec_async(&mut connection).await?;
    }
    let add_pipelined = jobs as f64 / begun.elapsed().as_secs_f64();
    let drain = drain(&mut connection, jobs, 64).await?;
    Ok(Ceiling { add_one_by_one, add_pipelined, drain_one_by_one, drain })
}

type Read = Vec<(Value, Vec<(Vec<u8>, Value)>)>;

async fn drain(connection: &mut MultiplexedConnection, jobs: usize, at_once: usize) -> Result<f64> {
    if at_once == 1 {
        cmd("XGROUP").arg(&["CREATE", STREAM, GROUP, "0"]).exec_async(connection).await?;
    }
    let begun = Instant::now();
    let mut drained = 0;
    loop {
        let mut read = cmd("XREADGROUP");
        read.arg(&["GROUP", GROUP, "one", "COUNT"]).arg(at_once).arg(&["STREAMS", STREAM, ">"]);
        let read: Option<Read> = read.query_async(connection).await?;
        let Some((_, entries)) = read.into_iter().flatten().next() else { break };
        let ids: Vec<Vec<u8>> = entries.into_iter().map(|(id, _)| id).collect();
        drained += ids.len();
        let mut settle = pipe();
        settle.cmd("XACK").arg(STREAM).arg(GROUP).arg(&ids).ignore();
        settle.cmd("XDEL").arg(STREAM).arg(&ids).ignore();
        settle.exec_async(connection).await?;
    }
    ensure!(drained == jobs, "{drained} of {jobs} entries were drained");
    Ok(jobs as f64 / begun.elapsed().as_secs_f64())
}
