//! Whatever both sides hold and whatever is asked for: a run does what its plan said and touches nothing else, a merge
//! removes nothing, a mirror makes its scope equal, a second run writes nothing, and undo brings the bytes back.
//!
//! `PROPERTY_CASES=100` tries more, `PROPERTY_SEED=7` only that one.

use std::collections::{BTreeMap, BTreeSet};

use instances::{Stored, close_in_admin, ids, read_item};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use crate::support::{Output, Rig, assert_as_before, let_the_second_pass, small, stored};

mod asked;
mod stir;

use asked::Asked;
use stir::stir;

const CASES: u64 = 6;

fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().map(|text: String| text.parse::<u64>().unwrap());
    match number("PROPERTY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PROPERTY_CASES").unwrap_or(CASES),
    }
}

#[test]
fn whatever_is_asked_a_run_does_what_its_plan_said_and_undo_brings_the_bytes_back() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.push().expect_code(0);
    for seed in seeds() {
        let mut random = StdRng::seed_from_u64(seed);
        if random.random_bool(0.3) {
            // What both sides agree on is not always long ago.
            rig.run(&["push", "target"]);
        }
        stir(&rig, &mut random, seed);
        let_the_second_pass();
        let asked = Asked::draw(&mut random);
        eprintln!("seed {seed}: {asked:?}");
        Case::run(&mut rig, &asked, &mut random).check();
    }
}

/// One case, from its plan to what its run left.
struct Case<'r> {
    asked: &'r Asked,
    plan: Value,
    source: Stored,
    before: Stored,
    after: Stored,
    applied: Output,
    /// What the run says of documents that it left alone.
    notes: String,
}

impl<'r> Case<'r> {
    fn run(rig: &mut Rig, asked: &'r Asked, random: &mut StdRng) -> Self {
        rig.more_config = asked.config.into();
        let open = asked.has_open_post.then(|| an_open_post(rig, random));
        let before = stored(&rig.target());
        let plan = rig.run(&asked.command(&["plan", "push", "target", "-o", "plan.json"])).expect_code(0).json();
        assert_as_before(&before, &rig.target());
        let applied = rig.run(&["apply", "plan.json"]);
        assert!([0, 3].contains(&applied.code), "{applied:#?}");
        let notes = rig.run(&["show", "last", "--held"]).json()["notes"].to_string();
        let (source, after) = (stored(&rig.source()), stored(&rig.target()));

        let commits = rig.commits("target");
        let again = rig.run(&asked.command(&["push", "target"]));
        assert!([0, 3].contains(&again.code), "{again:#?}");
        assert_eq!((written(&again), rig.commits("target")), (0, commits), "a second run wrote something: {again:#?}");

        let run = applied.json()["run"].as_str().unwrap().to_owned();
        let undo = rig.run(&["undo", &run, "--on-locked", "override"]);
        assert_eq!(undo.code, if written(&applied) > 0 { 0 } else { 4 }, "{undo:#?}");
        assert_as_before(&before, &rig.target());
        if let Some(open) = open {
            close_in_admin(&rig.target(), &open).unwrap();
        }
        Self { asked, plan, source, before, after, applied, notes }
    }

    fn check(&self) {
        self.check_counts();
        self.check_changes();
        self.check_scope();
        if self.asked.is_whole {
            self.check_is_complete();
        }
    }

    /// What was planned and not done is held, by name.
    fn check_counts(&self) {
        let held = self.applied.count("held");
        for (planned, done) in [("create", "created"), ("update", "updated"), ("delete", "deleted")] {
            let (planned, done) = (self.plan["counts"][planned].as_u64().unwrap(), self.applied.count(done));
            assert!(done <= planned && planned <= done + held, "{planned} planned, {done} done, {held} held");
        }
    }

    /// Each document became what the plan said, and no other changed.
    fn check_changes(&self) {
        let planned = self.planned();
        let (before, after, source) = (documents(&self.before), documents(&self.after), documents(&self.source));
        for key in before.keys().chain(after.keys()).filter(|key| before.get(*key) != after.get(*key)) {
            assert!(planned.contains_key(key.1.as_str()), "{key:?} was changed, and no plan said so");
        }
        for (identity, change) in &planned {
            if self.notes.contains(identity) {
                continue;
            }
            let of_it = |of: &Documents| of.iter().find(|(key, _)| key.1 == *identity).map(|(_, text)| text.clone());
            match change.as_str() {
                "delete" => assert_eq!(of_it(&after), None, "{identity} was to be deleted"),
                // Models are files, and not in here.
                "create" | "update" if of_it(&source).is_none() => {}
                "create" => {
                    assert!(of_it(&before).is_none() && of_it(&after).is_some(), "{identity} was to be created")
                }
                "update" => assert_ne!(of_it(&after), of_it(&before), "{identity} was to be updated"),
                _ => assert_eq!(of_it(&after), of_it(&before), "{identity} was to stay"),
            }
        }
    }

    fn planned(&self) -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let changes = self.plan["changes"].as_array().unwrap().iter();
        changes.map(|one| (text(&one["identity"]), text(&one["change"]))).collect()
    }

    /// What is not asked for stays, byte by byte; without a mirror, everything stays.
    fn check_scope(&self) {
        let scope: BTreeSet<String> = self.asked.scope.iter().map(|collection| Stored::table(collection)).collect();
        for difference in self.before.differences(&self.after) {
            let is_file = difference.starts_with("uploads/");
            let is_in_scope = if is_file { self.asked.has_files() } else { scope.contains(&difference) };
            assert!(is_in_scope, "{difference} is out of scope, and was changed");
        }
        let (before, after) = (documents(&self.before), documents(&self.after));
        for (key, text) in before.iter().filter(|(key, _)| !after.contains_key(*key)) {
            assert!(self.asked.may_delete(&serde_json::from_str(text).unwrap()), "{key:?} was not to be deleted");
        }
        if !self.asked.is_mirror {
            let gone = self.before.files.keys().find(|path| !self.after.files.contains_key(*path));
            assert_eq!(gone, None, "a merge removed a file");
        }
    }

    /// In its scope the target has what the source has, and after a mirror nothing else; but for what is named.
    fn check_is_complete(&self) {
        let scope: BTreeSet<String> = self.asked.scope.iter().map(|collection| Stored::table(collection)).collect();
        let is_checked = |key: &&Key| scope.contains(&key.0) && !self.notes.contains(&key.1);
        let (source, after) = (documents(&self.source), documents(&self.after));
        for key in source.keys().filter(is_checked) {
            assert_eq!(as_synced(source.get(key)), as_synced(after.get(key)), "{key:?} did not come");
        }
        if self.asked.is_mirror {
            let extra = after.keys().filter(is_checked).find(|key| !source.contains_key(*key));
            assert_eq!(extra, None, "the target has what the source does not have");
        }
    }
}

fn written(run: &Output) -> u64 {
    ["created", "updated", "deleted"].iter().map(|name| run.count(name)).sum()
}

/// A post that both sides have, and that an editor has open on the target now.
fn an_open_post(rig: &Rig, random: &mut StdRng) -> String {
    let posts = ids(&rig.source(), stir::POSTS).unwrap();
    let both: Vec<String> =
        posts.into_iter().take(40).filter(|id| read_item(&rig.target(), "posts", id).unwrap().is_some()).collect();
    let open = both[random.random_range(0..both.len())].clone();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    instances::open_in_admin(&rig.target(), &open, now.cast_signed()).unwrap();
    open
}

/// Table and identity.
type Key = (String, String);
type Documents = BTreeMap<Key, String>;

fn documents(stored: &Stored) -> Documents {
    let mut documents = BTreeMap::new();
    for (table, rows) in &stored.rows {
        for text in rows.values() {
            let document: Value = serde_json::from_str(text).unwrap();
            let identity = ["_model", "i18n", "_id"].iter().find_map(|field| document[*field].as_str());
            documents.insert((table.clone(), identity.unwrap().to_owned()), text.clone());
        }
    }
    documents
}

/// Without what a sync sets itself, or leaves as the target has it.
fn as_synced(text: Option<&String>) -> Option<Value> {
    let mut document: Value = serde_json::from_str(text?).unwrap();
    let fields = document.as_object_mut().unwrap();
    fields.retain(|field, _| !["_modified", "_mby", "_created", "_cby"].contains(&&**field));
    if fields.contains_key("_model") || fields.contains_key("i18n") {
        fields.remove("_id");
    }
    Some(document)
}
