//! The users of the config, recognised by their tokens.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use config::{Role, User};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::attempts::Attempts;
use super::tokens::{is_token_of, user_of};
use crate::error::ApiError;

/// Tokens that are checked at a time, each with 19 MiB of memory.
const CHECKS: usize = 2;
/// No token is longer.
const LONGEST: usize = 512;

pub struct Users {
    users: BTreeMap<String, User>,
    /// Tokens that were checked, by their digest: a program sends its token with every request, and the slow hash is for
    /// those who read the config. Only what is right comes in here, so there are as many as users.
    known: Mutex<HashMap<[u8; 32], String>>,
    attempts: Attempts,
    checks: Semaphore,
}

impl Users {
    pub fn new(users: BTreeMap<String, User>) -> Self {
        Self { users, known: Mutex::default(), attempts: Attempts::default(), checks: Semaphore::new(CHECKS) }
    }

    pub fn are_none(&self) -> bool {
        self.users.is_empty()
    }

    /// Whose token this is.
    pub async fn recognise(&self, token: &str, address: IpAddr) -> Result<(String, Role), ApiError> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned();
        if let Some(name) = known {
            let role = self.users[&name].role;
            return Ok((name, role));
        }
        self.attempts.count(address)?;
        let name = user_of(token).filter(|_| token.len() <= LONGEST).unwrap_or_default().to_owned();
        let user = self.users.get(&name);
        let (token, hash) = (token.to_owned(), user.map(|user| user.token_hash.clone()));
        let _turn = self.checks.acquire().await;
        let check = tokio::task::spawn_blocking(move || token.len() <= LONGEST && is_token_of(&token, hash.as_deref()));
        let fits = check.await.map_err(|_| ApiError::unauthorized("the token cannot be checked"))?;
        match (fits, user) {
            (true, Some(user)) => {
                self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, name.clone());
                Ok((name, user.role))
            }
            _ => Err(ApiError::unauthorized("this token is not known here")),
        }
    }

    /// What a session was begun with; another token of the user ends it.
    pub fn credential_of(&self, name: &str) -> Option<String> {
        self.users.get(name).map(|user| hex::encode(&Sha256::digest(&user.token_hash)[..8]))
    }

    /// The role of a session's user, while the token is the one it began with.
    pub fn role_of(&self, name: &str, credential: &str) -> Option<Role> {
        let user = self.users.get(name)?;
        (self.credential_of(name)? == credential).then_some(user.role)
    }
}
