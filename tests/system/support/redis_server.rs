//! A redis-server of a test's own: on a unix socket in a temporary folder, with an append-only file, ended when dropped.

use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use redis::Connection;
use tempfile::TempDir;

use super::{Process, wait_until};

pub struct TestRedis {
    process: Option<Process>,
    folder: TempDir,
}

impl TestRedis {
    pub fn start() -> Self {
        let mut redis = Self { process: None, folder: tempfile::tempdir().unwrap() };
        redis.restart();
        redis
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Starts it (again), on the same data.
    pub fn restart(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "yes", "--unixsocket"]).arg(self.socket());
        command.arg("--dir").arg(self.folder.path());
        let process = Process::start(&mut command, self.folder.path(), "redis");
        self.process = Some(process);
        wait_until("redis-server answers", || self.try_connection().is_some());
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// SIGTERM, as a service manager does it.
    pub fn stop(&mut self) {
        let process = self.process.take().expect("it runs");
        process.signal(Signal::SIGTERM);
        process.wait().expect_code(0);
    }

    fn try_connection(&self) -> Option<Connection> {
        let mut connection = redis::Client::open(self.url()).ok()?.get_connection().ok()?;
        redis::cmd("PING").query::<String>(&mut connection).ok()?;
        Some(connection)
    }

    pub fn connection(&self) -> Connection {
        self.try_connection().expect("redis-server runs")
    }

    /// Everything is gone.
    pub fn flush_all(&self) {
        redis::cmd("FLUSHALL").exec(&mut self.connection()).unwrap();
    }

    /// 0 is no limit.
    pub fn limit_memory(&self, limit: &str) {
        redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(limit).exec(&mut self.connection()).unwrap();
    }

    /// How many documents a run has looked at so far.
    pub fn items(&self, run: &str) -> u64 {
        let key = format!("{{cs}}:run:{run}:counts");
        let items: Option<u64> = redis::cmd("HGET").arg(key).arg("items").query(&mut self.connection()).unwrap();
        items.unwrap_or(0)
    }

    /// Ids of the runs that are not over.
    pub fn live_runs(&self) -> Vec<String> {
        redis::cmd("ZRANGE").arg("{cs}:live").arg(0).arg(-1).query(&mut self.connection()).unwrap()
    }

    /// The process ids of the workers that count as alive.
    pub fn workers(&self) -> Vec<u32> {
        let mut connection = self.connection();
        let names: Vec<String> =
            redis::cmd("ZRANGE").arg("{cs}:workers").arg(0).arg(-1).query(&mut connection).unwrap();
        let pid = |name: &String| {
            let announced = format!("{{cs}}:worker:{name}");
            redis::cmd("HGET").arg(announced).arg("pid").query::<Option<u32>>(&mut connection).unwrap()
        };
        names.iter().filter_map(pid).collect()
    }

    /// What the latest failed attempt of a run's jobs said.
    pub fn last_error(&self, run: &str) -> String {
        let key = format!("{{cs}}:run:{run}");
        let said: Option<String> = redis::cmd("HGET").arg(key).arg("last_error").query(&mut self.connection()).unwrap();
        said.unwrap_or_default()
    }
}
