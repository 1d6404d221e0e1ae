//! Jobs that do nothing, 200 bytes each, through the queue: beside the bare stream commands and beside other queues,
//! all on this machine, one after the other.

mod ceiling;
mod figures;
mod peers;
mod server;
mod through;

use std::ops::RangeInclusive;

use anyhow::Result;
use ceiling::Ceiling;
use figures::{Figure, publish};
use peers::Peer;
use server::{Keeps, Server};

const PAYLOAD: [u8; 200] = [b'x'; 200];
const JOBS: usize = 100_000;
/// Of the things that take long.
const FEW_JOBS: usize = 5_000;
/// Each figure is the middle one of so many.
const ROUNDS: usize = 3;
const GENTLY: u32 = 200;
const SECONDS: u32 = 10;

fn main() -> Result<()> {
    let peers = peers::install();
    let mut figures = Vec::new();
    for keeps in [Keeps::Nothing, Keeps::EverySecond] {
        measure(keeps, &peers, &mut figures)?;
    }
    publish("queue", "the bare commands of the same kind, or what is wanted", &figures)
}

fn measure(keeps: Keeps, peers: &[Peer], figures: &mut Vec<Figure>) -> Result<()> {
    let server = Server::start(keeps)?;
    // As the command `worker` does.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (mut ceilings, mut bulk, mut drain) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ceilings.push(runtime.block_on(ceiling::measure(&server, JOBS))?);
        server.empty()?;
        let (enqueued, drained) = runtime.block_on(async {
            let queue = through::connect(&server).await?;
            through::enqueue_in_bulk_and_drain(&queue, JOBS).await
        })?;
        bulk.push(enqueued);
        drain.push(drained);
        through::check_what_is_left(&server)?;
    }
    let of = |figure: fn(&Ceiling) -> f64| middle(ceilings.iter().map(figure));
    let (bulk, drain) = (middle(bulk), middle(drain));
    server.empty()?;
    let (one_by_one, latency) = runtime.block_on(async {
        let queue = through::connect(&server).await?;
        let one_by_one = through::enqueue_one_by_one(&queue, FEW_JOBS).await?;
        server.empty()?;
        let latency = through::latency(&queue, GENTLY, SECONDS).await?;
        anyhow::Ok((one_by_one, latency))
    })?;
    through::check_what_is_left(&server)?;

    let name = |what: &str| format!("{what}, {keeps}");
    let jobs = "jobs/s";
    let (raw_drain, raw_bulk) = (of(|raw| raw.drain), of(|raw| raw.add_pipelined));
    let (raw_add, raw_one) = (of(|raw| raw.add_one_by_one), of(|raw| raw.drain_one_by_one));
    let gently =
        |part: &str| name(&format!("cockpit-sync {part} from submit to handler at {GENTLY} runs of one job/s"));
    let mut add = |name: String, value, unit, limit: Option<f64>, wanted| {
        figures.push(Figure::new(name, value, unit, limit, wanted));
    };
    add(name("cockpit-sync drain"), drain, jobs, Some(raw_drain), at_least(0.7));
    add(name("cockpit-sync enqueue in bulk"), bulk, jobs, Some(raw_bulk), at_least(0.5));
    add(name("cockpit-sync enqueue one by one"), one_by_one, jobs, Some(raw_add), None);
    add(gently("p50"), latency.p50, "ms", Some(1.0), Some(0.0..=1.0));
    add(gently("p99"), latency.p99, "ms", Some(3.0), Some(0.0..=1.0));
    add(name("raw XREADGROUP of 64 + XACK + XDEL"), raw_drain, jobs, None, None);
    add(name("raw XREADGROUP + XACK + XDEL one by one"), raw_one, jobs, None, None);
    add(name("raw XADD pipelined"), raw_bulk, jobs, None, None);
    add(name("raw XADD one by one"), raw_add, jobs, None, None);

    let (mut best_drain, mut best_bulk) = (0.0_f64, 0.0_f64);
    for peer in peers {
        server.empty()?;
        let Some(rates) = peer.measure(&server.url()) else { continue };
        best_drain = best_drain.max(rates.drain);
        best_bulk = best_bulk.max(rates.bulk);
        for (what, rate) in
            [("drain", rates.drain), ("enqueue in bulk", rates.bulk), ("enqueue one by one", rates.one_by_one)]
        {
            add(name(&format!("{} {} {what}", peer.name, rates.version)), rate, jobs, None, None);
        }
    }
    if best_drain > 0.0 {
        add(name("cockpit-sync drain beside the best peer's"), drain, jobs, Some(best_drain), at_least(2.5));
        add(name("cockpit-sync enqueue in bulk beside the best peer's"), bulk, jobs, Some(best_bulk), at_least(1.0));
    }
    Ok(())
}

fn at_least(ratio: f64) -> Option<RangeInclusive<f64>> {
    Some(ratio..=f64::INFINITY)
}

fn middle(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
