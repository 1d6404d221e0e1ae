//! What an agent says of itself, as the command `check` and the API show it.

use protocol::api::Manifest;
use protocol::directory::Directory;
use serde_json::{Value, json};

use crate::error::Problem;

/// Asks an instance's agent whether it is there and accepts our key.
pub async fn check(directory: &Directory, name: &str) -> Result<Manifest, Problem> {
    Ok(directory.client(name, None)?.manifest().await?)
}

/// `answer` as JSON.
pub fn check_report(name: &str, answer: &Result<Manifest, Problem>) -> Value {
    match answer {
        Ok(manifest) => json!({
            "instance": name, "success": true, "id": manifest.instance, "version": manifest.cockpit_version,
            "agent": manifest.agent_version, "read_only": manifest.read_only, "models": manifest.models,
            "locales": manifest.locales, "assets": manifest.assets, "folders": manifest.folders,
            "grant": manifest.grant, "sync_lock": manifest.sync_lock, "warnings": manifest.warnings,
        }),
        Err(problem) => json!({
            "instance": name, "success": false, "error": {"code": problem.kind.code(), "message": problem.message},
        }),
    }
}
