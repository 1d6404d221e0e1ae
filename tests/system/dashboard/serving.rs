//! A `serve` with users, and an editor who has something open.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::{Process, Rig, wait_for};

/// The id of what an open document is noted by in Cockpit's options.
const LOCK: &str = "6b034a12686c82d07e21d343";

pub struct Serving {
    pub base: String,
    tokens: BTreeMap<String, String>,
    _process: Process,
}

impl Serving {
    /// With these users and their roles.
    pub fn start(rig: &mut Rig, users: &[(&str, &str)]) -> Self {
        let mut tokens = BTreeMap::new();
        for (name, role) in users {
            let made = rig.run(&["token", name]).expect_code(0).json();
            let text = |field: &str| made[field].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
            rig.more_config += &format!("[user.{name}]\nrole = {role:?}\ntoken_hash = {:?}\n", text("token_hash"));
            tokens.insert((*name).to_owned(), text("token"));
        }
        let process = rig.spawn(&["serve", "--listen", "127.0.0.1:0"]);
        let address = wait_for("it serves", || {
            let said: Value = serde_json::from_str(process.stdout().lines().next()?).ok()?;
            Some(said["listening"].as_str()?.to_owned())
        });
        Self { base: format!("http://{address}"), tokens, _process: process }
    }

    pub fn token(&self, user: &str) -> &str {
        &self.tokens[user]
    }
}

/// As Cockpit's admin notes that somebody has an item open.
pub fn open_in_cockpit(root: &Path, item: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let user = json!({"_id": "6b02f02b686c821ef0c1d19b", "name": "Anna", "user": "anna", "email": "anna@example.com"});
    let meta = json!({"rid": item, "user": user, "sid": "x", "time": now, "_created": now, "_updated": now});
    let option = json!({"key": format!("locked:{item}"), "val": meta, "_id": LOCK});
    instances::insert_document(root, "app/options", &option).unwrap();
}

pub fn close_in_cockpit(root: &Path) {
    instances::delete_document(root, "app/options", LOCK).unwrap();
}
