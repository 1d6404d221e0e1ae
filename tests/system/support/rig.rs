//! A whole installation: Redis, instances with their agents, workers, and the commands a person types.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use instances::Shape;
use serde_json::Value;
use servers::Clocks;
use tempfile::TempDir;

use super::{Gate, Output, Process, Proxy, TestRedis, small, wait_for, wait_until};

/// Every agent of a rig accepts it.
pub const KEY: &str = "a key for tests, long enough";
/// So that takeovers do not take long.
const LEASE_MS: u64 = 1500;

/// The real program, with nothing of this process's environment that could change what it does.
pub fn cockpit_sync() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cockpit-sync"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("COCKPIT_SYNC") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG").env("NO_PROXY", "*");
    command
}

/// Fields are dropped in this order: those that use something before what they use.
pub struct Rig {
    workers: Vec<Process>,
    agents: BTreeMap<String, Agent>,
    pub redis: TestRedis,
    pub folder: TempDir,
    pub clocks: Option<Clocks>,
    lease_ms: u64,
    started: usize,
    /// Added to every config.
    pub more_config: String,
    /// Set for every process of the rig.
    pub environment: Vec<(&'static str, String)>,
}

struct Agent {
    process: Process,
    address: String,
}

impl Rig {
    /// `source` of this shape and an empty `target`, with their agents. No worker.
    pub fn new(shape: &Shape) -> Self {
        Self::without_instances().with_source_and_target(shape)
    }

    /// As [`Rig::new`], with clocks that can be set where that is possible: `redis`, `agent-NAME` and those of the
    /// processes started with [`Rig::start`].
    pub fn with_clocks(shape: &Shape) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clocks = Clocks::build(folder.path());
        Self::in_folder(folder, clocks).with_source_and_target(shape)
    }

    /// A push into an empty target, its only worker (0) started with these arguments, while so many of its requests are held.
    /// Without the proxy that worker does not reach the target any more.
    pub fn held_push(
        arguments: &[&str],
        hold: impl FnOnce(&Proxy) -> Arc<Gate>,
        held: usize,
    ) -> (Self, Proxy, Arc<Gate>, Process) {
        let mut rig = Self::new(&small());
        let proxy = rig.proxy("target");
        rig.start_worker_through(&proxy, arguments);
        let gate = hold(&proxy);
        let push = rig.spawn_push();
        gate.wait_for(held);
        (rig, proxy, gate, push)
    }

    fn with_source_and_target(mut self, shape: &Shape) -> Self {
        instances::make(&self.root("source"), shape).unwrap();
        self.start_agent("source");
        self.add_empty("target");
        self
    }

    pub fn without_instances() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), None)
    }

    fn in_folder(folder: TempDir, clocks: Option<Clocks>) -> Self {
        Self {
            workers: Vec::new(),
            agents: BTreeMap::new(),
            redis: TestRedis::start_with(clocks.clone(), None),
            folder,
            clocks,
            lease_ms: LEASE_MS,
            started: 0,
            more_config: String::new(),
            environment: Vec::new(),
        }
    }

    /// With a lease that does not lapse within a test.
    pub fn with_long_lease(mut self) -> Self {
        self.lease_ms = 600_000;
        self
    }

    /// With the lease that a config without `[queue]` has.
    pub fn with_default_lease(mut self) -> Self {
        self.lease_ms = 15_000;
        self
    }

    pub fn root(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn source(&self) -> PathBuf {
        self.root("source")
    }

    pub fn target(&self) -> PathBuf {
        self.root("target")
    }

    /// An instance as the installer leaves it, with its agent.
    pub fn add_empty(&mut self, name: &str) {
        instances::make_empty(&self.root(name)).unwrap();
        self.start_agent(name);
    }

    /// Starts the agent of an instance, where it was before if it was there before.
    pub fn start_agent(&mut self, name: &str) {
        self.start_agent_with(name, &[]);
    }

    pub fn start_agent_with(&mut self, name: &str, arguments: &[&str]) {
        let before = self.agents.remove(name).map(|agent| agent.address.clone());
        let listen = before.unwrap_or_else(|| "127.0.0.1:0".into());
        let mut command = cockpit_sync();
        command.args(["--json", "agent", "--listen", &listen, "--root"]).arg(self.root(name));
        command.arg("--commit-log").arg(self.commit_log(name)).env("COCKPIT_SYNC_KEY", KEY).args(arguments);
        let process = self.start(&mut command, &format!("agent-{name}"));
        let address = wait_for("an agent listens", || {
            let line = process.stdout();
            let said: Value = serde_json::from_str(line.lines().next()?).ok()?;
            Some(said["listening"].as_str()?.to_owned())
        });
        self.agents.insert(name.into(), Agent { process, address });
    }

    pub fn agent(&mut self, name: &str) -> &mut Process {
        &mut self.agents.get_mut(name).unwrap().process
    }

    pub fn address(&self, name: &str) -> String {
        self.agents[name].address.clone()
    }

    /// A proxy before an agent; only those whose config names it go through.
    pub fn proxy(&self, name: &str) -> Proxy {
        Proxy::start(&self.address(name))
    }

    pub fn commit_log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.commits"))
    }

    /// How many transactions an agent has committed.
    pub fn commits(&self, name: &str) -> usize {
        let is_commit = |line: &&str| line.contains("\"identities\"");
        std::fs::read_to_string(self.commit_log(name)).map_or(0, |text| text.lines().filter(is_commit).count())
    }

    /// The config with every agent at its own address.
    pub fn config(&self) -> PathBuf {
        self.config_with("cockpit-sync", &[])
    }

    /// A config in which some instances are reached elsewhere: `[("target", "127.0.0.1:4711")]`.
    pub fn config_with(&self, name: &str, elsewhere: &[(&str, &str)]) -> PathBuf {
        self.config_at(name, &self.redis.url(), elsewhere)
    }

    /// As [`Rig::config_with`], with another Redis.
    pub fn config_at(&self, name: &str, redis: &str, elsewhere: &[(&str, &str)]) -> PathBuf {
        self.config_on(name, &format!("{redis:?}"), elsewhere)
    }

    /// As [`Rig::config_with`], with any value of `redis`, as TOML.
    pub fn config_on(&self, name: &str, redis: &str, elsewhere: &[(&str, &str)]) -> PathBuf {
        let mut text = format!("redis = {redis}\nlocal = \"source\"\n[queue]\nlease_ms = {}\n", self.lease_ms);
        let mut places: BTreeMap<&str, String> =
            self.agents.iter().map(|(name, agent)| (name.as_str(), agent.address.clone())).collect();
        places.extend(elsewhere.iter().map(|(name, address)| (*name, (*address).to_owned())));
        for (instance, address) in places {
            text += &format!(
                "[instance.{instance}]\nurl = \"http://{address}\"\nsync_key = \"{KEY}\"\npush = true\npull = true\n"
            );
        }
        text += &self.more_config;
        let file = self.folder.path().join(format!("{name}.toml"));
        // Written aside and renamed: a process that is just starting reads the one or the other.
        let aside = file.with_extension("new");
        std::fs::write(&aside, text).unwrap();
        std::fs::rename(aside, &file).unwrap();
        file
    }

    /// Starts a process that goes by the clock of this name.
    pub fn start(&mut self, command: &mut Command, name: &str) -> Process {
        self.started += 1;
        if let Some(clocks) = &self.clocks {
            clocks.give(command, name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Process::start(command, self.folder.path(), &format!("{name}-{}", self.started))
    }

    /// Starts a command with the usual config and `--json`.
    pub fn spawn(&mut self, arguments: &[&str]) -> Process {
        let config = self.config();
        self.spawn_with(&config, arguments)
    }

    pub fn spawn_with(&mut self, config: &Path, arguments: &[&str]) -> Process {
        let mut command = cockpit_sync();
        command.arg("--json").arg("--config").arg(config).args(arguments).current_dir(self.folder.path());
        self.start(&mut command, "command")
    }

    /// Runs a command with the usual config to its end, as a person types it.
    #[track_caller]
    pub fn run_for_people(&mut self, arguments: &[&str]) -> Output {
        let mut command = cockpit_sync();
        command.arg("--config").arg(self.config()).args(arguments).current_dir(self.folder.path());
        self.start(&mut command, "command").wait()
    }

    /// Runs a command with the usual config and `--json` to its end.
    #[track_caller]
    pub fn run(&mut self, arguments: &[&str]) -> Output {
        self.spawn(arguments).wait()
    }

    #[track_caller]
    pub fn run_with(&mut self, config: &Path, arguments: &[&str]) -> Output {
        self.spawn_with(config, arguments).wait()
    }

    /// `push target` in many small batches.
    #[track_caller]
    pub fn push(&mut self) -> Output {
        self.run(PUSH)
    }

    pub fn spawn_push(&mut self) -> Process {
        self.spawn(PUSH)
    }

    /// Starts a worker and waits until it counts as alive; its number.
    pub fn start_worker(&mut self) -> usize {
        let config = self.config();
        self.start_worker_with(&config, &[])
    }

    pub fn start_worker_with(&mut self, config: &Path, arguments: &[&str]) -> usize {
        let mut command = cockpit_sync();
        command.arg("--config").arg(config).arg("worker").args(arguments);
        let process = self.start(&mut command, "worker");
        let pid = process.pid();
        self.workers.push(process);
        wait_until("the worker is alive", || self.redis.workers().contains(&pid));
        self.workers.len() - 1
    }

    /// A worker that reaches the target through a proxy.
    pub fn start_worker_through(&mut self, proxy: &Proxy, arguments: &[&str]) -> usize {
        let config = self.config_with(&format!("through-{}", self.started), &[("target", &proxy.address())]);
        self.start_worker_with(&config, arguments)
    }

    pub fn worker(&mut self, number: usize) -> &mut Process {
        &mut self.workers[number]
    }

    /// Both instances hold the same, judged independently.
    #[track_caller]
    pub fn assert_equal(&self) {
        let comparison = instances::compare(&self.source(), &self.target()).unwrap();
        assert!(comparison.is_equal(), "{comparison}");
        assert!(comparison.compared > 0);
    }

    /// The target holds everything of the source, and perhaps more.
    #[track_caller]
    pub fn assert_target_has_all(&self) {
        let comparison = instances::compare(&self.source(), &self.target()).unwrap();
        assert!(comparison.b_has_all_of_a(), "{comparison}");
    }
}

/// Many batches of little.
const PUSH: &[&str] = &["push", "target", "--batch-size", "50"];

/// What the processes said is what one wants to know when a test fails.
impl Drop for Rig {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let mut logs: Vec<PathBuf> =
            std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        logs.retain(|path| path.extension().is_some_and(|end| end == "err" || end == "out"));
        logs.sort();
        for log in logs {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = &lines[lines.len().saturating_sub(40)..];
            if !last.is_empty() {
                eprintln!("--- {}\n{}", log.file_name().unwrap().to_string_lossy(), last.join("\n"));
            }
        }
    }
}
