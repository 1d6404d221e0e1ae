//! `keys.json`, which the commands `keys new` and `keys retire` write beside a running agent, and `key-use.json`, which
//! the agent writes for `keys list`.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use protocol::keys::{KeyInfo, Purpose};
use protocol::sign::{KeyTooShort, SyncKey};
use serde::{Deserialize, Serialize};

use super::AcceptedKey;
use crate::settings::AgentSettings;
use crate::storage::{Layout, owner};

pub(super) const KEYS: &str = "keys.json";
pub(super) const USES: &str = "key-use.json";

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    id: String,
    secret: String,
    purpose: Purpose,
    from_ms: Option<i64>,
    until_ms: Option<i64>,
}

impl std::fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredKey({})", self.id)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    /// Without the text, which holds keys.
    #[error("{0} cannot be read as JSON: line {1}")]
    Syntax(PathBuf, usize),
    #[error("{0}: key {1}: {2}")]
    Key(PathBuf, String, KeyTooShort),
    #[error("there is a key {0:?} already")]
    Exists(String),
    #[error("there is no key {0:?}; there are: {1}")]
    Unknown(String, String),
    #[error("{0:?} is no id: letters, digits, '-', '_' and '.', at most 64")]
    Id(String),
    #[error("the key would never be good: it ends before it begins")]
    NeverGood,
}

/// What a new key is to be.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub id: String,
    pub purpose: Purpose,
    pub from_ms: Option<i64>,
    pub until_ms: Option<i64>,
}

/// The keys of one agent that its machine keeps for it.
pub struct KeyFile {
    state: PathBuf,
}

impl KeyFile {
    /// That of the agent with these settings.
    pub fn of(settings: &AgentSettings) -> Self {
        let default = || Layout::new(&settings.root, &settings.places).storage.join("cockpit-sync");
        Self { state: settings.state_dir.clone().unwrap_or_else(default) }
    }

    /// Makes a key and adds it. Gives back the key itself: nothing shows it again.
    pub fn add(&self, new: NewKey) -> Result<String, KeyFileError> {
        let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if new.id.is_empty() || new.id.len() > 64 || !new.id.bytes().all(is_sound) {
            return Err(KeyFileError::Id(new.id));
        }
        if new.until_ms.is_some_and(|until| new.from_ms.is_some_and(|from| from >= until)) {
            return Err(KeyFileError::NeverGood);
        }
        let mut stored = self.stored()?;
        if stored.keys.iter().any(|key| key.id == new.id) {
            return Err(KeyFileError::Exists(new.id));
        }
        let secret = hex::encode(rand::random::<[u8; 32]>());
        let NewKey { id, purpose, from_ms, until_ms } = new;
        stored.keys.push(StoredKey { id, secret: secret.clone(), purpose, from_ms, until_ms });
        self.store(&stored)?;
        Ok(secret)
    }

    /// All keys the agent knows, as it last said, and those that came since.
    pub fn list(&self) -> Result<Vec<KeyInfo>, KeyFileError> {
        let mut known = read_uses(&self.state.join(USES));
        let here = accepted(&self.state.join(KEYS))?;
        let is_here = |kid: &str| here.iter().any(|key| key.key.id() == kid);
        known.retain(|key| key.place != PLACE || is_here(&key.kid));
        let fresh: Vec<KeyInfo> = here
            .iter()
            .filter(|key| !known.iter().any(|other| other.kid == key.key.id()))
            .map(|key| key.info(None))
            .collect();
        known.extend(fresh);
        Ok(known)
    }

    /// Removes a key: the agent takes no more requests with it from the next second on.
    pub fn retire(&self, id: &str) -> Result<(), KeyFileError> {
        let mut stored = self.stored()?;
        let before = stored.keys.len();
        stored.keys.retain(|key| key.id != id);
        if stored.keys.len() == before {
            let known: Vec<&str> = stored.keys.iter().map(|key| key.id.as_str()).collect();
            return Err(KeyFileError::Unknown(id.into(), known.join(", ")));
        }
        self.store(&stored)
    }

    fn stored(&self) -> Result<Stored, KeyFileError> {
        read(&self.state.join(KEYS))
    }

    fn store(&self, stored: &Stored) -> Result<(), KeyFileError> {
        let path = self.state.join(KEYS);
        let json = serde_json::to_vec_pretty(stored).expect("keys are strings and numbers");
        let written = make_directory(&self.state).and_then(|()| replace(&path, &json));
        written.map_err(|error| KeyFileError::File(path, error))
    }
}

/// In [`KeyInfo::place`].
const PLACE: &str = "keys new";

/// The keys of the file; none where there is no file.
pub(super) fn accepted(path: &Path) -> Result<Vec<AcceptedKey>, KeyFileError> {
    let accept = |stored: StoredKey| {
        let wrong = |error| KeyFileError::Key(path.into(), stored.id.clone(), error);
        let key = SyncKey::new(&stored.secret).map_err(wrong)?;
        let StoredKey { id, purpose, from_ms, until_ms, .. } = stored;
        Ok(AcceptedKey { key, id, purpose, from_ms, until_ms, place: PLACE })
    };
    read(path)?.keys.into_iter().map(accept).collect()
}

fn read(path: &Path) -> Result<Stored, KeyFileError> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| KeyFileError::Syntax(path.into(), error.line())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Stored::default()),
        Err(error) => Err(KeyFileError::File(path.into(), error)),
    }
}

/// What cannot be read is as good as nothing: it only tells when keys were used.
pub(super) fn read_uses(path: &Path) -> Vec<KeyInfo> {
    fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

pub(super) fn write_uses(path: &Path, keys: &[KeyInfo]) -> io::Result<()> {
    replace(path, &serde_json::to_vec_pretty(keys).expect("what is known of keys is strings and numbers"))
}

fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    // Only below a storage that is there.
    std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700).create(path)?;
    owner::give(path, &fs::metadata(path.parent().unwrap_or(Path::new("/")))?)
}

/// Whoever reads it meanwhile reads the one or the other.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    owner::give(&aside, &fs::metadata(path.parent().unwrap_or(Path::new("/")))?)?;
    fs::rename(&aside, path)
}

/// `2026-12-31` (its first moment, UTC) or `2026-12-31T18:00:00+01:00`, in milliseconds since 1970.
pub fn time_ms(text: &str) -> Option<i64> {
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    let day: chrono::NaiveDate = text.parse().ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn new(id: &str) -> NewKey {
        NewKey { id: id.into(), purpose: Purpose::Read, from_ms: None, until_ms: None }
    }

    #[test]
    fn a_key_is_shown_once_kept_for_the_owner_alone_and_gone_when_retired() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile { state: folder.path().join("state") };
        let secret = file.add(new("first")).unwrap();
        file.add(new("second")).unwrap();
        let listed = file.list().unwrap();
        assert_eq!(listed.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(), ["first", "second"]);
        assert_eq!(listed[0].kid, SyncKey::new(&secret).unwrap().id());
        assert!(!format!("{listed:?} {:?}", file.stored().unwrap()).contains(&secret));
        let mode = fs::metadata(file.state.join(KEYS)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        file.retire("first").unwrap();
        assert_eq!(file.list().unwrap().len(), 1);
        assert!(file.retire("first").unwrap_err().to_string().contains("second"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_without_repeating_keys() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile { state: folder.path().into() };
        file.add(new("a")).unwrap();
        assert!(matches!(file.add(new("a")), Err(KeyFileError::Exists(_))));
        assert!(matches!(file.add(new("a b")), Err(KeyFileError::Id(_))));
        let never = NewKey { from_ms: Some(2), until_ms: Some(1), ..new("b") };
        assert!(matches!(file.add(never), Err(KeyFileError::NeverGood)));
        fs::write(folder.path().join(KEYS), "{\"keys\":\n[{\"id\":\"hush-hush").unwrap();
        let error = file.list().unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains("hush"), "{error}");
    }

    #[test]
    fn times_are_days_or_moments() {
        assert_eq!(time_ms("1970-01-02"), Some(24 * 3600 * 1000));
        assert_eq!(time_ms("1970-01-01T01:00:01+01:00"), Some(1000));
        assert_eq!(time_ms("tomorrow"), None);
    }
}
