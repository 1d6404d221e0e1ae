//! What can be set in the two config files, for people: `cockpit-sync settings` prints it, and docs/configuration.md is made of it.
//!
//! Whether there are these settings and no others, of these types and with these defaults, a test asks of those who read configs.

use std::sync::LazyLock;

/// One of the tables of a config, or what stands before them.
pub struct Table {
    /// As it stands in the file: `[queue]`.
    pub head: &'static str,
    pub about: &'static str,
    /// Lines before the head that it is nothing without.
    pub before: String,
    /// Lines that an example is not complete without.
    pub needs: String,
    pub settings: Vec<Setting>,
}

pub struct Setting {
    pub name: &'static str,
    /// Its type, in words.
    pub kind: &'static str,
    pub default: Usual,
    pub meaning: &'static str,
    /// Lines of its table.
    pub example: String,
}

/// What holds where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Usual {
    /// It has to be there, or one that can take its place.
    Needed,
    /// What this means, is said with the meaning.
    Nothing,
    /// The same as if this was written.
    Value(&'static str),
}

/// Of cockpit-sync.toml, then of agent.toml.
pub static TABLES: LazyLock<Vec<Table>> =
    LazyLock::new(|| include_str!("reference/settings.txt").split("\n##").skip(1).map(Table::read).collect());

impl Table {
    fn read(text: &'static str) -> Self {
        let mut lines = text.lines().filter(|line| !line.is_empty());
        let head = if text.starts_with('\n') { "" } else { lines.next().unwrap_or_default().trim() };
        let about = lines.next().unwrap_or_default();
        let marked = |mark: &str| -> String {
            let lines = text.lines().filter_map(|line| line.strip_prefix(mark));
            lines.map(|line| format!("{line}\n")).collect()
        };
        let settings = text.lines().filter_map(|line| line.strip_prefix("| ")).map(Setting::read).collect();
        Self { head, about, before: marked("< "), needs: marked("> "), settings }
    }

    /// What agent.toml has: `[agent]`, and what stands below it.
    pub fn is_of_agent(&self) -> bool {
        self.head.contains("[agent")
    }
}

impl Setting {
    fn read(row: &'static str) -> Self {
        let cells: Vec<&str> = row.trim_end_matches(" |").splitn(5, " | ").map(str::trim).collect();
        let [name, kind, default, meaning, example] = cells[..] else { unreachable!("a row has five cells: {row}") };
        let default = match default {
            "needed" => Usual::Needed,
            "" => Usual::Nothing,
            value => Usual::Value(value.trim_matches('`')),
        };
        let example = example.trim_matches('`').replace("`<br>`", "\n");
        Self { name: name.trim_matches('`'), kind, default, meaning, example }
    }
}

/// Variables of the environment, what they stand for.
pub const VARIABLES: &[(&str, &str)] = &[
    ("COCKPIT_SYNC_CONFIG", "the config, where no `--config` is given; without: `cockpit-sync.toml` in this folder"),
    ("COCKPIT_SYNC_KEY", "of an agent: a key it accepts"),
    ("COCKPIT_SYNC_LOG", "as `--log`: level and channels of the log"),
    ("COCKPIT_SYNC_LOG_FORMAT", "as `--log-format`: text or json"),
    ("COCKPIT_SYNC_METRICS_TOKEN", "of worker and `serve`: who has it may look at /metrics from elsewhere"),
];
