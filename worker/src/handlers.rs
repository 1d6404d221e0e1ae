//! One file per job kind.

pub mod batch;
pub mod close;
pub mod collection;
pub mod open;
pub mod verify;
