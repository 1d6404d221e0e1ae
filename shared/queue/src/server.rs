//! Where Redis is and how to get in. Not when to connect, and not what to say then.

use std::fmt;
use std::path::PathBuf;

/// A Redis, whichever way it is run.
#[derive(Clone, Default)]
pub struct Server {
    pub place: Place,
    /// Of the servers that hold the data; sentinels have theirs in their own URLs.
    pub username: Option<String>,
    pub password: Option<String>,
    pub certificates: Certificates,
    /// RESP3 instead of RESP2.
    pub resp3: bool,
}

/// How the one server is found that holds the deployment's keys at this moment. All keys share a hash tag, so that it
/// is one server in a cluster, too. URLs are `redis://` or `rediss://`; a single server may also be at a `unix://`.
/// For `rediss://` the process must have chosen rustls' cryptography (`CryptoProvider::install_default`).
#[derive(Clone, PartialEq, Eq)]
pub enum Place {
    /// It is always the same.
    At(String),
    /// It is the master that these sentinels watch under this name.
    Sentinels { urls: Vec<String>, master: String },
    /// It is the master of the hash tag's slot; these nodes, or those they name, know which.
    Cluster(Vec<String>),
}

/// For `rediss://`. PEM files, read again for every new connection, so that they can be renewed.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    /// Who must have signed the server's certificate; without it, whom the system trusts.
    pub ca: Option<PathBuf>,
    /// What is shown to a server that asks: the certificate (with its chain) and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Default for Place {
    fn default() -> Self {
        Self::At("redis://127.0.0.1:6379".into())
    }
}

impl Server {
    pub fn at(url: impl Into<String>) -> Self {
        Self { place: Place::At(url.into()), ..Self::default() }
    }
}

/// URLs may hold passwords.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(_) => f.write_str("At(...)"),
            Self::Sentinels { urls, master } => write!(f, "Sentinels({} urls, {master:?})", urls.len()),
            Self::Cluster(urls) => write!(f, "Cluster({} urls)", urls.len()),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, username, password, certificates, resp3 } = self;
        f.debug_struct("Server")
            .field("place", place)
            .field("username", username)
            .field("password", &password.as_ref().map(|_| "..."))
            .field("certificates", certificates)
            .field("resp3", resp3)
            .finish()
    }
}
