//! What a round takes place in: a rig with three workers, every connection of theirs a wire that can fail, and perhaps
//! a replica of Redis. It carries out faults, and ends those that do not end by themselves.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use instances::Shape;
use nix::sys::signal::Signal;

use super::schedule::{Clocked, Fault, Link, Peer, Schedule, Trouble, WORKERS};
use crate::support::{Place, Process, Rig, Side, TestRedis, Wire, cockpit_sync, small, wait_until};

/// As in the config of a rig.
const LEASE: Duration = Duration::from_millis(1500);
/// Fields are dropped in this order: those that use something before what they use.
pub struct World {
    workers: Vec<Worker>,
    /// Told to stop; they finish what they do.
    leaving: Vec<Member>,
    command: Wire,
    replica: Option<(TestRedis, Wire)>,
    /// The master before a failover, as long as somebody works with it.
    deposed: Option<TestRedis>,
    /// What ends when its time has come.
    troubles: Vec<(Instant, Ending)>,
    pub rig: Rig,
}

struct Worker {
    member: Member,
    redis: Wire,
    source: Wire,
    target: Wire,
}

struct Member {
    process: Process,
    frozen: Option<Instant>,
}

#[derive(Clone, Copy)]
enum Ending {
    Silence(Link),
    Latency(Link),
    /// The worker that stayed with the old master finds the new one.
    StayingBehind(usize),
}

impl World {
    pub fn new(schedule: &Schedule) -> Self {
        let shape = Shape { posts: 2400, authors: 120, seed: schedule.seed, ..small() };
        let mut rig = Rig::with_clocks(&shape);
        let redis = || Wire::new(Place::Socket(rig.redis.socket()));
        let agent = |name: &str| Wire::new(Place::Address(rig.address(name)));
        let replica = schedule.has(|fault| matches!(fault, Fault::Promote { .. })).then(|| {
            let wire = redis();
            (TestRedis::start_with(rig.clocks.clone(), Some(wire.address())), wire)
        });
        let command = redis();
        let wires: Vec<_> = (0..WORKERS).map(|_| (redis(), agent("source"), agent("target"))).collect();
        let workers = wires.into_iter().enumerate().map(|(number, (redis, source, target))| {
            let elsewhere = [("source", source.address()), ("target", target.address())];
            rig.config_at(&config_of(number), &url(&redis), &elsewhere);
            Worker { member: start_worker(&mut rig, number), redis, source, target }
        });
        let workers = workers.collect();
        Self { workers, leaving: Vec::new(), command, replica, deposed: None, troubles: Vec::new(), rig }
    }

    /// A push in many small batches.
    pub fn spawn_push(&mut self) -> Process {
        let config = self.rig.config_at("command", &url(&self.command), &[]);
        self.rig.spawn_with(&config, &["push", "target", "--batch-size", "20", "--window", "12"])
    }

    pub fn apply(&mut self, fault: Fault) {
        self.note(&fault);
        match fault {
            Fault::KillWorker(worker) => {
                self.workers[worker].member.process.kill();
                self.workers[worker].member = start_worker(&mut self.rig, worker);
            }
            Fault::FreezeWorker(worker) => {
                let member = &mut self.workers[worker].member;
                member.process.signal(Signal::SIGSTOP);
                member.frozen.get_or_insert_with(Instant::now);
            }
            Fault::StopWorker(worker) => {
                let next = start_worker(&mut self.rig, worker);
                let member = std::mem::replace(&mut self.workers[worker].member, next);
                member.process.signal(Signal::SIGTERM);
                self.leaving.push(member);
            }
            Fault::KillAgent(name) => {
                self.rig.agent(name).kill();
                self.rig.start_agent(name);
            }
            Fault::RestartRedis { kill } => {
                if kill {
                    self.rig.redis.kill()
                } else {
                    self.rig.redis.stop()
                }
                self.rig.redis.restart();
            }
            Fault::Flush => self.rig.redis.flush_all(),
            Fault::CutOffReplica => {
                let (replica, wire) = self.replica.as_ref().expect("the schedule promotes it");
                wait_until("the replica has everything", || replica.is_copied());
                wire.set_silent(true);
            }
            Fault::Promote { stays_behind } => self.promote(stays_behind),
            Fault::Wire(link, trouble) => self.trouble(link, trouble),
            Fault::Clock(whose, by) => self.set_clock(whose, by),
        }
    }

    /// Into the logs that a failing round prints.
    fn note(&self, what: &dyn std::fmt::Display) {
        let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() % (24 * 3600 * 1000);
        let (hours, minutes, milliseconds) = (today / 3_600_000, today / 60_000 % 60, today % 60_000);
        let log = OpenOptions::new().create(true).append(true).open(self.rig.root("chaos.err"));
        let seconds = milliseconds as f64 / 1000.0;
        writeln!(log.unwrap(), "{hours:02}:{minutes:02}:{seconds:06.3}  {what}").unwrap();
    }

    fn promote(&mut self, stays_behind: Option<usize>) {
        let (mut replica, _wire) = self.replica.take().expect("the schedule promotes it once");
        replica.promote();
        let old = std::mem::replace(&mut self.rig.redis, replica);
        let place = Place::Socket(self.rig.redis.socket());
        let others = (0..WORKERS).filter(|worker| Some(*worker) != stays_behind);
        for wire in others.map(|worker| &self.workers[worker].redis).chain([&self.command]) {
            wire.lead_to(place.clone());
            wire.cut();
        }
        if let Some(worker) = stays_behind {
            self.deposed = Some(old);
            self.troubles.push((Instant::now() + 2 * LEASE, Ending::StayingBehind(worker)));
        }
    }

    fn trouble(&mut self, link: Link, trouble: Trouble) {
        let wire = self.wire(link);
        match trouble {
            Trouble::Cut => wire.cut(),
            Trouble::HalfClosed { towards_worker } => {
                wire.close_half(if towards_worker { Side::Client } else { Side::Server });
            }
            Trouble::Latency { each, lasts } => {
                wire.set_delay(each);
                self.troubles.push((Instant::now() + lasts, Ending::Latency(link)));
            }
            Trouble::BlackHole { lasts } => {
                wire.set_silent(true);
                self.troubles.push((Instant::now() + lasts, Ending::Silence(link)));
            }
        }
    }

    fn wire(&self, link: Link) -> &Wire {
        let worker = &self.workers[link.worker];
        match link.to {
            Peer::Redis => &worker.redis,
            Peer::Source => &worker.source,
            Peer::Target => &worker.target,
        }
    }

    fn set_clock(&self, whose: Clocked, by: i64) {
        let Some(clocks) = &self.rig.clocks else { return };
        let name = match whose {
            Clocked::Worker(number) => name_of(number),
            Clocked::Agent(name) => format!("agent-{name}"),
            Clocked::Redis => "redis".into(),
        };
        clocks.shift(&name, by);
    }

    /// Ends what has lasted long enough, and does what a service manager does.
    pub fn tend(&mut self) {
        self.lift(|until| until <= Instant::now());
        for number in 0..WORKERS {
            if self.workers[number].member.never_got_to_work() {
                self.workers[number].member = start_worker(&mut self.rig, number);
            }
        }
        let redis = &self.rig.redis;
        // Nobody can take over.
        let all_are_frozen = self.workers.iter().all(|worker| worker.member.frozen.is_some());
        for member in self.workers.iter_mut().map(|worker| &mut worker.member).chain(&mut self.leaving) {
            let is_due =
                |since: Instant| since.elapsed() > LEASE && (all_are_frozen || !redis.has_claims(member.process.pid()));
            if member.frozen.is_some_and(is_due) {
                member.thaw();
            }
        }
    }

    fn lift(&mut self, is_due: impl Fn(Instant) -> bool) {
        let (due, lasting): (Vec<_>, _) = self.troubles.drain(..).partition(|(until, _)| is_due(*until));
        self.troubles = lasting;
        for (_, ending) in due {
            match ending {
                Ending::Silence(link) => self.wire(link).set_silent(false),
                Ending::Latency(link) => self.wire(link).set_delay(Duration::ZERO),
                Ending::StayingBehind(worker) => {
                    let wire = &self.workers[worker].redis;
                    wire.lead_to(Place::Socket(self.rig.redis.socket()));
                    wire.cut();
                    self.deposed = None;
                }
            }
        }
    }

    /// Everything works again, and all workers end in good order.
    pub fn calm_down(&mut self) {
        self.note(&"everything is to work again");
        self.lift(|_| true);
        for member in self.workers.iter_mut().map(|worker| &mut worker.member).chain(&mut self.leaving) {
            member.thaw();
        }
        // Those that are leaving were told to: a second time would end them at once.
        for member in self.workers.iter_mut().map(|worker| &mut worker.member) {
            if member.process.ended().is_none() {
                member.process.signal(Signal::SIGTERM);
            }
        }
        for member in self.workers.iter_mut().map(|worker| &mut worker.member).chain(&mut self.leaving) {
            wait_until("a worker has ended", || member.process.ended().is_some());
            let is_well = member.process.ended() == Some(0) || member.never_got_to_work();
            assert!(is_well, "a worker ended with {:?}: {}", member.process.ended(), member.process.stderr());
        }
    }
}

impl Member {
    /// It was told to stop before it could listen.
    fn never_got_to_work(&mut self) -> bool {
        self.process.ended() == Some(143) && !self.process.stderr().contains("job")
    }

    fn thaw(&mut self) {
        if self.frozen.take().is_some() {
            self.process.signal(Signal::SIGCONT);
        }
    }
}

fn name_of(worker: usize) -> String {
    format!("worker-{worker}")
}

fn config_of(worker: usize) -> String {
    format!("config-of-worker-{worker}")
}

fn url(wire: &Wire) -> String {
    format!("redis://{}", wire.address())
}

fn start_worker(rig: &mut Rig, number: usize) -> Member {
    let mut command = cockpit_sync();
    command.arg("--config").arg(rig.root(&format!("{}.toml", config_of(number))));
    command.args(["worker", "--concurrency", "2", "--grace", "5"]);
    Member { process: rig.start(&mut command, &name_of(number)), frozen: None }
}

/// With CHAOS_KEEP, the folder of a failing round stays.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("CHAOS_KEEP").is_some() {
            self.rig.folder.disable_cleanup(true);
            eprintln!("everything is kept in {}", self.rig.folder.path().display());
        }
    }
}
