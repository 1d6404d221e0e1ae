//! Why a run waits or what it does, in one sentence for a person.

use crate::{Queue, Result, RunState, RunView, WorkerView};

impl Queue {
    /// One sentence. Starts with `no worker knows X` when that is what is missing.
    pub async fn explain(&self, run: &str) -> Result<String> {
        let view = self.run(run).await?;
        let workers = self.workers().await?;
        let before = if view.state == RunState::Waiting { self.holder(&view.target).await? } else { None };
        Ok(sentence(&view, &workers, before.as_ref()))
    }

    /// The run that holds a target.
    pub async fn holder(&self, target: &str) -> Result<Option<RunView>> {
        Ok(self.live_runs().await?.into_iter().find(|view| view.target == target && view.lease_id.is_some()))
    }
}

fn sentence(view: &RunView, workers: &[WorkerView], holder: Option<&RunView>) -> String {
    if view.state.is_final() {
        let because = view.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        let by = view.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        return format!("it is {}{by}{because}", view.state.as_str().replace('_', " with items "));
    }
    if let Some(missing) = missing(view, workers) {
        return missing;
    }
    match (view.state, holder) {
        (RunState::Waiting, Some(holder)) => format!(
            "{} {}: run {} from {} holds it ({}, stage {}, {} jobs left{}); it is number {} in line",
            if view.yielded { "it made room for an urgent run and waits to go on at" } else { "it waits for" },
            view.target,
            holder.id,
            holder.source,
            holder.state,
            holder.stage,
            holder.depth.open(),
            turn(holder).map(|turn| format!("; it {turn}")).unwrap_or_default(),
            view.position.unwrap_or_default(),
        ),
        (RunState::Waiting, None) => {
            format!("it is number {} in line for {}", view.position.unwrap_or_default(), view.target)
        }
        (RunState::Paused, _) => {
            format!("it is paused; {} jobs are left, {} still run", view.depth.open(), view.depth.claimed)
        }
        (RunState::Stalled, _) => {
            "its workers stopped giving signs of life; one that knows the run goes on with it".into()
        }
        (RunState::Ending, _) => "it is ending: its close job is the last thing to do".into(),
        _ => match turn(view) {
            Some(turn) => format!("it {turn}; {}", working(view)),
            None => working(view),
        },
    }
}

/// What is special about the turn of a run that holds its target.
fn turn(view: &RunView) -> Option<String> {
    let seconds = |time: std::time::Duration| time.as_secs_f64();
    if view.state != RunState::Running {
        return None;
    }
    if view.urgent {
        return Some("is urgent".into());
    }
    if let Some(left) = view.yields_within {
        let claimed = view.depth.claimed;
        return Some(format!("makes room for an urgent run: {claimed} jobs may finish within {:.1} s", seconds(left)));
    }
    let left = view.keeps_for?;
    Some(format!("has its turn back and keeps it for {:.1} s, whatever is urgent", seconds(left)))
}

fn missing(view: &RunView, workers: &[WorkerView]) -> Option<String> {
    if workers.is_empty() {
        return Some(format!("no worker knows {}: no worker is alive", view.requires.join(" and ")));
    }
    if workers.iter().any(|worker| view.requires.iter().all(|name| worker.instances.contains(name))) {
        return None;
    }
    let unknown: Vec<&str> = view
        .requires
        .iter()
        .filter(|name| !workers.iter().any(|worker| worker.instances.contains(name)))
        .map(String::as_str)
        .collect();
    Some(if unknown.is_empty() {
        format!("no worker knows {} together; some know one of them", view.requires.join(" and "))
    } else {
        format!("no worker knows {}; {} are alive", unknown.join(" or "), workers.len())
    })
}

fn working(view: &RunView) -> String {
    let depth = view.depth;
    if let Some(rest) = view.rests_for {
        let error = view.last_error.as_deref().unwrap_or("it asked to be left alone");
        let seconds = rest.as_secs_f64();
        return format!(
            "{} is throttled and gets nothing for {seconds:.1} s, then {} of {} jobs at a time ({error}); {} left",
            view.target,
            view.window_now,
            view.window,
            depth.open()
        );
    }
    if depth.claimed == 0 && depth.ready == 0 && depth.delayed > 0 {
        let error = view.last_error.as_deref().unwrap_or("they were put off");
        return format!("in stage {} {} jobs wait to be tried again ({error})", view.stage, depth.delayed);
    }
    let fewer = if view.window_now < view.window {
        format!("; {} was slow or refused jobs and gets {} of {} at a time", view.target, view.window_now, view.window)
    } else {
        String::new()
    };
    if depth.claimed == 0 && depth.ready > 0 {
        return format!("in stage {} {} jobs are ready, but all workers are busy{fewer}", view.stage, depth.ready);
    }
    format!("it runs stage {}: {} jobs at work, {} left{fewer}", view.stage, depth.claimed, depth.open())
}
