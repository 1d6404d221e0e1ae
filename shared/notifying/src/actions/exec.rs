//! A program: the event on stdin, a time limit, no shell.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, Command};

use super::{Failure, SLOWEST};
use crate::Notice;

/// Of what a program says on stderr so much is kept, the last.
const WORDS: usize = 300;
/// For what it said last, once it has ended: a child that it left may keep stderr open for ever.
const LAST_WORDS: Duration = Duration::from_millis(100);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExecSettings {
    /// The program and its arguments.
    run: Vec<String>,
    #[serde(default = "a_minute")]
    time_limit_ms: u64,
}

fn a_minute() -> u64 {
    60_000
}

#[derive(Debug)]
pub(crate) struct Exec {
    run: Vec<String>,
    time_limit: Duration,
    folder: PathBuf,
}

impl Exec {
    pub fn new(settings: ExecSettings, folder: &Path) -> Result<Self, String> {
        if settings.run.first().is_none_or(String::is_empty) {
            return Err("run = [\"PROGRAM\", \"ARGUMENT\", ...] is wanted".into());
        }
        let time_limit = Duration::from_millis(settings.time_limit_ms);
        if time_limit.is_zero() || time_limit > SLOWEST {
            return Err(format!("time_limit_ms must lie between 1 and {}", SLOWEST.as_millis()));
        }
        Ok(Self { run: settings.run, time_limit, folder: folder.into() })
    }

    pub fn time_limit(&self) -> Duration {
        self.time_limit
    }

    pub async fn run(&self, notice: &Notice) -> Result<(), Failure> {
        let (program, arguments) = self.run.split_first().expect("it was checked when it was read");
        let child = Command::new(program)
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A group of its own, so that it can be ended with all it started.
            .process_group(0)
            .spawn();
        let child = child.map_err(|error| Failure::new(format!("{program} cannot be started: {error}")))?;
        let mut group = Group { child };
        // Its end also ends what it started, unless it has left its group.
        tokio::time::timeout(self.time_limit, group.exchange(program, &notice.json)).await.unwrap_or_else(|_| {
            Err(Failure::new(format!("{program} took longer than {} ms and was ended", self.time_limit.as_millis())))
        })
    }
}

/// A program and those it started. Dropped before the program has ended, all of them are killed.
struct Group {
    child: Child,
}

impl Group {
    async fn exchange(&mut self, program: &str, event: &str) -> Result<(), Failure> {
        let mut input = self.child.stdin.take().expect("it was asked for");
        let mut errors = self.child.stderr.take().expect("it was asked for");
        let writing = async move {
            // A program need not read its input.
            let _closed = input.write_all(event.as_bytes()).await;
            let _closed = input.write_all(b"\n").await;
        };
        let mut said = Vec::new();
        let status = {
            let child = &mut self.child;
            let ended = async move {
                // Both at once: it may end without having read.
                let mut writing = std::pin::pin!(writing);
                tokio::select! {
                    status = child.wait() => return status,
                    () = &mut writing => {}
                }
                child.wait().await
            };
            let mut ended = std::pin::pin!(ended);
            tokio::select! {
                status = &mut ended => status,
                () = last_words(&mut errors, &mut said) => ended.await,
            }
        };
        let _still_open = tokio::time::timeout(LAST_WORDS, last_words(&mut errors, &mut said)).await;
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Failure::new(format!("{program}: {status}{}", in_words(&said)))),
            Err(error) => Err(Failure::new(format!("{program}: {error}"))),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // As long as it was not waited for, its id is its own.
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            let _gone = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

/// Reads until all have closed it; may be dropped and called again.
async fn last_words(errors: &mut ChildStderr, said: &mut Vec<u8>) {
    let mut piece = [0; 1024];
    while let Ok(length @ 1..) = errors.read(&mut piece).await {
        said.extend_from_slice(&piece[..length]);
        let surplus = said.len().saturating_sub(WORDS);
        said.drain(..surplus);
    }
}

fn in_words(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() { words } else { format!(": {words}") }
}
