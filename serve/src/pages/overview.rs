//! The first page: each target, what needs attention first, and who works. Made of what the monitor remembers, so it costs
//! the same however much there is in the history.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use producer::schedules::ScheduleReport;
use producer::{NotificationReport, RunReport, Status, TargetStatus, now, utc};
use protocol::drift::Drift;
use queue::{RunState, TickOutcome};

use super::chart::Chart;
use super::words::{self, Mark};
use super::{Shell, page};
use crate::access::Caller;
use crate::hooks::Trouble;
use crate::monitor::{Health, Outlook};
use crate::state::Shared;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    shell: Shell,
    problem: Option<String>,
    attention: Vec<Attention>,
    targets: Vec<Target>,
    schedules: Vec<Schedule>,
    workers: Vec<Worker>,
}

/// Something that somebody should look at.
#[derive(Debug, PartialEq)]
struct Attention {
    mark: Mark,
    subject: String,
    path: Option<String>,
    message: String,
}

struct Target {
    name: String,
    health: Mark,
    holder: Option<Holder>,
    waiting: usize,
    last: Option<Last>,
    compared: Option<String>,
    depth: String,
    chart: Option<Chart>,
}

/// The run that has the target.
struct Holder {
    run: String,
    short: String,
    mark: Mark,
    direction: String,
    source: String,
    stage: String,
    percent: u64,
    items: String,
    total: String,
    bytes: String,
    rate: String,
    eta: String,
    lease: String,
}

struct Last {
    run: String,
    mark: Mark,
    direction: String,
    source: String,
    finished: String,
}

struct Schedule {
    name: String,
    what: String,
    next: String,
    last: Option<Tick>,
    missed: Option<String>,
}

struct Tick {
    mark: Mark,
    at: String,
    run: Option<String>,
}

struct Worker {
    host: String,
    pid: u32,
    busy: usize,
    slots: u32,
    instances: String,
}

pub async fn show(State(shared): State<Shared>, caller: Caller) -> Response {
    let shell = Shell::new(&caller, "/", "Overview");
    page(&shared.monitor.read(|outlook| Overview::of(outlook, shell)))
}

impl Overview {
    fn of(outlook: &Outlook, shell: Shell) -> Self {
        let looking = outlook.status.is_none().then(|| "The first look is still on its way.".to_owned());
        let away = outlook.problem.as_ref().map(|problem| format!("What stands here is old: {problem}"));
        let status = outlook.status.as_deref();
        let targets = status.map(|status| status.targets.as_slice()).unwrap_or_default();
        let alive = status.map(|status| status.alive.as_slice()).unwrap_or_default();
        Self {
            shell,
            problem: away.or(looking),
            attention: attention(outlook),
            targets: targets.iter().map(|target| Target::of(target, outlook)).collect(),
            schedules: outlook.schedules.iter().map(Schedule::of).collect(),
            workers: alive
                .iter()
                .map(|worker| Worker {
                    host: worker.host.clone(),
                    pid: worker.pid,
                    busy: worker.holds.len(),
                    slots: worker.slots,
                    instances: worker.instances.join(", "),
                })
                .collect(),
        }
    }
}

impl Target {
    fn of(target: &TargetStatus, outlook: &Outlook) -> Self {
        let place = |name: &str| target.depth.get(name).map(ToString::to_string).unwrap_or_default();
        let name = &target.target;
        let jobs = |open: f64| format!("{open:.0} jobs");
        let chart = outlook
            .depth
            .get(name)
            .and_then(|series| Chart::new(format!("depth-{name}"), "Open jobs".into(), &series.points(), jobs));
        Self {
            health: health(outlook.health.get(name)),
            holder: Holder::of(target),
            waiting: target.waiting.len(),
            last: target.last_sync.as_ref().map(|last| Last {
                run: last.run.clone(),
                mark: Mark::of_state(last.state),
                direction: last.direction.clone(),
                source: last.source.clone(),
                finished: last.finished.as_deref().map(words::time).unwrap_or_default(),
            }),
            compared: target.drift.as_ref().map(compared),
            depth: format!(
                "{} in the backlog, {} ready, {} claimed, {} delayed, {} dead",
                place("backlog"),
                place("ready"),
                place("claimed"),
                place("delayed"),
                place("dead")
            ),
            chart,
            name: name.clone(),
        }
    }
}

impl Schedule {
    fn of(report: &ScheduleReport) -> Self {
        Self {
            name: report.schedule.clone(),
            what: format!("{} {}, {}", report.direction, report.instance, report.cron),
            missed: report.missed.as_ref().map(|last| {
                let tick = last.tick.as_deref().map(words::time).unwrap_or_default();
                format!("{} missed so far, the last one that of {tick}", words::number(report.missed_total))
            }),
            next: report.next.as_deref().map_or_else(|| "never again".into(), words::time),
            last: report.last.as_ref().map(|tick| Tick {
                mark: match (tick.outcome, tick.state) {
                    (TickOutcome::Missed, _) => Mark::new("missed", "bad"),
                    (TickOutcome::Skipped, _) => Mark::new("skipped", "warn"),
                    (TickOutcome::Run, Some(state)) => Mark::of_state(state),
                    (TickOutcome::Run, None) => Mark::new("run", ""),
                },
                at: words::time(&tick.at),
                run: tick.run.clone(),
            }),
        }
    }
}

/// A schedule that did not do what it was to do: what was missed is said for a day, and until the next tick.
fn of_schedule(report: &ScheduleReport, a_day_ago: &str) -> Option<Attention> {
    let is_last = report.last.as_ref().is_some_and(|last| last.outcome == TickOutcome::Missed);
    let message = match (&report.overdue, &report.missed) {
        (Some(since), _) => format!("was due {}, and no scheduler has seen to it", words::time(since)),
        (None, Some(tick)) if is_last || tick.at.as_str() > a_day_ago => {
            let why = tick.why.as_deref().unwrap_or("nobody was there");
            format!("missed {} times, the last time {}: {why}", tick.count.unwrap_or(1), words::time(&tick.at))
        }
        _ => return None,
    };
    let subject = format!("schedule {}", report.schedule);
    Some(Attention { mark: Mark::new("missed", "bad"), subject, path: None, message })
}

fn of_hook(trouble: &Trouble) -> Attention {
    let Trouble { saved, error, at, again } = trouble;
    let what = format!("{} {}", saved.model, saved.item.as_deref().unwrap_or_default());
    let (mark, then) = match again {
        true => (Mark::new("not pushed yet", "warn"), "it is tried again"),
        false => (Mark::new("not pushed", "bad"), "it is not tried again"),
    };
    let message = format!("{}: {error} ({}; {then})", what.trim_end(), words::time(at));
    Attention { mark, subject: format!("hook {}", saved.hook), path: Some("/events".into()), message }
}

fn of_notification(report: &NotificationReport) -> Option<Attention> {
    let error = report.last_error.as_deref().unwrap_or_default();
    let message = format!("{} given up: {error}", words::number(report.dead));
    let subject = format!("notification {}", report.name);
    let dead = || Attention { mark: Mark::new("not brought", "bad"), subject, path: Some("/dead".into()), message };
    (report.dead > 0).then(dead)
}

impl Holder {
    fn of(target: &TargetStatus) -> Option<Self> {
        let (run, progress) = (target.holder.as_ref()?, target.progress.as_ref()?);
        let rate = format!(
            "{:.0} items and {} a second",
            progress.items_per_second,
            words::bytes(progress.bytes_per_second as u64)
        );
        let lease = target.lease.as_ref().map(|lease| {
            format!("for {}, renewed {} times", words::seconds(lease.seconds), words::number(lease.renewals))
        });
        Some(Self {
            run: run.run.clone(),
            short: words::short(&run.run).into(),
            mark: Mark::of_state(run.state),
            direction: run.direction.clone(),
            source: run.source.clone(),
            stage: format!("stage {}", run.stage),
            percent: percent(run),
            items: words::number(run.items),
            total: words::number(run.items_total),
            bytes: words::bytes(run.bytes),
            rate,
            eta: progress.eta_seconds.map_or_else(|| "nothing moves".into(), words::seconds),
            lease: lease.unwrap_or_else(|| "no lease: no worker is alive".into()),
        })
    }
}

/// How far a run is. What was counted when it was made is about so much, so only the end is 100.
pub fn percent(run: &RunReport) -> u64 {
    match (run.state, run.items_total) {
        (RunState::Finished | RunState::FinishedHeld, _) => 100,
        (_, 0) => 0,
        (_, total) => (run.items.saturating_mul(100) / total).min(99),
    }
}

pub fn health(health: Option<&Health>) -> Mark {
    match health.map(|health| &health.answer) {
        None => Mark::new("not asked yet", ""),
        Some(Err(_)) => Mark::new("unreachable", "bad"),
        Some(Ok(manifest)) if manifest.sync_lock.is_some() => Mark::new("held by Cockpit's own sync", "warn"),
        Some(Ok(_)) => Mark::new("healthy", "good"),
    }
}

/// The worst first.
fn attention(outlook: &Outlook) -> Vec<Attention> {
    let mut items = Vec::new();
    for (name, health) in &outlook.health {
        if let Err(problem) = &health.answer {
            let message = problem.message.clone();
            items.push(Attention {
                mark: Mark::new("unreachable", "bad"),
                subject: name.clone(),
                path: Some("/targets".into()),
                message,
            });
        }
    }
    let a_day_ago = utc(now().saturating_sub(24 * 60 * 60 * 1000));
    items.extend(outlook.schedules.iter().filter_map(|report| of_schedule(report, &a_day_ago)));
    items.extend(outlook.troubles.iter().map(of_hook));
    items.extend(outlook.notifications.iter().filter_map(of_notification));
    let Some(status) = outlook.status.as_deref() else { return items };
    for target in &status.targets {
        items.extend(target.holder.iter().chain(&target.last_sync).filter_map(of_run));
        items.extend(target.drift.iter().filter_map(|drift| of_drift(target, drift)));
    }
    items.extend(nobody_works(status));
    items.sort_by_key(|item| item.mark.kind != "bad");
    items
}

fn of_run(run: &RunReport) -> Option<Attention> {
    let mark = match run.state {
        RunState::Failed | RunState::FinishedHeld | RunState::Unlocked | RunState::Stalled => Mark::of_state(run.state),
        _ if run.dead_jobs > 0 => Mark::new("dead jobs", "bad"),
        _ if run.counts.held > 0 => Mark::new("items held", "warn"),
        _ => return None,
    };
    let message = match &run.error {
        Some(error) => error.clone(),
        None if run.state == RunState::Stalled => "no worker is alive that could go on".into(),
        None => left_over(run),
    };
    let subject = format!("{} {} to {}", run.direction, run.source, run.target);
    Some(Attention { mark, subject, path: Some(format!("/runs/{}", run.run)), message })
}

/// What a run did not do.
fn left_over(run: &RunReport) -> String {
    let counts = [("items held", run.counts.held), ("dead jobs", run.dead_jobs), ("jobs left", run.left)];
    let some = counts.into_iter().filter(|(_, count)| *count > 0);
    let some: Vec<String> = some.map(|(what, count)| format!("{what}: {}", words::number(count))).collect();
    if some.is_empty() { "nothing was left over".into() } else { some.join(", ") }
}

/// What was found the last time, and by whom.
fn compared(drift: &Drift) -> String {
    let found = match drift.differ {
        0 => format!("nothing differed from {}", drift.source),
        differ => format!("{} items differed from {}", words::number(differ), drift.source),
    };
    format!("{found} on {}, as {} found", words::time(&drift.at), drift.by)
}

fn of_drift(target: &TargetStatus, drift: &Drift) -> Option<Attention> {
    if drift.differ == 0 {
        return None;
    }
    let finished = target.last_sync.as_ref().and_then(|run| run.finished.as_ref());
    // A sync may have mended it, or not: a merge leaves alone what is only there.
    let since = if finished.is_some_and(|finished| *finished >= drift.at) {
        "; there was a sync since, and nobody has compared again"
    } else {
        ""
    };
    Some(Attention {
        mark: Mark::new("drift", "warn"),
        subject: target.target.clone(),
        path: Some("/targets".into()),
        message: format!("{}{since}", compared(drift)),
    })
}

fn nobody_works(status: &Status) -> Option<Attention> {
    let waits = status.targets.iter().any(|target| target.holder.is_some() || !target.waiting.is_empty());
    (waits && status.workers == 0).then(|| Attention {
        mark: Mark::new("no worker", "bad"),
        subject: "Runs wait".into(),
        path: None,
        message: "and no worker is alive: start `cockpit-sync worker`".into(),
    })
}
