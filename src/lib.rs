//! The program: the commands a person types, and the embedded host. Everything that does the work is in the libraries
//! `producer`, `worker`, `agent` and `shared/`.

pub mod cli;
pub mod embedded;
pub mod logs;
pub mod recorder;
pub mod session;
pub mod telemetry;
