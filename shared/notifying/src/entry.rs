//! `[[on]]`: which events, and what is done then. Checked when a config is loaded.

use std::path::Path;
use std::time::Duration;

use protocol::event;
use protocol::shaping::matches;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use toml::Table;

use crate::actions::{Action, Exec, Failure, Level, Mail, Webhook};
use crate::{Notice, actions};

/// One `[[on]]`.
#[derive(Debug)]
pub struct Entry {
    name: String,
    events: Vec<&'static str>,
    targets: Vec<String>,
    states: Vec<String>,
    action: Action,
}

/// What is wrong with an entry. Never with a value of it, which might be a password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EntryError {
    #[error("[[on]] number {0}: {1}")]
    Unnamed(usize, String),
    #[error("[[on]] {0:?}: {1}")]
    Named(String, String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn list(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::More(texts) => texts,
        }
    }
}

impl Entry {
    /// All entries of a config. `known` are the events there are; an entry that names none is about all of them where
    /// there is only one. Programs are run in `folder`.
    pub fn read_all(tables: &[Table], known: &[&'static str], folder: &Path) -> Result<Vec<Self>, EntryError> {
        let mut entries: Vec<Self> = Vec::new();
        for (table, number) in tables.iter().zip(1..) {
            let name = match table.get("name") {
                Some(toml::Value::String(name)) => name.clone(),
                Some(_) => return Err(EntryError::Unnamed(number, "name must be a string".into())),
                None => return Err(EntryError::Unnamed(number, "it needs a name, which says what it is for".into())),
            };
            let named = |problem: String| EntryError::Named(name.clone(), problem);
            if !is_sound(&name) {
                return Err(named("names take letters, digits, '-' and '_', at most 64".into()));
            }
            if entries.iter().any(|entry| entry.name == name) {
                return Err(named("there are two of this name".into()));
            }
            entries.push(Self::read(name.clone(), table.clone(), known, folder).map_err(named)?);
        }
        Ok(entries)
    }

    fn read(name: String, mut table: Table, known: &[&'static str], folder: &Path) -> Result<Self, String> {
        table.remove("name");
        let mut list = |key: &str| match table.remove(key) {
            None => Ok(None),
            Some(value) => {
                let list: Result<OneOrMore, _> = value.try_into();
                list.map(|list| Some(list.list())).map_err(|_| format!("{key} must be a string or a list of strings"))
            }
        };
        let events = match list("event")? {
            Some(patterns) => events_of(&patterns, known)?,
            None if known.len() == 1 => known.to_vec(),
            None => return Err("event is missing: which events is it about? (\"sync.*.finished\")".into()),
        };
        let (targets, states) = (list("target")?.unwrap_or_default(), list("state")?.unwrap_or_default());
        let mut actions = table.into_iter();
        let (Some((kind, settings)), None) = (actions.next(), actions.next()) else {
            return Err("one action is wanted: mail, webhook, exec or log (and besides it event, target, state)".into());
        };
        let action = action(&kind, settings, folder).map_err(|problem| format!("{kind}: {problem}"))?;
        Ok(Self { name, events, targets, states, action })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of all events it may be about.
    pub fn events(&self) -> &[&'static str] {
        &self.events
    }

    /// How long its action may take.
    pub fn time_limit(&self) -> Duration {
        self.action.time_limit()
    }

    /// Whether it is about this event.
    pub fn is_about(&self, event: &Map<String, Value>) -> bool {
        let text = |field: &str| event.get(field).and_then(|value| value.get("name").unwrap_or(value).as_str());
        let admits = |wanted: &[String], field: &str| {
            wanted.is_empty() || text(field).is_some_and(|text| wanted.iter().any(|pattern| matches(pattern, text)))
        };
        text("event").is_some_and(|name| self.events.contains(&name))
            && admits(&self.targets, "target")
            && admits(&self.states, "state")
    }

    /// Does it.
    pub async fn carry_out(&self, notice: &Notice) -> Result<(), Failure> {
        self.action.carry_out(&self.name, notice).await
    }
}

fn is_sound(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

fn events_of(patterns: &[String], known: &[&'static str]) -> Result<Vec<&'static str>, String> {
    let mut events = Vec::new();
    for pattern in patterns {
        let meant = event::matching(pattern, known);
        if meant.is_empty() {
            return Err(format!("there is no event {pattern:?}; there are {}", known.join(", ")));
        }
        events.extend(meant);
    }
    events.sort_unstable();
    events.dedup();
    Ok(events)
}

fn action(kind: &str, settings: toml::Value, folder: &Path) -> Result<Action, String> {
    Ok(match kind {
        "mail" => Action::Mail(Box::new(Mail::new(read(settings)?)?)),
        "webhook" => Action::Webhook(Box::new(Webhook::new(read(settings)?)?)),
        "exec" => Action::Exec(Exec::new(read(settings)?, folder)?),
        "log" => Action::Log(Level::named(settings.as_str()).ok_or("\"info\", \"warn\" or \"error\" is wanted")?),
        _ => {
            let known = [&["name", "event", "target", "state"][..], &actions::KINDS].concat();
            return Err(format!("not known here; there are {}", known.join(", ")));
        }
    })
}

fn read<T: DeserializeOwned>(settings: toml::Value) -> Result<T, String> {
    if !settings.is_table() {
        return Err("a table is wanted: { ... }".into());
    }
    settings.try_into().map_err(|error: toml::de::Error| without_value(error.message()))
}

/// Messages of a wrong type or value repeat the value: "invalid type: string \"...\", expected a boolean".
fn without_value(message: &str) -> String {
    match (message.split_once(": "), message.rsplit_once(", expected ")) {
        (Some((kind, _)), Some((_, expected))) if kind.starts_with("invalid") => format!("{kind}, expected {expected}"),
        _ => message.into(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn read_toml(text: &str) -> Result<Vec<Entry>, String> {
        let table: Table = text.parse().unwrap();
        let tables: Vec<Table> = table["on"].clone().try_into().unwrap();
        Entry::read_all(&tables, &event::ALL, Path::new("/")).map_err(|error| error.to_string())
    }

    fn error(text: &str) -> String {
        read_toml(text).unwrap_err()
    }

    fn about(text: &str, event: &Value) -> bool {
        let entries = read_toml(&format!("[[on]]\nname = 'x'\nlog = 'info'\n{text}")).unwrap();
        entries[0].is_about(event.as_object().unwrap())
    }

    #[test]
    fn an_entry_is_about_the_events_targets_and_states_it_names() {
        let event = serde_json::json!({
            "event": "sync.push.finished", "target": {"name": "production"}, "state": "finished_held"
        });
        assert!(about("event = 'sync.*.finished'", &event));
        assert!(about("event = ['sync.run.failed', 'sync.push.*']\ntarget = 'prod*'\nstate = 'finished*'", &event));
        assert!(!about("event = 'sync.run.failed'", &event));
        assert!(!about("event = '*'\ntarget = 'staging'", &event));
        assert!(!about("event = '*'\nstate = ['failed', 'finished']", &event));
        let missed = serde_json::json!({ "event": "sync.schedule.missed", "schedule": "nightly" });
        assert!(about("event = '*'", &missed));
        assert!(!about("event = '*'\ntarget = 'production'", &missed));
    }

    #[test]
    fn each_mistake_is_named_with_its_entry() {
        assert_eq!(
            error("[[on]]\nlog = 'info'\nevent = '*'"),
            "[[on]] number 1: it needs a name, which says what it is for"
        );
        let of = |rest: &str| error(&format!("[[on]]\nname = 'team'\n{rest}"));
        let event = "event = 'sync.push.finished'\n";
        for (rest, words) in [
            ("log = 'info'".to_owned(), "event is missing"),
            ("log = 'info'\nevent = 'sync.pushed'".into(), "no event \"sync.pushed\""),
            (event.into(), "one action"),
            (format!("{event}log = 'info'\nexec = {{ run = ['x'] }}"), "one action"),
            (format!("{event}log = 'loud'"), "log: \"info\""),
            (format!("{event}sms = 'x'"), "sms: not known here"),
            (format!("{event}exec = 'rm -rf /'"), "exec: a table"),
            (format!("{event}exec = {{ run = [] }}"), "exec: run"),
            (format!("{event}exec = {{ run = ['x'], time_limit_ms = 0 }}"), "exec: time_limit_ms"),
            (format!("{event}webhook = {{ url = 'ftp://x' }}"), "webhook: url"),
            (format!("{event}webhook = {{ url = 'http://x', preset = 'teams' }}"), "webhook: unknown variant"),
            (format!("{event}webhook = {{ url = 'http://x', headers = {{ 'a b' = 'c' }} }}"), "webhook: headers"),
            (format!("{event}webhook = {{ uri = 'http://x' }}"), "webhook: unknown field `uri`"),
            (format!("{event}mail = {{ server = 'x', from = 'a@b.c', to = 'd@e.f' }}"), "mail: server"),
            (format!("{event}mail = {{ server = 'smtps://anna:x@x', from = 'nobody', to = 'd@e.f' }}"), "mail: from"),
            (format!("{event}mail = {{ server = 'smtp://x', from = 'a@b.c', to = [] }}"), "mail: to"),
            (
                format!("{event}mail = {{ server = 'smtp://x', from = 'a@b.c', to = 'd@e.f', subject = '{{{{ if' }}"),
                "mail: subject",
            ),
        ] {
            let message = of(&rest);
            assert!(message.starts_with("[[on]] \"team\": ") && message.contains(words), "{message}");
        }
        let twice = "[[on]]\nname = 'a'\nevent = '*'\nlog = 'info'\n".repeat(2);
        assert_eq!(error(&twice), "[[on]] \"a\": there are two of this name");
    }

    #[test]
    fn no_message_repeats_a_value() {
        for rest in [
            "webhook = 'https://hooks.example.com/hush'",
            "webhook = { url = 'hush' }",
            "webhook = { url = 'http://x', secret = ['hush'] }",
            "webhook = { url = 'http://x', headers = { authorization = \"hush\\n\" } }",
            "mail = { server = 'smtps://anna:hush@[', from = 'a@b.c', to = 'd@e.f' }",
            "mail = { server = 'smtps://anna:hush@x', from = 'a@b.c', to = 'd@e.f', text = 1 }",
        ] {
            let message = error(&format!("[[on]]\nname = 'team'\nevent = '*'\n{rest}"));
            assert!(!message.contains("hush"), "{message}");
        }
    }
}
