//! Asking who answers, in a way that survives other versions of the protocol.

use serde::Deserialize;

use super::{AgentClient, CallError, PROTOCOL_VERSION};
use crate::api::{Call, Manifest, ManifestRequest};

/// The one field of a manifest that never changes.
#[derive(Deserialize)]
struct SpokenVersion {
    protocol: u32,
}

impl AgentClient {
    /// The instance's manifest; an agent of another protocol version is refused by name, not by a decoding error.
    pub async fn manifest(&self) -> Result<Manifest, CallError> {
        let request = ManifestRequest::default();
        let body = self.call_raw(&request).await?;
        let spoken: SpokenVersion =
            crate::msgpack::read(&body).map_err(|error| self.unreadable(ManifestRequest::PATH, &error))?;
        if spoken.protocol != PROTOCOL_VERSION {
            let (theirs, ours) = (spoken.protocol, PROTOCOL_VERSION);
            return Err(CallError::Version { instance: self.name.clone(), theirs, ours });
        }
        crate::msgpack::read(&body).map_err(|error| self.unreadable(ManifestRequest::PATH, &error))
    }
}
