//! The keys that this agent accepts: what each is for, from when until when, and when it was used last.
//!
//! Owns the set, from all places where keys stand, and the files `keys.json` and `key-use.json` of the agent's state.
//! `keys.json` is read again when it changes, so keys come and go without a new start. It must not know requests.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, UNIX_EPOCH};

use protocol::keys::{KeyInfo, Purpose};
use protocol::sign::{KeyTooShort, SyncKey};

use crate::storage::Clock;

mod file;

pub use file::{KeyFile, KeyFileError, NewKey, time_ms};

/// Last uses are written so often at most.
const USES_SAVED: Duration = Duration::from_secs(60);

/// A key with what it may be used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedKey {
    pub key: SyncKey,
    /// As people call it.
    pub id: String,
    pub purpose: Purpose,
    pub from_ms: Option<i64>,
    pub until_ms: Option<i64>,
    /// Where it stands, in words.
    pub place: &'static str,
}

impl From<SyncKey> for AcceptedKey {
    /// For everything, for ever.
    fn from(key: SyncKey) -> Self {
        let id = key.id().to_owned();
        Self { key, id, purpose: Purpose::Write, from_ms: None, until_ms: None, place: "its own config" }
    }
}

impl AcceptedKey {
    pub fn is_good(&self, now_ms: i64) -> bool {
        self.from_ms.is_none_or(|from| from <= now_ms) && self.until_ms.is_none_or(|until| now_ms < until)
    }

    fn info(&self, used: Option<&Use>) -> KeyInfo {
        KeyInfo {
            id: self.id.clone(),
            kid: self.key.id().into(),
            purpose: self.purpose,
            from_ms: self.from_ms,
            until_ms: self.until_ms,
            place: self.place.into(),
            last_used_ms: used.map(|used| used.ms),
            last_address: used.map(|used| used.address.clone()),
        }
    }
}

pub(crate) type Keys = Arc<Vec<Arc<AcceptedKey>>>;

pub(crate) struct KeyRing {
    file: PathBuf,
    uses_file: PathBuf,
    now: Clock,
    /// Of everywhere but the file.
    given: Mutex<Vec<Arc<AcceptedKey>>>,
    all: RwLock<Keys>,
    read: Mutex<Option<Stamp>>,
    uses: Mutex<Uses>,
}

/// By what a file is recognised as the one that was read.
type Stamp = (u64, u64, i64, i64);

struct Use {
    ms: i64,
    address: String,
}

#[derive(Default)]
struct Uses {
    /// By kid.
    last: BTreeMap<String, Use>,
    changed: bool,
    saved: Option<Instant>,
}

impl KeyRing {
    /// Without keys but those of the file.
    pub fn open(state: &Path, now: Clock) -> Self {
        let known = file::read_uses(&state.join(file::USES)).into_iter();
        let used = |key: KeyInfo| Some((key.kid, Use { ms: key.last_used_ms?, address: key.last_address? }));
        let ring = Self {
            file: state.join(file::KEYS),
            uses_file: state.join(file::USES),
            now,
            given: Mutex::default(),
            all: RwLock::default(),
            read: Mutex::default(),
            uses: Mutex::new(Uses { last: known.filter_map(used).collect(), ..Uses::default() }),
        };
        ring.reload();
        ring
    }

    /// Adds keys that do not stand in the file.
    pub fn give(&self, keys: impl IntoIterator<Item = AcceptedKey>) {
        lock(&self.given).extend(keys.into_iter().map(Arc::new));
        *lock(&self.read) = None;
        self.reload();
    }

    pub fn all(&self) -> Keys {
        self.all.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those that may be used now for this.
    pub fn good_for(&self, purpose: Purpose) -> Vec<Arc<AcceptedKey>> {
        let now_ms = self.now_ms();
        let is_good = |key: &&Arc<AcceptedKey>| key.purpose >= purpose && key.is_good(now_ms);
        self.all().iter().filter(is_good).cloned().collect()
    }

    /// Reads the file if it is another one than was read. True if there may be other keys now. A file that cannot be read
    /// changes nothing: half a rotation must not lock everybody out.
    pub fn reload(&self) -> bool {
        let mut read = lock(&self.read);
        let found = std::fs::metadata(&self.file).ok();
        let stamp = found.map_or((0, 0, 0, 0), |file| (file.dev(), file.ino(), file.mtime(), file.mtime_nsec()));
        if *read == Some(stamp) {
            return false;
        }
        *read = Some(stamp);
        match file::accepted(&self.file) {
            Ok(of_file) => {
                let given = lock(&self.given).clone();
                let all = given.into_iter().chain(of_file.into_iter().map(Arc::new)).collect();
                *self.all.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(all);
                lock(&self.uses).changed = true;
                true
            }
            Err(error) => {
                tracing::error!(%error, "the keys stay as they are");
                false
            }
        }
    }

    /// The key signed a request that was taken.
    pub fn used(&self, kid: &str, address: IpAddr) {
        let ms = self.now_ms() / 60_000 * 60_000;
        let mut uses = lock(&self.uses);
        if uses.last.get(kid).is_none_or(|last| last.ms != ms) {
            if !uses.last.contains_key(kid) {
                // That it is used at all is worth a write of its own.
                uses.saved = None;
            }
            uses.last.insert(kid.into(), Use { ms, address: address.to_string() });
            uses.changed = true;
        }
    }

    pub fn info(&self, kid: &str) -> Option<KeyInfo> {
        let uses = lock(&self.uses);
        self.all().iter().find(|key| key.key.id() == kid).map(|key| key.info(uses.last.get(kid)))
    }

    /// Writes what is known of all keys, without the keys, when there is something new; at the `end` in any case.
    pub fn save(&self, end: bool) -> std::io::Result<()> {
        let mut uses = lock(&self.uses);
        let is_due = end || uses.saved.is_none_or(|saved| saved.elapsed() >= USES_SAVED);
        if !uses.changed || !is_due {
            return Ok(());
        }
        let all = self.all();
        // What is not known any more was retired.
        uses.last.retain(|kid, _| all.iter().any(|key| key.key.id() == kid));
        let infos: Vec<KeyInfo> = all.iter().map(|key| key.info(uses.last.get(key.key.id()))).collect();
        uses.changed = false;
        uses.saved = Some(Instant::now());
        file::write_uses(&self.uses_file, &infos)
    }

    pub fn now_ms(&self) -> i64 {
        let since_epoch = (self.now)().duration_since(UNIX_EPOCH).unwrap_or_default();
        since_epoch.as_millis().try_into().unwrap_or(i64::MAX)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here is half done when it panics.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A key that stands somewhere, for everything.
pub(crate) fn unlimited(secret: &str, place: &'static str) -> Result<AcceptedKey, KeyTooShort> {
    Ok(AcceptedKey { place, ..AcceptedKey::from(SyncKey::new(secret)?) })
}
