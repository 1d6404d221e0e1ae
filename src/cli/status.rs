//! `status`: per target, who holds it, how far it is and what waits.

use std::path::Path;

use producer::{Problem, RunReport, depth, report};
use queue::{Depth, RunState};
use serde_json::json;

use super::Output;
use super::table::{bytes, short, table};
use crate::session::{Need, Session, load_config};

#[derive(Debug, clap::Args)]
pub struct Status {
    /// Only this target
    target: Option<String>,
}

impl Status {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let session = Session::open(load_config(config)?, Need::Look).await?;
        let runs = session.queue.runs(200).await?;
        let mut names: Vec<String> = session.config.instances.keys().cloned().collect();
        names.extend(session.queue.targets().await?);
        names.sort();
        names.dedup();
        names.retain(|name| self.target.as_ref().is_none_or(|wanted| wanted == name));
        let mut targets = Vec::new();
        let mut depths: Vec<Depth> = Vec::new();
        for name in names {
            let of_target = runs.iter().filter(|view| view.target == name);
            let (ended, live): (Vec<_>, Vec<_>) = of_target.partition(|view| view.state.is_final());
            let (waiting, holding): (Vec<_>, Vec<_>) =
                live.into_iter().partition(|view| view.state == RunState::Waiting);
            let target_depth = session.queue.depth(&name).await?;
            depths.push(target_depth);
            targets.push(Target {
                name,
                holder: holding.first().map(|view| report(view)),
                waiting: waiting.into_iter().map(report).collect(),
                last: ended.first().map(|view| report(view)),
                depth: target_depth,
            });
        }
        let workers = session.queue.workers().await?.len();
        let all = Depth::sum(depths.into_iter());
        let value = json!({
            "syncing": targets.iter().any(|target| target.holder.is_some()),
            "workers": workers,
            "depth": depth(&all),
            "targets": targets.iter().map(Target::json).collect::<Vec<_>>(),
        });
        output.print(&value, || in_words(&targets, workers))?;
        session.close().await?;
        Ok(0)
    }
}

struct Target {
    name: String,
    holder: Option<RunReport>,
    waiting: Vec<RunReport>,
    last: Option<RunReport>,
    depth: Depth,
}

impl Target {
    fn json(&self) -> serde_json::Value {
        json!({
            "target": self.name, "holder": self.holder, "waiting": self.waiting, "lastSync": self.last,
            "window": self.holder.as_ref().map(|run| run.window), "depth": depth(&self.depth),
        })
    }
}

fn in_words(targets: &[Target], workers: usize) -> String {
    let mut rows = table(&["target", "now", "items", "written", "jobs left", "waiting", "last sync"]);
    for target in targets {
        let (now, items, written) = match &target.holder {
            Some(run) => (
                format!("{} {} {} ({})", run.direction, run.state, run.stage, short(&run.run)),
                format!("{}/{}", run.items, run.items_total),
                bytes(run.bytes),
            ),
            None => ("idle".into(), String::new(), String::new()),
        };
        let last = target.last.as_ref().map_or_else(
            || "never".into(),
            |run| format!("{} {}", run.state, run.finished.as_deref().unwrap_or_default()),
        );
        let (left, waiting) = (target.depth.open().to_string(), target.waiting.len().to_string());
        rows.add_row([target.name.clone(), now, items, written, left, waiting, last]);
    }
    format!("{rows}\n{workers} workers alive")
}
