//! The HTTP endpoint beside a Cockpit instance, the only thing that touches its storage

mod actions;
mod allowed;
mod audit;
mod auth;
pub mod cockpit_config;
mod grant;
mod keys;
pub mod php;
mod privileges;
mod records;
mod routes;
mod server;
mod settings;
mod state;
pub mod storage;

pub use allowed::AllowedModels;
pub use keys::{AcceptedKey, KeyFile, KeyFileError, NewKey, time_ms};
pub use privileges::become_owner;
pub use server::{Agent, AgentFailed, RunningAgent, StartError};
pub use settings::{
    AgentSettings, AgentToml, AgentTomlError, DEFAULT_LISTEN, EnvironmentKeyTooShort, KEY_VARIABLE, Networks,
    NotANetwork, Rate, Render,
};
pub use storage::Places;
