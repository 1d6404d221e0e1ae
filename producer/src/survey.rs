//! Both ends compared as a run would find them, with nothing written: for whoever plans and whoever verifies.
//!
//! Owns the way from what a run consists of to the documents that differ. No lease, no grant; memory is bounded by a
//! page (I8). It must not know what is done about a difference.

use std::collections::HashMap;
use std::sync::Arc;

use comparing::shaping::{Shaper, Shapers};
use comparing::{CompareError, Compared, Ends as BothEnds, Pages, Sending};
use config::Config;
use protocol::api::{Difference, Entry, HeldDocument, Summary, SummaryRequest};
use protocol::client::AgentClient;
use protocol::collection::Collection;
use protocol::directory::Directory;
use protocol::job::{Embedded, Job, Rows};
use protocol::run::RunSpec;
use protocol::selection::Selection;
use protocol::shaping::Shaping;

use crate::error::{Problem, ProblemKind};
use crate::plan::Plan;
use crate::preflight::Ends;
use crate::shapes::commands;

/// Asks in the name of no run: nothing is remembered of it.
const NO_RUN: &str = "";

/// What one of a run's jobs is about.
pub(crate) struct Part {
    pub collection: Collection,
    pub rows: Rows,
    /// What of the collection the run takes.
    pub selection: Selection,
    /// How its documents are changed on their way.
    pub shaping: Option<Shaping>,
    /// Not all that, but what of it other documents embed.
    pub embedded: Option<Embedded>,
}

impl Part {
    /// Everything a run brings over, in its order.
    pub fn all(plan: &Plan) -> Vec<Self> {
        let jobs = plan.stages.iter().flat_map(|(_, jobs)| jobs).map(|(_, job)| job);
        jobs.filter_map(|job| Self::of(job, &plan.spec)).collect()
    }

    fn of(job: &Job, spec: &RunSpec) -> Option<Self> {
        let (collection, embedded) = match job {
            Job::Collection { collection } => (collection, None),
            Job::Embedded(what) => (&what.wanted, Some(what.clone())),
            _ => return None,
        };
        let (rows, selection) = (spec.rows(collection), spec.selection(collection));
        let shaping = spec.shaping(collection).cloned();
        Some(Self { collection: collection.clone(), rows, selection, shaping, embedded })
    }

    /// The same documents as they are.
    pub fn unshaped(&self) -> Self {
        let (collection, rows, selection) = (self.collection.clone(), self.rows.clone(), self.selection.clone());
        Self { collection, rows, selection, shaping: None, embedded: self.embedded.clone() }
    }
}

/// What was found of a part, besides what differs.
pub(crate) struct Found {
    pub source: Summary,
    pub target: Summary,
    pub same: u64,
    /// What the source cannot send.
    pub held: u64,
}

/// Both ends, to be asked.
pub(crate) struct Survey {
    pub source: AgentClient,
    pub target: AgentClient,
    shapers: Arc<Shapers>,
}

impl Survey {
    pub fn of(ends: &Ends, config: &Config, directory: &Directory) -> Result<Self, Problem> {
        let client = |(name, manifest): &(String, protocol::api::Manifest)| -> Result<AgentClient, Problem> {
            Ok(directory.client(name, Some(&manifest.instance))?)
        };
        let shapers = Arc::new(Shapers::new(commands(config)));
        Ok(Self { source: client(&ends.source)?, target: client(&ends.target)?, shapers })
    }

    pub fn ends(&self) -> BothEnds<'_> {
        BothEnds { source: &self.source, target: &self.target, run: NO_RUN }
    }

    fn shaper(&self, part: &Part) -> Result<Option<Arc<Shaper>>, Problem> {
        match &part.shaping {
            Some(shaping) => Ok(self.shapers.of(&part.collection, shaping).map_err(CompareError::from)?),
            None => Ok(None),
        }
    }

    /// Both versions of these documents: what the source would send, and the target's where it has one.
    pub async fn both(&self, part: &Part, identities: Vec<String>) -> Result<Vec<(Entry, Option<Entry>)>, Problem> {
        let collection = &part.collection;
        let source = comparing::documents(&self.source, collection, identities.clone(), None);
        let target = comparing::documents(&self.target, collection, identities, None);
        let (source, target) = tokio::try_join!(source, target)?;
        let mut there: HashMap<String, Entry> =
            target.documents.into_iter().map(|entry| (entry.identity.clone(), entry)).collect();
        let shaper = self.shaper(part)?;
        let sent = match &shaper {
            Some(shaper) => shaper.shape(source.documents, &|| {}).await.map_err(CompareError::from)?.entries,
            None => source.documents,
        };
        let pair = |entry: Entry| {
            let other = there.remove(&entry.identity);
            match (&shaper, &other) {
                // What cannot be merged is held, and was not among what differs.
                (Some(shaper), Some(target)) if shaper.merges() => {
                    (comparing::become_of(shaper, &entry, target).unwrap_or(entry), other)
                }
                _ => (entry, other),
            }
        };
        Ok(sent.into_iter().map(pair).collect())
    }

    /// The same, seen from the other side.
    pub fn turned(&self) -> Self {
        Self { source: self.target.clone(), target: self.source.clone(), shapers: self.shapers.clone() }
    }

    /// What both sides hold of a part. A filter is left out: only a listing asks it.
    pub async fn summaries(&self, part: &Part) -> Result<(Summary, Summary), Problem> {
        let (collection, only) = (part.collection.clone(), part.selection.only.clone());
        let selection = Selection { only, filter: None };
        let request = SummaryRequest { collection, selection, run: None };
        Ok(tokio::try_join!(self.source.call(&request), self.target.call(&request))?)
    }

    /// Compares a part of a run; `visit` gets what differs and what the source cannot send, page by page. Equal summaries end it
    /// at once.
    pub async fn compare(
        &self,
        spec: &RunSpec,
        part: &Part,
        mut visit: impl AsyncFnMut(Vec<Compared>, Vec<HeldDocument>) -> Result<(), Problem>,
    ) -> Result<Found, Problem> {
        let (source, target) = self.summaries(part).await?;
        let shaper = self.shaper(part)?;
        let shapes = shaper.as_ref().is_some_and(|shaper| shaper.changes());
        if source.summary == target.summary && part.selection.filter.is_none() && !shapes && part.embedded.is_none() {
            visit(Vec::new(), source.held.clone()).await?;
            let (same, held) = (source.summary.count, source.held_total);
            return Ok(Found { source, target, same, held });
        }
        let mut found = Found { source, target, same: 0, held: 0 };
        let ends = self.ends();
        let (selection, rows) = match &part.embedded {
            Some(what) => {
                let identities = comparing::embedded(&self.source, spec, what, || {}).await?;
                (Selection::default(), Rows::Identities(identities.into_iter().collect()))
            }
            None => (part.selection.clone(), part.rows.clone()),
        };
        let is_whole = part.embedded.is_none() && selection.is_everything() && rows == Rows::all() && shaper.is_none();
        let is_large = found.source.summary.count > u64::from(spec.batch_size);
        let narrowed = match is_whole && is_large {
            true => comparing::narrow(ends, &part.collection, &found.source).await?,
            false => None,
        };
        let mut pages = match narrowed {
            Some(narrowed) => {
                found.same = narrowed.same;
                Pages::narrowed(ends, &part.collection, narrowed)
            }
            None => Pages::new(ends, &part.collection, selection, &rows, Sending::Hashes).shaped(shaper),
        };
        while let Some(page) = pages.next().await? {
            found.held += page.held.len() as u64;
            let is_same =
                |compared: &Compared| matches!(compared.difference, Difference::Same | Difference::Written(_));
            let (same, different): (Vec<_>, Vec<_>) = page.documents.into_iter().partition(is_same);
            found.same += same.len() as u64;
            if !different.is_empty() || !page.held.is_empty() {
                visit(different, page.held).await?;
            }
        }
        Ok(found)
    }
}

impl From<CompareError> for Problem {
    fn from(error: CompareError) -> Self {
        match error {
            CompareError::Call(error) => error.into(),
            CompareError::Shaping(error) => Self::new(ProblemKind::Failed, error.to_string()),
            CompareError::Incomplete(message) => Self::new(ProblemKind::Failed, message),
        }
    }
}
