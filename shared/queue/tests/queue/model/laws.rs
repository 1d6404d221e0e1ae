//! What must hold after every step, whatever it was. Reads keys only; to the ledger it writes only that a run is ending or over.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::ledger::{Ledger, Run, job};
use super::steps::TARGETS;
use crate::raw_keys::{Bytes, Entry, Pending, RawKeys};

pub type Checked = Result<(), String>;

pub fn must(holds: bool, words: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(words()) }
}

pub fn stream(target: &str) -> String {
    format!("{{cs}}:target:{target}:jobs")
}

pub fn lease(target: &str) -> String {
    format!("{{cs}}:target:{target}:lease")
}

pub fn waiting(target: &str) -> String {
    format!("{{cs}}:target:{target}:waiting")
}

pub fn of_run(run: &str, part: &str) -> String {
    format!("{{cs}}:run:{run}{part}")
}

/// A job as it lies in a backlog, among the delayed or in an entry.
pub struct Text {
    pub id: String,
    pub stage: u32,
    attempts: u32,
    crashes: u32,
    payload: Bytes,
}

pub fn parse(text: &[u8]) -> Option<Text> {
    let mut parts = text.splitn(6, |byte| *byte == b'\n');
    let mut word = || parts.next().map(|part| String::from_utf8_lossy(part).into_owned());
    let (id, stage, _kind) = (word()?, word()?.parse().ok()?, word()?);
    let (attempts, crashes) = (word()?.parse().ok()?, word()?.parse().ok()?);
    Some(Text { id, stage, attempts, crashes, payload: parts.next()?.to_vec() })
}

pub fn check(ledger: &mut Ledger, keys: &RawKeys) -> Checked {
    let mut live = BTreeSet::new();
    let mut history = BTreeSet::new();
    let events = events(keys)?;
    for run in ledger.runs.values_mut() {
        let fields = keys.hash(&of_run(&run.new.id, ""));
        let state = fields.get("state").ok_or_else(|| format!("run {} is gone", run.new.id))?;
        if ["waiting", "running", "paused", "ending"].contains(&state.as_str()) {
            live.insert(run.new.id.clone());
            must(run.over.is_none(), || format!("run {} was over and is {state}", run.new.id))?;
            under_way(run, state, keys)?;
            run.ending = state == "ending";
        } else {
            history.insert(run.new.id.clone());
            over(run, state, &fields, keys)?;
        }
        every_job_is_in_one_place(run, keys)?;
        counters_are_as_counted(run, &fields, keys)?;
        final_event(run, state, &events)?;
    }
    must(members(keys, "{cs}:live") == live, || format!("live: {:?}, not {live:?}", members(keys, "{cs}:live")))?;
    must(members(keys, "{cs}:history") == history, || "the history has other runs than those that are over".into())?;
    for target in TARGETS {
        target_is_consistent(target, ledger, keys)?;
    }
    Ok(())
}

fn members(keys: &RawKeys, name: &str) -> BTreeSet<String> {
    keys.sorted(name).iter().map(|(member, _)| String::from_utf8_lossy(member).into_owned()).collect()
}

fn under_way(run: &Run, state: &str, keys: &RawKeys) -> Checked {
    let id = &run.new.id;
    must((state == "ending") == run.cause.is_some(), || {
        format!("run {id} is {state}, its cause to end is {:?}", run.cause)
    })?;
    let holds = keys.hash(&lease(&run.new.target)).get("run") == Some(id);
    let expected = match (&run.cause, holds, run.paused) {
        (Some(_), _, _) => "ending",
        (None, false, _) => "waiting",
        (None, true, true) => "paused",
        (None, true, false) => "running",
    };
    must(state == expected, || format!("run {id} is {state}, not {expected}"))?;
    must(holds || state == "waiting", || format!("run {id} is {state} and does not hold its target"))?;
    let in_line = members(keys, &waiting(&run.new.target)).iter().any(|line| line.ends_with(&format!(":{id}")));
    must(in_line == (state == "waiting"), || format!("run {id} is {state}, in line: {in_line}"))?;
    must(!keys.expires(&of_run(id, "")), || format!("run {id} is {state} and expires"))
}

fn over(run: &mut Run, state: &str, fields: &BTreeMap<String, String>, keys: &RawKeys) -> Checked {
    let id = run.new.id.clone();
    let expected = match (&run.over, run.cause) {
        (Some(before), _) => before.as_str(),
        (None, Some(cause)) => cause.state(),
        (None, None) => {
            let left: Vec<_> = run.jobs.iter().filter(|(_, job)| job.open).collect();
            must(left.is_empty(), || format!("run {id} is {state}, but {left:?} were never done"))?;
            let whole = run.dropped == 0 && keys.list(&of_run(&id, ":dead")).is_empty();
            if whole { "finished" } else { "finished_held" }
        }
    };
    must(state == expected, || format!("run {id} is {state}, not {expected}"))?;
    // Of a run whose open job may have been executed, only its close job may say that it is closed.
    let harmless = run.new.close.is_none() || run.closed || !run.begun;
    must(fields["closed"] == "0" || harmless, || format!("run {id} says closed, but nobody closed it"))?;
    must(keys.expires(&of_run(&id, "")), || format!("run {id} is over and never expires"))?;
    run.over = Some(state.into());
    run.jobs.values_mut().for_each(|job| job.open = false);
    Ok(())
}

/// I1, and that jobs keep what is known of them.
fn every_job_is_in_one_place(run: &Run, keys: &RawKeys) -> Checked {
    let id = &run.new.id;
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut see = |text: &[u8], place: String, stage: Option<u32>| -> Checked {
        let seen = parse(text).ok_or_else(|| format!("{place} holds what is no job"))?;
        let known = run.jobs.get(&seen.id).ok_or_else(|| format!("{place} holds {}, which never was", seen.id))?;
        let as_known = (known.stage, known.attempts, known.crashes) == (seen.stage, seen.attempts, seen.crashes);
        must(as_known && stage.is_none_or(|stage| stage == seen.stage), || {
            format!(
                "{} in {place} has stage {}, {} attempts and {} crashes, not {known:?}",
                seen.id, seen.stage, seen.attempts, seen.crashes
            )
        })?;
        must(seen.payload == job(seen.id.as_str()).payload, || format!("{} has another payload", seen.id))?;
        found.entry(seen.id).or_default().push(place);
        Ok(())
    };
    for stage in 0..=run.last_stage() {
        let backlog = of_run(id, &format!(":backlog:{stage}"));
        for text in keys.list(&backlog) {
            see(text, backlog.clone(), Some(stage))?;
        }
    }
    for (text, _) in keys.sorted(&of_run(id, ":delayed")) {
        see(text, "delayed".into(), None)?;
    }
    for target in TARGETS {
        for entry in keys.stream(&stream(target)).0.iter().filter(|entry| entry.text("run") == *id) {
            must(target == run.new.target, || format!("a job of {id} in the stream of {target}"))?;
            see(&entry.fields["job"], format!("entry {}", entry.id), None)?;
        }
    }
    for (name, job) in &run.jobs {
        let places = found.remove(name).unwrap_or_default();
        must(places.len() == usize::from(job.open), || format!("job {name} of {id}, {job:?}, is in {places:?}"))?;
    }
    for job in keys.hash(&of_run(id, ":tries")).keys() {
        must(run.jobs.get(job).is_some_and(|job| job.open), || {
            format!("{job} of {id} is settled; its failures are kept")
        })?;
    }
    let cursors = keys.hash(&of_run(id, ":cursors"));
    let splitting = run.jobs.iter().filter(|(_, job)| job.open && !job.cursor.is_empty());
    let expected: BTreeMap<_, _> = splitting.map(|(name, job)| (name.clone(), job.cursor.clone())).collect();
    must(cursors == expected, || format!("cursors of {id}: {cursors:?}, not {expected:?}"))
}

/// I2
fn counters_are_as_counted(run: &Run, fields: &BTreeMap<String, String>, keys: &RawKeys) -> Checked {
    let id = &run.new.id;
    let counters: BTreeMap<String, i64> = keys
        .hash(&of_run(id, ":counts"))
        .into_iter()
        .map(|(name, value)| (name, value.parse().expect("counters are numbers")))
        .collect();
    must(counters == run.counters, || format!("counters of {id}: {counters:?}, not {:?}", run.counters))?;

    // Id, kind, stage, ...
    type Bytes = serde_bytes::ByteBuf;
    type Buried = (String, String, u32, u32, u32, Bytes, u64, Bytes, Vec<(u64, Bytes)>);
    let dead = keys.list(&of_run(id, ":dead")).iter();
    let dead: Vec<Buried> = dead.map(|packed| rmp_serde::from_slice(packed).expect("a buried job")).collect();
    // What was no job has no kind.
    let jobs: Vec<(String, u32)> =
        dead.iter().filter(|job| !job.1.is_empty()).map(|job| (job.0.clone(), job.2)).collect();
    must(jobs == run.dead, || format!("the dead of {id}: {jobs:?}, not {:?}", run.dead))?;
    for stage in 0..=run.last_stage() {
        let field = |name: &str| fields.get(&format!("{name}.{stage}")).map_or(0, |value| value.parse().unwrap());
        let done: u64 = field("done");
        let expected = run.done.get(&stage).copied().unwrap_or_default();
        must(done == expected, || format!("done in stage {stage} of {id}: {done}, not {expected}"))?;
        let buried = dead.iter().filter(|job| job.2 == stage).count() as u64;
        must(field("dead") == buried, || format!("dead in stage {stage} of {id}: {}, not {buried}", field("dead")))?;
    }
    must(fields["notes_total"] == run.notes.to_string(), || {
        format!("notes of {id}: {}, not {}", fields["notes_total"], run.notes)
    })?;
    must(keys.list(&of_run(id, ":notes")).len() as u64 == run.notes, || format!("notes of {id} are missing"))
}

/// By run: name and state of each event.
type Events = BTreeMap<String, Vec<(String, String)>>;

fn events(keys: &RawKeys) -> Result<Events, String> {
    let mut events = Events::new();
    for (number, entry) in keys.stream("{cs}:event-log").0.iter().enumerate() {
        must(entry.id == format!("{}-0", number + 1), || format!("event {} is number {number}", entry.id))?;
        let event: Value =
            serde_json::from_str(&entry.text("event")).map_err(|error| format!("an event is no JSON: {error}"))?;
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_string();
        events.entry(text("run")).or_default().push((text("event"), text("state")));
    }
    Ok(events)
}

/// I10
fn final_event(run: &Run, state: &str, events: &Events) -> Checked {
    let names = &run.new.events;
    let finals = [&names.finished, &names.failed, &names.cancelled];
    let of_run = events.get(&run.new.id).map(Vec::as_slice).unwrap_or_default();
    let seen: Vec<_> = of_run.iter().filter(|(name, _)| finals.contains(&name)).collect();
    let Some(over) = &run.over else {
        return must(seen.is_empty(), || format!("run {} is {state}, but {seen:?} was published", run.new.id));
    };
    let name = match over.as_str() {
        "finished" | "finished_held" => &names.finished,
        "failed" => &names.failed,
        _ => &names.cancelled,
    };
    let expected = (name.clone(), over.clone());
    must(seen == [&expected], || format!("run {} is {state}, published was {seen:?}", run.new.id))
}

fn target_is_consistent(target: &str, ledger: &Ledger, keys: &RawKeys) -> Checked {
    let held = keys.hash(&lease(target));
    let (entries, pending) = keys.stream(&stream(target));
    for claim in pending {
        must(entries.iter().any(|entry| entry.id == claim.entry), || format!("{} is claimed and gone", claim.entry))?;
    }
    let jobs = entries.iter().filter(|entry| entry.fields.contains_key("job"));
    let Some(run) = held.get("run") else {
        must(jobs.clone().next().is_none(), || format!("nobody holds {target}, but jobs are handed out"))?;
        return nobody_waits_in_vain(target, ledger, keys, None);
    };
    let run = ledger.runs.get(run).ok_or_else(|| format!("{target} is held by {run}, which never was"))?;
    let fields = keys.hash(&of_run(&run.new.id, ""));
    let opened = held["opened"] == "1" || run.cause.is_some();
    let stage: u32 = if opened { fields["stage"].parse().unwrap() } else { 0 };
    for entry in jobs {
        let same = ["run", "lease", "fence"].map(|name| entry.text(name))
            == [&held["run"], &held["id"], &held["fence"]].map(String::clone);
        let job = parse(&entry.fields["job"]).ok_or_else(|| format!("{} is no job", entry.id))?;
        // Buried jobs that went back to work take the run back to their stage; what was claimed goes on.
        let claimed = pending.iter().any(|claim| claim.entry == entry.id);
        let in_turn = job.stage == stage || claimed && job.stage > stage && stage > 0;
        must(same && in_turn, || format!("entry {entry:?} does not fit {held:?}, stage {stage}"))?;
    }
    let most: usize = held["window"].parse().unwrap();
    must(entries.iter().filter(|entry| entry.fields.contains_key("job")).count() <= most, || {
        format!("more than the window of {target} is handed out")
    })?;

    // Whatever can be handed out is handed out, within what the target bears: nothing waits for a timer.
    let pace = keys.hash(&format!("{{cs}}:target:{target}:pace"));
    let window = pace.get("window").map_or(most, |window| most.min(window.parse::<f64>().unwrap() as usize));
    let rests = pace.get("rest_until").is_some_and(|until| until.as_str() != "1") && run.cause.is_none();
    let backlog = keys.list(&of_run(&run.new.id, &format!(":backlog:{stage}")));
    let makes_room = makes_room(target, run, ledger, keys);
    must(!makes_room || jobs_are_claimed(entries, pending), || {
        format!("{} makes room for an urgent run, and its jobs lie ready", run.new.id)
    })?;
    let fed = makes_room || rests || run.paused && run.cause.is_none() || entries.len() >= window || backlog.is_empty();
    must(fed, || format!("{target} has room, and its run jobs, but they do not meet"))?;
    let at_work =
        rests || run.paused || !entries.is_empty() || !keys.sorted(&of_run(&run.new.id, ":delayed")).is_empty();
    must(at_work, || format!("run {} holds {target} and has nothing to do in stage {stage}", run.new.id))?;
    Ok(())
}

/// Whether the holder of a target is handed nothing more.
fn makes_room(target: &str, holder: &Run, ledger: &Ledger, keys: &RawKeys) -> bool {
    let is_urgent = |run: &&Run| run.new.urgent;
    let begun = keys.hash(&lease(target)).contains_key("yield_until");
    begun && holder.cause.is_none() && in_line(target, ledger, keys).any(|run| is_urgent(&run))
}

fn jobs_are_claimed(entries: &[Entry], pending: &[Pending]) -> bool {
    let mut jobs = entries.iter().filter(|entry| entry.fields.contains_key("job"));
    jobs.all(|job| pending.iter().any(|claim| claim.entry == job.id))
}

/// After a tick that served the target: an urgent run does not wait behind one that need not keep its turn.
pub fn who_is_to_make_room_does(target: &str, ledger: &Ledger, keys: &RawKeys) -> Checked {
    let held = keys.hash(&lease(target));
    let Some(run) = held.get("run").map(|run| &ledger.runs[run]) else { return Ok(()) };
    let fields = keys.hash(&of_run(&run.new.id, ""));
    let keeps = held.get("keep_until").is_some_and(|until| until != "1");
    let owed = fields.get("owed_job").is_some_and(|owed| owed == "1");
    if held.contains_key("urgent_since") || fields["state"] != "running" || keeps || owed {
        return Ok(());
    }
    let vain = in_line(target, ledger, keys).find(|waits| waits.new.urgent && is_known(waits, keys));
    must(vain.is_none() || makes_room(target, run, ledger, keys), || {
        format!("urgent {} waits behind {}, which makes no room", vain.map_or("", |run| &run.new.id), run.new.id)
    })
}

fn in_line<'a>(target: &str, ledger: &'a Ledger, keys: &RawKeys) -> impl Iterator<Item = &'a Run> {
    let waits = |run: &&Run| keys.hash(&of_run(&run.new.id, "")).get("state").is_some_and(|state| state == "waiting");
    ledger.runs.values().filter(move |run| run.new.target == target).filter(waits)
}

/// By a live worker.
fn is_known(run: &Run, keys: &RawKeys) -> bool {
    keys.sorted("{cs}:workers").iter().any(|(worker, _)| {
        let knows = keys.hash(&format!("{{cs}}:worker:{}", String::from_utf8_lossy(worker)));
        let knows: Vec<&str> = knows.get("instances").map(|names| names.split(' ').collect()).unwrap_or_default();
        run.new.requires.iter().all(|name| knows.contains(&name.as_str()))
    })
}

/// Who just got a target.
pub struct Turn<'a> {
    pub run: &'a str,
    /// It had made room for an urgent run before.
    pub made_room: bool,
    /// Urgent runs had their time, so it was the turn of another one.
    pub of_another: bool,
}

/// The first run in line that a live worker knows must not wait for a target that is free, nor behind the one that just
/// got it: urgent ones first, then who made room for such, then by priority and age.
pub fn nobody_waits_in_vain(target: &str, ledger: &Ledger, keys: &RawKeys, turn: Option<Turn>) -> Checked {
    let place = |run: &Run, made_room: bool| {
        let age = ledger.order.iter().position(|id| *id == run.new.id);
        (!run.new.urgent, !made_room, -run.new.priority, age)
    };
    for run in in_line(target, ledger, keys) {
        let made_room = keys.hash(&of_run(&run.new.id, "")).get("yielded").is_some_and(|yielded| yielded == "1");
        let first = turn.as_ref().is_none_or(|turn| {
            let holder = &ledger.runs[turn.run];
            let is_comparable = !turn.of_another || holder.new.urgent == run.new.urgent;
            is_comparable && place(run, made_room) < place(holder, turn.made_room)
        });
        must(!first || !is_known(run, keys), || {
            format!("run {} waits for {target}, and is first in line", run.new.id)
        })?;
    }
    Ok(())
}
