//! What a run consists of, and how it is enqueued: checks both ends, says in words what is wrong, submits, follows and
//! reports. It must not touch content: that is the workers'.

mod addons;
mod apply;
mod asked;
mod choice;
mod control;
mod dead;
mod error;
mod fields;
mod follow;
mod forecast;
mod items;
pub mod options;
mod plan;
mod plan_file;
mod preflight;
mod receipt;
mod report;
mod request;
mod schema;
mod shapes;
mod status;
mod survey;
mod undo;
mod verification;

pub use addons::{AddonChoice, PagesPart};
pub use apply::apply;
pub use choice::{AssetChoice, Choice, ContentFilter};
pub use control::{Unlocked, cancel, find_run, is_served, retry, spec_of, unlock};
pub use dead::{DeadReport, TryReport, dead_jobs, drop_dead, retry_dead};
pub use error::{Problem, ProblemKind};
pub use fields::FieldChange;
pub use follow::{Follow, follow};
pub use forecast::{Change, Detail, Forecast, Forecasting, Head, Planned};
pub use items::Items;
pub use plan::{Plan, plan};
pub use plan_file::{PlanFile, PlanWriter};
pub use preflight::{Ends, preflight};
pub use receipt::receipt;
pub use report::{RunReport, StageReport, WindowReport, depth, refusal, report, utc};
pub use request::{BATCH_SIZE, Mirror, Resource, SyncRequest, WINDOW, submit, submit_as};
pub use schema::SchemaChange;
pub use shapes::{check_transforms, commands};
pub use status::{AliveWorker, HeldJob, Lease, Meter, Progress, Status, TargetStatus};
pub use undo::{UndoConflict, UndoCounts, UndoReport, nothing_to_undo, plan_undo, submit_undo};
pub use verification::{Differences, Extras, Verification, Verified, verification};
