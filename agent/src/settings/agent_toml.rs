//! `[agent]` of agent.toml, which is also `[instance.NAME.agent]` of cockpit-sync.toml.
//!
//! Unknown keys are errors, `${ENV}` is replaced, and no message repeats a value: it might be a key.

use std::path::{Path, PathBuf};

use config::{Environment, SecretTables, UnsetVariable};
use listening::tls;
use notifying::EntryError;
use protocol::mirror::MaxDelete;
use protocol::sign::KeyTooShort;
use protocol::viewing::Viewers;
use toml::{Table, Value};

use crate::allowed::AllowedModels;
use crate::keys::AcceptedKey;
use crate::storage::{Places, UndoLimits};

use super::networks::{Networks, NotANetwork};
use super::rate::Rate;

mod values;

use values::{
    days, directions, entries, keys, max_delete, model_names, networks, place, rate, size, somebody, truth, wrong,
};

/// What an agent lets callers do.
#[derive(Debug, Clone)]
pub struct AgentToml {
    /// `storage`, `data`, `uploads`, `tmp`, `memory`: where Cockpit's config moves what.
    pub places: Places,
    /// Also where `directions` does not name `target`.
    pub read_only: bool,
    /// `directions` names `source`, or says nothing.
    pub is_source: bool,
    pub allow: Option<Networks>,
    pub trusted_proxies: Networks,
    pub rate_limit: Option<Rate>,
    pub failed_attempts: Rate,
    /// `tls_cert`, `tls_key`, `tls_client_ca`.
    pub tls: Option<tls::Files>,
    /// `models`, or `read_models` and `write_models`.
    pub models: AllowedModels,
    pub delete: bool,
    pub max_delete: Option<MaxDelete>,
    /// `undo_days` and `undo_size`.
    pub undo: UndoLimits,
    /// `[[on]]`: what is done after a run that wrote here.
    pub on: SecretTables,
    pub keys: Vec<AcceptedKey>,
    /// `metrics_token`: who has it may look at /metrics from elsewhere.
    pub viewers: Viewers,
}

impl Default for AgentToml {
    fn default() -> Self {
        Self {
            places: Places::default(),
            read_only: false,
            is_source: true,
            allow: None,
            trusted_proxies: Networks::default(),
            rate_limit: None,
            failed_attempts: Rate::of_failed_attempts(),
            tls: None,
            models: AllowedModels::default(),
            delete: true,
            max_delete: None,
            undo: UndoLimits::default(),
            on: SecretTables::default(),
            keys: Vec::new(),
            viewers: Viewers::default(),
        }
    }
}

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum AgentTomlError {
    #[error("{0}: {1}")]
    Unreadable(PathBuf, std::io::Error),
    #[error("{0}: {1}")]
    In(PathBuf, Box<Self>),
    #[error("line {line}: {message}")]
    Syntax { line: usize, message: String },
    #[error(transparent)]
    Variable(#[from] UnsetVariable),
    #[error(
        "{0} is not a key of [agent]; there are read_only, directions, allow, trusted_proxies, rate_limit, failed_attempts, models, \
         read_models, write_models, delete, max_delete, undo_days, undo_size, keys, metrics_token, metrics_token_file, on, tls_cert, tls_key, tls_client_ca, storage, data, uploads, tmp, memory"
    )]
    UnknownKey(String),
    #[error("{0} is not known; there are key, key_file, id, purpose, from, until")]
    UnknownOfKeys(String),
    #[error("{0} does not belong here: this file has one table, [agent], and [[on]]")]
    UnknownTable(String),
    #[error("{key} must be {expected}")]
    WrongKind { key: String, expected: &'static str },
    #[error("{key}: {cause}")]
    Network { key: String, cause: NotANetwork },
    #[error("allow = [] would let nobody in: leave it out to let everybody in who has the key")]
    NobodyAllowed,
    #[error("{0}: {1:?} is not a model's name (letters and digits), nor that of an add-on's collection")]
    ModelName(String, String),
    #[error(transparent)]
    On(#[from] EntryError),
    #[error("tls_cert and tls_key belong together; tls_client_ca needs both")]
    HalfTls,
    #[error("keys: {0}")]
    Key(#[from] KeyTooShort),
    #[error("{0}")]
    SecretFile(String),
}

impl AgentToml {
    /// Reads the file that `--config` names.
    pub fn read(file: &Path, environment: &Environment) -> Result<Self, AgentTomlError> {
        let text = std::fs::read_to_string(file).map_err(|error| AgentTomlError::Unreadable(file.into(), error))?;
        Self::parse(&text, environment).map_err(|error| AgentTomlError::In(file.into(), Box::new(error)))
    }

    /// The text of agent.toml.
    pub fn parse(text: &str, environment: &Environment) -> Result<Self, AgentTomlError> {
        let mut file: Table = text.parse().map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            // Not the error's own text: that shows the line, which may hold a key.
            AgentTomlError::Syntax { line: before.matches('\n').count() + 1, message: error.message().into() }
        })?;
        environment.replace_in(&mut file)?;
        let (agent, on) = (file.remove("agent"), file.remove("on"));
        if let Some((key, _)) = file.into_iter().next() {
            return Err(AgentTomlError::UnknownTable(key));
        }
        let mut agent = match agent {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(_) => return Err(wrong("agent", "a table: [agent]")),
        };
        agent.extend(on.map(|on| ("on".to_owned(), on)));
        Self::from_table(agent)
    }

    /// A table whose variables are replaced already.
    pub fn from_table(table: Table) -> Result<Self, AgentTomlError> {
        let mut read = Self::default();
        let [mut cert, mut tls_key, mut client_ca] = [const { None }; 3];
        let mut both = None;
        for (key, value) in table {
            match key.as_str() {
                "storage" => read.places.storage = Some(place(&key, value)?),
                "data" => read.places.data = Some(place(&key, value)?),
                "uploads" => read.places.uploads = Some(place(&key, value)?),
                "tmp" => read.places.tmp = Some(place(&key, value)?),
                "memory" => read.places.memory = Some(place(&key, value)?),
                "tls_cert" => cert = Some(place(&key, value)?),
                "tls_key" => tls_key = Some(place(&key, value)?),
                "tls_client_ca" => client_ca = Some(place(&key, value)?),
                "read_only" => read.read_only |= truth(&key, &value)?,
                "directions" => {
                    let (source, target) = directions(&key, value)?;
                    read.is_source = source;
                    read.read_only |= !target;
                }
                "allow" => read.allow = Some(somebody(networks(&key, value)?)?),
                "trusted_proxies" => read.trusted_proxies = networks(&key, value)?,
                "rate_limit" => read.rate_limit = Some(rate(&key, &value)?),
                "failed_attempts" => read.failed_attempts = rate(&key, &value)?,
                "models" => both = Some(model_names(&key, value)?),
                "read_models" => read.models.read = Some(model_names(&key, value)?),
                "write_models" => read.models.write = Some(model_names(&key, value)?),
                "delete" => read.delete = truth(&key, &value)?,
                "max_delete" => read.max_delete = Some(max_delete(&key, &value)?),
                "undo_days" => read.undo.days = days(&key, &value)?,
                "undo_size" => read.undo.bytes = size(&key, &value)?,
                "keys" => read.keys = keys(value)?,
                "on" => read.on = entries(value)?,
                "metrics_token_file" => {
                    let Value::String(file) = value else { return Err(wrong(&key, "the name of a file")) };
                    let token = config::secret_file(Path::new(&file)).map_err(AgentTomlError::SecretFile)?;
                    read.viewers = Viewers::new(Some(token));
                }
                "metrics_token" => {
                    let Value::String(token) = value else { return Err(wrong(&key, "a string")) };
                    read.viewers = Viewers::new(Some(token));
                }
                _ => return Err(AgentTomlError::UnknownKey(key)),
            }
        }
        if let Some(both) = both {
            // Each of the other two says more about its own half.
            read.models.read.get_or_insert_with(|| both.clone());
            read.models.write.get_or_insert(both);
        }
        read.tls = match (cert, tls_key, client_ca) {
            (Some(cert), Some(key), client_ca) => Some(tls::Files { cert, key, client_ca }),
            (None, None, None) => None,
            _ => return Err(AgentTomlError::HalfTls),
        };
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn parse(text: &str) -> Result<AgentToml, String> {
        let key = ("KEY".to_owned(), "a key of twenty characters".to_owned());
        AgentToml::parse(text, &Environment::of([key])).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_to_be_done_after_runs_is_checked_when_the_file_is_read() {
        let entry = "[[on]]\nname = 'flush'\nexec = { run = ['true'] }\n";
        assert_eq!(parse(entry).unwrap().on.0.len(), 1);
        assert_eq!(parse(&entry.replace("[[on]]", "[[agent.on]]")).unwrap().on.0.len(), 1);
        let wrong = parse("[[on]]\nname = 'flush'\nevent = 'sync.push.finished'\nlog = 'info'\n").unwrap_err();
        assert!(wrong.contains("[[on]] \"flush\": there is no event \"sync.push.finished\""), "{wrong}");
    }

    #[test]
    fn every_key_is_read() {
        let read = parse(
            "[agent]\nread_only = true\nallow = ['10.0.0.0/8']\nmodels = ['posts']\ndelete = false\n\
             max_delete = '10%'\ntrusted_proxies = ['127.0.0.1', '::1']\nrate_limit = '200/s'\n\
             failed_attempts = '5/h'\nundo_days = 30\nundo_size = '20 MiB'\nkeys = ['${KEY}', 'another key of twenty characters', \
             { id = '2026', key = 'a third one of twenty characters', purpose = 'read', until = '2027-01-01' }]\n",
        )
        .unwrap();
        let third = &read.keys[2];
        assert_eq!((third.id.as_str(), third.purpose), ("2026", protocol::keys::Purpose::Read));
        assert!(third.is_good(0) && !third.is_good(crate::keys::time_ms("2027-01-01").unwrap()));
        assert!(read.read_only && !read.delete);
        assert_eq!(read.models, AllowedModels::only(vec!["posts".into()]));
        assert_eq!(read.max_delete, Some(MaxDelete::Percent(10)));
        assert_eq!(read.undo, UndoLimits { days: 30, bytes: 20 << 20 });
        assert!(read.allow.unwrap().contains("10.1.2.3".parse().unwrap()));
        assert!(read.trusted_proxies.contains("::1".parse().unwrap()));
        assert_eq!((read.rate_limit, Some(read.failed_attempts)), (Rate::parse("200/s"), Rate::parse("5/h")));
        assert!(read.keys.len() == 3 && read.keys[0].key.matches("a key of twenty characters"));
    }

    #[test]
    fn an_empty_file_allows_what_the_key_allows() {
        let read = parse("").unwrap();
        assert!(!read.read_only && read.delete && read.allow.is_none() && read.models == AllowedModels::default());
    }

    #[test]
    fn what_may_be_read_and_what_may_be_written_are_lists_of_their_own() {
        let models = |text: &str| parse(&format!("[agent]\n{text}")).unwrap().models;
        let (posts, authors) = (vec!["posts".to_owned()], vec!["authors".to_owned()]);
        let split = models("read_models = ['posts']\nwrite_models = ['authors']");
        assert_eq!(split, AllowedModels { read: Some(posts.clone()), write: Some(authors.clone()) });
        assert_eq!(split.served(), Some(vec!["posts".into(), "authors".into()]));
        assert_eq!(models("write_models = ['authors']"), AllowedModels { read: None, write: Some(authors.clone()) });
        let narrowed = models("models = ['posts']\nwrite_models = ['authors']");
        assert_eq!(narrowed, AllowedModels { read: Some(posts), write: Some(authors) });
        assert!(models("write_models = []").may_read("posts") && !models("write_models = []").may_write("posts"));
    }

    #[test]
    fn directions_say_which_end_of_a_sync_it_may_be() {
        let ends = |text: &str| {
            let read = parse(text).unwrap();
            (read.is_source, !read.read_only)
        };
        assert_eq!(ends("[agent]\ndirections = ['source']"), (true, false));
        assert_eq!(ends("[agent]\ndirections = ['target']"), (false, true));
        assert_eq!(ends("[agent]\ndirections = ['target', 'source']"), (true, true));
        assert_eq!(ends("[agent]\ndirections = ['target', 'source']\nread_only = true"), (true, false));
    }

    #[test]
    fn mistakes_are_named_and_values_are_not_repeated() {
        for (text, expected) in [
            ("[agent]\nreadonly = true", "readonly is not a key"),
            ("[agents]\nread_only = true", "agents does not belong here"),
            ("[agent]\nread_only = 'yes'", "read_only must be true or false"),
            ("[agent]\nallow = []", "would let nobody in"),
            ("[agent]\ndirections = []", "directions must be"),
            ("[agent]\ndirections = ['push']", "directions must be"),
            ("[agent]\ntrusted_proxies = ['nginx']", "trusted_proxies: \"nginx\" is neither"),
            ("[agent]\nrate_limit = 200", "rate_limit must be"),
            ("[agent]\nuploads = '../uploads'", "uploads must be a whole path"),
            ("[agent]\nfailed_attempts = '0/m'", "failed_attempts must be"),
            ("[agent]\ntls_cert = '/a'", "belong together"),
            ("[agent]\nmodels = ['a b']", "is not a model's name"),
            ("[agent]\nwrite_models = ['a b']", "write_models: \"a b\" is not a model's name"),
            ("[agent]\nmax_delete = '200%'", "max_delete must be"),
            ("[agent]\nmax_delete = -1", "max_delete must be"),
            ("[agent]\nundo_days = 'a week'", "undo_days must be"),
            ("[agent]\nundo_size = '1 GB'", "undo_size must be"),
            ("[agent]\nkeys = ['${MISSING}']", "MISSING is not set"),
            ("[agent]\nkeys = 'a single hush-hush key'", "keys must be a list"),
            ("[agent]\nkeys = ['hush-hush']", "at least 20 characters"),
            ("[agent]\nkeys = [{ key = 'hush-hush' }]", "at least 20 characters"),
            ("[agent]\nkeys = [{ key = 'hush-hush, twenty characters', purpose = 'all' }]", "keys.purpose must be"),
            ("[agent]\nkeys = [{ key = 'hush-hush, twenty characters', until = 'never' }]", "keys.until must be"),
            ("[agent]\nkeys = [{ key_file = '/not/there' }]", "/not/there cannot be read"),
            ("[agent]\nmetrics_token_file = '/not/there'", "/not/there cannot be read"),
            ("[agent]\n\nkeys = ['hush-hush", "line 3"),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.contains(expected) && !message.contains("hush"), "{text:?}: {message}");
        }
    }

    const EVERYTHING: &str = "[agent]\nread_only = true\ndirections = ['source']\nallow = ['10.0.0.0/8']\nmodels = ['posts']\ndelete = false\n\
        max_delete = '10%'\ntrusted_proxies = ['127.0.0.1', '::1']\nrate_limit = '200/s'\nfailed_attempts = '5/h'\nundo_days = 30\n\
        undo_size = '20 MiB'\nkeys = ['${KEY}', { id = '2026', key = 'a third one of twenty characters', until = '2027-01-01' }]\n\
        [[on]]\nname = 'flush'\nexec = { run = ['true'] }\n";

    proptest::proptest! {
        #[test]
        fn any_text_is_settings_or_an_error_in_words(text in damage::damaged_lines(EVERYTHING)) {
            let read = parse(&text);
            proptest::prop_assert!(read.map_or_else(|error| error.len() > 10, |_| true));
        }
    }
}
