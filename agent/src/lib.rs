//! The HTTP endpoint beside a Cockpit instance, the only thing that touches its storage

mod auth;
mod routes;
mod server;
mod settings;
pub mod cockpit_config;
pub mod php;
pub mod storage;

pub use server::{Agent, AgentFailed, RunningAgent, StartError};
pub use settings::{
    AgentSettings, AgentToml, AgentTomlError, AllowError, AllowList, DEFAULT_LISTEN, KEY_VARIABLE, MaxDelete,
};
