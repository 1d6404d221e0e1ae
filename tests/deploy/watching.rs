//! Alert rules and the Grafana dashboard name metrics that there are.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use regex::Regex;
use serde_json::Value;

use crate::{files, root, yaml};

/// Names in the table of docs/metrics.md, and what Prometheus makes of histograms.
fn documented() -> BTreeSet<String> {
    let rows = include_str!("../../docs/metrics.md").lines().filter(|line| line.starts_with("| `cockpit_sync_"));
    let cells = rows.map(|row| row.split('|').map(|cell| cell.trim().trim_matches('`')).collect::<Vec<_>>());
    cells
        .flat_map(|cells| match cells[2] {
            "histogram" => ["_bucket", "_sum", "_count"].map(|part| format!("{}{part}", cells[1])).to_vec(),
            _ => vec![cells[1].to_owned()],
        })
        .collect()
}

#[test]
fn every_metric_of_the_alerts_and_the_dashboard_is_documented() {
    let (documented, name) = (documented(), Regex::new("cockpit_sync_[a-z_]+").unwrap());
    for file in files("prometheus").into_iter().chain(files("grafana")) {
        let text = std::fs::read_to_string(&file).unwrap();
        for found in name.find_iter(&text) {
            assert!(documented.contains(found.as_str()), "{}: there is no {}", file.display(), found.as_str());
        }
    }
}

#[test]
fn every_alert_says_what_is_wrong_and_what_to_do() {
    for file in files("prometheus") {
        let rules = yaml::documents(&std::fs::read_to_string(file).unwrap());
        for rule in rules[0]["groups"][0]["rules"].as_array().unwrap() {
            for part in ["alert", "expr"] {
                assert!(rule[part].is_string(), "no {part}: {rule}");
            }
            for part in ["summary", "action"] {
                assert!(rule["annotations"][part].is_string(), "no {part}: {rule}");
            }
        }
    }
}

#[test]
fn every_panel_of_the_dashboard_shows_something() {
    for file in files("grafana") {
        let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        assert!(panels.len() > 8);
        for panel in panels {
            assert!(panel["targets"][0]["expr"].as_str().unwrap().contains("cockpit_sync_"), "{panel}");
        }
    }
}

/// That of the system, or the one that scripts/setup.sh took out of Debian's package.
fn promtool() -> Option<PathBuf> {
    let is_there = |path: &PathBuf| Command::new(path).arg("--version").output().is_ok();
    [PathBuf::from("promtool"), root().join("target/tools/promtool")].into_iter().find(is_there)
}

#[test]
fn promtool_accepts_the_alerts() {
    let Some(promtool) = promtool() else {
        return servers::say_skipped("promtool_accepts_the_alerts", "there is no promtool (Debian: prometheus)");
    };
    for file in files("prometheus") {
        let checked = Command::new(&promtool).args(["check", "rules"]).arg(&file).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}
