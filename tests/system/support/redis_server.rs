//! A redis-server of a test's own: on a unix socket in a temporary folder, with an append-only file, ended when dropped.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use redis::Connection;
use servers::Clocks;
use tempfile::TempDir;

use super::{Process, wait_until};

pub struct TestRedis {
    process: Option<Process>,
    folder: TempDir,
    clocks: Option<Clocks>,
    /// The address of the server it is a replica of.
    copies: Option<String>,
}

impl TestRedis {
    pub fn start() -> Self {
        Self::start_with(None, None)
    }

    /// Going by the clock `redis`, perhaps as a replica of the one at that address.
    pub fn start_with(clocks: Option<Clocks>, copies: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut redis = Self { process: None, folder, clocks, copies: copies.map(str::to_owned) };
        redis.restart();
        redis
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Starts it (again), on the same data.
    pub fn restart(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "yes", "--unixsocket"]).arg(self.socket());
        // Nobody waits for a replica: neither for more of them before the copy, nor for it at the end.
        command.args(["--repl-diskless-sync-delay", "0", "--shutdown-timeout", "0"]);
        command.arg("--dir").arg(self.folder.path());
        if let Some((host, port)) = self.copies.as_ref().and_then(|address| address.split_once(':')) {
            command.args(["--replicaof", host, port]);
        }
        if let Some(clocks) = &self.clocks {
            clocks.give(&mut command, "redis");
        }
        let process = Process::start(&mut command, self.folder.path(), "redis");
        self.process = Some(process);
        wait_until("redis-server answers", || self.try_connection().is_some());
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// SIGTERM, as a service manager does it; again as long as Redis refuses because it is writing a first file.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        let mut asked = None;
        wait_until("redis-server has ended", || {
            let has_ended = process.ended().is_some();
            if !has_ended && asked.is_none_or(|asked: Instant| asked.elapsed() > Duration::from_millis(500)) {
                process.signal(Signal::SIGTERM);
                asked = Some(Instant::now());
            }
            has_ended
        });
        assert_eq!(process.ended(), Some(0), "{}", process.stdout());
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

    /// A replica has got everything its master had.
    pub fn is_copied(&self) -> bool {
        let says: String = redis::cmd("INFO").arg("replication").query(&mut self.connection()).unwrap();
        says.contains("master_link_status:up")
    }

    /// A replica becomes the master, with what it has.
    pub fn promote(&mut self) {
        redis::cmd("REPLICAOF").arg("NO").arg("ONE").exec(&mut self.connection()).unwrap();
        self.copies = None;
    }

    /// 0 is no limit.
    pub fn limit_memory(&self, limit: &str) {
        redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(limit).exec(&mut self.connection()).unwrap();
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

    /// Whether that worker holds claims; so it is taken when nobody can say.
    pub fn has_claims(&self, pid: u32) -> bool {
        let Some(mut connection) = self.try_connection() else { return true };
        type Summary = (u64, Option<String>, Option<String>, Option<Vec<(String, u64)>>);
        let pending = redis::cmd("XPENDING").arg("{cs}:target:target:jobs").arg("workers").query(&mut connection);
        // Without the group there are no claims.
        let Ok((_, _, _, consumers)): redis::RedisResult<Summary> = pending else { return false };
        consumers.iter().flatten().any(|(name, _)| name.contains(&format!("-{pid}-")))
    }

    /// What the latest failed attempt of a run's jobs said.
    pub fn last_error(&self, run: &str) -> String {
        let key = format!("{{cs}}:run:{run}");
        let said: Option<String> = redis::cmd("HGET").arg(key).arg("last_error").query(&mut self.connection()).unwrap();
        said.unwrap_or_default()
    }
}
