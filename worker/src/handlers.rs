//! One file per job kind.

pub mod batch;
pub mod candidates;
pub mod close;
pub mod collection;
pub mod decide;
pub mod deletes;
pub mod embedded;
pub mod expect;
pub mod narrowed;
pub mod open;
pub mod undo;
pub mod verify;
