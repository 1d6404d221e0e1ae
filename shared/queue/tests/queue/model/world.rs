//! Takes the steps: calls the queue, holds its answers against what raw keys and the ledger say, and writes the ledger on.

mod calls;
mod time;

use std::time::Duration;

use queue::by_hand::{ClaimByHand, WorkerByHand};
use queue::{Ended, Error, Queue, Settings, Submitted};
use redis::aio::MultiplexedConnection;

use super::laws::{self, Checked, Turn, lease, must, of_run, parse, stream};
use super::ledger::Ledger;
use super::steps::{By, End, KNOWN, Step, TARGETS, Which};
use crate::raw_keys::RawKeys;
use crate::redis_server::TestRedis;

/// A lease so long that time does nothing by itself: steps bring it.
pub fn settings(redis: &TestRedis) -> Settings {
    let long = Duration::from_secs(3600);
    Settings { lease: long, close_within: long, yield_within: long, ..redis.settings() }
}

pub struct World {
    queue: Queue,
    raw: MultiplexedConnection,
    keys: RawKeys,
    ledger: Ledger,
    /// All there ever were; those that were killed may still say something.
    workers: Vec<WorkerByHand>,
    /// Who is at each of the places in `KNOWN` now.
    at_work: [Option<usize>; KNOWN.len()],
    /// All claims there ever were, each with its worker.
    claims: Vec<(ClaimByHand, usize)>,
    numbers: usize,
    /// Time passed, or a worker went away: whichever call comes next may find that it is another run's turn.
    turn_may_be_over: bool,
}

fn words(error: Error) -> String {
    format!("an unexpected error: {error}")
}

impl World {
    pub async fn new(redis: &TestRedis, queue: &Queue) -> Self {
        let mut raw = redis.raw().await;
        let _: () = redis::cmd("FLUSHALL").query_async(&mut raw).await.expect("FLUSHALL");
        Self {
            queue: queue.clone(),
            raw,
            keys: RawKeys::default(),
            ledger: Ledger::default(),
            workers: Vec::new(),
            at_work: [None; KNOWN.len()],
            claims: Vec::new(),
            numbers: 0,
            turn_may_be_over: false,
        }
    }

    pub async fn take(&mut self, step: &Step) -> Checked {
        if matches!(step, Step::TurnsAreOver | Step::Leave { .. } | Step::Die { .. } | Step::NobodyTicks { .. }) {
            self.turn_may_be_over = true;
        }
        match step {
            Step::Submit(plan) => self.submit(plan).await,
            Step::SubmitAgain { run } => match self.run(*run) {
                Some(run) => {
                    let again = self.ledger.runs[&run].new.clone();
                    let answer = self.queue.submit(&again).await.map_err(words)?;
                    must(answer == Submitted::AlreadyThere, || format!("{run} was taken twice: {answer:?}"))?;
                    self.nothing_changed().await
                }
                None => Ok(()),
            },
            Step::Claim { worker, target, count } => {
                let worker = self.worker(*worker).await?;
                self.claim(worker, TARGETS[*target], *count).await
            }
            Step::Settle { by, ends } => self.settle(by, ends).await,
            Step::Extend { by, which, started } => self.extend(by, which, *started).await,
            Step::Split { by, which, parts, cursor } => self.split(by, which, *parts, cursor).await,
            Step::Silent { which } => {
                if let Some(number) = self.pick(which) {
                    let (claim, worker) = &self.claims[number];
                    if self.stands(claim, *worker) {
                        let (target, consumer) = (claim.job.target.clone(), self.workers[*worker].consumer.clone());
                        let entry = claim.entry().to_string();
                        self.silence(&target, &consumer, &[entry]).await;
                    }
                }
                self.read().await
            }
            Step::Die { worker } => {
                if let Some(worker) = self.at_work[*worker].take() {
                    let consumer = self.workers[worker].consumer.clone();
                    self.silence_all(|holder| holder == consumer).await;
                    self.command(&["ZREM", "{cs}:workers", &consumer]).await;
                    self.command(&["DEL", &format!("{{cs}}:worker:{consumer}")]).await;
                }
                self.read().await
            }
            Step::Leave { worker } => {
                if let Some(worker) = self.at_work[*worker].take() {
                    self.workers[worker].leave().await.map_err(words)?;
                }
                self.after(&[]).await
            }
            Step::Tick { worker } => {
                let worker = self.worker(*worker).await?;
                self.workers[worker].tick().await.map_err(words)?;
                self.after(&[]).await?;
                let targets: Vec<&str> =
                    KNOWN[self.place_of(worker)].iter().copied().filter(|name| TARGETS.contains(name)).collect();
                self.turn_may_be_over &= targets.len() < TARGETS.len();
                let does = |target| laws::who_is_to_make_room_does(target, &self.ledger, &self.keys);
                targets.into_iter().try_for_each(does)
            }
            Step::Reclaim { worker } => {
                let worker = self.worker(*worker).await?;
                let targets = KNOWN[self.place_of(worker)].iter().filter(|name| TARGETS.contains(name));
                let dead: usize = targets
                    .map(|target| self.keys.stream(&stream(target)).1.iter().filter(|claim| claim.idle).count())
                    .sum();
                let taken = self.workers[worker].reclaim().await.map_err(words)?;
                must(taken == dead as u64, || format!("{taken} jobs were reclaimed, not {dead}"))?;
                self.after(&[]).await
            }
            Step::NobodyTicks { claims_too } => {
                for target in TARGETS.iter().filter(|target| !self.keys.hash(&lease(target)).is_empty()) {
                    redis::cmd("HSET")
                        .arg(&[&lease(target), "expires", "1"])
                        .exec_async(&mut self.raw.clone())
                        .await
                        .expect("HSET");
                }
                self.forget_workers().await;
                if *claims_too {
                    self.silence_all(|_| true).await;
                }
                self.read().await
            }
            Step::DelaysAreOver => {
                self.end_delays().await;
                let worker = self.worker(0).await?;
                self.workers[worker].tick().await.map_err(words)?;
                self.after(&[]).await
            }
            Step::ClosingTakesTooLong => {
                for run in self.ledger.runs.values().filter(|run| run.cause.is_some() && run.over.is_none()) {
                    let run = of_run(&run.new.id, "");
                    redis::cmd("HSET")
                        .arg(&[&run, "ending_until", "1"])
                        .exec_async(&mut self.raw.clone())
                        .await
                        .expect("HSET");
                }
                self.read().await
            }
            Step::TurnsAreOver => {
                self.end_turns().await;
                self.read().await
            }
            Step::Pause { run } => self.pause(*run).await,
            Step::Resume { run } => self.resume(*run).await,
            Step::Cancel { run } => self.cancel(*run).await,
            Step::Dead { run, retry, all } => self.dead(*run, *retry, *all).await,
            Step::Unlock { target } => self.unlock(TARGETS[*target]).await,
            Step::Garbage { target } => {
                let stream = stream(TARGETS[*target]);
                if self.keys.0.contains_key(&stream) {
                    self.command(&["XADD", &stream, "*", "what", "is this"]).await;
                }
                self.read().await
            }
            Step::Flush => {
                self.command(&["FLUSHALL"]).await;
                self.ledger = Ledger::default();
                self.read().await
            }
        }
    }

    /// All faults stop: every run reaches a final state, and nothing that comes late changes anything any more.
    pub async fn come_to_an_end(&mut self) -> Checked {
        self.at_work = [None; KNOWN.len()];
        self.forget_workers().await;
        self.silence_all(|_| true).await;
        self.read().await?;
        let last = self.worker(0).await?;
        for _ in 0..300 {
            if self.ledger.runs.values().all(|run| run.over.is_some()) {
                let all: Vec<(Which, End)> = (0..self.claims.len())
                    .map(|number| (Which { standing: false, number }, End::Done { wrote: true, pressure: false }))
                    .collect();
                for (which, end) in all {
                    self.settle(&By::Owner, &[(which, end)]).await?;
                }
                return Ok(());
            }
            for run in 0..self.ledger.order.len() {
                self.resume(run).await?;
            }
            self.end_delays().await;
            self.end_turns().await;
            self.workers[last].tick().await.map_err(words)?;
            self.after(&[]).await?;
            self.workers[last].reclaim().await.map_err(words)?;
            self.after(&[]).await?;
            for target in TARGETS {
                let before = self.claims.len();
                self.claim(last, target, 64).await?;
                let done: Vec<_> = (before..self.claims.len())
                    .map(|number| (Which { standing: false, number }, End::Done { wrote: true, pressure: false }))
                    .collect();
                self.settle(&By::Owner, &done).await?;
                // What was no job stays claimed until it is taken back.
                self.silence_all(|_| true).await;
                self.read().await?;
            }
        }
        Err("the faults have stopped, but a run does not come to its end".into())
    }

    /// What ending a run answers, by the raw keys.
    fn ended(&self, run: &str) -> Option<Ended> {
        let fields = self.keys.hash(&of_run(run, ""));
        Some(match fields.get("state")?.as_str() {
            "ending" => Ended::Ending { run: run.into() },
            _ => Ended::Now { run: run.into(), closed: fields["closed"] == "1" },
        })
    }

    fn run(&self, number: usize) -> Option<String> {
        let known = self.ledger.order.len();
        (known > 0).then(|| self.ledger.order[number % known].clone())
    }

    fn state(&self, run: &str) -> String {
        self.keys.hash(&of_run(run, ""))["state"].clone()
    }

    /// Whoever is at this place; somebody new when the last one died or left.
    async fn worker(&mut self, place: usize) -> Result<usize, String> {
        if let Some(worker) = self.at_work[place] {
            return Ok(worker);
        }
        let name = format!("worker-{place}-{}", self.workers.len());
        self.workers.push(WorkerByHand::new(&self.queue, &name, KNOWN[place]).await.map_err(words)?);
        self.at_work[place] = Some(self.workers.len() - 1);
        self.after(&[]).await?;
        Ok(self.workers.len() - 1)
    }

    fn place_of(&self, worker: usize) -> usize {
        self.at_work.iter().position(|at_work| *at_work == Some(worker)).expect("a worker at work")
    }

    fn pick(&self, which: &Which) -> Option<usize> {
        let all: Vec<usize> = (0..self.claims.len())
            .filter(|number| !which.standing || self.stands(&self.claims[*number].0, self.claims[*number].1))
            .collect();
        (!all.is_empty()).then(|| all[which.number % all.len()])
    }

    fn is_control(&self, claim: &ClaimByHand) -> bool {
        self.ledger.runs.get(&claim.job.run).is_some_and(|run| run.is_control(claim.job.stage))
    }

    fn by(&self, by: &By, claim: usize) -> usize {
        match by {
            By::Owner => self.claims[claim].1,
            By::Worker(place) => self.at_work[*place].unwrap_or(self.claims[claim].1),
        }
    }

    /// By the raw keys: it is this worker's, of the run that holds the target, under its lease, for this job (I3).
    fn stands(&self, claim: &ClaimByHand, worker: usize) -> bool {
        let (entries, pending) = self.keys.stream(&stream(&claim.job.target));
        let held = self.keys.hash(&lease(&claim.job.target));
        let consumer = &self.workers[worker].consumer;
        pending.iter().any(|pending| pending.entry == claim.entry() && pending.consumer == *consumer)
            && held.get("run") == Some(&claim.job.run)
            && held.get("id") == Some(&claim.job.lease_id)
            && entries.iter().any(|entry| {
                entry.id == claim.entry() && parse(&entry.fields["job"]).is_some_and(|job| job.id == claim.job.id)
            })
    }

    /// I3: who does not hold the claim changes nothing at all, but what time has changed.
    async fn nothing_changed(&mut self) -> Checked {
        if self.turn_may_be_over {
            return self.after(&[]).await;
        }
        let keys = RawKeys::read(&mut self.raw).await;
        let differences = keys.differences(&self.keys);
        must(differences.is_empty(), || format!("it was refused, but now there is {differences:#?}"))
    }

    /// Reads the keys after the world was changed by something that is not the queue.
    async fn read(&mut self) -> Checked {
        self.keys = RawKeys::read(&mut self.raw).await;
        Ok(())
    }

    /// Reads the keys after a call of the queue, writes down what became of claims and leases, and checks the laws.
    async fn after(&mut self, settled: &[(&str, &str)]) -> Checked {
        let before = std::mem::take(&mut self.keys);
        self.keys = RawKeys::read(&mut self.raw).await;
        for target in TARGETS {
            let now = self.keys.hash(&lease(target));
            let holder = now.get("run").map(|run| (run.clone(), now["id"].clone()));
            let held = self.ledger.leases.get(target).cloned();
            let renewed = holder != held;
            self.take_back(target, &before, settled, renewed)?;
            // It may have begun anew before it made room, all in one call: then it is to open again.
            if let Some((run, _)) = held.as_ref().filter(|_| renewed)
                && self.keys.hash(&of_run(run, "")).get("open_is_out").is_some_and(|out| out == "1")
            {
                self.ledger.runs.get_mut(run).ok_or("a run that never was held a target")?.open_anew();
            }
            match holder {
                None => drop(self.ledger.leases.remove(target)),
                Some((run, id)) => {
                    if renewed {
                        if held.as_ref().is_none_or(|(before, _)| *before != run) {
                            let was =
                                |key: &str, name: &str| before.hash(key).get(name).is_some_and(|value| value == "1");
                            let turn = Turn {
                                run: &run,
                                made_room: was(&of_run(&run, ""), "yielded"),
                                of_another: was(&lease(target), "urgent_since"),
                            };
                            laws::nobody_waits_in_vain(target, &self.ledger, &self.keys, Some(turn))?;
                        }
                        self.ledger.runs.get_mut(&run).ok_or("a run that never was holds a target")?.open_anew();
                    }
                    self.ledger.leases.insert(target.into(), (run, id));
                }
            }
        }
        laws::check(&mut self.ledger, &self.keys)
    }

    /// Claims that are gone without having been settled: a crash for those that were silent and had started, nothing for the rest.
    fn take_back(&mut self, target: &str, before: &RawKeys, settled: &[(&str, &str)], renewed: bool) -> Checked {
        let (entries, pending) = before.stream(&stream(target));
        let (left, _) = self.keys.stream(&stream(target));
        let gone = pending.iter().filter(|claim| {
            !left.iter().any(|entry| entry.id == claim.entry) && !settled.contains(&(target, claim.entry.as_str()))
        });
        for claim in gone {
            let entry = entries.iter().find(|entry| entry.id == claim.entry).ok_or("a claim without its entry")?;
            let Some(text) = entry.fields.get("job") else { continue };
            let known = self.ledger.runs.get_mut(&entry.text("run")).ok_or("a job of a run that never was")?;
            if known.cause.is_some()
                && (!known.ending || self.keys.hash(&of_run(&known.new.id, ""))["state"] != "ending")
            {
                continue; // the run ended, and took its jobs along
            }
            must(claim.idle || renewed, || format!("{claim:?} was taken from a worker that lives"))?;
            let job = parse(text).ok_or("an entry that is no job")?;
            if claim.idle && claim.deliveries > 0 {
                known.job(&job.id).crashes += 1;
            }
        }
        Ok(())
    }
}
