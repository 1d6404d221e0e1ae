//! A sync that is asked for in an object of options, as a preset has them, and not on the command line.

use config::Config;
use protocol::conflicts::{ConflictRules, OnConflict};
use protocol::pace::Pace;
use protocol::run::{Direction, OnLocked};
use queue::IfBusy;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::choice::Choice;
use crate::error::Problem;
use crate::items::Items;
use crate::options::{Options, camel_case, preset, read_jobs};
use crate::request::{BATCH_SIZE, SyncRequest, WINDOW};

/// What push and pull take besides options.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Beside {
    /// `[preset.NAME]` of the config, behind what is said here.
    preset: Option<String>,
    /// What a job file says.
    jobs: Option<Value>,
    /// Single items instead.
    item: Option<ItemAsked>,
    on_conflict: Option<OnConflict>,
    accept_schema_changes: bool,
    on_locked: OnLocked,
    if_busy: WhenBusy,
}

const BESIDE: [&str; 7] = ["preset", "jobs", "item", "onConflict", "acceptSchemaChanges", "onLocked", "ifBusy"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ItemAsked {
    model: String,
    /// None for a singleton.
    #[serde(default)]
    ids: Vec<String>,
    #[serde(default)]
    with_assets: bool,
    #[serde(default)]
    with_links: u8,
}

/// Items that link to items that link to items: deeper is a push of the models.
const DEEPEST: u8 = 10;

#[derive(Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WhenBusy {
    #[default]
    Wait,
    Refuse,
}

impl SyncRequest {
    /// `settings`: names as in presets (`modifiedSince`; also `modified-since`), and besides `preset`, `jobs` (as in a job
    /// file), `item`, `onConflict`, `acceptSchemaChanges`, `onLocked`, `ifBusy`.
    pub fn asked(
        direction: Direction,
        other: impl Into<String>,
        settings: Map<String, Value>,
        config: &Config,
        started_by: impl Into<String>,
    ) -> Result<Self, Problem> {
        let named = settings.into_iter().map(|(key, value)| (camel_case(&key), value));
        let (beside, settings): (Map<_, _>, Map<_, _>) = named.partition(|(key, _)| BESIDE.contains(&key.as_str()));
        let wrong = |error: serde_json::Error| Problem::usage(error.to_string());
        let beside: Beside = serde_json::from_value(Value::Object(beside)).map_err(wrong)?;
        let typed = Options::read(settings).map_err(Problem::usage)?;
        let (choice, options) = match (&beside.jobs, &beside.preset, beside.item) {
            (None, None, None) => (typed.choice()?, typed),
            (None, Some(name), None) => {
                let options = typed.or(preset(config, name)?);
                (options.choice()?, options)
            }
            (Some(jobs), None, None) if !typed.say_what() => {
                let (choice, of_jobs) = read_jobs(&jobs.to_string())?;
                (choice, typed.or(of_jobs))
            }
            (None, None, Some(item)) if typed == Options::default() => {
                let mut options = typed;
                options.how.urgent = true;
                (Choice::items(item.check()?), options)
            }
            (Some(_), _, _) => {
                return Err(Problem::usage("jobs says what is brought: beside it stand only options of how"));
            }
            (_, _, Some(_)) => {
                return Err(Problem::usage("item says what is brought: no other option stands beside it"));
            }
        };
        Ok(Self {
            direction,
            other: other.into(),
            choice,
            pace: options.how.pace(),
            on_conflict: beside.on_conflict.map(|default| ConflictRules { default, ..ConflictRules::default() }),
            accept_schema_changes: beside.accept_schema_changes,
            batch_size: options.how.batch_size.unwrap_or(BATCH_SIZE),
            window: options.how.window.unwrap_or(WINDOW),
            if_busy: match beside.if_busy {
                WhenBusy::Wait => IfBusy::Wait,
                WhenBusy::Refuse => IfBusy::Refuse,
            },
            on_locked: beside.on_locked,
            urgent: options.how.urgent,
            mirror: options.mirror()?,
            shares_source: false,
            started_by: started_by.into(),
        })
    }

    /// Single items, ahead of other syncs.
    pub fn of_items(
        direction: Direction,
        other: impl Into<String>,
        items: Items,
        started_by: impl Into<String>,
    ) -> Self {
        Self {
            direction,
            other: other.into(),
            choice: Choice::items(items),
            pace: Pace::default(),
            batch_size: BATCH_SIZE,
            window: WINDOW,
            if_busy: IfBusy::Wait,
            urgent: true,
            accept_schema_changes: false,
            on_locked: OnLocked::default(),
            on_conflict: None,
            mirror: None,
            shares_source: false,
            started_by: started_by.into(),
        }
    }

    /// The name of the target.
    pub fn target<'a>(&'a self, config: &'a Config) -> &'a str {
        match self.direction {
            Direction::Push => &self.other,
            Direction::Pull => &config.local,
        }
    }
}

impl ItemAsked {
    fn check(self) -> Result<Items, Problem> {
        if self.with_links > DEEPEST {
            return Err(Problem::usage(format!("item.withLinks lies between 0 and {DEEPEST}")));
        }
        Ok(Items { model: self.model, ids: self.ids, with_assets: self.with_assets, with_links: self.with_links })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use config::Environment;

    use super::*;

    fn read(settings: Value) -> Result<SyncRequest, String> {
        let text = "local = 'a'\n[instance.a]\npath = 'a'\n[preset.night]\nmodels = ['posts']\nbatch-size = 50\n";
        let config = Config::parse(text, "/etc/cockpit-sync.toml".into(), &Environment::of([])).unwrap();
        let Value::Object(settings) = settings else { panic!("{settings}") };
        SyncRequest::asked(Direction::Push, "b", settings, &config, "me").map_err(|problem| problem.message)
    }

    #[test]
    fn what_is_written_goes_before_the_preset_and_is_what_the_command_line_would_make() {
        let request = read(serde_json::json!({
            "preset": "night", "batch_size": 10, "on-conflict": "hold", "acceptSchemaChanges": true, "ifBusy": "refuse",
        }))
        .unwrap();
        assert_eq!(request.choice.models, Some(vec!["posts".to_owned()]));
        assert_eq!((request.batch_size, request.accept_schema_changes), (10, true));
        assert_eq!(request.on_conflict.unwrap().default, OnConflict::Hold);
        assert_eq!(request.if_busy, IfBusy::Refuse);
        let jobs = read(serde_json::json!({"jobs": [{"name": "assets"}], "window": 2})).unwrap();
        assert!(jobs.choice.wants(crate::Resource::Assets) && !jobs.choice.wants(crate::Resource::Content));
        assert_eq!(jobs.window, 2);
    }

    #[test]
    fn each_mistake_is_named() {
        let error = |settings| read(settings).unwrap_err();
        assert!(error(serde_json::json!({"modells": ["posts"]})).contains("modells"));
        assert!(error(serde_json::json!({"preset": "day"})).contains("there are: night"));
        assert!(error(serde_json::json!({"onLocked": "ask"})).contains("ask"));
        assert!(error(serde_json::json!({"jobs": [], "preset": "night"})).contains("jobs says"));
        assert!(error(serde_json::json!({"jobs": [{"name": "assets"}], "models": ["posts"]})).contains("jobs says"));
        assert!(error(serde_json::json!({"mirror": true, "timeLimit": "1h"})).contains("time limit"));
    }
}
