//! How docs/configuration.md looks.

use std::fmt::Write;

use clap::{Args, Command};
use config::reference::{TABLES, Table, Usual, VARIABLES};
use producer::options::Options;

const HEAD: &str = "# Configuration

Every setting, with an example of each; `cockpit-sync settings` prints the same. Written by `WRITE_CONFIGURATION=1 cargo test --test deploy configuration`
from what the program says of itself; the same test reads all examples, compares types and defaults, and asks the program which settings it knows. A setting that is not here is refused by name where it is read.

`${NAME}` in any string is replaced by that variable of the environment. Relative paths in cockpit-sync.toml begin at its folder.
";

pub fn write() -> String {
    let mut page = HEAD.to_owned();
    page += "\n## cockpit-sync.toml\n";
    TABLES.iter().filter(|table| !table.is_of_agent()).for_each(|table| add(&mut page, table));
    page += "\n### `[preset.NAME]`\n\nOptions of push and pull under a name, for `--preset NAME` and schedules: [choosing.md](choosing.md).\n";
    page += "Also with `_`, or as `modifiedSince`. What takes no value on the command line is `true` here.\n\n";
    page += "| option | meaning |\n|---|---|\n";
    for (name, meaning) in options() {
        writeln!(page, "| `{name}` | {} |", cell(&meaning)).unwrap();
    }
    page += "\n## agent.toml\n\nFor `cockpit-sync agent --config FILE`.\n";
    TABLES.iter().filter(|table| table.is_of_agent()).for_each(|table| add(&mut page, table));
    page += "\n## Environment\n\nVariables that are read, besides those that a config names. Flags go before them.\n\n";
    page += "| variable | meaning |\n|---|---|\n";
    for (name, meaning) in VARIABLES {
        writeln!(page, "| `{name}` | {meaning} |").unwrap();
    }
    page +=
        "| `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` | where traces go; without: nowhere |\n";
    page += "| `HTTPS_PROXY`, `NO_PROXY` | the way to agents that are reached by https |\n";
    page
}

/// Options of push and pull that presets and schedules have, too.
pub fn options() -> Vec<(String, String)> {
    let command = Options::augment_args(Command::new("options"));
    let options = command.get_arguments().filter_map(|argument| {
        let meaning = argument.get_help().map(ToString::to_string).unwrap_or_default();
        Some((argument.get_long()?.to_owned(), meaning))
    });
    options.collect()
}

fn add(page: &mut String, table: &Table) {
    let head = table.head;
    if !head.is_empty() {
        let general = head.replace("production", "NAME").replace("content.posts", "RESOURCE.MODEL");
        let general = ["tidy", "shop", "anna", "cockpit"].iter().fold(general, |head, name| head.replace(name, "NAME"));
        write!(page, "\n### `{general}`\n").unwrap();
    }
    write!(page, "\n{}\n\n| setting | type | default | meaning | example |\n|---|---|---|---|---|\n", table.about)
        .unwrap();
    for setting in &table.settings {
        let default = match setting.default {
            Usual::Needed => "needed".to_owned(),
            Usual::Nothing => String::new(),
            Usual::Value(value) => format!("`{value}`"),
        };
        let example: Vec<String> = setting.example.lines().map(|line| format!("`{line}`")).collect();
        let (name, kind, meaning) = (setting.name, setting.kind, cell(setting.meaning));
        writeln!(page, "| `{name}` | {kind} | {default} | {meaning} | {} |", example.join("<br>")).unwrap();
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
