//! `keys`: made, listed and retired beside an agent, tested from where they are used.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ::agent::{KeyFile, KeyFileError, NewKey, time_ms};
use config::secret_file;
use producer::{Problem, utc};
use protocol::api::KeyRequest;
use protocol::keys::{KeyInfo, Purpose};
use protocol::sign::SyncKey;
use serde_json::json;

use super::Output;
use super::agent::WhichCockpit;
use super::protection::ask;
use super::table::table;
use crate::session::{load_config, one_agent};

/// A key that was used since is most likely in use.
const DAY_MS: i64 = 24 * 3600 * 1000;

#[derive(Debug, clap::Args)]
pub struct Keys {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a key for callers of an agent, beside it; its agent accepts it from the next second on
    New(New),
    /// List the keys of an agent, beside it: what for, how long, when used last. Never the keys themselves
    List(Where),
    /// Let an agent accept a key no more
    Retire(Retire),
    /// Ask an instance's agent what a key is good for, from where it is used
    Test(Test),
}

#[derive(Debug, clap::Args)]
struct Where {
    #[command(flatten)]
    which: WhichCockpit,
}

#[derive(Debug, clap::Args)]
struct New {
    #[command(flatten)]
    which: WhichCockpit,
    /// What people call it, for lists and the audit log
    #[arg(long, value_name = "NAME")]
    id: String,
    /// check: who is there; read: content too (enough for a source); write: everything
    #[arg(long, value_name = "check|read|write")]
    purpose: Purpose,
    /// Good from then on: a day or a moment, UTC unless it says otherwise
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<i64>,
    /// Good until then
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<i64>,
    /// Write the key there, for its owner alone, instead of printing it
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Retire {
    #[command(flatten)]
    which: WhichCockpit,
    id: String,
    /// For scripts: the id once more
    #[arg(long, value_name = "ID")]
    yes_i_mean: Option<String>,
    /// For scripts, where the key was used within a day: the id once more again
    #[arg(long, value_name = "ID")]
    though_in_use: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Test {
    /// The instance, as in the config
    name: String,
    /// Test the key in this file, not that of the config
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl Keys {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        match self.what {
            What::New(new) => new.run(config, output),
            What::List(list) => {
                let keys = beside(list.which, config)?.list().map_err(problem)?;
                output.print(&keys, || in_words(&keys))?;
                Ok(0)
            }
            What::Retire(retire) => retire.run(config, output),
            What::Test(test) => test.run(config, output).await,
        }
    }
}

/// The keys of the agent of this Cockpit. What is written belongs to the Cockpit's owner.
fn beside(which: WhichCockpit, config: Option<&Path>) -> Result<KeyFile, Problem> {
    let settings = which.settings(SocketAddr::from(([127, 0, 0, 1], 0)), config)?;
    ::agent::become_owner(&settings).map_err(|error| {
        Problem::usage(format!("started as root, but the owner of the storage cannot be taken on: {error}"))
    })?;
    Ok(KeyFile::of(&settings))
}

impl New {
    fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let file = self.output.as_deref().map(new_file).transpose()?;
        let keys = beside(self.which, config)?;
        let new = NewKey { id: self.id.clone(), purpose: self.purpose, from_ms: self.from, until_ms: self.until };
        let secret = keys.add(new).map_err(problem)?;
        let kid = SyncKey::new(&secret).map(|key| key.id().to_owned()).unwrap_or_default();
        let mut value = json!({ "id": self.id, "kid": kid, "purpose": self.purpose });
        let shown = match (file, &self.output) {
            (Some(mut file), Some(path)) => {
                std::io::Write::write_all(&mut file, format!("{secret}\n").as_bytes())
                    .map_err(|error| Problem::usage(format!("{}: {error}", path.display())))?;
                value["file"] = json!(path);
                format!("it is in {}", path.display())
            }
            _ => {
                value["key"] = json!(secret);
                format!("shown now and never again:\n{secret}")
            }
        };
        output.print(&value, || format!("key {} ({}, {kid}), {shown}", self.id, self.purpose))?;
        Ok(0)
    }
}

/// Made before the key is: a key that cannot be kept is none.
fn new_file(path: &Path) -> Result<std::fs::File, Problem> {
    use std::os::unix::fs::OpenOptionsExt;
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    opened.map_err(|error| Problem::usage(format!("{}: {error}", path.display())))
}

impl Retire {
    fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let keys = beside(self.which, config)?;
        let known = keys.list().map_err(problem)?;
        if let Some(elsewhere) = known.iter().find(|key| key.id == self.id && key.place != "keys new") {
            let message =
                format!("{} stands in {}: remove it there, and start the agent anew", self.id, elsewhere.place);
            return Err(Problem::usage(message));
        }
        let used = known.iter().find(|key| key.id == self.id).and_then(|key| Some((key.last_used_ms?, key)));
        let id = self.id.as_str();
        sure(id, self.yes_i_mean.as_deref(), "yes-i-mean", "retire it", output)?;
        if let Some((ms, key)) = used.filter(|(ms, _)| now_ms() - ms < DAY_MS) {
            let from = key.last_address.as_deref().unwrap_or("somewhere");
            output.say(&format!("it was used at {} from {from}: whoever uses it will be refused", time_of(ms)));
            sure(id, self.though_in_use.as_deref(), "though-in-use", "retire it all the same", output)?;
        }
        keys.retire(&self.id).map_err(problem)?;
        output.print(&json!({ "retired": self.id }), || format!("key {} is accepted no more", self.id))?;
        Ok(0)
    }
}

impl Test {
    async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let config = load_config(config)?;
        let key = self.key_file.as_deref().map(secret_file).transpose().map_err(Problem::usage)?;
        let (client, kid) = one_agent(&config, &self.name, key)?;
        let manifest = client.manifest().await?;
        let found = client.for_instance(manifest.instance).call(&KeyRequest { kid: kid.clone() }).await?.key;
        let key = found.ok_or_else(|| Problem::refused(format!("the key {kid} was retired just now")))?;
        output.print(&key, || {
            let until = key.until_ms.map_or_else(String::new, |until| format!(", good until {}", time_of(until)));
            format!("{}: ok, key {} ({kid}) is for {}{until}", self.name, key.id, key.purpose)
        })?;
        Ok(0)
    }
}

/// Asks a person to type the id, unless it was given. Never asks a script.
fn sure(id: &str, given: Option<&str>, flag: &str, what: &str, output: &Output) -> Result<(), Problem> {
    let given = match given {
        Some(given) => given.to_owned(),
        None if output.is_json() || !std::io::stdin().is_terminal() => {
            return Err(Problem::refused(format!("to {what}, say it again: --{flag} {id}. Nothing was done")));
        }
        None => ask(&format!("Type its id ({id}) to {what}: "))?,
    };
    if given == id {
        return Ok(());
    }
    Err(Problem::refused(format!("{given:?} is not its id ({id}): nothing was done")))
}

fn problem(error: KeyFileError) -> Problem {
    Problem::usage(error.to_string())
}

fn time(text: &str) -> Result<i64, String> {
    time_ms(text).ok_or_else(|| "a day (2026-12-31) or a moment (2026-12-31T18:00:00Z)".into())
}

fn time_of(ms: i64) -> String {
    utc(u64::try_from(ms).unwrap_or(0))
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn in_words(keys: &[KeyInfo]) -> String {
    if keys.is_empty() {
        return "no keys that an agent has shown yet".into();
    }
    let mut rows = table(&["id", "for", "from", "until", "last used", "by", "stands in", "kid"]);
    for key in keys {
        let time = |ms: Option<i64>| ms.map_or_else(|| "-".into(), time_of);
        rows.add_row([
            key.id.clone(),
            key.purpose.to_string(),
            time(key.from_ms),
            time(key.until_ms),
            time(key.last_used_ms),
            key.last_address.clone().unwrap_or_else(|| "-".into()),
            key.place.clone(),
            key.kid.clone(),
        ]);
    }
    rows.to_string()
}
