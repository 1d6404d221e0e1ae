//! The way to Redis: checks at start, the pool for commands, connections of their own for what takes long.

mod check;
mod link;
mod route;
mod words;

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{Object, Pool, PoolError, Timeouts};
use redis::AsyncConnectionConfig;

pub(crate) use self::link::Link;
use self::link::Links;
use self::route::Route;
use crate::clock::Clock;
use crate::keys::Keys;
use crate::{Error, Result, Settings, retry, scripts};

/// A deployment's queue. Cheap to clone; all clones share one pool.
#[derive(Clone)]
pub struct Queue {
    pool: Pool<Links>,
    route: Arc<Route>,
    pub(crate) keys: Keys,
    pub(crate) settings: Arc<Settings>,
    /// The settings as scripts are told them.
    pub(crate) told: Arc<Vec<u8>>,
    pub(crate) clock: Arc<Clock>,
}

impl Queue {
    /// Connects, refuses a server the queue must not run on, and returns warnings (missing persistence) as sentences.
    pub async fn connect(settings: Settings) -> Result<(Self, Vec<String>)> {
        let route = Arc::new(Route::new(&settings)?);
        let patience = settings.response_timeout;
        let links = Links { route: route.clone(), config: config(patience, patience), patience };
        let pool = Pool::builder(links)
            .max_size(settings.connections)
            // The route has its own patience for creating, and says what it waited for.
            .timeouts(Timeouts { wait: Some(patience), create: None, recycle: Some(patience) })
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| Error::Unreachable(error.to_string()))?;
        let queue = Self {
            pool,
            route,
            keys: Keys { prefix: settings.prefix.clone() },
            told: scripts::told(&settings).into(),
            clock: Arc::default(),
            settings: settings.into(),
        };
        let warnings = check::server(&queue).await?;
        Ok((queue, warnings))
    }

    /// As [`Queue::connect`], but waits for a server that is away, for as long as it takes, and says so in the log.
    pub async fn connect_when_there(settings: Settings) -> Result<(Self, Vec<String>)> {
        let mut backoff = retry::reconnect();
        loop {
            match Self::connect(settings.clone()).await {
                Err(error) if error.is_away() => {
                    tracing::warn!(%error, "Redis is not there; waiting for it");
                    tokio::time::sleep(retry::next(&mut backoff)).await;
                }
                done => return done,
            }
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) async fn connection(&self) -> Result<Object<Links>> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error,
            other => Error::Unreachable(other.to_string()),
        })
    }

    /// A connection for a hot loop that keeps it.
    pub(crate) async fn kept_connection(&self) -> Result<Link> {
        self.blocking_connection(Duration::ZERO).await
    }

    /// A connection of its own, for reads that block up to `block`.
    pub(crate) async fn blocking_connection(&self, block: Duration) -> Result<Link> {
        let patience = self.settings.response_timeout;
        Link::open(self.route.clone(), config(patience, block + patience), patience).await
    }

    /// A connection that hears what is published. In a cluster every node hears all of it.
    pub(crate) async fn listening_connection(&self) -> Result<redis::aio::PubSub> {
        self.route.open(|client| Box::pin(async move { client.get_async_pubsub().await })).await
    }
}

fn config(connect_within: Duration, answer_within: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(connect_within)).set_response_timeout(Some(answer_within))
}
