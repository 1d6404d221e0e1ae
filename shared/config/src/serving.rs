//! `[serve]`, `[user.NAME]` and `[hook.NAME]`: TLS of `cockpit-sync serve`, who may use it, and what becomes of a call from a
//! CMS.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Instance;

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Role {
    /// Everything.
    #[serde(rename = "sync/manage")]
    Manage,
    /// Look only.
    #[serde(rename = "sync/view")]
    View,
    /// Call hooks only: for the token that lies in a CMS.
    #[serde(rename = "sync/hook")]
    Hook,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::Manage => "sync/manage",
            Self::View => "sync/view",
            Self::Hook => "sync/hook",
        }
    }
}

/// One `[user.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    pub role: Role,
    /// As `cockpit-sync token NAME` prints it: a hash, never the token itself.
    pub token_hash: String,
}

/// One `[hook.NAME]`: what was saved in the CMS is pushed to an instance.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    pub target: String,
    /// Also the assets that items embed.
    #[serde(default = "yes")]
    pub with_assets: bool,
    /// Items of other models are left alone; none: all.
    pub models: Option<Vec<String>>,
}

/// TLS that `serve` ends itself. PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Only who has a certificate of this authority is let in.
    pub client_ca: Option<PathBuf>,
}

/// `[serve]`, by the names that agents have for the same.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServeEntry {
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    tls_client_ca: Option<PathBuf>,
}

impl ServeEntry {
    pub fn check(self, folder: &Path) -> Result<Option<ServerTls>, String> {
        match (self.tls_cert, self.tls_key, self.tls_client_ca) {
            (Some(cert), Some(key), client_ca) => {
                let client_ca = client_ca.map(|ca| folder.join(ca));
                Ok(Some(ServerTls { cert: folder.join(cert), key: folder.join(key), client_ca }))
            }
            (None, None, None) => Ok(None),
            _ => Err("[serve]: tls_cert and tls_key belong together; tls_client_ca needs both".into()),
        }
    }
}

fn yes() -> bool {
    true
}

pub fn check(
    users: &BTreeMap<String, User>,
    hooks: &BTreeMap<String, Hook>,
    instances: &BTreeMap<String, Instance>,
) -> Result<(), String> {
    for (name, user) in users {
        // A token begins with its user's name and a dot.
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            return Err(format!("[user.{name}]: names take letters, digits, '-' and '_'"));
        }
        if !user.token_hash.starts_with("$argon2id$") {
            return Err(format!(
                "[user.{name}]: token_hash begins with $argon2id$: `cockpit-sync token {name}` makes a token and its hash"
            ));
        }
    }
    for (name, hook) in hooks {
        let Some(instance) = instances.get(&hook.target) else {
            return Err(format!("[hook.{name}]: target = {:?} names no instance", hook.target));
        };
        if !instance.push {
            return Err(format!("[hook.{name}]: {} may not be pushed to (push = true in its [instance])", hook.target));
        }
    }
    Ok(())
}
