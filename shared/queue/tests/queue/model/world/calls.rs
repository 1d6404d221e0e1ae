//! Calls of the queue: each answer is held against what should be, and the ledger is written on.

use std::time::Duration;

use queue::by_hand::ClaimByHand;
use queue::{Ended, IfBusy, NewRun, Outcome, RunState, Submitted, Verdict};

use super::super::laws::{Checked, lease, must, of_run, stream};
use super::super::ledger::{Cause, Job, Run, job};
use super::super::steps::{By, Cursor, End, Plan, SOURCES, TARGETS, Which};
use super::{World, words};

const LATER: Duration = Duration::from_secs(100_000);

impl World {
    pub(super) async fn submit(&mut self, plan: &Plan) -> Checked {
        let (source, target) = (SOURCES[plan.source], TARGETS[plan.target]);
        let mut run = NewRun::new(source, target);
        for (stage, count) in plan.stages.iter().enumerate() {
            run = run
                .stage(format!("stage {stage}"), (0..*count).map(|number| job(format!("{stage}-{number}"))).collect());
        }
        run.open = plan.open.then(|| job("open"));
        run.close = plan.close.then(|| job("close"));
        (run.window, run.priority, run.urgent) = (plan.window, plan.priority, plan.urgent);
        run.dedup = plan.brings_the_same.then(|| "the same".into());
        run.events.changed = Some("run.changed".into());
        run.if_busy = if plan.refuse { IfBusy::Refuse } else { IfBusy::Wait };
        let busy = self.ledger.runs.values().any(|run| run.new.target == target && run.over.is_none());
        let same: Vec<&str> = self.same_as(&run);
        let answer = self.queue.submit(&run).await.map_err(words)?;
        if let Submitted::Refused(_) = answer {
            must(busy && plan.refuse, || "refused, but the target is free".into())?;
            return self.nothing_changed().await;
        }
        must(!(busy && plan.refuse), || format!("{answer:?}, but the target is taken"))?;
        if let Submitted::Same { run: other } = &answer {
            must(same.contains(&other.as_str()), || format!("{other} is to bring the same, not {same:?}"))?;
            return self.nothing_changed().await;
        }
        must(same.is_empty(), || format!("{answer:?}, but {same:?} wait to bring the same"))?;
        self.ledger.order.push(run.id.clone());
        self.ledger.runs.insert(run.id.clone(), Run::new(run));
        self.after(&[]).await
    }

    /// The runs that wait, have not begun, are as urgent, and bring the same.
    fn same_as(&self, new: &NewRun) -> Vec<&str> {
        let waits = |run: &&Run| {
            let fields = self.keys.hash(&of_run(&run.new.id, ""));
            fields["state"] == "waiting" && !fields.contains_key("started")
        };
        let same = self.ledger.runs.values().filter(|run| {
            (&run.new.target, run.new.urgent, &run.new.dedup) == (&new.target, new.urgent, &new.dedup)
                && new.dedup.is_some()
        });
        same.filter(waits).map(|run| run.new.id.as_str()).collect()
    }

    pub(super) async fn claim(&mut self, worker: usize, target: &str, count: usize) -> Checked {
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

    pub(super) async fn settle(&mut self, by: &By, ends: &[(Which, End)]) -> Checked {
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

    pub(super) async fn extend(&mut self, by: &By, which: &Which, started: bool) -> Checked {
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

    pub(super) async fn split(&mut self, by: &By, which: &Which, parts: usize, cursor: &Cursor) -> Checked {
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

    pub(super) async fn pause(&mut self, run: usize) -> Checked {
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

    pub(super) async fn resume(&mut self, run: usize) -> Checked {
        let Some(run) = self.run(run) else { return Ok(()) };
        let paused = self.state(&run) == "paused";
        self.queue.resume(&run).await.map_err(words)?;
        if !paused {
            return self.nothing_changed().await;
        }
        self.ledger.runs.get_mut(&run).expect("it was picked from there").paused = false;
        self.after(&[]).await
    }

    pub(super) async fn cancel(&mut self, run: usize) -> Checked {
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

    pub(super) async fn dead(&mut self, run: usize, retry: bool, all: bool) -> Checked {
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

    pub(super) async fn unlock(&mut self, target: &str) -> Checked {
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
