//! What an agent knows of a key.

use serde::{Deserialize, Serialize};

use super::Call;
use crate::keys::KeyInfo;

/// The key that signs this request says which one it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyRequest {
    pub kid: String,
}

impl Call for KeyRequest {
    const PATH: &'static str = "key";
    type Answer = KeyFound;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyFound {
    pub key: Option<KeyInfo>,
}
