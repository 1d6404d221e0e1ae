//! `doctor`: is everything in order, and if not, what is to be done?

use std::path::Path;

use producer::{Finding, Level, Problem, ProblemKind, diagnose};
use serde_json::json;

use super::Output;
use crate::session::{Need, Session, directory_of, load_config};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 0: nothing is wrong, though something may be worth a look (warning); 1: something is \
wrong (error); 2: the config cannot be read."
)]
pub struct Doctor {
    /// Only these instances [default: all of the config]
    names: Vec<String>,
}

impl Doctor {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let config = load_config(config)?;
        let all = || config.instances.keys().cloned().collect();
        let names: Vec<String> = if self.names.is_empty() { all() } else { self.names };
        let found = match Session::open(config.clone(), Need::Look).await {
            Ok(session) => {
                let connected = Ok((&session.queue, session.redis_warnings.as_slice()));
                let found = diagnose(&names, &config, &session.directory, connected).await;
                session.close().await?;
                found
            }
            // Agents can be asked all the same.
            Err(problem) => diagnose(&names, &config, &directory_of(&config)?, Err(&problem)).await,
        };
        let worst = found.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
        output.print(&json!({ "worst": worst, "findings": found }), || in_words(&found))?;
        Ok(if worst == Level::Error { ProblemKind::Failed.exit_code() } else { 0 })
    }
}

fn in_words(found: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { about, check, level, says, todo } in found {
        let level = match level {
            Level::Ok => "ok     ",
            Level::Warning => "warning",
            Level::Error => "error  ",
        };
        text += &format!("{level}  {about} {check}: {says}\n");
        if let Some(todo) = todo {
            text += &format!("         -> {todo}\n");
        }
    }
    let count = |level| found.iter().filter(|finding| finding.level == level).count();
    text + &format!("{} errors, {} warnings, {} ok", count(Level::Error), count(Level::Warning), count(Level::Ok))
}
