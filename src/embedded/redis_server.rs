//! The private Redis of the embedded host: a child process on a unix socket that dies with its host.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use producer::Problem;

use super::folder::HostFolder;

/// A server that did not answer by then is reported with the place of its log.
const START_WITHIN: Duration = Duration::from_secs(20);

pub struct RedisServer {
    socket: PathBuf,
    child: Child,
    /// Dropping it lets the thread that spawned the child end.
    _alive: mpsc::Sender<()>,
}

impl RedisServer {
    pub async fn start(folder: &HostFolder) -> Result<Self, Problem> {
        folder.remove_host_file();
        let program = find_server()?;
        let socket = folder.socket_path()?;
        let data = folder.path().join("redis");
        std::fs::create_dir_all(&data)
            .map_err(|error| Problem::usage(format!("{} cannot be made: {error}", data.display())))?;
        let log = data.join("redis.log");
        let ourselves = std::env::current_exe()
            .map_err(|error| Problem::usage(format!("the path of this program is not known: {error}")))?;
        let mut command = Command::new(ourselves);
        command.args(["guard", "--parent"]).arg(std::process::id().to_string());
        command.arg("--lock").arg(data.join("lock")).arg("--").arg(&program);
        command.args(["--port", "0", "--unixsocketperm", "700", "--unixsocket"]).arg(&socket);
        command.args(["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--daemonize", "no"]);
        command.args(["--maxmemory-policy", "noeviction", "--dir"]).arg(&data).arg("--logfile").arg(&log);
        // A group of its own: Ctrl-C in the terminal is for the host alone, which ends the child when it is done.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let (child, alive) = spawn_from_lasting_thread(command)
            .map_err(|error| Problem::usage(format!("{} cannot be started: {error}", program.display())))?;
        let mut server = Self { socket, child, _alive: alive };
        let begun = Instant::now();
        while !server.answers().await {
            let ended = server.child.try_wait().is_ok_and(|status| status.is_some());
            if ended || begun.elapsed() > START_WITHIN {
                let why = if ended { "ended at once" } else { "does not answer" };
                return Err(Problem::unreachable(format!(
                    "the private redis-server {why}: see its log {}",
                    log.display()
                )));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(server)
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    async fn answers(&self) -> bool {
        queue::Queue::connect(queue::Settings::new(self.url())).await.is_ok()
    }
}

impl Drop for RedisServer {
    /// Asks it to end, and waits until it has: what it holds is in its append-only file then.
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX));
        if kill(pid, Signal::SIGTERM).is_ok() {
            // It may be gone already.
            let _ended = self.child.wait();
        }
    }
}

/// The signal "your parent died" follows the thread that spawned, so that thread must live as long as the host.
fn spawn_from_lasting_thread(mut command: Command) -> std::io::Result<(Child, mpsc::Sender<()>)> {
    let (alive, until_dropped) = mpsc::channel::<()>();
    let (spawned, receive) = mpsc::channel();
    std::thread::Builder::new().name("redis-parent".into()).spawn(move || {
        let child = command.spawn();
        if spawned.send(child).is_ok() {
            // Ends when the server is dropped.
            let _closed = until_dropped.recv();
        }
    })?;
    let child = receive.recv().map_err(|_| std::io::Error::other("the spawning thread ended"))??;
    Ok((child, alive))
}

/// Looks for a server in PATH.
fn find_server() -> Result<PathBuf, Problem> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for program in ["redis-server", "valkey-server"] {
        if let Some(found) = folders.iter().map(|folder| folder.join(program)).find(|file| file.is_file()) {
            return Ok(found);
        }
    }
    Err(Problem::usage(
        "there is neither redis-server nor valkey-server in PATH, and the config names no redis. Install one \
         (Debian, Ubuntu: apt-get install redis-server; Fedora: dnf install valkey; Alpine: apk add redis; macOS: \
         brew install redis), or set redis = \"redis://HOST\" in the config",
    ))
}

/// Becomes `program`, which the kernel ends when the process `parent` dies. Returns only when that fails.
///
/// The program holds a lock on the file `lock` as long as it lives: the server of a host that was killed may still be
/// writing its append-only file when the next one starts.
pub fn exec_guarded(parent: u32, lock: &Path, program: &[OsString]) -> std::io::Error {
    let Some((program, arguments)) = program.split_first() else {
        return std::io::Error::other("no program to run");
    };
    if let Err(error) = prepare(parent, lock) {
        return error;
    }
    Command::new(program).args(arguments).exec()
}

fn prepare(parent: u32, lock: &Path) -> std::io::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
    // The parent may have died before the line above.
    if u32::try_from(nix::unistd::getppid().as_raw()).ok() != Some(parent) {
        return Err(std::io::Error::other("the parent is gone"));
    }
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(lock)?;
    let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
    // The program inherits it, and with it the lock.
    fcntl(&*lock, FcntlArg::F_SETFD(FdFlag::empty()))?;
    std::mem::forget(lock);
    Ok(())
}
