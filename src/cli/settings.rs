//! `settings`: what can be set in the config files.

use config::reference::{Setting, TABLES, Table, Usual};
use producer::Problem;
use serde_json::{Value, json};

use super::Output;

#[derive(Debug, clap::Args)]
pub struct Settings {
    /// Only of tables with this in their name: queue, instance, agent, on
    table: Option<String>,
}

impl Settings {
    pub fn run(self, output: &Output) -> Result<u8, Problem> {
        let wanted = self.table.unwrap_or_default();
        let tables: Vec<&Table> = TABLES.iter().filter(|table| table.head.contains(&wanted)).collect();
        if tables.is_empty() {
            let heads: Vec<&str> = TABLES.iter().map(|table| table.head).filter(|head| !head.is_empty()).collect();
            return Err(Problem::usage(format!("no table is called {wanted:?}; there are {}", heads.join(", "))));
        }
        let value: Vec<Value> = tables.iter().map(|table| of_table(table)).collect();
        output.print(&value, || tables.into_iter().map(text).collect::<Vec<_>>().join("\n"))?;
        Ok(0)
    }
}

fn file(table: &Table) -> &'static str {
    if table.is_of_agent() { "agent.toml" } else { "cockpit-sync.toml" }
}

fn of_table(table: &Table) -> Value {
    let of_setting = |setting: &Setting| {
        let default = match setting.default {
            Usual::Value(value) => Some(value),
            Usual::Needed | Usual::Nothing => None,
        };
        json!({
            "name": setting.name, "type": setting.kind, "needed": setting.default == Usual::Needed, "default": default,
            "meaning": setting.meaning, "example": setting.example,
        })
    };
    let settings: Vec<Value> = table.settings.iter().map(of_setting).collect();
    json!({ "file": file(table), "table": table.head, "about": table.about, "settings": settings })
}

fn text(table: &Table) -> String {
    let head = if table.head.is_empty() { "(at the top)" } else { table.head };
    let mut text = format!("{head} in {}\n  {}\n", file(table), table.about);
    for Setting { name, kind, default, meaning, .. } in &table.settings {
        let default = match default {
            Usual::Needed => ", needed".to_owned(),
            Usual::Nothing => String::new(),
            Usual::Value(value) => format!(", default {value}"),
        };
        text += &format!("  {name}: {kind}{default}\n      {meaning}\n");
    }
    text
}
