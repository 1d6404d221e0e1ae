//! Takes the steps: calls the queue, holds its answers against what raw keys and the ledger say, and writes the ledger on.

use std::time::Duration;

use queue::by_hand::{ClaimByHand, WorkerByHand};
use queue::{Ended, Error, IfBusy, NewRun, Outcome, Queue, RunState, Settings, Submitted, Verdict};
use redis::aio::MultiplexedConnection;

use super::laws::{self, Checked, lease, must, of_run, parse, stream};
use super::ledger::{Cause, Job, Ledger, Run, job};
use super::steps::{By, Cursor, End, KNOWN, Plan, SOURCES, Step, TARGETS, Which};
use crate::raw_keys::RawKeys;
use crate::redis_server::TestRedis;

const LATER: Duration = Duration::from_secs(100_000);
/// Far longer than a lease; given to claims, instead of sleeping.
const SILENCE_MS: &str = "36000000";

/// A lease so long that time does nothing by itself: steps bring it.
pub fn settings(redis: &TestRedis) -> Settings {
    let long = Duration::from_secs(3600);
    Settings { lease: long, close_within: long, ..redis.settings() }
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
        }
    }

    pub async fn take(&mut self, step: &Step) -> Checked {
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
                self.after(&[]).await
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

    async fn submit(&mut self, plan: &Plan) -> Checked {
        let (source, target) = (SOURCES[plan.source], TARGETS[plan.target]);
        let mut run = NewRun::new(source, target);
        for (stage, count) in plan.stages.iter().enumerate() {
            run = run
                .stage(format!("stage {stage}"), (0..*count).map(|number| job(format!("{stage}-{number}"))).collect());
        }
        run.open = plan.open.then(|| job("open"));
        run.close = plan.close.then(|| job("close"));
        (run.window, run.priority) = (plan.window, plan.priority);
        run.events.changed = Some("run.changed".into());
        run.if_busy = if plan.refuse { IfBusy::Refuse } else { IfBusy::Wait };
        let busy = self.ledger.runs.values().any(|run| run.new.target == target && run.over.is_none());
        let answer = self.queue.submit(&run).await.map_err(words)?;
        if let Submitted::Refused(_) = answer {
            must(busy && plan.refuse, || "refused, but the target is free".into())?;
            return self.nothing_changed().await;
        }
        must(!(busy && plan.refuse), || format!("{answer:?}, but the target is taken"))?;
        self.ledger.order.push(run.id.clone());
        self.ledger.runs.insert(run.id.clone(), Run::new(run));
        self.after(&[]).await
    }

    async fn claim(&mut self, worker: usize, target: &str, count: usize) -> Checked {
        // Without a stream there is no group to read with, until the next tick.
        if !self.keys.0.contains_key(&stream(target)) {
            return Ok(());
        }
        let claims = self.workers[worker].claim(target, count).await.map_err(words)?;
        self.read().await?;
        for claim in claims {
            let run = self.ledger.runs.get_mut(&claim.job.run).ok_or("a job of a run that never was")?;
            run.begun = true;
            let known = run.job(&claim.job.id);
            let cursor = claim.job.cursor.clone().unwrap_or_default();
            must(cursor == known.cursor.as_bytes(), || format!("{:?} comes without its cursor {known:?}", claim.job))?;
            self.claims.push((claim, worker));
        }
        self.after(&[]).await
    }

    async fn settle(&mut self, by: &By, ends: &[(Which, End)]) -> Checked {
        let picked = ends.iter().filter_map(|(which, end)| Some((self.pick(which)?, end)));
        // Nobody splits a control job.
        let mut verdicts: Vec<(usize, &End)> = picked
            .filter(|(number, end)| !(matches!(end, End::Parts(_)) && self.is_control(&self.claims[*number].0)))
            .collect();
        let Some((first, end)) = verdicts.first() else { return Ok(()) };
        let worker = self.by(by, *first);
        // Parts are settled by a call of their own.
        if matches!(end, End::Parts(_)) {
            verdicts.truncate(1);
        }
        let alone = verdicts.len() == 1;
        verdicts.retain(|(_, end)| alone || !matches!(end, End::Parts(_)));
        let stood_before: Vec<bool> =
            verdicts.iter().map(|(number, _)| self.stands(&self.claims[*number].0, worker)).collect();
        let claims: Vec<ClaimByHand> = verdicts.iter().map(|(number, _)| self.claims[*number].0.clone()).collect();
        let answers = if let (_, End::Parts(count)) = verdicts[0] {
            let parts: Vec<_> = (0..*count).map(|part| job(format!("{}.{part}", claims[0].job.id))).collect();
            vec![self.workers[worker].settle_parts(&claims[0], &parts).await.map_err(words)?]
        } else {
            let all = claims.iter().zip(&verdicts).map(|(claim, (_, end))| (claim, verdict(claim, end))).collect();
            self.workers[worker].settle(all).await.map_err(words)?
        };
        if !answers.contains(&true) {
            must(!stood_before.contains(&true), || format!("claims stood, but none could be settled: {claims:?}"))?;
            return self.nothing_changed().await;
        }

        // What is done is settled before everything else.
        let mut order: Vec<usize> = (0..answers.len()).collect();
        order.sort_by_key(|place| !matches!(verdicts[*place].1, End::Done { .. }));
        // Streams number their entries by the time, so two may have the same one.
        let mut settled: Vec<(&str, &str)> = Vec::new();
        let mut voided: Vec<&str> = Vec::new();
        for place in order {
            let (claim, end) = (&claims[place], verdicts[place].1);
            let stands = stood_before[place]
                && !settled.contains(&(claim.job.target.as_str(), claim.entry()))
                && !voided.contains(&claim.job.target.as_str());
            must(answers[place] == stands, || {
                format!("settling {claim:?} as {end:?}: {}, not {stands}", answers[place])
            })?;
            if stands {
                settled.push((&claim.job.target, claim.entry()));
                let run = self.ledger.runs.get_mut(&claim.job.run).expect("the run of a claim that stands");
                if write_down(run, &claim.job.id, end) {
                    voided.push(&claim.job.target);
                }
            }
        }
        self.after(&settled).await
    }

    async fn extend(&mut self, by: &By, which: &Which, started: bool) -> Checked {
        let Some(number) = self.pick(which) else { return Ok(()) };
        let worker = self.by(by, number);
        let claim = self.claims[number].0.clone();
        let stands = self.stands(&claim, worker);
        let answer = self.workers[worker].extend(&[&claim], started).await.map_err(words)?;
        must(answer == [stands], || format!("extending {claim:?}: {answer:?}, not {stands}"))?;
        if !stands {
            return self.nothing_changed().await;
        }
        self.after(&[]).await?;
        let (_, pending) = self.keys.stream(&stream(&claim.job.target));
        let now = pending.iter().find(|pending| pending.entry == claim.entry());
        let shown = now.is_some_and(|now| !now.idle && (now.deliveries > 0) == started);
        must(shown, || format!("{claim:?} was extended and is {now:?}"))
    }

    async fn split(&mut self, by: &By, which: &Which, parts: usize, cursor: &Cursor) -> Checked {
        let Some(number) = self.pick(which) else { return Ok(()) };
        let worker = self.by(by, number);
        let claim = self.claims[number].0.clone();
        let stands = self.stands(&claim, worker);
        let run = self.ledger.runs.get(&claim.job.run);
        let known = run.map(|run| run.jobs[&claim.job.id].cursor.clone()).unwrap_or_default();
        // Nobody splits a control job; one that has not split yet has nothing to repeat.
        if self.is_control(&claim) || (*cursor == Cursor::Repeated && known.is_empty()) {
            return Ok(());
        }
        self.numbers += 1;
        let fresh = self.numbers.to_string();
        let (before, next) = match cursor {
            Cursor::Next => (known.clone(), fresh.clone()),
            Cursor::Repeated => ("whatever".into(), known.clone()),
            Cursor::Wrong => ("another".into(), fresh.clone()),
        };
        let children: Vec<_> = (0..parts).map(|part| job(format!("{}/{fresh}.{part}", claim.job.id))).collect();
        let split = self.workers[worker].split(&claim, &children, before.as_bytes(), next.as_bytes());
        let answer = split.await.map_err(words)?;
        must(answer == (stands && *cursor != Cursor::Wrong), || format!("splitting {claim:?}, {cursor:?}: {answer}"))?;
        if !answer || *cursor == Cursor::Repeated {
            return self.nothing_changed().await;
        }
        let run = self.ledger.runs.get_mut(&claim.job.run).expect("the run of a claim that stands");
        run.job(&claim.job.id).cursor = fresh;
        children.into_iter().for_each(|child| run.add(child.id, claim.job.stage));
        self.after(&[]).await
    }

    async fn pause(&mut self, run: usize) -> Checked {
        let Some(run) = self.run(run) else { return Ok(()) };
        let running = self.state(&run) == "running";
        let answer = self.queue.pause(&run).await.map_err(words)?;
        if !running {
            return self.nothing_changed().await;
        }
        must(answer == RunState::Paused, || format!("pausing {run}: {answer}"))?;
        self.ledger.runs.get_mut(&run).expect("it was picked from there").paused = true;
        self.after(&[]).await
    }

    async fn resume(&mut self, run: usize) -> Checked {
        let Some(run) = self.run(run) else { return Ok(()) };
        let paused = self.state(&run) == "paused";
        self.queue.resume(&run).await.map_err(words)?;
        if !paused {
            return self.nothing_changed().await;
        }
        self.ledger.runs.get_mut(&run).expect("it was picked from there").paused = false;
        self.after(&[]).await
    }

    async fn cancel(&mut self, run: usize) -> Checked {
        let Some(run) = self.run(run) else { return Ok(()) };
        let before = self.state(&run);
        let answer = self.queue.cancel(&run, "somebody").await.map_err(words)?;
        let known = self.ledger.runs.get_mut(&run).expect("it was picked from there");
        let as_expected = match before.as_str() {
            "waiting" | "running" | "paused" => {
                known.end_early(Cause::Cancelled);
                self.after(&[]).await?;
                self.ended(&run)
            }
            "ending" => {
                self.nothing_changed().await?;
                self.ended(&run)
            }
            _ => {
                self.nothing_changed().await?;
                matches!(answer, Ended::Already { .. }).then(|| answer.clone())
            }
        };
        must(as_expected.as_ref() == Some(&answer), || format!("cancelling {run}, which was {before}: {answer:?}"))
    }

    async fn dead(&mut self, run: usize, retry: bool, all: bool) -> Checked {
        let Some(run) = self.run(run) else { return Ok(()) };
        let fields = self.keys.hash(&of_run(&run, ""));
        let known = self.ledger.runs.get_mut(&run).expect("it was picked from there");
        let closing = fields["state"] == "running" && fields["stage"] == known.last_stage().to_string();
        let live = known.over.is_none() && known.cause.is_none() && !closing;
        let mut ids: Vec<String> = known.dead.iter().map(|(id, _)| id.clone()).collect();
        if !all {
            ids.truncate(1);
        }
        let named = (!all).then_some(ids.as_slice());
        let (_, answer) = if retry {
            self.queue.retry_dead(&run, named, "somebody", "run.retried").await.map_err(words)?
        } else {
            self.queue.drop_dead(&run, named, "somebody", "run.dropped").await.map_err(words)?
        };
        // What was no job is only dropped, and only when all are.
        let jobs: Vec<&String> = answer.iter().filter(|id| known.jobs.contains_key(*id)).collect();
        let expected: Vec<&String> = if live || !retry { ids.iter().collect() } else { Vec::new() };
        must(jobs == expected && (jobs.len() == answer.len() || all && !retry), || {
            format!("the dead of {run}: {answer:?}, not {expected:?}")
        })?;
        if answer.is_empty() {
            return self.nothing_changed().await;
        }
        if retry {
            ids.iter().for_each(|id| known.revive(id));
        } else {
            known.dead.retain(|(id, _)| !ids.contains(id));
            known.dropped += answer.len();
        }
        self.after(&[]).await
    }

    async fn unlock(&mut self, target: &str) -> Checked {
        let holder = self.keys.hash(&lease(target)).remove("run");
        let answer = self.queue.unlock(target, "somebody").await.map_err(words)?;
        let Some(run) = holder else {
            must(answer == Ended::Nothing, || format!("nobody held {target}, but {answer:?}"))?;
            return self.nothing_changed().await;
        };
        self.ledger.runs.get_mut(&run).expect("runs that hold a target are known").end_early(Cause::Unlocked);
        self.after(&[]).await?;
        must(self.ended(&run).as_ref() == Some(&answer), || format!("unlocking {target} from {run}: {answer:?}"))
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

    /// I3: who does not hold the claim changes nothing at all.
    async fn nothing_changed(&mut self) -> Checked {
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
            match holder {
                None => drop(self.ledger.leases.remove(target)),
                Some((run, id)) => {
                    if renewed {
                        if held.is_none_or(|(before, _)| before != run) {
                            laws::nobody_waits_in_vain(target, &self.ledger, &self.keys, Some(&run))?;
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

    async fn command(&mut self, words: &[&str]) {
        redis::cmd(words[0]).arg(&words[1..]).exec_async(&mut self.raw).await.expect("a sound command");
    }

    async fn silence(&mut self, target: &str, consumer: &str, entries: &[String]) {
        for entry in entries {
            let key = stream(target);
            self.command(&["XCLAIM", &key, "workers", consumer, "0", entry, "IDLE", SILENCE_MS, "JUSTID"]).await;
        }
    }

    async fn silence_all(&mut self, whose: impl Fn(&str) -> bool) {
        for target in TARGETS {
            for claim in self.keys.stream(&stream(target)).1.to_vec() {
                if whose(&claim.consumer) {
                    self.silence(target, &claim.consumer, &[claim.entry]).await;
                }
            }
        }
    }

    async fn forget_workers(&mut self) {
        for (worker, _) in self.keys.sorted("{cs}:workers").to_vec() {
            self.command(&["DEL", &format!("{{cs}}:worker:{}", String::from_utf8_lossy(&worker))]).await;
        }
        self.command(&["DEL", "{cs}:workers"]).await;
    }

    async fn end_delays(&mut self) {
        for run in self.ledger.order.clone() {
            let delayed = of_run(&run, ":delayed");
            for (text, _) in self.keys.sorted(&delayed).to_vec() {
                redis::cmd("ZADD").arg(&delayed).arg(1).arg(text).exec_async(&mut self.raw).await.expect("ZADD");
            }
        }
        for target in TARGETS {
            let pace = format!("{{cs}}:target:{target}:pace");
            if self.keys.hash(&pace).contains_key("rest_until") {
                self.command(&["HSET", &pace, "rest_until", "1"]).await;
            }
        }
    }
}

fn verdict(claim: &ClaimByHand, end: &End) -> Verdict {
    let after = |later: bool| later.then_some(LATER);
    match end {
        End::Done { wrote, pressure } => Verdict::Done(Outcome {
            notes: vec![b"\xffnote".to_vec()],
            event: Some(("run.item".into(), "\"one\":1".into())),
            fence: Some(claim.job.lease_id.clone().into_bytes()),
            wrote: *wrote,
            pressure: *pressure,
            ..Outcome::default().count("rows", 3).count(format!("job {}", claim.job.id), 1)
        }),
        End::Retry { later } => {
            Verdict::Retry { error: "not now".into(), after: Some(after(*later).unwrap_or(Duration::ZERO)) }
        }
        End::Return { later } => Verdict::Return { after: after(*later), reason: "not me".into() },
        End::Throttled { later } => {
            Verdict::Throttled { after: after(*later).unwrap_or_default(), reason: "too much".into() }
        }
        End::Bury => Verdict::Bury { error: "never".into() },
        End::FenceLost => Verdict::FenceLost { holder: "somebody".into() },
        End::Fail => Verdict::Fail { error: "stop".into() },
        End::Parts(_) => unreachable!("parts are settled by a call of their own"),
    }
}

/// What a settled claim means. True when it voids the other claims of the target.
fn write_down(run: &mut Run, id: &str, end: &End) -> bool {
    let Job { stage, attempts, .. } = run.job(id).clone();
    let control = run.is_control(stage);
    match end {
        End::Done { wrote, .. } => {
            *run.counters.entry("rows".into()).or_default() += 3;
            *run.counters.entry(format!("job {id}")).or_default() += 1;
            *run.done.entry(stage).or_default() += 1;
            run.notes += 1;
            if *wrote && stage > 0 {
                run.losses = 0;
            }
            run.closed |= stage == run.last_stage();
            run.job(id).open = false;
            false
        }
        End::Retry { .. } if attempts + 1 >= 8 => write_down(run, id, &End::Bury),
        End::Retry { .. } => {
            run.job(id).attempts += 1;
            false
        }
        End::Return { .. } | End::Throttled { .. } => false,
        End::Bury | End::Fail => {
            run.dead.push((id.into(), stage));
            run.job(id).open = false;
            let ends = control || *end == End::Fail;
            if ends {
                run.end_early(Cause::Failed);
            }
            ends
        }
        End::FenceLost => {
            if run.cause.is_some() {
                // Somebody else has the target: that is as good as closed.
                run.closed = true;
                return true;
            }
            run.losses += 1;
            if run.losses >= 5 {
                run.end_early(Cause::Failed);
            }
            true
        }
        End::Parts(count) => {
            run.job(id).open = false;
            for part in 0..*count {
                run.add(format!("{id}.{part}"), stage);
            }
            false
        }
    }
}
