//! The HTTP endpoint beside a Cockpit instance, the only thing that touches its storage

pub mod storage;
