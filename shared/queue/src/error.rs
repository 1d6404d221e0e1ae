//! What can go wrong between a caller and Redis, in words a person can act on.

/// The result of every call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call did not do what was asked. A call that failed changed nothing, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection broke or the server said no. For a submit or settle it is unknown whether it took place; both can be repeated.
    #[error("redis: {0}")]
    Redis(redis::RedisError),
    /// No connection could be had in time.
    #[error("no connection to redis: {0}")]
    Unreachable(String),
    /// The server refuses this user or certificate, or we refuse its certificate.
    #[error("redis does not let us in: {0}")]
    Denied(String),
    /// The server is one this crate must not run on.
    #[error("this redis cannot be used: {0}")]
    Unsuitable(String),
    /// Over `maxmemory`. Running jobs still settle; new ones are taken again once there is room.
    #[error("redis is full (over maxmemory): nothing new is taken until jobs have drained or the limit is raised")]
    Full,
    /// What was to be submitted is not acceptable.
    #[error("{0}")]
    Invalid(String),
    /// The claim was taken back or given to another worker. Nothing was changed.
    #[error("the claim on this job is lost")]
    ClaimLost,
    /// Redis does not know this run (any more).
    #[error(
        "redis knows no run {0}: it was never submitted, has expired, or redis lost its data. Starting it again is safe"
    )]
    UnknownRun(String),
    /// A script answered something this version cannot read.
    #[error("unreadable answer of a script: {0}")]
    Answer(String),
    /// A part of the consumer ended although nobody asked it to.
    #[error("the {0} of the consumer ended unexpectedly: {1}")]
    Broken(&'static str, String),
}

impl Error {
    /// Nobody answers, or not yet. A server that answers and says no is there.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self, Error::Unreachable(_) | Error::Redis(_)) && self.is_transient()
    }

    /// Worth repeating after a while: the server is away, restarting, loading or full.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Unreachable(_) | Error::Full => true,
            // Passwords, permissions and certificates are renewed while workers run.
            Error::Denied(_) => true,
            Error::Redis(error) => {
                error.is_io_error()
                    || error.is_timeout()
                    || error.is_connection_dropped()
                    || matches!(
                        error.code(),
                        Some(
                            "LOADING" | "BUSY" | "READONLY" | "MASTERDOWN" | "NOREPLICAS" | "MISCONF" // a server in trouble
                                | "MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" // a cluster in change
                        )
                    )
            }
            _ => false,
        }
    }
}

impl From<redis::RedisError> for Error {
    fn from(error: redis::RedisError) -> Self {
        match error.code() {
            Some("OOM") => Error::Full,
            Some("NOPERM") => Error::Denied(format!("{error} (docs/redis.md lists what a user needs)")),
            _ => Error::Redis(error),
        }
    }
}
