//! What a deployment holds: memory and files of its processes, keys and memory of Redis, what agents keep on the disk.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::nights::Nights;
use crate::support::memory;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Of a process's own, MiB.
    Memory,
    /// Open ones.
    Files,
    /// In Redis, those of a pattern.
    Keys,
    /// KiB, of Redis.
    Data,
    /// KiB, of an agent's state.
    Disk,
    /// What has a bound of its own that is farther away: events, audit logs. KiB.
    Bounded,
}

pub type Measured = BTreeMap<(Kind, String), f64>;

impl Kind {
    pub const ALL: [Self; 6] = [Self::Memory, Self::Files, Self::Keys, Self::Data, Self::Disk, Self::Bounded];

    /// So much more or less says nothing. Of memory: what SQLite keeps of its files, up to its `cache_size`. Of an agent's state:
    /// names of the latest 1,000 runs, about 90 KiB, which not every soak reaches.
    pub fn slack(self) -> f64 {
        match self {
            Self::Memory => 3.0,
            Self::Files => 3.0,
            Self::Keys => 4.0,
            Self::Data => 128.0,
            Self::Disk | Self::Bounded => 256.0,
        }
    }

    pub fn is_judged(self) -> bool {
        self != Self::Bounded
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Memory => "memory, MiB",
            Self::Files => "open files",
            Self::Keys => "keys",
            Self::Data => "data, KiB",
            Self::Disk => "disk, KiB",
            Self::Bounded => "bounded, KiB",
        })
    }
}

pub fn everything(nights: &mut Nights) -> Measured {
    let mut measured = Measured::new();
    for (name, pid) in nights.lasting() {
        measured.insert((Kind::Memory, name.into()), memory(pid));
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        measured.insert((Kind::Files, name.into()), open as f64);
    }
    in_redis(nights, &mut measured);
    for name in super::nights::INSTANCES {
        let state = super::nights::state_of(&nights.rig, name);
        let audit = size(&state.join("audit"));
        measured.insert((Kind::Disk, format!("state of {name}")), (size(&state) - audit) / 1024.0);
        measured.insert((Kind::Bounded, format!("audit log of {name}")), audit / 1024.0);
    }
    measured
}

/// The resident memory of Redis begins anew with every restart; what it holds does not.
fn in_redis(nights: &Nights, measured: &mut Measured) {
    let mut redis = nights.rig.redis.connection();
    let mut bounded = 0.0;
    let mut all = 0.0;
    for key in redis::cmd("KEYS").arg("*").query::<Vec<String>>(&mut redis).unwrap() {
        let pattern = pattern(&key);
        let bytes: Option<f64> =
            redis::cmd("MEMORY").arg("USAGE").arg(&key).arg("SAMPLES").arg(0).query(&mut redis).unwrap();
        let bytes = bytes.unwrap_or_default();
        if ["event-log", "audit", "log"].contains(&pattern.as_str()) {
            bounded += bytes;
        }
        all += bytes;
        *measured.entry((Kind::Keys, pattern)).or_default() += 1.0;
        *measured.entry((Kind::Keys, "in all".into())).or_default() += 1.0;
    }
    measured.insert((Kind::Data, "keys of Redis".into()), (all - bounded) / 1024.0);
    measured.insert((Kind::Bounded, "events, audit, log in Redis".into()), bounded / 1024.0);
}

/// Without the names of runs, workers and the like.
fn pattern(key: &str) -> String {
    let key = key.strip_prefix("{cs}:").unwrap_or(key);
    let mut parts: Vec<&str> = key.split(':').collect();
    if let ["run" | "worker" | "target" | "schedule" | "read", id, ..] = &mut parts[..] {
        *id = "*";
    }
    parts.join(":")
}

fn size(path: &Path) -> f64 {
    let Ok(entries) = std::fs::read_dir(path) else { return path.metadata().map_or(0.0, |file| file.len() as f64) };
    entries.map(|entry| size(&entry.unwrap().path())).sum()
}
