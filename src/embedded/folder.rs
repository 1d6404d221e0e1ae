//! The folder `.cockpit-sync/` beside a config: who hosts, and where its parts are reached.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use producer::Problem;
use serde::{Deserialize, Serialize};

/// A lock that ends with its process.
pub type Lock = Flock<File>;

/// A path to a unix socket may have about 108 bytes; some of that is for file names.
const SOCKET_PATH_LIMIT: usize = 100;

/// What a host tells its clients. It holds keys: only its owner may read it.
#[derive(Debug, Serialize, Deserialize)]
pub struct HostFile {
    pub pid: u32,
    pub redis: String,
    /// Name of instance -> URL and key.
    pub agents: BTreeMap<String, (String, String)>,
    /// It has a worker.
    pub works: bool,
}

pub struct HostFolder(PathBuf);

impl HostFolder {
    pub fn at(path: PathBuf) -> Result<Self, Problem> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|error| problem("cannot be made", &path, &error))?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the socket of the private Redis lies: here, or in a short directory when the path would be too long.
    pub fn socket_path(&self) -> Result<PathBuf, Problem> {
        let here = self.0.join("redis.sock");
        if here.as_os_str().len() <= SOCKET_PATH_LIMIT {
            return Ok(here);
        }
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        let user = nix::unistd::geteuid();
        let short = std::env::temp_dir().join(format!("cockpit-sync-{user}-{:016x}", hasher.finish()));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&short)
            .map_err(|error| problem("cannot be made", &short, &error))?;
        Ok(short.join("redis.sock"))
    }

    /// Shared: as long as a client has it, the host stays. Waits while a host is just leaving.
    pub async fn lock_as_client(&self) -> Result<Lock, Problem> {
        let file = self.open("clients.lock")?;
        let locked = tokio::task::spawn_blocking(move || Flock::lock(file, FlockArg::LockShared)).await;
        match locked {
            Ok(Ok(lock)) => Ok(lock),
            Ok(Err((_, error))) => Err(problem("cannot be locked", &self.0, &error)),
            Err(error) => Err(problem("cannot be locked", &self.0, &error)),
        }
    }

    /// None while another process is the host.
    pub fn try_lock_as_host(&self) -> Result<Option<Lock>, Problem> {
        self.try_lock("host.lock")
    }

    /// None while there are clients.
    pub fn try_lock_alone(&self) -> Result<Option<Lock>, Problem> {
        self.try_lock("clients.lock")
    }

    fn try_lock(&self, name: &str) -> Result<Option<Lock>, Problem> {
        match Flock::lock(self.open(name)?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(lock)),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, error)) => Err(problem("cannot be locked", &self.0, &error)),
        }
    }

    fn open(&self, name: &str) -> Result<File, Problem> {
        let path = self.0.join(name);
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| problem("cannot be opened", &path, &error))
    }

    /// None while the host is starting or leaving.
    pub fn host_file(&self) -> Result<Option<HostFile>, Problem> {
        let path = self.host_file_path();
        match std::fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map(Some).map_err(|error| problem("cannot be read", &path, &error))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(problem("cannot be read", &path, &error)),
        }
    }

    pub fn write_host_file(&self, file: &HostFile) -> Result<(), Problem> {
        let path = self.host_file_path();
        let temporary = path.with_extension("new");
        let text = serde_json::to_vec(file).map_err(|error| problem("cannot be written", &path, &error))?;
        let mut new = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(|error| problem("cannot be written", &temporary, &error))?;
        new.write_all(&text)
            .and_then(|()| std::fs::rename(&temporary, &path))
            .map_err(|error| problem("cannot be written", &path, &error))
    }

    /// A host that was killed leaves its file; the next one removes it before it starts.
    pub fn remove_host_file(&self) {
        if let Err(error) = std::fs::remove_file(self.host_file_path())
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the host file was not removed");
        }
    }

    fn host_file_path(&self) -> PathBuf {
        self.0.join("host.json")
    }
}

fn problem(what: &str, path: &Path, error: &dyn std::error::Error) -> Problem {
    Problem::usage(format!("{} {what}: {error}. The embedded host keeps its files beside the config", path.display()))
}
