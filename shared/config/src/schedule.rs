//! `[[schedule]]`: what runs by itself, and when. Owns the shape, and that the instances are there and may be synced; who
//! fires schedules knows the words of times and options.

use std::collections::{BTreeMap, BTreeSet};

use protocol::run::Direction;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Instance, preset};

/// One `[[schedule]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    pub name: String,
    /// Five fields, or six with seconds first.
    pub cron: String,
    /// The name of the time zone that `cron` is meant in.
    pub time_zone: String,
    pub direction: Direction,
    /// The instance to push to, or to pull from.
    pub other: String,
    pub catch_up: CatchUp,
    pub overlap: Overlap,
    /// Each tick is late by up to so much; in words.
    pub jitter: Option<String>,
    /// The target's name, where it is protected and something is deleted there.
    pub yes_i_mean: Option<String>,
    /// What is brought, and how: as in presets, and what else push and pull take.
    pub options: Map<String, Value>,
}

/// What becomes of ticks at which nobody was there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    #[default]
    None,
    /// The last one of them is fired late.
    Once,
}

/// What becomes of a tick while the last run of the schedule is not over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    #[default]
    Skip,
    /// It gets in line.
    Queue,
}

/// Everything but the name. Keys that are not here are options.
#[derive(Deserialize)]
struct Entry {
    cron: String,
    #[serde(default = "utc")]
    time_zone: String,
    push: Option<String>,
    pull: Option<String>,
    #[serde(default)]
    catch_up: CatchUp,
    #[serde(default)]
    overlap: Overlap,
    jitter: Option<String>,
    yes_i_mean: Option<String>,
    #[serde(flatten)]
    options: toml::Table,
}

fn utc() -> String {
    "UTC".into()
}

pub fn check(
    tables: Vec<toml::Table>,
    local: &str,
    instances: &BTreeMap<String, Instance>,
) -> Result<Vec<Schedule>, String> {
    let mut names = BTreeSet::new();
    let mut schedules = Vec::new();
    for (number, mut table) in (1..).zip(tables) {
        let Some(toml::Value::String(name)) = table.remove("name") else {
            return Err(format!("[[schedule]] number {number} has no name: give it one, as text"));
        };
        let name_is_sound = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !name_is_sound {
            return Err(format!("[[schedule]] {name:?}: names take letters, digits, '-' and '_'"));
        }
        if !names.insert(name.clone()) {
            return Err(format!("[[schedule]] {name}: there is another one of this name"));
        }
        let schedule = Schedule::check(name.clone(), table, local, instances);
        schedules.push(schedule.map_err(|problem| format!("[[schedule]] {name}: {problem}"))?);
    }
    Ok(schedules)
}

impl Schedule {
    fn check(
        name: String,
        table: toml::Table,
        local: &str,
        instances: &BTreeMap<String, Instance>,
    ) -> Result<Self, String> {
        let entry: Entry = table.try_into().map_err(|error: toml::de::Error| error.to_string().trim().to_owned())?;
        let (direction, other) = match (entry.push, entry.pull) {
            (Some(target), None) => (Direction::Push, target),
            (None, Some(source)) => (Direction::Pull, source),
            _ => return Err("give either push = \"INSTANCE\" or pull = \"INSTANCE\"".into()),
        };
        let Some(instance) = instances.get(&other).filter(|_| other != local) else {
            let known: Vec<&str> = instances.keys().map(String::as_str).filter(|name| *name != local).collect();
            return Err(format!("{direction} = {other:?} names no other instance; there are: {}", known.join(", ")));
        };
        let is_allowed = if direction == Direction::Push { instance.push } else { instance.pull };
        if !is_allowed {
            return Err(format!(
                "{direction} = {other:?} is not allowed: set {direction} = true in [instance.{other}]"
            ));
        }
        let target = if direction == Direction::Push { &other } else { local };
        if let Some(given) = entry.yes_i_mean.as_deref().filter(|given| *given != target) {
            return Err(format!("yes_i_mean = {given:?} is not the name of its target, {target}"));
        }
        Ok(Self {
            name,
            cron: entry.cron,
            time_zone: entry.time_zone,
            direction,
            other,
            catch_up: entry.catch_up,
            overlap: entry.overlap,
            jitter: entry.jitter,
            yes_i_mean: entry.yes_i_mean,
            options: preset::settings(entry.options),
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::{Config, Environment};

    const INSTANCES: &str = "local = 'a'\n[instance.a]\npath = 'a'\n[instance.b]\npath = 'b'\npush = true\n";

    fn parse(schedules: &str) -> Result<Vec<Schedule>, String> {
        let text = format!("{INSTANCES}{schedules}");
        let config = Config::parse(&text, "/etc/cs/cockpit-sync.toml".into(), &Environment::of([]));
        config.map(|config| config.schedules).map_err(|error| error.to_string())
    }

    #[test]
    fn a_schedule_has_its_own_keys_and_all_others_are_options() {
        let schedules = parse(
            "[[schedule]]\nname = 'nightly'\ncron = '0 3 * * *'\npush = 'b'\npreset = 'night'\nmodified-since = '2 days ago'\n\
             [[schedule]]\nname = 'often'\ncron = '*/5 * * * *'\ntime_zone = 'Europe/Paris'\npush = 'b'\ncatch_up = 'once'\n\
             overlap = 'queue'\njitter = '30s'\nyes_i_mean = 'b'\nmirror = true\n",
        )
        .unwrap();
        let [nightly, often] = &schedules[..] else { panic!("{schedules:?}") };
        assert_eq!(
            (nightly.time_zone.as_str(), nightly.direction, nightly.other.as_str()),
            ("UTC", Direction::Push, "b")
        );
        assert_eq!((nightly.catch_up, nightly.overlap, &nightly.jitter), (CatchUp::None, Overlap::Skip, &None));
        assert_eq!(nightly.options.keys().map(String::as_str).collect::<Vec<_>>(), ["modified-since", "preset"]);
        assert_eq!((often.catch_up, often.overlap), (CatchUp::Once, Overlap::Queue));
        assert_eq!(often.options["mirror"], Value::Bool(true));
    }

    #[test]
    fn each_mistake_names_the_schedule_and_the_key() {
        let error = |text: &str| {
            let problem = parse(&format!("[[schedule]]\n{text}")).unwrap_err();
            problem.split_once("[[schedule]] ").unwrap_or_else(|| panic!("{problem}")).1.to_owned()
        };
        let nightly = "name = 'n'\ncron = '0 3 * * *'\npush = 'b'\n";
        assert!(error("cron = '0 3 * * *'\npush = 'b'").starts_with("number 1 has no name"));
        assert!(error(&nightly.replace("'n'", "'a b'")).contains("names take"));
        assert!(error(&format!("{nightly}[[schedule]]\n{nightly}")).contains("n: there is another one"));
        assert!(error("name = 'n'\npush = 'b'").contains("`cron`"));
        for (key, wrong) in [("catch_up", "'twice'"), ("overlap", "'wait'"), ("jitter", "10")] {
            let problem = error(&format!("{nightly}{key} = {wrong}"));
            assert!(problem.starts_with("n: ") && problem.contains(key), "{problem}");
        }
        assert!(error(&format!("{nightly}pull = 'b'")).contains("either push"));
        assert!(error(&nightly.replace("'b'", "'c'")).contains("there are: b"));
        assert!(error(&nightly.replace("'b'", "'a'")).contains("no other instance"));
        assert!(error("name = 'n'\ncron = 'x'\npull = 'b'").contains("set pull = true in [instance.b]"));
        assert!(error(&format!("{nightly}yes_i_mean = 'a'")).contains("yes_i_mean"));
    }
}
