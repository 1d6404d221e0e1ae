//! apalis-redis: the same jobs, one by one, in bulk, and drained by one worker. Prints its rates as JSON.

use std::env;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use apalis::prelude::*;
use apalis_redis::{Config, RedisStorage};

/// Jobs of one push in bulk, and of one fetch.
const BATCH: usize = 100;
const VERSION: &str = "1.0.0";

static DONE: AtomicUsize = AtomicUsize::new(0);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = env::args().collect();
    let (url, jobs, bytes) = (words[1].as_str(), words[2].parse::<usize>()?, words[3].parse()?);
    let payload = "x".repeat(bytes);
    let few = jobs / 10;
    let connection = apalis_redis::connect(url).await?;
    // What it keeps of every job beyond its end is turned off.
    let config = Config::default().queue("bench").batch_size(BATCH).persist_results(false).emit_events(false);
    let mut storage = RedisStorage::<String>::new(connection).with_config(config);

    let begun = Instant::now();
    for _ in 0..few {
        storage.push(payload.clone()).await?;
    }
    let one_by_one = few as f64 / begun.elapsed().as_secs_f64();

    let many: Vec<Vec<String>> = (0..jobs.div_ceil(BATCH)).map(|_| vec![payload.clone(); BATCH]).collect();
    let pushed: usize = many.iter().map(Vec::len).sum();
    let begun = Instant::now();
    for batch in many {
        storage.push_bulk(batch).await?;
    }
    let bulk = pushed as f64 / begun.elapsed().as_secs_f64();

    let all = pushed + few;
    let nothing = move |_: String, worker: WorkerContext| async move {
        if DONE.fetch_add(1, Ordering::Relaxed) + 1 == all {
            worker.stop()?;
        }
        Ok::<(), BoxDynError>(())
    };
    let worker = WorkerBuilder::new("bench").backend(storage).concurrency(BATCH).build(nothing);
    let begun = Instant::now();
    worker.run().await?;
    let drain = all as f64 / begun.elapsed().as_secs_f64();
    println!(r#"{{"version":"{VERSION}","one_by_one":{one_by_one},"bulk":{bulk},"drain":{drain}}}"#);
    Ok(())
}
