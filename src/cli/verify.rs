//! `verify` and `drift`: whether two instances hold the same. Exit code 7 says that they do not.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use producer::options::What;
use producer::{BATCH_SIZE, Extras, Problem, SyncRequest, Verification, WINDOW, now, utc, verification};
use protocol::drift::Drift;
use protocol::event;
use protocol::pace::Pace;
use protocol::run::{Direction, OnLocked};
use queue::{IfBusy, Queue};
use serde_json::{Map, json};

use super::Output;
use super::table::table;
use crate::session::{Need, Session, load_config};

/// Differences were found.
pub const DIFFERENCES: u8 = 7;
/// Nothing differs, but something could not be compared.
const HELD: u8 = 3;

#[derive(Debug, Args)]
pub struct Verify {
    /// The instance to compare the local one with
    instance: String,
    #[command(flatten)]
    what: What,
}

/// So long metrics and the dashboard tell what was found.
const DRIFT_IS_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl Verify {
    /// Whether the other instance has everything that the local one has, the same. It may have more.
    pub async fn verify(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let found = self.compare(Extras::Counted, config).await?;
        print(&found, output)?;
        Ok(match (found.verified, found.counts.held) {
            (false, _) => DIFFERENCES,
            (true, 0) => 0,
            (true, _) => HELD,
        })
    }

    /// Whether both hold the same and nothing else.
    pub async fn drift(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let found = self.compare(Extras::Named, config).await?;
        print(&found, output)?;
        Ok(if found.equal { 0 } else { DIFFERENCES })
    }

    async fn compare(self, extras: Extras, config: Option<&Path>) -> Result<Verification, Problem> {
        let request = SyncRequest {
            direction: Direction::Push,
            other: self.instance,
            choice: self.what.choice()?,
            pace: Pace::default(),
            on_conflict: None,
            accept_schema_changes: false,
            batch_size: BATCH_SIZE,
            window: WINDOW,
            if_busy: IfBusy::Wait,
            on_locked: OnLocked::default(),
            urgent: false,
            mirror: None,
            shares_source: false,
            started_by: super::person(),
        };
        let session = Session::open(load_config(config)?, Need::Look).await?;
        let found = verification(&request, extras, &session.config, &session.directory).await;
        if let Ok(found) = &found {
            keep(&session.queue, found, extras, &request.started_by).await?;
            if extras == Extras::Named && !found.equal {
                tell(&session.queue, found, &request.started_by).await;
            }
        }
        session.close().await?;
        found
    }
}

/// Whoever wants to know hears that both differ.
async fn tell(queue: &Queue, found: &Verification, who: &str) {
    let place = |name: &str| json!({ "name": name });
    let about = Map::from_iter([
        ("source".to_owned(), place(&found.source)),
        ("target".to_owned(), place(&found.target)),
        ("counts".to_owned(), json!(found.counts)),
        ("started_by".to_owned(), who.into()),
    ]);
    if let Err(error) = queue.announce(event::DRIFT_FOUND, &about).await {
        tracing::warn!(%error, "that both differ could not be told to others");
    }
}

/// Workers and the dashboard show it: alerts need to know, and nobody else compares between syncs.
async fn keep(queue: &Queue, found: &Verification, extras: Extras, who: &str) -> Result<(), Problem> {
    let counts = &found.counts;
    let extra = if extras == Extras::Named { counts.extra } else { 0 };
    let drift = Drift {
        source: found.source.clone(),
        differ: counts.different + counts.missing + extra,
        at: utc(now()),
        by: who.to_owned(),
    };
    Ok(queue.keep(&Drift::name(&found.target), &drift.encode(), DRIFT_IS_KEPT).await?)
}

fn print(found: &Verification, output: &Output) -> Result<(), Problem> {
    output.print(found, || in_words(found))
}

fn in_words(found: &Verification) -> String {
    let Verification { source, target, counts, .. } = found;
    let mut rows = table(&["", "same", "different", &format!("not on {target}"), &format!("only on {target}"), "held"]);
    let mut names = String::new();
    for (resource, models) in &found.resources {
        for (model, verified) in models {
            let name = if resource == model { resource.clone() } else { format!("{resource} {model}") };
            for named in &verified.named {
                names += &format!("{name} {}: {}\n", named.identity, named.difference);
            }
            let counts = verified.counts;
            let numbers = [counts.same, counts.different, counts.missing, counts.extra, counts.held];
            rows.add_row(std::iter::once(name).chain(numbers.map(|number| number.to_string())));
        }
    }
    let end = match (found.equal, found.verified) {
        (true, _) => format!("{source} and {target} hold the same: {} items", counts.same),
        (false, true) => format!("{target} has everything that {source} has, and {} items more", counts.extra),
        (false, false) => format!(
            "{target} is not as {source}: {} items are different, {} are not there",
            counts.different, counts.missing
        ),
    };
    format!("{names}{rows}\n{end}")
}
