//! `[user.NAME]` and `[hook.NAME]`: who may use `cockpit-sync serve`, and what becomes of a call from a CMS.

use std::collections::BTreeMap;

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
