//! The real thing on this machine: a private Redis, an agent beside each instance and workers, each a process of its
//! own, in a scratch folder on the disk that builds go to. All of it ends with the rig.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use instances::Shape;
use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_cockpit-sync");
const KEY: &str = "a key that only this bench knows";
/// The instance that is pushed.
pub const SOURCE: &str = "source";
/// Starting takes far less; this ends a bench whose processes do not come up.
const START_WITHIN: Duration = Duration::from_secs(60);

/// Fields are dropped in order: processes end before their folders go.
pub struct Rig {
    pub workers: Vec<Process>,
    /// By name of the instance.
    pub agents: BTreeMap<String, Process>,
    _redis: Process,
    _socket: TempDir,
    scratch: TempDir,
}

impl Rig {
    /// A source with so many posts (and the usual authors, assets, tree), empty targets, workers.
    pub fn start(posts: usize, targets: &[&str], workers: usize) -> Result<Self> {
        Self::start_with(&Shape { posts, ..Shape::default() }, targets, workers)
    }

    pub fn start_with(shape: &Shape, targets: &[&str], workers: usize) -> Result<Self> {
        let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        // Paths of sockets are short by law; a build folder's may not be.
        let socket = tempfile::tempdir()?;
        let redis_socket = socket.path().join("redis.sock");
        let redis = start_redis(scratch.path(), &redis_socket)?;
        instances::make(&scratch.path().join(SOURCE), shape)?;
        let mut config = format!("redis = \"unix://{}\"\nlocal = \"{SOURCE}\"\n", redis_socket.display());
        let mut rig = Self { workers: Vec::new(), agents: BTreeMap::new(), _redis: redis, _socket: socket, scratch };
        for name in std::iter::once(&SOURCE).chain(targets) {
            let root = rig.root(name);
            if *name != SOURCE {
                instances::make_empty(&root)?;
            }
            let (agent, address) = start_agent(&root, &rig.log(&format!("agent-{name}")))?;
            config += &format!("[instance.{name}]\nurl = \"http://{address}\"\nsync_key = \"{KEY}\"\npush = true\n");
            rig.agents.insert((*name).to_owned(), agent);
        }
        fs::write(rig.config(), config)?;
        for number in 1..=workers {
            let mut command = Command::new(PROGRAM);
            command.arg("--config").arg(rig.config()).arg("worker");
            rig.workers.push(Process::start(command, &rig.log(&format!("worker-{number}")))?);
        }
        wait_for("workers", || {
            let alive: Vec<Value> = rig.ask(&["workers"])?;
            Ok((alive.len() == workers).then_some(()))
        })?;
        Ok(rig)
    }

    pub fn root(&self, instance: &str) -> PathBuf {
        self.scratch.path().join(instance)
    }

    pub fn config(&self) -> PathBuf {
        self.scratch.path().join("cockpit-sync.toml")
    }

    fn log(&self, name: &str) -> PathBuf {
        self.scratch.path().join(format!("{name}.log"))
    }

    /// What a command prints with `--json`.
    pub fn ask<T: serde::de::DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        let output = self.command(arguments).current_dir(self.scratch.path()).stderr(Stdio::inherit()).output()?;
        serde_json::from_slice(&output.stdout).with_context(|| format!("{arguments:?} printed no JSON"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("--config").arg(self.config()).arg("--json").args(arguments).stdin(Stdio::null());
        command
    }

    /// Pushes to a target, timed from the command's start to its exit; `meanwhile` happens while it runs. The push
    /// must finish and both sides must then be equal, by the run's own verdict and by the independent one.
    pub fn push(&self, target: &str, meanwhile: impl FnOnce() -> Result<()>) -> Result<Pushed> {
        let begun = Instant::now();
        let pushing = self.command(&["push", target]).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let happened = meanwhile();
        let output = pushing.wait_with_output()?;
        let took = begun.elapsed();
        happened?;
        let text = String::from_utf8_lossy(&output.stdout);
        let run: Value = serde_json::from_str(&text).with_context(|| format!("push printed {text:?}"))?;
        ensure!(output.status.success() && run["verified"] == true, "the push did not finish: {run}");
        let compared = instances::compare(&self.root(SOURCE), &self.root(target))?;
        ensure!(compared.is_equal(), "after the push {target} is {compared}");
        let count = |name: &str| run["counts"][name].as_u64().with_context(|| format!("no {name} in {run}"));
        Ok(Pushed { took, created: count("created")?, updated: count("updated")? })
    }
}

/// A push that finished.
pub struct Pushed {
    pub took: Duration,
    pub created: u64,
    pub updated: u64,
}

/// A child that ends with its owner.
pub struct Process(Child);

impl Process {
    fn start(mut command: Command, log: &Path) -> Result<Self> {
        let log = File::create(log)?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        Ok(Self(child.with_context(|| format!("starting {command:?}"))?))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.0.kill().with_context(|| format!("killing process {}", self.id()))?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // What it leaves lies in the scratch folder.
        if let Ok(None) = self.0.try_wait()
            && let Err(error) = self.kill()
        {
            eprintln!("{error}");
        }
    }
}

fn start_redis(scratch: &Path, socket: &Path) -> Result<Process> {
    let folder = scratch.join("redis");
    fs::create_dir(&folder)?;
    let log = scratch.join("redis.log");
    let start = |program: &str| {
        let mut command = Command::new(program);
        command.args(["--port", "0", "--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"]);
        command.arg("--unixsocket").arg(socket).arg("--dir").arg(&folder);
        Process::start(command, &log)
    };
    let redis = start("redis-server").or_else(|_| start("valkey-server"))?;
    wait_for("redis-server", || Ok(socket.exists().then_some(())))?;
    Ok(redis)
}

/// The agent, and the address that the system chose for it.
fn start_agent(root: &Path, log: &Path) -> Result<(Process, String)> {
    let mut command = Command::new(PROGRAM);
    command.args(["agent", "--listen", "127.0.0.1:0", "--json", "--root"]).arg(root).env("COCKPIT_SYNC_KEY", KEY);
    let mut agent = Process::start(command, log)?;
    let address = wait_for("an agent", || {
        let text = fs::read_to_string(log)?;
        if let Some(status) = agent.0.try_wait()? {
            bail!("the agent of {} ended with {status}: {text}", root.display());
        }
        let said = text.lines().find_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(said.and_then(|said| said["listening"].as_str().map(str::to_owned)))
    })?;
    Ok((agent, address))
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    while begun.elapsed() < START_WITHIN {
        if let Some(found) = look()? {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("{what} did not start within {START_WITHIN:?}")
}
