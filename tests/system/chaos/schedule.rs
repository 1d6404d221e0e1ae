//! What goes wrong in a round, and when: drawn from a seed, and from nothing else.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

pub const WORKERS: usize = 3;

/// Who a worker talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Redis,
    Source,
    Target,
}

/// The wire from a worker to one of its peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    pub worker: usize,
    pub to: Peer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    Cut,
    HalfClosed { towards_worker: bool },
    Latency { each: Duration, lasts: Duration },
    BlackHole { lasts: Duration },
}

/// A process with a clock of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clocked {
    Worker(usize),
    Agent(&'static str),
    Redis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    KillWorker(usize),
    /// SIGSTOP until others have taken over what it held, then SIGCONT.
    FreezeWorker(usize),
    /// SIGTERM, and another one starts at once.
    StopWorker(usize),
    KillAgent(&'static str),
    RestartRedis {
        kill: bool,
    },
    Flush,
    /// The replica gets nothing more from here on.
    CutOffReplica,
    /// It becomes the master. One worker may go on for a while with the old one.
    Promote {
        stays_behind: Option<usize>,
    },
    Wire(Link, Trouble),
    Clock(Clocked, i64),
}

/// A fault, and how much of the content (in thousandths) is written by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub at: usize,
    pub fault: Fault,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pub seed: u64,
    pub steps: Vec<Step>,
}

impl Schedule {
    pub fn of(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let count = random.random_range(6..=10);
        let mut steps: Vec<Step> =
            (0..count).map(|_| Step { at: random.random_range(10..=1000), fault: fault(&mut random) }).collect();
        // Redis loses data once at most, and not in every round.
        match random.random_range(0..4) {
            0 => steps.push(Step { at: random.random_range(10..=1000), fault: Fault::Flush }),
            1 => {
                let cut_off = random.random_range(0..900);
                let stays_behind = random.random_bool(0.5).then(|| random.random_range(0..WORKERS));
                steps.push(Step { at: cut_off, fault: Fault::CutOffReplica });
                steps.push(Step { at: random.random_range(cut_off..=1000), fault: Fault::Promote { stays_behind } });
            }
            _ => {}
        }
        // Stable: a replica is cut off before it is promoted.
        steps.sort_by_key(|step| step.at);
        Self { seed, steps }
    }

    pub fn has(&self, is_it: impl Fn(&Fault) -> bool) -> bool {
        self.steps.iter().any(|step| is_it(&step.fault))
    }
}

fn fault(random: &mut StdRng) -> Fault {
    let worker = random.random_range(0..WORKERS);
    let agent = if random.random() { "target" } else { "source" };
    match random.random_range(0..16) {
        0 | 1 => Fault::KillWorker(worker),
        2 | 3 => Fault::FreezeWorker(worker),
        4 => Fault::StopWorker(worker),
        5 | 6 => Fault::KillAgent(agent),
        7 | 8 => Fault::RestartRedis { kill: random.random() },
        9 => match random.random_range(0..3) {
            0 => Fault::Clock(Clocked::Worker(worker), *[-3600, 3600].choose(random).unwrap()),
            1 => Fault::Clock(Clocked::Agent(agent), *[-3600, 3600].choose(random).unwrap()),
            _ => Fault::Clock(Clocked::Redis, *[-3600, 2, 3600].choose(random).unwrap()),
        },
        _ => {
            let to = *[Peer::Redis, Peer::Redis, Peer::Source, Peer::Target, Peer::Target].choose(random).unwrap();
            Fault::Wire(Link { worker, to }, trouble(random))
        }
    }
}

fn trouble(random: &mut StdRng) -> Trouble {
    let mut milliseconds = |from, to| Duration::from_millis(random.random_range(from..=to));
    let (each, lasts) = (milliseconds(5, 80), milliseconds(200, 2500));
    match random.random_range(0..5) {
        0 => Trouble::Cut,
        1 => Trouble::HalfClosed { towards_worker: random.random() },
        2 => Trouble::Latency { each, lasts },
        _ => Trouble::BlackHole { lasts },
    }
}

impl Fault {
    /// What it is, without where and how long.
    pub fn kind(&self) -> String {
        let words = self.to_string();
        words
            .split_whitespace()
            .filter(|word| !word.contains(|letter: char| letter.is_ascii_digit()))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillWorker(worker) => write!(formatter, "kill worker {worker}"),
            Self::FreezeWorker(worker) => write!(formatter, "freeze worker {worker}"),
            Self::StopWorker(worker) => write!(formatter, "stop worker {worker}"),
            Self::KillAgent(agent) => write!(formatter, "kill agent of {agent}"),
            Self::RestartRedis { kill } => write!(formatter, "{} redis", if *kill { "kill" } else { "restart" }),
            Self::Flush => formatter.write_str("flush redis"),
            Self::CutOffReplica => formatter.write_str("cut off the replica"),
            Self::Promote { stays_behind: None } => formatter.write_str("promote the replica"),
            Self::Promote { stays_behind: Some(worker) } => {
                write!(formatter, "promote the replica, worker {worker} stays behind")
            }
            Self::Wire(Link { worker, to }, trouble) => {
                match trouble {
                    Trouble::Cut => formatter.write_str("cut")?,
                    Trouble::HalfClosed { towards_worker: true } => formatter.write_str("close for reading")?,
                    Trouble::HalfClosed { towards_worker: false } => formatter.write_str("close for writing")?,
                    Trouble::Latency { each, lasts } => write!(formatter, "{each:?} latency for {lasts:?}")?,
                    Trouble::BlackHole { lasts } => write!(formatter, "{lasts:?} of silence")?,
                }
                write!(formatter, " between worker {worker} and {to:?}")
            }
            Self::Clock(whose, by) => write!(formatter, "set the clock of {whose:?} {by:+} s"),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Step { at, fault } in &self.steps {
            writeln!(formatter, "  when {:>3}.{} % are written: {fault}", at / 10, at % 10)?;
        }
        Ok(())
    }
}
