//! What agents wrote down: who wrote, what was refused, asked of the instance's own agent.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use protocol::audit::Entry;
use serde::Deserialize;

use super::words;
use super::{Shell, page};
use crate::access::Caller;
use crate::state::Shared;

/// Entries that are shown.
const SHOWN: u32 = 100;
/// And characters of the reason of each.
const WHY: usize = 200;

#[derive(Template)]
#[template(path = "audit.html")]
struct Audit {
    shell: Shell,
    instances: Vec<Choice>,
    problem: Option<String>,
    entries: Vec<Row>,
}

struct Choice {
    name: String,
    is_chosen: bool,
}

struct Row {
    number: u64,
    time: String,
    what: String,
    who: String,
    from: String,
    counts: String,
    why: String,
    run: String,
    short: String,
}

#[derive(Deserialize)]
pub struct Wanted {
    of: Option<String>,
}

pub async fn show(State(shared): State<Shared>, caller: Caller, Query(wanted): Query<Wanted>) -> Response {
    let of = wanted.of.unwrap_or_else(|| first(&shared.config));
    let instances = shared.config.instances.keys().map(|name| Choice { name: name.clone(), is_chosen: *name == of });
    let (entries, problem) = match producer::audit(&shared.directory, &of, SHOWN).await {
        Ok(entries) => (entries, None),
        Err(problem) => (Vec::new(), Some(problem.message)),
    };
    page(&Audit {
        shell: Shell::new(&caller, "/audit", "Audit log"),
        instances: instances.collect(),
        problem,
        entries: entries.into_iter().rev().map(Row::of).collect(),
    })
}

/// The first that is written to.
fn first(config: &config::Config) -> String {
    let other = config.instances.iter().find(|(name, instance)| **name != config.local && instance.push);
    other.map_or_else(|| config.local.clone(), |(name, _)| name.clone())
}

impl Row {
    fn of(entry: Entry) -> Self {
        let key = entry.key.as_ref().map(|key| format!("key {key}"));
        let counts: Vec<String> = entry.counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let run = entry.run.unwrap_or_default();
        Self {
            number: entry.number,
            time: words::time(&entry.time),
            what: entry.action.to_string(),
            who: [entry.user, key].into_iter().flatten().collect::<Vec<_>>().join(", "),
            from: entry.address.unwrap_or_default(),
            counts: counts.join(", "),
            why: words::cut(entry.reason.unwrap_or_default(), WHY),
            short: words::short(&run).into(),
            run,
        }
    }
}
