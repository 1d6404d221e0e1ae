//! The file `cockpit-sync.toml`: which instances there are, and where the queue is.
//!
//! Unknown keys are errors, `${ENV}` is replaced in every string, secrets are never printed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::conflicts::{ConflictRules, OnConflict};
use serde::Deserialize;

mod environment;
mod preset;
mod redis;
mod schedule;
mod secret;
mod serving;
mod shaping;

pub mod reference;

pub use environment::{Environment, UnsetVariable};
pub use redis::{Redis, RedisPlace};
pub use schedule::{CatchUp, Overlap, Schedule};
pub use secret::{Secret, SecretTables, secret_file};
pub use serving::{Hook, Role, ServerTls, User};
pub use shaping::{ADDON_RESOURCES, CommandEntry, ResourceEntry, ShapingRules, Transform};

/// Where the config is looked for when no `--config` is given.
pub const DEFAULT_FILE: &str = "cockpit-sync.toml";

/// A config that was read and found sound.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it came from, absolute.
    pub file: PathBuf,
    /// None: the embedded default, a private redis-server.
    pub redis: Option<Redis>,
    /// The instance that `push` reads from and `pull` writes to.
    pub local: String,
    pub instances: BTreeMap<String, Instance>,
    pub queue: QueueSettings,
    /// `[preset.NAME]`: options of push and pull. Who runs them knows their names.
    pub presets: BTreeMap<String, serde_json::Map<String, serde_json::Value>>,
    pub shaping: ShapingRules,
    /// `[conflicts]`: what becomes of what was changed on both sides.
    pub conflicts: ConflictRules,
    /// `[serve]`: TLS that `serve` ends itself; none: plain HTTP.
    pub serve_tls: Option<ServerTls>,
    /// `[user.NAME]`: who may use `serve`; none: this machine only.
    pub users: BTreeMap<String, User>,
    /// `[hook.NAME]`: what becomes of calls from a CMS.
    pub hooks: BTreeMap<String, Hook>,
    /// `[[schedule]]`: what runs by itself.
    pub schedules: Vec<Schedule>,
    /// `[[on]]`: what is done when something happens. Who loads a config has them checked.
    pub on: SecretTables,
}

/// One `[instance.NAME]`.
#[derive(Debug, Clone)]
pub struct Instance {
    pub at: Place,
    /// May be pushed to.
    pub push: bool,
    /// May be pulled from.
    pub pull: bool,
    /// Mirror, undo and unlock ask for the name.
    pub protect: bool,
    /// What the instance's own agent allows; read by the agent (`[instance.NAME.agent]`).
    pub agent: toml::Table,
}

/// Where an instance is.
#[derive(Debug, Clone)]
pub enum Place {
    /// On this machine: the embedded host runs an agent for it.
    Path(PathBuf),
    /// Behind an agent.
    Url { url: String, sync_key: Secret, allow_http: bool, tls: ClientTls },
}

/// How we and an agent that ends TLS know each other. PEM files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// Certificates of this authority are believed, and no others; none: those of the system.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// `[queue]`: rarely touched.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueSettings {
    /// The hash tag that all keys of this deployment share.
    pub prefix: String,
    /// After so long without a sign of life a worker's jobs go to others.
    pub lease_ms: u64,
    /// Ended runs are kept in the history for so many days.
    pub retention_days: u64,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { prefix: "cs".into(), lease_ms: 15_000, retention_days: 7 }
    }
}

impl QueueSettings {
    pub fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    pub fn retention(&self) -> Duration {
        Duration::from_secs(self.retention_days * 24 * 60 * 60)
    }
}

/// What is wrong with a config, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{0} does not exist. Write one (README: Quick start), or name it with --config FILE")]
    Missing(PathBuf),
    #[error("{0} cannot be read: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// Without the line itself, which may hold a key.
    #[error("{file}, line {line}: {message}")]
    Syntax { file: PathBuf, line: usize, message: String },
    #[error("{file}: {variable}")]
    Variable { file: PathBuf, variable: UnsetVariable },
    #[error("{file}: {problem}")]
    Invalid { file: PathBuf, problem: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    redis: Option<redis::RedisEntry>,
    local: String,
    #[serde(default)]
    queue: QueueSettings,
    #[serde(default, rename = "instance")]
    instances: BTreeMap<String, InstanceEntry>,
    #[serde(default, rename = "preset")]
    presets: BTreeMap<String, toml::Table>,
    #[serde(default)]
    conflicts: ConflictEntry,
    #[serde(default, rename = "transform")]
    transforms: BTreeMap<String, toml::Table>,
    #[serde(default, rename = "command")]
    commands: BTreeMap<String, CommandEntry>,
    #[serde(default, rename = "resource")]
    resources: BTreeMap<String, ResourceEntry>,
    #[serde(default)]
    serve: serving::ServeEntry,
    #[serde(default, rename = "user")]
    users: BTreeMap<String, User>,
    #[serde(default, rename = "hook")]
    hooks: BTreeMap<String, Hook>,
    #[serde(default, rename = "schedule")]
    schedules: Vec<toml::Table>,
    #[serde(default)]
    on: SecretTables,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConflictEntry {
    default: OnConflict,
    models: BTreeMap<String, OnConflict>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InstanceEntry {
    url: Option<String>,
    path: Option<String>,
    sync_key: Option<String>,
    sync_key_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
    #[serde(default)]
    allow_http: bool,
    #[serde(default)]
    push: bool,
    #[serde(default)]
    pull: bool,
    #[serde(default)]
    protect: bool,
    #[serde(default)]
    agent: toml::Table,
}

impl Config {
    /// Reads and checks a config file. Relative paths in it are relative to the file.
    pub fn load(file: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ConfigError::Missing(file.into()),
            _ => ConfigError::Unreadable(file.into(), error),
        })?;
        let file = std::path::absolute(file).unwrap_or_else(|_| file.into());
        Self::parse(&text, file, environment)
    }

    /// As [`Config::load`], from a text.
    pub fn parse(text: &str, file: PathBuf, environment: &Environment) -> Result<Self, ConfigError> {
        let syntax = |error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            ConfigError::Syntax { file: file.clone(), line, message: error.message().into() }
        };
        // Twice: the first reading has line numbers for its errors, the second has the variables replaced.
        toml::from_str::<File>(text).map_err(syntax)?;
        let mut table: toml::Table = text.parse().map_err(syntax)?;
        environment
            .replace_in(&mut table)
            .map_err(|variable| ConfigError::Variable { file: file.clone(), variable })?;
        let entries: File = table.try_into().map_err(syntax)?;
        Self::check(entries, &file).map_err(|problem| ConfigError::Invalid { file, problem })
    }

    fn check(entries: File, file: &Path) -> Result<Self, String> {
        let folder = file.parent().unwrap_or(Path::new("."));
        let mut instances = BTreeMap::new();
        for (name, entry) in entries.instances {
            let instance = Instance::check(&name, entry, folder)?;
            if entries.redis.is_some() && matches!(instance.at, Place::Path(_)) {
                return Err(format!(
                    "[instance.{name}] has a path, but with `redis` set every instance needs a url: start \
                     `cockpit-sync agent --root PATH` beside it and give its url"
                ));
            }
            instances.insert(name, instance);
        }
        if !instances.contains_key(&entries.local) {
            return Err(format!("local = {:?} names no instance: there is no [instance.{0}]", entries.local));
        }
        if !(500..=600_000).contains(&entries.queue.lease_ms) {
            return Err("queue.lease_ms must lie between 500 and 600000".into());
        }
        let prefix_is_sound = !entries.queue.prefix.is_empty()
            && entries.queue.prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !prefix_is_sound {
            return Err("queue.prefix takes letters, digits, '-', '_' and '.'".into());
        }
        serving::check(&entries.users, &entries.hooks, &instances)?;
        Ok(Self {
            serve_tls: entries.serve.check(folder)?,
            users: entries.users,
            hooks: entries.hooks,
            schedules: schedule::check(entries.schedules, &entries.local, &instances)?,
            file: file.into(),
            redis: entries.redis.map(|redis| redis.check(folder)).transpose()?,
            local: entries.local,
            instances,
            queue: entries.queue,
            presets: entries.presets.into_iter().map(|(name, preset)| (name, preset::settings(preset))).collect(),
            on: entries.on,
            conflicts: ConflictRules { default: entries.conflicts.default, models: entries.conflicts.models },
            shaping: ShapingRules::check(entries.transforms, entries.commands, entries.resources)?,
        })
    }

    /// The folder of the embedded host's files, beside the config.
    pub fn host_folder(&self) -> PathBuf {
        self.file.parent().unwrap_or(Path::new(".")).join(".cockpit-sync")
    }
}

impl Instance {
    fn check(name: &str, entry: InstanceEntry, folder: &Path) -> Result<Self, String> {
        let name_is_sound = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !name_is_sound {
            return Err(format!("[instance.{name}]: names take letters, digits, '-' and '_'"));
        }
        let sync_key = match (entry.sync_key, entry.sync_key_file) {
            (Some(_), Some(_)) => {
                return Err(format!("[instance.{name}] has both a sync_key and a sync_key_file: give one"));
            }
            (None, Some(file)) => {
                let read = secret_file(&folder.join(file));
                Some(read.map_err(|problem| format!("[instance.{name}]: sync_key_file {problem}"))?)
            }
            (given, None) => given,
        };
        let certificate = match (entry.client_cert, entry.client_key) {
            (Some(cert), Some(key)) => Some((folder.join(cert), folder.join(key))),
            (None, None) => None,
            _ => return Err(format!("[instance.{name}]: client_cert and client_key belong together: give both")),
        };
        let tls = ClientTls { ca: entry.ca.map(|ca| folder.join(ca)), certificate };
        let at = match (entry.url, entry.path, sync_key) {
            (Some(_), Some(_), _) => return Err(format!("[instance.{name}] has both a url and a path: give one")),
            (None, None, _) => return Err(format!("[instance.{name}] has neither a url nor a path: give one")),
            (None, Some(_), Some(_)) => {
                return Err(format!("[instance.{name}] has a path and a sync_key: a path needs no key, remove it"));
            }
            (Some(_), None, None) => {
                return Err(format!(
                    "[instance.{name}] has a url but no sync_key: give the target's own key, or the file it is in (sync_key_file)"
                ));
            }
            (None, Some(path), None) => Place::Path(folder.join(path)),
            (Some(url), None, Some(sync_key)) => {
                Place::Url { url, sync_key: Secret::new(sync_key), allow_http: entry.allow_http, tls }
            }
        };
        Ok(Self { at, push: entry.push, pull: entry.pull, protect: entry.protect, agent: entry.agent })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        let environment = Environment::of([("KEY".to_owned(), "twenty characters long".to_owned())]);
        Config::parse(text, "/etc/cs/cockpit-sync.toml".into(), &environment).map_err(|error| error.to_string())
    }

    fn error(text: &str) -> String {
        parse(text).unwrap_err()
    }

    #[test]
    fn the_config_of_the_readme_is_read() {
        let config = parse(
            "redis = 'redis://127.0.0.1:6379'\nlocal = 'staging'\n\
             [instance.staging]\nurl = 'http://127.0.0.1:8101'\nsync_key = '${KEY}'\n\
             [instance.production]\nurl = 'https://cms.example.com'\nsync_key = '${KEY}'\npush = true\nprotect = true\n",
        )
        .unwrap();
        let production = &config.instances["production"];
        assert!(production.push && !production.pull && production.protect);
        let Place::Url { sync_key, .. } = &production.at else { panic!("{production:?}") };
        assert_eq!(sync_key.expose(), "twenty characters long");
        assert!(!format!("{config:?}").contains("twenty"), "a secret shows in debug output");
    }

    #[test]
    fn paths_are_relative_to_the_config() {
        let config = parse("local = 'a'\n[instance.a]\npath = 'cms'").unwrap();
        assert!(matches!(&config.instances["a"].at, Place::Path(path) if path == Path::new("/etc/cs/cms")));
        assert_eq!(config.host_folder(), Path::new("/etc/cs/.cockpit-sync"));
    }

    #[test]
    fn serve_ends_tls_with_files_beside_the_config() {
        let text = "local = 'a'\n[instance.a]\npath = 'x'\n[serve]\ntls_cert = 'serve.pem'\ntls_key = '/run/serve.key'";
        let tls = parse(text).unwrap().serve_tls.unwrap();
        assert_eq!((tls.cert, tls.key), ("/etc/cs/serve.pem".into(), "/run/serve.key".into()));
        assert_eq!(tls.client_ca, None);
    }

    #[test]
    fn an_error_never_shows_the_line_it_is_about() {
        let message = error("local = 'a'\n[instance.a]\nurl = 'x'\nsync_key = 'the secret of all secrets' oops");
        assert!(message.contains("line 4") && !message.contains("secrets"), "{message}");
    }

    #[test]
    fn each_mistake_is_named() {
        assert!(error("local = 'a'\n[instance.a]\npath = 'x'\npsh = true").contains("psh"));
        assert!(error("local = 'a'\n[instance.a]\npath = 'x'\npsh = true").contains("line 4"));
        assert!(error("local = 'b'\n[instance.a]\npath = 'x'").contains("no [instance.b]"));
        assert!(error("local = 'a'\n[instance.a]\n").contains("neither a url nor a path"));
        assert!(error("local = 'a'\n[instance.a]\nurl = 'http://x'").contains("no sync_key"));
        let half = error("local = 'a'\n[instance.a]\nurl = 'https://x'\nsync_key = 'y'\nclient_cert = 'c'");
        assert!(half.contains("client_cert and client_key belong together"), "{half}");
        let of_file = error("local = 'a'\n[instance.a]\nurl = 'http://x'\nsync_key_file = 'not there'");
        assert!(of_file.contains("[instance.a]: sync_key_file /etc/cs/not there cannot be read"), "{of_file}");
        assert!(
            error("local = 'a'\n[instance.a]\nurl = 'x'\nsync_key_file = 'y'\nsync_key = 'z'").contains("give one")
        );
        assert!(error("local = 'a'\n[instance.a]\npath = '${NOT_SET}'").contains("NOT_SET"));
        let both = error("redis = 'redis://x'\nlocal = 'a'\n[instance.a]\npath = 'x'");
        assert!(both.contains("cockpit-sync agent --root"), "{both}");
        assert!(error("local = 'a'\n[instance.'a b']\npath = 'x'").contains("names take"));
        let instance = "local = 'a'\n[instance.a]\npath = 'x'\n";
        assert!(error(&format!("{instance}[serve]\ntls_cert = 'c'")).contains("tls_cert and tls_key belong together"));
        assert!(error(&format!("{instance}[hook.cockpit]\ntarget = 'b'")).contains("no instance"));
        assert!(error(&format!("{instance}[hook.cockpit]\ntarget = 'a'")).contains("push = true"));
        assert!(error(&format!("{instance}[user.anna]\nrole = 'sync/view'\ntoken_hash = 'x'")).contains("token anna"));
        assert!(error(&format!("{instance}[user.anna]\nrole = 'admin'\ntoken_hash = 'x'")).contains("sync/manage"));
    }

    const EVERYTHING: &str = "redis = 'redis://127.0.0.1:6379'\nlocal = 'a'\n[queue]\nprefix = 'cs'\nlease_ms = 15000\n\
        [instance.a]\nurl = 'http://127.0.0.1:8101'\nsync_key = '${KEY}'\n[instance.b]\npath = 'b'\npush = true\nprotect = true\n\
        [instance.b.agent]\nallow = ['10.0.0.0/8']\n[preset.p]\nmodels = ['posts']\n[conflicts]\ndefault = 'hold'\n\
        [[schedule]]\nname = 'nightly'\ncron = '0 2 * * *'\npush = 'b'\n[[on]]\nname = 'x'\nexec = { run = ['true'] }\n";

    proptest::proptest! {
        #[test]
        fn any_text_is_a_config_or_an_error_in_words(text in damage::damaged_lines(EVERYTHING)) {
            let read = parse(&text);
            proptest::prop_assert!(read.map_or_else(|error| error.len() > 20, |_| true));
        }
    }
}
