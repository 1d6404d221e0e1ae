//! Plain jobs: a worker, a run, and the wait for its end.
//!
//! `cargo run -p cockpit-sync-queue --example plain_jobs [redis://127.0.0.1:6379]`

use std::sync::Arc;

use queue::{
    BoxFuture, ClaimedJob, Consumer, ConsumerSettings, Handler, JobContext, NewJob, NewRun, Outcome, Queue, Settings,
    Verdict,
};
use tokio_util::sync::CancellationToken;

/// Counts the letters of each job's payload.
struct Letters;

impl Handler for Letters {
    fn handle(&self, job: ClaimedJob, _context: JobContext) -> BoxFuture<'_, Verdict> {
        Box::pin(async move {
            let Ok(text) = std::str::from_utf8(&job.payload) else {
                return Verdict::Bury { error: "not a text".into() };
            };
            let letters = text.chars().filter(|letter| letter.is_alphabetic()).count();
            Verdict::Done(Outcome::default().count("letters", letters as i64))
        })
    }
}

/// Submits a run of one job per word, works on it, and answers how many letters there were.
pub async fn count_letters(url: &str, words: &[&str]) -> Result<i64, Box<dyn std::error::Error>> {
    let (queue, warnings) = Queue::connect(Settings::new(url)).await?;
    for warning in warnings {
        eprintln!("warning: {warning}");
    }

    // A worker that knows two names, and so takes runs from one to the other.
    let stop = CancellationToken::new();
    let worker = Consumer::new(queue.clone(), ConsumerSettings::new(["shelf", "desk"]), Arc::new(Letters));
    let worker = tokio::spawn(worker.run(stop.clone()));

    // A run with one stage, and a job for each word.
    let mut events = queue.subscribe(queue.last_seq().await?);
    let numbered = words.iter().enumerate();
    let jobs = numbered.map(|(number, word)| NewJob::new(format!("word-{number}"), "letters", *word)).collect();
    let run = NewRun::new("shelf", "desk").stage("count", jobs);
    queue.submit(&run).await?;

    while let Some(event) = events.next().await {
        println!("{}", event.json);
        if event.run == run.id && event.name == run.events.finished {
            break;
        }
    }
    let letters = queue.run(&run.id).await?.counters["letters"];

    stop.cancel();
    worker.await??;
    Ok(letters)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379".into());
    println!("{} letters", count_letters(&url, &["Hello", "world!"]).await?);
    Ok(())
}
