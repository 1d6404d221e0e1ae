//! One file per job kind.

pub mod batch;
pub mod close;
pub mod collection;
pub mod expect;
pub mod open;
pub mod undo;
pub mod verify;
