//! A private redis-server on a free port of this machine, its data in the build folder's disk; both end with it.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// How Redis keeps what it is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    Nothing,
    EverySecond,
}

impl std::fmt::Display for Keeps {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Keeps::Nothing => "no AOF",
            Keeps::EverySecond => "AOF everysec",
        })
    }
}

pub struct Server {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Server {
    pub fn start(keeps: Keeps) -> Result<Self> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let start = |program: &str| {
            let mut command = Command::new(program);
            command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""]);
            command.args(["--appendonly", if keeps == Keeps::Nothing { "no" } else { "yes" }]);
            command.args(["--appendfsync", "everysec", "--maxmemory-policy", "noeviction"]);
            command.arg("--dir").arg(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).spawn()
        };
        let child = start("redis-server").or_else(|_| start("valkey-server")).context("starting redis-server")?;
        let server = Self { child, port, _folder: folder };
        let begun = Instant::now();
        while server.connection().is_err() {
            if begun.elapsed() > Duration::from_secs(30) {
                bail!("redis-server does not answer");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn connection(&self) -> Result<redis::Connection> {
        Ok(redis::Client::open(self.url())?.get_connection()?)
    }

    pub fn empty(&self) -> Result<()> {
        Ok(redis::cmd("FLUSHALL").arg("SYNC").exec(&mut self.connection()?)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("redis-server: {error}");
        }
    }
}
