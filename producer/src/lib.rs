//! What a run consists of, and how it is enqueued: checks both ends, says in words what is wrong, submits, follows and
//! reports. It must not touch content: that is the workers'.

mod choice;
mod control;
mod dead;
mod error;
mod follow;
pub mod options;
mod plan;
mod preflight;
mod receipt;
mod report;
mod request;
mod status;
mod survey;
mod verification;

pub use choice::{AssetChoice, Choice, ContentFilter};
pub use control::{Unlocked, cancel, find_run, is_served, retry, unlock};
pub use dead::{DeadReport, TryReport, dead_jobs, drop_dead, retry_dead};
pub use error::{Problem, ProblemKind};
pub use follow::{Follow, follow};
pub use plan::{Plan, plan};
pub use preflight::{Ends, preflight};
pub use receipt::receipt;
pub use report::{RunReport, StageReport, WindowReport, depth, report, utc};
pub use request::{BATCH_SIZE, Resource, SyncRequest, WINDOW, submit};
pub use status::{AliveWorker, HeldJob, Lease, Meter, Progress, Status, TargetStatus};
pub use verification::{Differences, Extras, Verification, Verified, verification};
