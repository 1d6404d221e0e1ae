//! The way to Redis: checks at start, the pool for commands.

use std::sync::Arc;

use deadpool_redis::{Manager, Pool, Runtime, Timeouts};
use redis::AsyncConnectionConfig;

use crate::keys::Keys;
use crate::{Error, Result, Settings, scripts};

/// A deployment's queue. Cheap to clone; all clones share one pool.
#[derive(Clone)]
pub struct Queue {
    pub(crate) pool: Pool,
    pub(crate) client: redis::Client,
    pub(crate) keys: Keys,
    pub(crate) settings: Arc<Settings>,
    /// The settings as scripts are told them.
    pub(crate) told: Arc<Vec<u8>>,
}

impl Queue {
    /// Connects, refuses a server the queue must not run on, and returns warnings (missing persistence) as sentences.
    pub async fn connect(settings: Settings) -> Result<(Self, Vec<String>)> {
        let client = redis::Client::open(settings.url.as_str())
            .map_err(|error| Error::Invalid(format!("redis url: {error}")))?;
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(settings.response_timeout));
        let manager = Manager::new_with_config(settings.url.as_str(), config)
            .map_err(|error| Error::Invalid(format!("redis url: {error}")))?;
        let patience = Some(settings.response_timeout);
        let pool = Pool::builder(manager)
            .max_size(settings.connections)
            .timeouts(Timeouts { wait: patience, create: patience, recycle: patience })
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| Error::Unreachable(error.to_string()))?;
        let queue = Self {
            pool,
            client,
            keys: Keys { prefix: settings.prefix.clone() },
            told: scripts::told(&settings).into(),
            settings: settings.into(),
        };
        let warnings = queue.check_server().await?;
        Ok((queue, warnings))
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) async fn connection(&self) -> Result<deadpool_redis::Connection> {
        self.pool.get().await.map_err(|error| match error {
            deadpool_redis::PoolError::Backend(error) => Error::Redis(error),
            other => Error::Unreachable(other.to_string()),
        })
    }

    /// A connection for a hot loop that keeps it.
    pub(crate) async fn kept_connection(&self) -> Result<redis::aio::MultiplexedConnection> {
        self.blocking_connection(std::time::Duration::ZERO).await
    }

    /// A connection of its own, for reads that block up to `block`.
    pub(crate) async fn blocking_connection(
        &self,
        block: std::time::Duration,
    ) -> Result<redis::aio::MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.settings.response_timeout))
            .set_response_timeout(Some(block + self.settings.response_timeout));
        Ok(self.client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    async fn check_server(&self) -> Result<Vec<String>> {
        let mut connection = self.connection().await?;
        let info: redis::InfoDict = redis::cmd("INFO").query_async(&mut connection).await?;
        let text = |name: &str| info.get::<String>(name).unwrap_or_default();
        let version = text("redis_version");
        if version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_none_or(|major| major < 7) {
            return Err(Error::Unsuitable(format!("version {version}, but 7.0 or later is needed")));
        }
        if text("role") != "master" {
            return Err(Error::Unsuitable("it is a replica; name the master".into()));
        }
        let policy = text("maxmemory_policy");
        if !policy.is_empty() && policy != "noeviction" {
            return Err(Error::Unsuitable(format!("maxmemory-policy {policy} would throw jobs away; set noeviction")));
        }
        let mut warnings = Vec::new();
        if text("aof_enabled") != "1" {
            // A snapshot alone also loses minutes of work, so it is said as well.
            warnings.push("redis keeps no append-only file: when it restarts, waiting and running runs are lost and must be started again".into());
        }
        Ok(warnings)
    }
}
