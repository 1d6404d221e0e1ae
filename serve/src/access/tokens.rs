//! Tokens: `NAME.RANDOM`, kept as a hash.

use std::sync::LazyLock;

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};

/// A token, for its owner, and its hash, for the config.
pub struct NewToken {
    pub token: String,
    pub hash: String,
}

/// For a user of this name. 256 bits nobody can guess.
pub fn new_token(name: &str) -> NewToken {
    let token = format!("{name}.{}", hex::encode(rand::random::<[u8; 32]>()));
    NewToken { hash: hash(&token), token }
}

fn hash(token: &str) -> String {
    let salt = SaltString::encode_b64(&rand::random::<[u8; 16]>()).expect("16 bytes are a salt");
    let hash = Argon2::default().hash_password(token.as_bytes(), &salt);
    hash.expect("the parameters are argon2's own").to_string()
}

/// Takes some hundredths of a second and 19 MiB. An unknown user takes as long as a known one.
pub fn is_token_of(token: &str, hash: Option<&str>) -> bool {
    /// Of a token that nobody has.
    static NOBODY: LazyLock<String> = LazyLock::new(|| new_token("nobody").hash);
    let parsed = PasswordHash::new(hash.unwrap_or(&NOBODY));
    let fits = parsed.is_ok_and(|parsed| Argon2::default().verify_password(token.as_bytes(), &parsed).is_ok());
    fits && hash.is_some()
}

/// The user that a token says it is of.
pub fn user_of(token: &str) -> Option<&str> {
    token.split_once('.').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_fits_its_own_hash_and_no_other() {
        let [anna, other] = [new_token("anna"), new_token("anna")];
        assert_eq!(user_of(&anna.token), Some("anna"));
        assert!(anna.hash.starts_with("$argon2id$") && !anna.hash.contains(&anna.token[5..]));
        assert!(is_token_of(&anna.token, Some(&anna.hash)));
        assert!(!is_token_of(&anna.token, Some(&other.hash)) && !is_token_of(&anna.token, None));
        assert!(!is_token_of(&anna.token, Some("no hash")));
    }
}
