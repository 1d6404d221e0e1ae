//! Programs that shape documents: one document a line on stdin, its answer a line on stdout, in this order.
//!
//! What is executed comes from this process's own config alone. A program stays for many documents; one that fails, hangs
//! or ends holds the document it had in hands, and the next document gets a new one.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::api::MAX_DOCUMENT_BYTES;
use protocol::shaping::fingerprint;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A program that nobody needs is ended after so long.
const IDLE: Duration = Duration::from_secs(30);
/// So many documents in a row that end a program are the program's fault.
const DEATHS: u32 = 5;
/// Tells the program whose documents it gets: `content/collections/posts`.
const COLLECTION_VARIABLE: &str = "COCKPIT_SYNC_COLLECTION";

/// One program of the config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSettings {
    /// The program and its arguments; no shell.
    pub run: Vec<String>,
    /// For one document.
    pub time_limit: Duration,
    /// Where it is run.
    pub folder: PathBuf,
}

/// The programs of this process's config, and those that are running.
#[derive(Debug, Clone, Default)]
pub struct Commands {
    settings: Arc<BTreeMap<String, CommandSettings>>,
    idle: Idle,
}

/// Running programs that nobody uses at the moment, by name and collection, and since when.
type Programs = HashMap<(String, String), Vec<(Instant, Running)>>;
type Idle = Arc<Mutex<Programs>>;

#[derive(Debug)]
struct Running {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// A program in use, for the documents of one collection.
pub struct Lent<'a> {
    commands: &'a Commands,
    settings: &'a CommandSettings,
    key: (String, String),
    running: Option<Running>,
    deaths: u32,
}

impl Commands {
    pub fn new(settings: BTreeMap<String, CommandSettings>) -> Self {
        Self { settings: Arc::new(settings), idle: Idle::default() }
    }

    /// Whether this process has that command, and the same as the one who made the run. In words, if not.
    pub fn check(&self, name: &str, expected: &str) -> Result<(), String> {
        let Some(settings) = self.settings.get(name) else {
            return Err(format!("the config of this worker has no [command.{name}], which this run's transforms use"));
        };
        if fingerprint(&settings.run) == expected {
            return Ok(());
        }
        Err(format!(
            "[command.{name}] in the config of this worker runs something else than in the config this run was made with"
        ))
    }

    pub fn lend(&self, name: &str, collection: &str) -> Result<Lent<'_>, String> {
        let settings = self.settings.get(name).ok_or_else(|| format!("there is no [command.{name}]"))?;
        let key = (name.to_owned(), collection.to_owned());
        let running = self.idle().get_mut(&key).and_then(Vec::pop).map(|(_, running)| running);
        Ok(Lent { commands: self, settings, key, running, deaths: 0 })
    }

    fn idle(&self) -> MutexGuard<'_, Programs> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a program for whoever needs it next; it is killed by being dropped.
    fn give_back(&self, key: (String, String), running: Running) {
        self.idle().entry(key).or_default().push((Instant::now(), running));
        let idle = Arc::downgrade(&self.idle);
        tokio::spawn(async move {
            tokio::time::sleep(IDLE).await;
            let Some(idle) = idle.upgrade() else { return };
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.values_mut().for_each(|programs| programs.retain(|(since, _)| since.elapsed() < IDLE));
            idle.retain(|_, programs| !programs.is_empty());
        });
    }
}

/// What became of one document.
pub enum Answer {
    /// A line: a document, or what the program says about it.
    Line(Vec<u8>),
    /// Why there is none.
    None(String),
}

impl Lent<'_> {
    /// The program's answer to one document, which must have no line break. An error is about the program itself.
    pub async fn answer(&mut self, document: &[u8]) -> Result<Answer, String> {
        let mut running = match self.running.take() {
            Some(running) => running,
            None => self.start()?,
        };
        let limit = self.settings.time_limit;
        let why = match tokio::time::timeout(limit, running.exchange(document)).await {
            Ok(Ok(line)) => {
                self.running = Some(running);
                self.deaths = 0;
                return Ok(Answer::Line(line));
            }
            Ok(Err(why)) => why,
            Err(_) => format!("it did not answer within {} ms", limit.as_millis()),
        };
        // Dropped and so killed: what it answers later would be taken for the next document's.
        let ended = running.child.try_wait().ok().flatten();
        let why = ended.map_or(why.clone(), |status| format!("{why} ({status})"));
        self.deaths += 1;
        if self.deaths >= DEATHS {
            return Err(format!("the command {} failed for {DEATHS} documents in a row: {why}", self.key.0));
        }
        Ok(Answer::None(why))
    }

    /// Done with it.
    pub fn finish(mut self) {
        if let Some(running) = self.running.take() {
            self.commands.give_back(self.key, running);
        }
    }

    fn start(&self) -> Result<Running, String> {
        let failed = |error: std::io::Error| {
            format!("the command {} ({}) cannot be started: {error}", self.key.0, self.settings.run.join(" "))
        };
        let (program, arguments) = self.settings.run.split_first().ok_or("the command is empty")?;
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(&self.settings.folder)
            .env(COLLECTION_VARIABLE, &self.key.1)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let input = child.stdin.take().expect("it was asked for");
        let output = BufReader::new(child.stdout.take().expect("it was asked for"));
        Ok(Running { child, input, output })
    }
}

impl Running {
    async fn exchange(&mut self, document: &[u8]) -> Result<Vec<u8>, String> {
        // Both at once: a program may answer while it still reads, and the pipes between are small.
        let Self { input, output, .. } = self;
        let writing = async {
            input.write_all(document).await?;
            input.write_all(b"\n").await?;
            input.flush().await
        };
        let mut line = Vec::new();
        let mut limited = output.take(MAX_DOCUMENT_BYTES as u64 + 1);
        let reading = limited.read_until(b'\n', &mut line);
        let (written, read) = tokio::join!(writing, reading);
        read.map_err(|error| format!("its answer cannot be read: {error}"))?;
        match line.pop() {
            Some(b'\n') => {}
            Some(_) if line.len() >= MAX_DOCUMENT_BYTES => return Err("it answered more than 16 MiB".into()),
            _ => return Err("it ended without an answer".into()),
        }
        written.map_err(|error| format!("it does not read its input: {error}"))?;
        Ok(line)
    }
}
