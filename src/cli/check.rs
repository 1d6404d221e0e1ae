//! `check`: are the agents there, do they accept our keys, who may write.

use std::path::Path;

use producer::{Problem, check_report};
use protocol::api::Manifest;

use super::Output;
use crate::session::{Need, Session, load_config};

#[derive(Debug, clap::Args)]
pub struct Check {
    /// Only these instances [default: all of the config]
    names: Vec<String>,
}

impl Check {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let session = Session::open(load_config(config)?, Need::Look).await?;
        let all: Vec<String> = session.config.instances.keys().cloned().collect();
        let names = if self.names.is_empty() { all } else { self.names };
        let mut found = Vec::new();
        for name in names {
            let answer = producer::check(&session.directory, &name).await;
            found.push((name, answer));
        }
        session.close().await?;
        let value: Vec<_> = found.iter().map(|(name, answer)| check_report(name, answer)).collect();
        output.print(&value, || {
            let lines: Vec<String> = found.iter().map(|(name, answer)| in_words(name, answer)).collect();
            lines.join("\n")
        })?;
        let worst =
            found.iter().filter_map(|(_, answer)| answer.as_ref().err()).map(|problem| problem.kind.exit_code());
        Ok(worst.max().unwrap_or(0))
    }
}

fn in_words(name: &str, answer: &Result<Manifest, Problem>) -> String {
    let manifest = match answer {
        Ok(manifest) => manifest,
        Err(problem) => return format!("{name}: {}", problem.message),
    };
    let items: u64 = manifest.models.iter().map(|model| model.items).sum();
    let version = manifest.cockpit_version.as_deref().unwrap_or("of unknown version");
    let mut text = format!(
        "{name}: ok, Cockpit {version}, agent {}, {} models with about {items} items, {} assets",
        manifest.agent_version,
        manifest.models.len(),
        manifest.assets
    );
    if manifest.read_only {
        text += ", read only";
    }
    if let Some(grant) = &manifest.grant {
        text += &format!("\n  being written to by {}", grant.holder);
    }
    if let Some(lock) = &manifest.sync_lock {
        text += &format!("\n  Cockpit's own sync holds it: {} since {} s", lock.path, lock.age_seconds);
    }
    for warning in &manifest.warnings {
        text += &format!("\n  {warning}");
    }
    text
}
