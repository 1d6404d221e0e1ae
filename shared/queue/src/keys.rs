//! The names of all keys, as `lua/keys.lua` builds them; a test checks that both agree.

/// Builds keys under one prefix.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) prefix: String,
}

impl Keys {
    /// The stream whose entries are the jobs handed out at this moment.
    pub(crate) fn stream(&self, target: &str) -> String {
        format!("{}:target:{target}:jobs", self.prefix)
    }

    /// The target a stream belongs to.
    pub(crate) fn target_of<'a>(&self, stream: &'a str) -> &'a str {
        let name = stream.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix(":target:"));
        name.and_then(|rest| rest.strip_suffix(":jobs")).unwrap_or_default()
    }

    pub(crate) fn run(&self, run: &str) -> String {
        format!("{}:run:{run}", self.prefix)
    }

    pub(crate) fn notes(&self, run: &str) -> String {
        format!("{}:run:{run}:notes", self.prefix)
    }

    pub(crate) fn dead(&self, run: &str) -> String {
        format!("{}:run:{run}:dead", self.prefix)
    }

    /// Every target that ever had a run.
    pub(crate) fn targets(&self) -> String {
        format!("{}:targets", self.prefix)
    }

    /// The consumers that are alive, by the time their announcement expires.
    pub(crate) fn workers(&self) -> String {
        format!("{}:workers", self.prefix)
    }

    pub(crate) fn worker(&self, consumer: &str) -> String {
        format!("{}:worker:{consumer}", self.prefix)
    }

    /// The pub/sub channel.
    pub(crate) fn events(&self) -> String {
        format!("{}:events", self.prefix)
    }

    /// The stream of events that can be replayed.
    pub(crate) fn event_log(&self) -> String {
        format!("{}:event-log", self.prefix)
    }

    /// The number of the last event.
    pub(crate) fn seq(&self) -> String {
        format!("{}:seq", self.prefix)
    }
}

/// The consumer group of every target's stream.
pub(crate) const GROUP: &str = "workers";
