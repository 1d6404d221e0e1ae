//! A job queue on Redis Streams: runs of jobs that take turns at a target.
//!
//! It knows nothing of what the jobs do: a job is a kind (a string) and bytes. What it owns is the way of a job from submit to settle,
//! the lease that says which run may use a target, the ledger of what happened, and the events that tell others.
//! It must not know HTTP, the command line, or content.
//!
//! Start with [`Queue::connect`], describe work in a [`NewRun`], and execute it with a [`Consumer`] and your [`Handler`].

#[doc(hidden)]
pub mod by_hand;
mod claim;
mod connection;
mod consumer;
mod context;
mod control;
mod deployment;
mod error;
mod events;
mod explain;
mod handler;
mod item;
mod keeping;
mod keys;
mod retry;
mod run;
mod scripts;
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
pub use error::{Error, Result};
pub use events::{Event, Replay, Subscription};
pub use handler::{BoxFuture, Handler, RetryPolicy, WhenExhausted};
pub use run::{Busy, EventNames, IfBusy, NewJob, NewRun, RunState, Stage, Submitted};
pub use settings::Settings;
pub use verdict::{Outcome, Verdict};
pub use view::{DeadJob, Depth, RunView, StageView, WorkerView};
