//! A job queue on Redis Streams: runs of jobs that take turns at a target.
//!
//! It knows nothing of what the jobs do: a job is a kind (a string) and bytes. What it owns is the way of a job from submit to settle,
//! the lease that says which run may use a target, the ledger of what happened, and the events that tell others.
//! It must not know HTTP, the command line, or content.
//!
//! Start with [`Queue::connect`], describe work in a [`NewRun`], and execute it with a [`Consumer`] and your [`Handler`].
//! The whole of it, as in `examples/plain_jobs.rs`:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use queue::{
//!     BoxFuture, ClaimedJob, Consumer, ConsumerSettings, Handler, JobContext, NewJob, NewRun, Outcome, Queue, Settings,
//!     Verdict,
//! };
//! use tokio_util::sync::CancellationToken;
//!
//! /// Counts the letters of each job's payload.
//! struct Letters;
//!
//! impl Handler for Letters {
//!     fn handle(&self, job: ClaimedJob, _context: JobContext) -> BoxFuture<'_, Verdict> {
//!         Box::pin(async move {
//!             let Ok(text) = std::str::from_utf8(&job.payload) else {
//!                 return Verdict::Bury { error: "not a text".into() };
//!             };
//!             let letters = text.chars().filter(|letter| letter.is_alphabetic()).count();
//!             Verdict::Done(Outcome::default().count("letters", letters as i64))
//!         })
//!     }
//! }
//!
//! /// Submits a run of one job per word, works on it, and answers how many letters there were.
//! pub async fn count_letters(url: &str, words: &[&str]) -> Result<i64, Box<dyn std::error::Error>> {
//!     let (queue, warnings) = Queue::connect(Settings::new(url)).await?;
//!     for warning in warnings {
//!         eprintln!("warning: {warning}");
//!     }
//!
//!     // A worker that knows two names, and so takes runs from one to the other.
//!     let stop = CancellationToken::new();
//!     let worker = Consumer::new(queue.clone(), ConsumerSettings::new(["shelf", "desk"]), Arc::new(Letters));
//!     let worker = tokio::spawn(worker.run(stop.clone()));
//!
//!     // A run with one stage, and a job for each word.
//!     let mut events = queue.subscribe(queue.last_seq().await?);
//!     let numbered = words.iter().enumerate();
//!     let jobs = numbered.map(|(number, word)| NewJob::new(format!("word-{number}"), "letters", *word)).collect();
//!     let run = NewRun::new("shelf", "desk").stage("count", jobs);
//!     queue.submit(&run).await?;
//!
//!     while let Some(event) = events.next().await {
//!         println!("{}", event.json);
//!         if event.run == run.id && event.name == run.events.finished {
//!             break;
//!         }
//!     }
//!     let letters = queue.run(&run.id).await?.counters["letters"];
//!
//!     stop.cancel();
//!     worker.await??;
//!     Ok(letters)
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let url = std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379".into());
//!     println!("{} letters", count_letters(&url, &["Hello", "world!"]).await?);
//!     Ok(())
//! }
//! ```

mod ahead;
mod audit;
#[doc(hidden)]
pub mod by_hand;
mod claim;
mod clock;
mod connection;
mod consumer;
mod context;
mod control;
mod dead;
mod deployment;
mod error;
mod events;
mod explain;
mod handler;
mod history;
mod item;
mod keeping;
mod kept;
mod keys;
mod later;
mod log;
mod ration;
mod retry;
mod run;
mod schedule;
mod scripts;
mod server;
mod settings;
mod settlement;
mod submit;
mod verdict;
mod view;

pub use claim::ClaimedJob;
pub use connection::Queue;
pub use consumer::{Consumer, ConsumerSettings};
pub use context::JobContext;
pub use control::Ended;
pub use dead::{DeadJob, Try};
pub use error::{Error, Result};
pub use events::{Event, Replay, Subscription};
pub use handler::{BoxFuture, Handler, RetryPolicy, WhenExhausted};
pub use history::{RunPage, WantedRuns};
pub use later::Due;
pub use run::{Busy, EventNames, IfBusy, NewJob, NewRun, RunState, Stage, Submitted};
pub use schedule::{Pass, ScheduleView, Tick, TickOutcome, TickView};
pub use server::{Certificates, Place, Server};
pub use settings::Settings;
pub use verdict::{Outcome, Verdict};
pub use view::{ClaimView, Depth, RunView, StageView, WorkerView};
