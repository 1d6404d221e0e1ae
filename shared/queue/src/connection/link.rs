//! One connection that finds its server again when another one has taken over, and the pool of such.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::managed::{self, Manager, Metrics, RecycleError, RecycleResult};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Cmd, Pipeline, RedisError, RedisFuture, Value};

use super::route::{Opening, Route};
use crate::{Error, Result};

/// While a cluster moves our slot or elects a master, nobody can serve it.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// A connection to the server that holds the deployment's keys.
pub(crate) struct Link {
    route: Arc<Route>,
    config: AsyncConnectionConfig,
    /// The server it was made at, which also tells whether it can be used again.
    server: deadpool_redis::Manager,
    connection: MultiplexedConnection,
    /// How long a command may look for its server.
    patience: Duration,
    /// It may still be waiting for an answer to an earlier command: not to be used again.
    broken: bool,
}

impl Link {
    pub(super) async fn open(route: Arc<Route>, config: AsyncConnectionConfig, patience: Duration) -> Result<Self> {
        let (server, connection) = connect(&route, &config).await?;
        Ok(Self { route, config, server, connection, patience, broken: false })
    }

    async fn send(&mut self, command: &Cmd) -> redis::RedisResult<Value> {
        let begun = Instant::now();
        loop {
            let error = match self.connection.req_packed_command(command).await {
                Err(error) if !was_executed(&error) && self.route.may_lead_elsewhere() => error,
                done => return self.noted(done),
            };
            if begun.elapsed() > self.patience {
                return Err(error);
            }
            tokio::time::sleep(ASK_AGAIN).await;
            match connect(&self.route, &self.config).await {
                Ok(found) => (self.server, self.connection) = found,
                Err(_) => return self.noted(Err(error)),
            }
        }
    }

    fn noted<T>(&mut self, result: redis::RedisResult<T>) -> redis::RedisResult<T> {
        self.broken = result.as_ref().is_err_and(|error| error.is_io_error() || error.is_unrecoverable_error());
        result
    }
}

type Connected = (deadpool_redis::Manager, MultiplexedConnection);

async fn connect(route: &Route, config: &AsyncConnectionConfig) -> Result<Connected> {
    let connect = |client: redis::Client| -> Opening<Connected> {
        let config = config.clone();
        Box::pin(async move {
            let info = client.get_connection_info().clone();
            let server = deadpool_redis::Manager::new_with_config(info, config)?;
            let mut connection = server.create().await?;
            // Only with the first answer it is sure that we were let in: TLS refuses clients late.
            redis::cmd("PING").query_async::<()>(&mut connection).await?;
            Ok((server, connection))
        })
    };
    route.open(connect).await
}

/// Whether the server may have begun to do what it was asked. It has not when it says that it is not the one, or not now.
///
/// `ASK` is among these: the key that our scripts name exists nowhere, so while the slot moves every script gets it, and
/// on the other server it would find only what has been moved so far.
fn was_executed(error: &RedisError) -> bool {
    let not_me = ["MOVED", "ASK", "READONLY", "UNBLOCKED"];
    let not_now = ["TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN"];
    !error.code().is_some_and(|code| not_me.contains(&code) || not_now.contains(&code))
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.send(command))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let done = self.connection.req_packed_commands(commands, offset, count).await;
            self.broken = done.is_err();
            done
        })
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}

/// Makes links for the pool. What concerns one server is deadpool-redis' manager's; this one knows that servers change.
pub(crate) struct Links {
    pub(super) route: Arc<Route>,
    pub(super) config: AsyncConnectionConfig,
    pub(super) patience: Duration,
}

impl managed::Manager for Links {
    type Type = Link;
    type Error = Error;

    async fn create(&self) -> Result<Link> {
        Link::open(self.route.clone(), self.config.clone(), self.patience).await
    }

    async fn recycle(&self, link: &mut Link, metrics: &Metrics) -> RecycleResult<Error> {
        if link.broken {
            return Err(RecycleError::message("it broke"));
        }
        link.server.recycle(&mut link.connection, metrics).await.map_err(|error| match error {
            RecycleError::Message(message) => RecycleError::Message(message),
            RecycleError::Backend(error) => RecycleError::Backend(error.into()),
        })
    }
}
