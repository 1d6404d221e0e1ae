//! One server process.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::{Connection, FromRedisValue};
use tempfile::TempDir;

use crate::{Certificate, Program, wait_until};

pub struct Server {
    command: Command,
    child: Option<Child>,
    port: u16,
    _folder: TempDir,
}

impl Server {
    /// With an append-only file, and whatever is asked for in redis.conf's words.
    pub fn start(program: &Program, arguments: &[&str]) -> Self {
        let port = free_port();
        let mut server = Self::prepare(program, port);
        server.command.args(["--port", &port.to_string(), "--save", "", "--appendonly", "yes"]);
        server.command.args(["--repl-diskless-sync-delay", "0"]).args(arguments);
        server.restart();
        server
    }

    /// Only over TLS, and only for clients whose certificate the same authority signed.
    pub fn start_with_tls(program: &Program, certificate: &Certificate, arguments: &[&str]) -> Self {
        let port = free_port();
        let mut server = Self::prepare(program, port);
        server.command.args(["--port", "0", "--tls-port", &port.to_string(), "--appendonly", "yes"]);
        server.command.arg("--tls-cert-file").arg(&certificate.cert).arg("--tls-key-file").arg(&certificate.key);
        server.command.arg("--tls-ca-cert-file").arg(&certificate.ca).args(["--tls-auth-clients", "yes"]);
        server.command.args(arguments);
        server.restart();
        server
    }

    /// With a config file that the server itself writes to.
    pub(crate) fn start_sentinel(program: &Program, config: &str) -> Self {
        let port = free_port();
        let mut server = Self::prepare(program, port);
        let file = server._folder.path().join("sentinel.conf");
        std::fs::write(&file, format!("port {port}\n{config}")).expect("a temporary file can be written");
        server.command = Command::new(&program.path);
        server.command.arg(file).arg("--sentinel");
        server.restart();
        server
    }

    fn prepare(program: &Program, port: u16) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut command = Command::new(&program.path);
        command.args(["--bind", "127.0.0.1", "--dir"]).arg(folder.path());
        Self { command, child: None, port, _folder: folder }
    }

    /// Starts it (again), on the same data.
    pub fn restart(&mut self) {
        self.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(self.command.spawn().expect("the server can be started"));
        wait_until("the server listens", || {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(ended.is_none(), "the server ended at once ({ended:?}): {:?}", self.command);
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// For what only a test does.
    pub fn connection(&self) -> Connection {
        let client = redis::Client::open(self.url()).expect("the URL is one");
        client.get_connection().expect("the server answers")
    }

    /// The answer to a command written as in redis-cli.
    pub fn ask<T: FromRedisValue>(&self, words: &str) -> T {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap_or_default());
        for word in words {
            command.arg(word);
        }
        command.query(&mut self.connection()).unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// A line of INFO; empty while the server does not answer, as when its role just changes.
    pub fn info(&self, name: &str) -> String {
        let connection = redis::Client::open(self.url()).and_then(|client| client.get_connection());
        let info = connection.and_then(|mut connection| redis::cmd("INFO").query::<redis::InfoDict>(&mut connection));
        info.ok().and_then(|info| info.get(name)).unwrap_or_default()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("our own child can be killed");
            child.wait().expect("our own child can be waited for");
        }
    }

    /// It stops answering, and nobody is told.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        let pid = i32::try_from(child.id()).expect("a process id is small");
        kill(Pid::from_raw(pid), signal).expect("our own child takes signals");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Below the ports that the system gives to clients, and others in each process.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 22_000;
    loop {
        let number = std::process::id() * 101 + u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + number % COUNT).expect("below 32,000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
