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

    /// A small value that is kept for a while.
    pub(crate) fn kept(&self, name: &str) -> String {
        format!("{}:kept:{name}", self.prefix)
    }

    /// What became of a schedule's ticks.
    pub(crate) fn schedule(&self, name: &str) -> String {
        format!("{}:schedule:{name}", self.prefix)
    }

    /// The runs that are not over, by the time of their submit.
    pub(crate) fn live(&self) -> String {
        format!("{}:live", self.prefix)
    }

    /// Those that are over, by the time of their end.
    pub(crate) fn history(&self) -> String {
        format!("{}:history", self.prefix)
    }

    /// Every target that ever had a run.
    pub(crate) fn targets(&self) -> String {
        format!("{}:targets", self.prefix)
    }

    /// What was put off, was due and is being done.
    pub(crate) fn taken(&self) -> String {
        format!("{}:taken", self.prefix)
    }

    /// How many leases of each target there were.
    pub(crate) fn leases(&self) -> String {
        format!("{}:leases", self.prefix)
    }

    /// By the name of an event, the runs that listen to it.
    pub(crate) fn listeners(&self) -> String {
        format!("{}:listeners", self.prefix)
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

    /// The random id of the deployment.
    pub(crate) fn deployment(&self) -> String {
        format!("{}:deployment", self.prefix)
    }

    /// Copies of what was audited elsewhere.
    pub(crate) fn audit(&self) -> String {
        format!("{}:audit", self.prefix)
    }

    /// Lines of logs, of all and of a run.
    pub(crate) fn log(&self) -> String {
        format!("{}:log", self.prefix)
    }

    pub(crate) fn run_log(&self, run: &str) -> String {
        format!("{}:run:{run}:log", self.prefix)
    }

    /// The number of the last event.
    pub(crate) fn seq(&self) -> String {
        format!("{}:seq", self.prefix)
    }
}

/// The consumer group of every target's stream.
pub(crate) const GROUP: &str = "workers";

#[cfg(test)]
mod tests {
    use super::*;

    /// What `lua/keys.lua` makes of a key, with each parameter standing for itself and `P` for the prefix.
    fn in_lua(name: &str) -> String {
        let lua = include_str!("../lua/keys.lua");
        let (plain, function) = (format!("  {name} = "), format!("function key.{name}("));
        let line = lua.lines().find(|line| line.starts_with(&plain) || line.starts_with(&function));
        let line = line.unwrap_or_else(|| panic!("keys.lua has no {name}"));
        let expression =
            line.split(" return ").nth(1).or_else(|| line.strip_prefix(&plain)).expect("one of both forms");
        let expression = expression.split(" end ").next().expect("there is a first part");
        let parts = expression.split(" -- ").next().expect("there is a first part").trim().trim_end_matches(',');
        parts.split(" .. ").map(|part| if part == "prefix" { "P" } else { part.trim().trim_matches('\'') }).collect()
    }

    #[test]
    fn rust_and_lua_build_the_same_keys() {
        let keys = Keys { prefix: "P".into() };
        assert_eq!(keys.stream("target"), in_lua("stream"));
        assert_eq!(keys.run("run"), in_lua("run"));
        assert_eq!(keys.notes("run"), in_lua("notes"));
        assert_eq!(keys.dead("run"), in_lua("dead"));
        assert_eq!(keys.kept("name"), in_lua("kept"));
        assert_eq!(keys.schedule("name"), in_lua("schedule"));
        assert_eq!(keys.live(), in_lua("live"));
        assert_eq!(keys.history(), in_lua("history"));
        assert_eq!(keys.targets(), in_lua("targets"));
        assert_eq!(keys.leases(), in_lua("leases"));
        assert_eq!(keys.listeners(), in_lua("listeners"));
        assert_eq!(keys.taken(), in_lua("taken"));
        assert_eq!(keys.workers(), in_lua("workers"));
        assert_eq!(keys.worker("consumer"), in_lua("worker"));
        assert_eq!(keys.events(), in_lua("events"));
        assert_eq!(keys.event_log(), in_lua("event_log"));
        assert_eq!(keys.seq(), in_lua("seq"));
        assert_eq!(keys.audit(), in_lua("audit"));
        assert_eq!(keys.log(), in_lua("log"));
        assert_eq!(keys.run_log("run"), in_lua("run_log"));
        assert!(include_str!("../lua/keys.lua").contains(&format!("local GROUP = '{GROUP}'")));
    }

    #[test]
    fn a_stream_tells_its_target() {
        let keys = Keys { prefix: "{cs}".into() };
        assert_eq!(keys.target_of(&keys.stream("a:target:b:jobs")), "a:target:b:jobs");
    }
}
