//! All settings, in the words of docs/configuration.md: settings.txt, read. Whether there are these and no others, is asked of
//! those who read them.

use std::sync::LazyLock;

pub struct Table {
    /// As it stands in the file.
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
    pub kind: &'static str,
    pub default: Default,
    pub meaning: &'static str,
    /// Lines of its table.
    pub example: String,
}

#[derive(PartialEq)]
pub enum Default {
    /// It has to be there, or one that can take its place.
    Needed,
    /// What this means, is said with the meaning.
    Nothing,
    /// The same as if this was written.
    Value(&'static str),
}

/// Of cockpit-sync.toml, then of agent.toml.
pub static TABLES: LazyLock<Vec<Table>> =
    LazyLock::new(|| include_str!("settings.txt").split("\n##").skip(1).map(Table::read).collect());

impl Table {
    fn read(text: &'static str) -> Self {
        let mut lines = text.lines().filter(|line| !line.is_empty());
        let head = if text.starts_with('\n') { "" } else { lines.next().unwrap().trim() };
        let about = lines.next().unwrap();
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
        let [name, kind, default, meaning, example] = cells[..] else { panic!("five cells are wanted: {row}") };
        let default = match default {
            "needed" => Default::Needed,
            "" => Default::Nothing,
            value => Default::Value(value.trim_matches('`')),
        };
        let example = example.trim_matches('`').replace("`<br>`", "\n");
        Self { name: name.trim_matches('`'), kind, default, meaning, example }
    }

    /// A value of another type.
    pub fn wrong(&self) -> &'static str {
        if self.kind == "true or false" { "7" } else { "true" }
    }

    fn is_number(&self) -> bool {
        self.kind == "number" || self.kind.starts_with(|letter: char| letter.is_ascii_digit())
    }

    /// Whether a value is of the type that is said, as far as TOML knows types.
    pub fn fits(&self, value: &toml::Value) -> bool {
        match value {
            toml::Value::Boolean(_) => self.kind == "true or false",
            toml::Value::Integer(_) => self.is_number(),
            toml::Value::Array(_) => self.kind.starts_with("list of ") || self.kind.ends_with(", or a list"),
            toml::Value::Table(_) => self.kind == "table" || self.kind.contains("the table "),
            toml::Value::String(_) => {
                !self.is_number()
                    && !self.kind.starts_with("list of ")
                    && !["true or false", "table"].contains(&self.kind)
            }
            _ => false,
        }
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
