//! Changes documents between reading and hashing: transforms, masks, merge rules.
//!
//! Whoever plans, writes and verifies shapes in the same way, so a result that is the same is not written again. It must not
//! know where documents come from. A document that cannot be shaped is held; nothing of it goes anywhere.

mod commands;
mod copies;
mod jq;
mod masks;
mod merge;
mod shapers;

use std::sync::Arc;

use jaq_json::Val;
use protocol::api::{Entry, HeldCause, HeldDocument};
use protocol::canonical::{self, DocHash, Document, Identity};
use protocol::collection::Collection;
use protocol::shaping::{Change, Merge, Shaping, Step};

use commands::Answer;
use masks::Masking;

pub use commands::{CommandSettings, Commands};
pub use jq::{Jq, JqError};
pub use shapers::Shapers;

/// Why a command cannot change assets.
pub const NO_COMMAND_FOR_ASSETS: &str =
    "a command cannot change assets: their copies within documents are changed too, in the worker itself";
/// Of an asset's row, what belongs to its file.
const OF_THE_FILE: [&str; 5] = ["path", "_hash", "size", "mime", "type"];

/// Shapes the documents of one collection.
pub struct Shaper {
    collection: Collection,
    stages: Vec<Stage>,
    merge: Merge,
    commands: Commands,
}

/// What can be done in one go.
enum Stage {
    Inside(Vec<Inside>),
    Command { entry: String, only: Option<String>, name: String },
}

/// A change that is made in this process.
struct Inside {
    entry: String,
    only: Option<String>,
    change: InsideChange,
}

enum InsideChange {
    Jq(Box<Jq>),
    Mask(Masking),
    /// Of every copy of an asset.
    Copies(Vec<Inside>),
}

/// Why a collection cannot be shaped here at all.
#[derive(Debug, thiserror::Error)]
pub enum ShapingError {
    /// Trying again here does not help: a filter is wrong, or a command is not in this process's config.
    #[error("{0}")]
    NotHere(String),
    /// Trying again may help.
    #[error("{0}")]
    Failed(String),
}

/// Documents as they are to arrive, and those that could not be made so.
pub struct Shaped {
    pub entries: Vec<Entry>,
    pub held: Vec<HeldDocument>,
}

/// A document on its way through the stages.
struct Work {
    entry: Entry,
    /// What it has become; none while it is what the source sent.
    json: Option<Vec<u8>>,
    /// Why it is held.
    problem: Option<String>,
}

/// A filter, a mask or a command, as the config has them: the error says what is wrong with it.
pub fn check(step: &Step) -> Result<(), String> {
    prepared(step).map(drop).map_err(|problem| format!("[{}]: {problem}", step.entry))
}

fn prepared(step: &Step) -> Result<Option<InsideChange>, String> {
    Ok(Some(match &step.change {
        Change::Jq(text) => InsideChange::Jq(Box::new(Jq::compile(text).map_err(|error| error.to_string())?)),
        Change::Mask(mask) => InsideChange::Mask(Masking::new(mask)?),
        Change::Command { .. } => return Ok(None),
    }))
}

impl Shaper {
    /// None when there is nothing to do.
    pub fn new(
        collection: &Collection,
        shaping: &Shaping,
        commands: &Commands,
    ) -> Result<Option<Arc<Self>>, ShapingError> {
        if shaping.is_nothing() {
            return Ok(None);
        }
        let mut stages: Vec<Stage> = Vec::new();
        let not_here = |step: &Step, problem| ShapingError::NotHere(format!("[{}]: {problem}", step.entry));
        if let Some(first) = shaping.copies.first() {
            let mut changes = Vec::with_capacity(shaping.copies.len());
            for step in &shaping.copies {
                let change = prepared(step).and_then(|change| change.ok_or(NO_COMMAND_FOR_ASSETS.into()));
                let change = change.map_err(|problem| not_here(step, problem))?;
                changes.push(Inside { entry: step.entry.clone(), only: step.only.clone(), change });
            }
            let change = InsideChange::Copies(changes);
            stages.push(Stage::Inside(vec![Inside { entry: first.entry.clone(), only: None, change }]));
        }
        for step in &shaping.steps {
            let (entry, only) = (step.entry.clone(), step.only.clone());
            let not_here = |problem| not_here(step, problem);
            if let Change::Command { name, fingerprint } = &step.change {
                commands.check(name, fingerprint).map_err(not_here)?;
                stages.push(Stage::Command { entry, only, name: name.clone() });
                continue;
            }
            let change = prepared(step).map_err(not_here)?.expect("a command was taken out above");
            let inside = Inside { entry, only, change };
            match stages.last_mut() {
                Some(Stage::Inside(changes)) => changes.push(inside),
                _ => stages.push(Stage::Inside(vec![inside])),
            }
        }
        let collection = collection.clone();
        Ok(Some(Arc::new(Self { collection, stages, merge: shaping.merge, commands: commands.clone() })))
    }

    /// What comes out may be another document even where the target has none.
    pub fn changes(&self) -> bool {
        !self.stages.is_empty()
    }

    /// What comes out depends on what the target has.
    pub fn merges(&self) -> bool {
        self.merge == Merge::MissingKeys
    }

    /// Shapes documents, which must be there. Hashes are of what comes out. `progress` is called now and then: commands may
    /// take long.
    pub async fn shape(
        self: &Arc<Self>,
        entries: Vec<Entry>,
        progress: &(dyn Fn() + Sync),
    ) -> Result<Shaped, ShapingError> {
        let mut works: Vec<Work> = entries.into_iter().map(|entry| Work { entry, json: None, problem: None }).collect();
        for place in 0..self.stages.len() {
            works = match &self.stages[place] {
                Stage::Command { entry, only, name } => {
                    self.run_command(works, (entry, only.as_deref(), name), progress).await?
                }
                Stage::Inside(_) => self.run_inside(works, place).await?,
            };
        }
        let shaper = self.clone();
        computing(move || {
            let mut shaped = Shaped { entries: Vec::with_capacity(works.len()), held: Vec::new() };
            for work in works {
                match shaper.finished(work) {
                    Ok(entry) => shaped.entries.push(entry),
                    Err(held) => shaped.held.push(held),
                }
            }
            shaped
        })
        .await
    }

    /// The target's document with what it lacks of the source's, and the hash of that; none when it lacks nothing.
    pub fn merged(&self, source: &[u8], target: &[u8]) -> Result<Option<(Vec<u8>, DocHash)>, String> {
        let parse = |bytes| Document::parse(bytes).map_err(|error| error.to_string());
        let there = jq::to_jq(&parse(target)?);
        let mut merged = there.clone();
        merge::add_missing_keys(&mut merged, &jq::to_jq(&parse(source)?));
        if merged == there {
            return Ok(None);
        }
        let json = jq::to_php_json(&merged)?;
        let hash = canonical::hash(&parse(&json)?, self.collection.identity());
        Ok(Some((json, hash)))
    }

    async fn run_inside(self: &Arc<Self>, works: Vec<Work>, place: usize) -> Result<Vec<Work>, ShapingError> {
        let shaper = self.clone();
        let changed = computing(move || {
            let Stage::Inside(changes) = &shaper.stages[place] else { return Ok(works) };
            jq::on_a_deep_stack(|| works.into_iter().map(|work| work.changed_inside(changes)).collect())
        });
        changed.await?.map_err(not_shaped)
    }

    async fn run_command(
        &self,
        mut works: Vec<Work>,
        (entry, only, name): (&str, Option<&str>, &str),
        progress: &(dyn Fn() + Sync),
    ) -> Result<Vec<Work>, ShapingError> {
        let mut lent = self.commands.lend(name, &self.collection.name()).map_err(ShapingError::NotHere)?;
        for work in works.iter_mut().filter(|work| work.is_for(only)) {
            let outcome = match work.on_one_line() {
                Err(problem) => Err(problem),
                Ok(line) => match lent.answer(&line).await.map_err(ShapingError::Failed)? {
                    Answer::Line(answer) => work.take_answer(&line, &answer),
                    Answer::None(why) => Err(why),
                },
            };
            progress();
            work.problem = outcome.err().map(|problem| format!("{entry}: the command {name}: {problem}"));
        }
        lent.finish();
        Ok(works)
    }

    fn finished(&self, mut work: Work) -> Result<Entry, HeldDocument> {
        let result = match (work.problem.take(), work.json.take()) {
            (Some(problem), _) => Err(problem),
            (None, None) => Ok(()),
            (None, Some(json)) => self.replaced(&mut work.entry, json),
        };
        let held =
            |message| HeldDocument { identity: work.entry.identity.clone(), cause: HeldCause::Transform, message };
        result.map_err(held)?;
        Ok(work.entry)
    }

    /// What a document is recognised by, and an asset's file, is not for transforms to change.
    fn replaced(&self, entry: &mut Entry, json: Vec<u8>) -> Result<(), String> {
        let before = entry.document.as_deref().unwrap_or_default();
        let before = Document::parse(before).map_err(|error| error.to_string())?;
        let after = Document::parse(&json).map_err(|error| format!("the result is no document: {error}"))?;
        let identity = self.collection.identity();
        let fixed = [identity.field(), Identity::Id.field()];
        let of_the_file: &[&str] = if self.collection == Collection::Assets { &OF_THE_FILE } else { &[] };
        for field in fixed.iter().chain(of_the_file) {
            if !canonical::same(before.get(field), after.get(field)) {
                return Err(format!("the transforms change {field}, which must stay"));
            }
        }
        entry.hash = canonical::hash(&after, identity);
        entry.size = u32::try_from(json.len()).unwrap_or(u32::MAX);
        entry.document = Some(json);
        Ok(())
    }
}

/// Not among what only waits.
async fn computing<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ShapingError> {
    tokio::task::spawn_blocking(work).await.map_err(not_shaped)
}

fn not_shaped(error: impl std::fmt::Display) -> ShapingError {
    ShapingError::Failed(format!("documents could not be shaped: {error}"))
}

impl Inside {
    /// On a deep stack.
    fn apply(&self, mut value: Val, document_bytes: usize) -> Result<Val, String> {
        match &self.change {
            InsideChange::Mask(masking) => masking.apply(&mut value),
            InsideChange::Jq(filter) => {
                let result = filter.run(value, document_bytes);
                value = result.map_err(|problem| format!("{}: {problem}", self.entry))?;
            }
            InsideChange::Copies(changes) => copies::change_copies(&mut value, &mut |copy| {
                changes.iter().try_fold(copy, |copy, change| change.apply(copy, document_bytes))
            })?,
        }
        Ok(value)
    }
}

impl Work {
    fn is_for(&self, only: Option<&str>) -> bool {
        self.problem.is_none() && only.is_none_or(|only| only == self.entry.identity)
    }

    fn text(&self) -> &[u8] {
        self.json.as_deref().or(self.entry.document.as_deref()).unwrap_or_default()
    }

    fn changed_inside(mut self, changes: &[Inside]) -> Self {
        if let Err(problem) = self.change_inside(changes) {
            self.problem = Some(problem);
        }
        self
    }

    fn change_inside(&mut self, changes: &[Inside]) -> Result<(), String> {
        let changes: Vec<&Inside> = changes.iter().filter(|change| self.is_for(change.only.as_deref())).collect();
        let Some(last) = changes.last().map(|change| change.entry.as_str()) else { return Ok(()) };
        let document = Document::parse(self.text()).map_err(|error| error.to_string())?;
        let before = jq::to_jq(&document);
        let mut after = before.clone();
        for change in changes {
            after = change.apply(after, document.bytes().len())?;
        }
        let json = became(&before, after).map_err(|problem| format!("{last}: {problem}"))?;
        self.json = json.or(self.json.take());
        Ok(())
    }

    fn on_one_line(&self) -> Result<Vec<u8>, String> {
        if !self.text().contains(&b'\n') {
            return Ok(self.text().to_vec());
        }
        let document = Document::parse(self.text()).map_err(|error| error.to_string())?;
        Ok(jq::to_php_json(&jq::to_jq(&document))?)
    }

    fn take_answer(&mut self, question: &[u8], answer: &[u8]) -> Result<(), String> {
        if let Ok(message) = serde_json::from_slice::<String>(answer) {
            return Err(message);
        }
        let document = |bytes| Document::parse(bytes).map(|document| jq::to_jq(&document));
        let after = document(answer).map_err(|error| format!("its answer is no document: {error}"))?;
        let before = document(question).map_err(|error| error.to_string())?;
        self.json = became(&before, after)?.or(self.json.take());
        Ok(())
    }
}

/// The text of what a document has become; none if it is what it was. On the stack that made it, which is deep enough.
fn became(before: &Val, mut after: Val) -> Result<Option<Vec<u8>>, String> {
    if !matches!(after, Val::Obj(_)) {
        return Err("the result is no object".into());
    }
    if *before == after {
        return Ok(None);
    }
    jq::keep_order(before, &mut after);
    Ok(Some(jq::to_php_json(&after)?))
}

#[cfg(test)]
mod tests;
