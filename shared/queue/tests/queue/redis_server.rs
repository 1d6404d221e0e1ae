//! A private redis-server on a unix socket, stopped when dropped.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use queue::by_hand::ClaimByHand;
use queue::{Queue, Settings};
use servers::Clocks;
use tempfile::TempDir;

pub struct TestRedis {
    directory: TempDir,
    arguments: Vec<String>,
    clocks: Option<Clocks>,
    child: Option<Child>,
}

impl TestRedis {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub async fn start_with(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let directory = TempDir::new().expect("a temporary directory");
        let mut redis = Self { directory, arguments, clocks: None, child: None };
        redis.up().await;
        redis
    }

    /// With a clock that can be set; none where that is not possible.
    pub async fn start_with_clock() -> Option<Self> {
        let directory = TempDir::new().expect("a temporary directory");
        let clocks = Some(Clocks::build(directory.path())?);
        let mut redis = Self { directory, arguments: Vec::new(), clocks, child: None };
        redis.up().await;
        Some(redis)
    }

    /// Sets its clock, so many seconds from the true time.
    pub fn set_clock(&self, seconds: i64) {
        self.clocks.as_ref().expect("it was started with a clock").shift("redis", seconds);
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Starts it (again), on the same data.
    pub async fn up(&mut self) {
        let mut command = Command::new("redis-server");
        if let Some(clocks) = &self.clocks {
            clocks.give(&mut command, "redis");
        }
        let child = command
            .args(["--port", "0", "--save", "", "--unixsocket"])
            .arg(self.socket())
            .arg("--dir")
            .arg(self.directory.path())
            .args(&self.arguments)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        self.child = Some(child);
        for _ in 0..500 {
            if let Ok(client) = redis::Client::open(self.url())
                && let Ok(mut connection) = client.get_multiplexed_async_connection().await
                && redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server does not answer");
    }

    /// Kills it, without a chance to save.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("our own child can be killed");
            child.wait().expect("our own child can be waited for");
        }
    }

    /// Settings with a lease short enough for tests.
    pub fn settings(&self) -> Settings {
        Settings {
            lease: Duration::from_millis(800),
            close_within: Duration::from_secs(1),
            ..Settings::new(self.url())
        }
    }

    pub async fn queue(&self) -> Queue {
        self.queue_with(self.settings()).await
    }

    pub async fn queue_with(&self, settings: Settings) -> Queue {
        Queue::connect(settings).await.expect("the server is suitable").0
    }

    /// Makes claims look as if their worker had been silent for an hour.
    pub async fn age(&self, target: &str, consumer: &str, claims: &[&ClaimByHand]) {
        let mut connection = self.raw().await;
        for claim in claims {
            let stream = format!("{{cs}}:target:{target}:jobs");
            let aged = redis::cmd("XCLAIM")
                .arg(&[&*stream, "workers", consumer, "0", claim.entry(), "IDLE", "3600000", "JUSTID"])
                .query_async::<redis::Value>(&mut connection)
                .await;
            aged.expect("the claim is this consumer's");
        }
    }

    /// A connection for what only a test does.
    pub async fn raw(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).expect("the url is fine");
        // A busy machine is no failure.
        let patient = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(30)));
        client.get_multiplexed_async_connection_with_config(&patient).await.expect("the server runs")
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        self.kill();
    }
}
