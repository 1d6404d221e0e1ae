//! Asks both agents before anything is enqueued, and says at once, in words, what is wrong.

use std::time::{SystemTime, UNIX_EPOCH};

use config::{Config, Instance, Place};
use protocol::api::{GrantInfo, Manifest};
use protocol::directory::Directory;
use protocol::run::Direction;
use queue::{IfBusy, Queue};

use crate::error::Problem;
use crate::request::SyncRequest;

/// Clocks that differ by more are worth a word.
pub(crate) const CLOCK_TOLERANCE_SECONDS: i64 = 10;

/// Both ends of a sync, as they answered.
pub struct Ends {
    /// Name in the config, and what its agent says.
    pub source: (String, Manifest),
    pub target: (String, Manifest),
    /// Shown in events; without secrets.
    pub source_uri: String,
    pub target_uri: String,
}

/// The manifests of both ends, if a sync between them is allowed and can begin.
pub async fn preflight(
    request: &SyncRequest,
    config: &Config,
    directory: &Directory,
    queue: &Queue,
) -> Result<Ends, Problem> {
    let (source, target) = names(request, config)?;
    let ends = ask_both(&source, &target, config, directory).await?;
    let target_says = &ends.target.1;
    check_writable(&target, target_says)?;
    if let Some(warning) = undo_warning(&target, target_says) {
        tracing::warn!("{warning}");
    }
    let authority = queue.deployment().await?;
    check_grant(&target, target_says.grant.as_ref(), target_says.time_ms, &authority, request.if_busy)?;
    Ok(ends)
}

/// The manifests of both ends, whatever may be done between them: for those who only look.
pub async fn ask_both(source: &str, target: &str, config: &Config, directory: &Directory) -> Result<Ends, Problem> {
    let ask = async |name: &str| -> Result<Manifest, Problem> { Ok(directory.client(name, None)?.manifest().await?) };
    let (source_says, target_says) = tokio::join!(ask(source), ask(target));
    let (source_says, target_says) = match (source_says, target_says) {
        (Ok(source_says), Ok(target_says)) => (source_says, target_says),
        (Err(one), Err(other)) => {
            return Err(Problem::new(one.kind, format!("{}\n{}", one.message, other.message)));
        }
        (Err(problem), Ok(_)) | (Ok(_), Err(problem)) => return Err(problem),
    };
    warn_of_clocks(source, &source_says);
    warn_of_clocks(target, &target_says);
    check_are_two(source, &source_says, target, &target_says)?;
    Ok(Ends {
        source_uri: uri(config, source),
        target_uri: uri(config, target),
        source: (source.into(), source_says),
        target: (target.into(), target_says),
    })
}

/// The instance of this name, if there is one and it is not the local one.
pub fn other_instance<'a>(other: &str, config: &'a Config) -> Result<&'a Instance, Problem> {
    let local = &config.local;
    let Some(instance) = config.instances.get(other) else {
        let known: Vec<&str> = config.instances.keys().map(String::as_str).filter(|name| name != local).collect();
        return Err(Problem::usage(format!(
            "no instance is called {other:?} in {}; there are: {}",
            config.file.display(),
            known.join(", ")
        )));
    };
    if other == local {
        return Err(Problem::usage(format!("{other} is the local instance (`local` in the config): name another one")));
    }
    Ok(instance)
}

/// Whether the config has these instances and allows that direction.
pub fn check_names(request: &SyncRequest, config: &Config) -> Result<(), Problem> {
    names(request, config).map(drop)
}

/// Source and target by name, if the config allows that direction.
fn names(request: &SyncRequest, config: &Config) -> Result<(String, String), Problem> {
    let (local, other) = (config.local.clone(), request.other.clone());
    let instance = other_instance(&other, config)?;
    let (allowed, key) = match request.direction {
        Direction::Push => (instance.push, "push"),
        Direction::Pull => (instance.pull, "pull"),
    };
    if !allowed {
        return Err(Problem::refused(format!(
            "the config does not allow to {key} {} {other}: set {key} = true in [instance.{other}] of {}",
            if request.direction == Direction::Push { "to" } else { "from" },
            config.file.display()
        )));
    }
    Ok(match request.direction {
        Direction::Push => (local, other),
        Direction::Pull => (other, local),
    })
}

fn check_are_two(source: &str, source_says: &Manifest, target: &str, target_says: &Manifest) -> Result<(), Problem> {
    if source_says.instance == target_says.instance {
        return Err(Problem::usage(format!(
            "{source} and {target} are the same instance (id {}): one of the two URLs points at the wrong Cockpit",
            source_says.instance
        )));
    }
    Ok(())
}

pub(crate) fn check_writable(target: &str, target_says: &Manifest) -> Result<(), Problem> {
    if target_says.read_only {
        return Err(Problem::refused(format!("the agent of {target} takes no writes (read_only in its config)")));
    }
    if let Some(lock) = &target_says.sync_lock {
        return Err(Problem::refused(format!(
            "Cockpit's own sync holds {target}: {} exists since {} s. When no sync of Cockpit's add-on is running any \
             more, remove that file and start again",
            lock.path, lock.age_seconds
        )));
    }
    Ok(())
}

/// Requests are signed by the agent's clock, so a wrong one stops nothing; but somebody should set it.
fn warn_of_clocks(name: &str, says: &Manifest) {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ours_ms = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
    let off_seconds = (says.time_ms - ours_ms) / 1000;
    if off_seconds.abs() > CLOCK_TOLERANCE_SECONDS {
        let direction = if off_seconds > 0 { "ahead of" } else { "behind" };
        tracing::warn!("the clock of {name} is {} s {direction} ours: set one of them right", off_seconds.abs());
    }
}

/// What a run overwrites and the target's agent will not be able to give back is said before it starts.
fn undo_warning(target: &str, says: &Manifest) -> Option<String> {
    let room = says.undo?;
    let holds_something = says.models.iter().any(|model| model.items > 0) || says.assets + says.singletons > 0;
    if room.bytes == 0 {
        return holds_something
            .then(|| format!("undo is turned off on {target}: what this run overwrites is not kept"));
    }
    (room.documents > room.bytes).then(|| {
        format!(
            "{target} keeps {} bytes of what a run overwrites (undo_size), and holds {} bytes of documents: if the run \
             replaces more than that, it cannot be undone",
            room.bytes, room.documents
        )
    })
}

/// A grant of our own deployment is a run in our own line; one of another deployment is a sync we cannot see.
fn check_grant(
    target: &str,
    grant: Option<&GrantInfo>,
    now_ms: i64,
    authority: &str,
    if_busy: IfBusy,
) -> Result<(), Problem> {
    let Some(grant) = grant.filter(|grant| grant.authority != authority && grant.expires_ms > now_ms) else {
        return Ok(());
    };
    if if_busy == IfBusy::Wait {
        tracing::warn!(
            target,
            holder = grant.holder,
            "another deployment of cockpit-sync (another Redis) writes to the target: the run will wait for its grant"
        );
        return Ok(());
    }
    Err(Problem::refused(format!(
        "{target} is being written to by {} (another Redis than ours), since {}, {} documents and files so far. Wait \
         for it, or end it there",
        grant.holder,
        crate::report::utc(u64::try_from(grant.since_ms).unwrap_or(0)),
        grant.written
    )))
}

pub(crate) fn uri(config: &Config, name: &str) -> String {
    match config.instances.get(name).map(|instance| &instance.at) {
        Some(Place::Url { url, .. }) => url.clone(),
        Some(Place::Path(path)) => format!("file://{}", path.display()),
        None => String::new(),
    }
}
