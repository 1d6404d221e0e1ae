//! `doctor`: goes through what keeps syncs from working, and says of each whether it is in order and what to do.
//!
//! Owns the judgement. Looks only: nothing here writes to an instance or to the queue.

use std::time::{SystemTime, UNIX_EPOCH};

use config::{Config, Instance, Place};
use protocol::api::{Manifest, StorageHealth};
use protocol::client::CallError;
use protocol::directory::Directory;
use queue::{Queue, RunState, RunView, WorkerView};
use serde::Serialize;

use crate::error::Problem;
use crate::preflight::CLOCK_TOLERANCE_SECONDS;

const GIB: u64 = 1 << 30;
/// Less free space than this is worth a word, and less than that stops syncs before long.
const LITTLE_SPACE: u64 = GIB;
const NO_SPACE: u64 = GIB / 10;
const DAY: u64 = 24 * 60 * 60;
/// A certificate that ends in fewer days should have been renewed by itself.
const SOON: u64 = 14;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    Warning,
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// An instance's name, `redis` or `workers`.
    pub about: String,
    /// What was looked at: "reachable", "clock".
    pub check: &'static str,
    pub level: Level,
    pub says: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub todo: Option<String>,
}

/// What is found, in the order of the checks.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, about: &str, check: &'static str, level: Level, says: impl Into<String>, todo: Option<String>) {
        self.0.push(Finding { about: about.into(), check, level, says: says.into(), todo });
    }

    fn ok(&mut self, about: &str, check: &'static str, says: impl Into<String>) {
        self.add(about, check, Level::Ok, says, None);
    }

    fn warn(&mut self, about: &str, check: &'static str, says: impl Into<String>, todo: impl Into<String>) {
        self.add(about, check, Level::Warning, says, Some(todo.into()));
    }

    fn error(&mut self, about: &str, check: &'static str, says: impl Into<String>, todo: impl Into<String>) {
        self.add(about, check, Level::Error, says, Some(todo.into()));
    }
}

/// The queue, with what was found unwise about its Redis; or why there is none.
pub type Connected<'a> = Result<(&'a Queue, &'a [String]), &'a Problem>;

/// Looks at Redis, the workers and these instances.
pub async fn diagnose(
    names: &[String],
    config: &Config,
    directory: &Directory,
    connected: Connected<'_>,
) -> Vec<Finding> {
    let mut findings = Findings::default();
    let seen = queue_in_order(&mut findings, config, connected).await;
    let (runs, workers) = seen.unwrap_or_default();
    let mut known: Vec<(String, Manifest)> = Vec::new();
    for name in names {
        let Some(manifest) = reachable(&mut findings, name, config, directory).await else { continue };
        version(&mut findings, name, &manifest);
        clock(&mut findings, name, &manifest);
        identity(&mut findings, name, &manifest, &known);
        storage(&mut findings, name, &manifest, config.instances.get(name));
        syncs(&mut findings, name, &manifest, &runs);
        for worker in workers.iter().filter(|worker| !worker.instances.contains(name)) {
            let says = format!("the worker {} ({}) does not know it", worker.consumer, worker.host);
            findings.warn(name, "workers", says, format!("add [instance.{name}] to that worker's config"));
        }
        known.push((name.clone(), manifest));
    }
    findings.0
}

async fn queue_in_order(
    findings: &mut Findings,
    config: &Config,
    connected: Connected<'_>,
) -> Option<(Vec<RunView>, Vec<WorkerView>)> {
    let (queue, warnings) = match connected {
        Ok(connected) => connected,
        Err(problem) => {
            findings.error(
                "redis",
                "reachable",
                &problem.message,
                "start it, or correct `redis` in the config: docs/redis.md",
            );
            return None;
        }
    };
    let seen = async { Ok::<_, queue::Error>((queue.live_runs().await?, queue.workers().await?)) }.await;
    let (runs, workers) = match seen {
        Ok(seen) => seen,
        Err(error) => {
            findings.error("redis", "reachable", error.to_string(), "look at Redis and its log");
            return None;
        }
    };
    findings.ok("redis", "reachable", "it answers, and lets us do what is needed");
    if config.redis.is_none() {
        findings.ok("workers", "alive", "none is needed: without `redis` in the config, push and pull bring their own");
        return Some((runs, workers));
    }
    match warnings {
        [] => findings.ok("redis", "settings", "7.0 or later, noeviction, append-only file"),
        warnings => warnings.iter().for_each(|warning| {
            findings.warn("redis", "settings", warning, "docs/redis.md says how to set it up");
        }),
    }
    match workers.len() {
        0 => findings.error("workers", "alive", "none is alive: runs wait", "start `cockpit-sync worker`"),
        alive => {
            let slots: u32 = workers.iter().map(|worker| worker.slots).sum();
            findings.ok("workers", "alive", format!("{alive}, with {slots} jobs at a time"));
        }
    }
    for worker in workers.iter().filter(|worker| worker.version != env!("CARGO_PKG_VERSION")) {
        let says = format!(
            "{} on {} has version {}, this program {}",
            worker.consumer,
            worker.host,
            worker.version,
            env!("CARGO_PKG_VERSION")
        );
        findings.warn("workers", "version", says, "update the older one: a worker hands back jobs of a newer version");
    }
    Some((runs, workers))
}

/// What the agent says, if it says anything that we may read.
async fn reachable(findings: &mut Findings, name: &str, config: &Config, directory: &Directory) -> Option<Manifest> {
    let place = config.instances.get(name).map(|instance| &instance.at);
    let client = match directory.client(name, None) {
        Ok(client) => client,
        Err(unknown) => {
            findings.error(name, "reachable", unknown.to_string(), "correct the name, or the config");
            return None;
        }
    };
    let error = match client.manifest().await {
        Ok(manifest) => {
            findings.ok(name, "reachable", format!("its agent answers ({})", crate::preflight::uri(config, name)));
            match place {
                Some(Place::Url { url, .. }) if url.starts_with("https:") => {
                    certificate(findings, name, client.certificate_ends().await);
                }
                Some(Place::Url { allow_http: true, url, .. }) if url.starts_with("http:") => findings.warn(
                    name,
                    "certificate",
                    "none: requests are signed, but everybody on the way can read the content",
                    "use https, unless this is a network of your own",
                ),
                _ => {}
            }
            findings.ok(name, "key", "ours is accepted, and it has proved that it knows ours");
            return Some(manifest);
        }
        Err(error) => error,
    };
    let says = error.to_string();
    match &error {
        error if error.is_about_certificates() => {
            let todo = "theirs: renew it, use the name that it is for, or name its authority (ca); ours: client_cert";
            findings.error(name, "certificate", says, todo);
        }
        CallError::Unreachable { .. } => {
            findings.error(
                name,
                "reachable",
                says,
                "on its machine: systemctl status cockpit-sync-agent; then the web server before it",
            );
        }
        CallError::WrongKey { .. } => findings.error(name, "key", says, "make both the same, then run doctor again"),
        CallError::Version { .. } => {
            findings.error(name, "version", says, "agents first, then workers: docs/operations.md")
        }
        _ => findings.error(name, "reachable", says, "look at the agent's log"),
    }
    None
}

/// It was believed just now.
fn certificate(findings: &mut Findings, name: &str, ends: Option<u64>) {
    let says = "valid for this address, and signed by whom we trust";
    let Some(ends) = ends else { return findings.ok(name, "certificate", says) };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, end) = (ends.saturating_sub(now) / DAY, crate::report::utc(ends.saturating_mul(1000)));
    match days {
        0..SOON => findings.warn(name, "certificate", format!("it ends on {end}, in {days} days"), "renew it"),
        _ => findings.ok(name, "certificate", format!("{says}, until {end}")),
    }
}

fn version(findings: &mut Findings, name: &str, manifest: &Manifest) {
    let (theirs, ours) = (manifest.agent_version.as_str(), env!("CARGO_PKG_VERSION"));
    let cockpit = manifest.cockpit_version.as_deref().unwrap_or("of unknown version");
    if theirs == ours {
        findings.ok(name, "version", format!("agent {theirs} as this program; Cockpit {cockpit}"));
    } else {
        let says = format!("agent {theirs}, this program {ours}; they understand each other");
        findings.warn(name, "version", says, "update the older one when it suits");
    }
}

fn clock(findings: &mut Findings, name: &str, manifest: &Manifest) {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ours_ms = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
    let off = (manifest.time_ms - ours_ms) / 1000;
    if off.abs() <= CLOCK_TOLERANCE_SECONDS {
        return findings.ok(name, "clock", format!("within {CLOCK_TOLERANCE_SECONDS} s of ours"));
    }
    let (theirs, ours) = (manifest.time_ms, ours_ms);
    let time = |ms: i64| crate::report::utc(u64::try_from(ms).unwrap_or(0));
    let says = format!(
        "{} s {} ours: it says {}, we {}",
        off.abs(),
        if off > 0 { "ahead of" } else { "behind" },
        time(theirs),
        time(ours)
    );
    findings.warn(name, "clock", says, "set one of them right (chrony, systemd-timesyncd)");
}

fn identity(findings: &mut Findings, name: &str, manifest: &Manifest, known: &[(String, Manifest)]) {
    if let Some((other, _)) = known.iter().find(|(_, other)| other.instance == manifest.instance) {
        let says = format!("the same instance as {other} (id {})", manifest.instance);
        findings.error(name, "identity", says, "one of the two addresses points at the wrong Cockpit");
    }
}

fn storage(findings: &mut Findings, name: &str, manifest: &Manifest, instance: Option<&Instance>) {
    if manifest.read_only && instance.is_some_and(|instance| instance.push) {
        findings.warn(
            name,
            "writable",
            "its agent takes no writes (read_only), though the config allows pushing to it",
            "remove push = true here, or read_only there",
        );
    }
    for warning in &manifest.warnings {
        findings.warn(name, "content", warning, "correct it in that Cockpit: what cannot be read is not synced");
    }
    let Some(StorageHealth { user, not_writable, index, free_bytes, disk_bytes }) = &manifest.storage else {
        return findings.warn(name, "storage", "its agent does not tell how the storage fares", "update the agent");
    };
    if not_writable.is_empty() {
        findings.ok(name, "writable", format!("the storage is writable for {user}"));
    } else {
        let says = format!("{user} may not write to {}", not_writable.join(", "));
        findings.error(
            name,
            "writable",
            says,
            "run the agent as the owner of Cockpit's files, or give them to it (chown)",
        );
    }
    if *index {
        findings.ok(name, "index", "there");
    } else {
        findings.warn(name, "index", "it is gone: the next run reads everything once", "restart the agent");
    }
    let free = format!("{} of {} MiB free", free_bytes >> 20, disk_bytes >> 20);
    match *free_bytes {
        0..NO_SPACE => findings.error(name, "disk", free, "make room: writes will be refused"),
        NO_SPACE..LITTLE_SPACE => findings.warn(name, "disk", free, "make room before the next large sync"),
        _ => findings.ok(name, "disk", free),
    }
}

/// Who writes there now.
fn syncs(findings: &mut Findings, name: &str, manifest: &Manifest, runs: &[RunView]) {
    if let Some(lock) = &manifest.sync_lock {
        let says = format!("Cockpit's own sync holds it: {} for {} s", lock.path, lock.age_seconds);
        findings.warn(name, "sync", says, "when none is running any more, remove that file");
    }
    let holder = runs.iter().find(|run| run.target == name && run.state != RunState::Waiting);
    match (holder, &manifest.grant) {
        (Some(run), _) => findings.ok(name, "sync", format!("{} is running, from {}", run.id, run.source)),
        (None, Some(grant)) if grant.expires_ms > manifest.time_ms => {
            let says = format!("{} writes to it, by another Redis than ours", grant.holder);
            findings.warn(name, "sync", says, "wait for it, or end it there");
        }
        _ => findings.ok(name, "sync", "none is running"),
    }
    let waiting = runs.iter().filter(|run| run.target == name && run.state == RunState::Waiting).count();
    if holder.is_none() && waiting > 0 {
        let says = format!("{waiting} runs wait though nothing holds it");
        findings.warn(name, "sync", says, format!("cockpit-sync explain {name}"));
    }
}
