//! What a run would do, told before it is made: nothing is enqueued and nothing written.
//!
//! Changes are told one by one as they are found, so memory is bounded by a page whatever the size of the data (I8).

mod details;

use std::collections::BTreeMap;

use comparing::{Compared, Decided, Extras, Stays};
use config::Config;
use protocol::api::{Difference, HeldDocument, PAGE_BYTES, PAGE_DOCUMENTS};
use protocol::collection::Collection;
use protocol::directory::Directory;
use protocol::run::{Endpoint, Fingerprint, RunSpec};
use queue::Queue;
use serde::Serialize;

use crate::error::Problem;
use crate::fields::{FieldChange, LocaleNames};
use crate::plan::{Plan, plan};
use crate::plan_file::PLAN_FORMAT;
use crate::preflight::preflight;
use crate::report::utc;
use crate::request::SyncRequest;
use crate::schema::{SchemaChange, schema_changes};
use crate::survey::{Part, Survey};

/// How much is told of each change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    Names,
    /// The fields that differ too: that takes reading the documents of both sides.
    Fields,
}

/// Which plan it is: known before anything is compared.
#[derive(Debug, Clone, Serialize)]
pub struct Head {
    pub plan: u32,
    pub version: &'static str,
    pub direction: String,
    pub source: Endpoint,
    pub target: Endpoint,
    pub made: String,
}

/// A document that would be written.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    pub resource: String,
    pub model: String,
    pub identity: String,
    pub change: &'static str,
    /// It was changed on both sides since they agreed last; both versions, and which one stays, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<String>,
    /// Why it will be held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// Of the document and, of an asset, its file; what is left as it is has none.
    pub bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<FieldChange>>,
}

/// How many documents would become what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Planned {
    pub create: u64,
    pub update: u64,
    pub delete: u64,
    pub unchanged: u64,
    pub conflicts: u64,
    pub held: u64,
    pub bytes: u64,
}

impl Planned {
    fn add(&mut self, other: &Self) {
        self.create += other.create;
        self.update += other.update;
        self.delete += other.delete;
        self.unchanged += other.unchanged;
        self.conflicts += other.conflicts;
        self.held += other.held;
        self.bytes += other.bytes;
    }

    /// Whether the run would change anything.
    pub fn changes(&self) -> bool {
        self.create + self.update + self.delete > 0
    }
}

/// What is known when everything was compared.
#[derive(Debug, Clone, Serialize)]
pub struct Forecast {
    pub counts: Planned,
    pub resources: BTreeMap<String, BTreeMap<String, Planned>>,
    /// What would change in definitions of models that the target has.
    pub schema: Vec<SchemaChange>,
    /// The run that does it, with the fingerprints of both sides.
    pub spec: RunSpec,
}

/// A plan in the making.
pub struct Forecasting {
    pub head: Head,
    plan: Plan,
    survey: Survey,
    schema: Vec<SchemaChange>,
    detail: Detail,
}

impl Forecasting {
    /// Asks both ends whether the run would be taken at all.
    pub async fn begin(
        request: &SyncRequest,
        detail: Detail,
        config: &Config,
        directory: &Directory,
        queue: &Queue,
    ) -> Result<Self, Problem> {
        let ends = preflight(request, config, directory, queue).await?;
        let mut plan = plan(request, &ends, config, directory).await?;
        let now = u64::try_from(ends.source.1.time_ms).unwrap_or(0);
        let head = Head {
            plan: PLAN_FORMAT,
            version: env!("CARGO_PKG_VERSION"),
            direction: request.direction.to_string(),
            source: plan.spec.source.clone(),
            target: plan.spec.target.clone(),
            made: utc(now),
        };
        plan.spec.mirror = request.mirror.map(|mirror| mirror.unsigned_order(&plan));
        let survey = Survey::of(&ends, config, directory)?;
        let schema = schema_changes(&plan.spec, &ends, &survey).await?;
        Ok(Self { head, plan, survey, schema, detail })
    }

    /// Compares everything, telling each change.
    pub async fn finish(mut self, mut tell: impl FnMut(&Change) -> Result<(), Problem>) -> Result<Forecast, Problem> {
        let locales = match self.detail {
            Detail::Fields => self.locales().await?,
            Detail::Names => LocaleNames::default(),
        };
        let mut counts = Planned::default();
        let mut resources: BTreeMap<String, BTreeMap<String, Planned>> = BTreeMap::new();
        for part in Part::all(&self.plan) {
            let (planned, fingerprint) = self.part(&part, &locales, &mut tell).await?;
            counts.add(&planned);
            let (resource, model) = part.collection.resource();
            resources.entry(resource.into()).or_default().entry(model.into()).or_default().add(&planned);
            self.plan.spec.planned.push(fingerprint);
        }
        Ok(Forecast { counts, resources, schema: self.schema, spec: self.plan.spec })
    }

    async fn part(
        &self,
        part: &Part,
        locales: &LocaleNames,
        tell: &mut impl FnMut(&Change) -> Result<(), Problem>,
    ) -> Result<(Planned, Fingerprint), Problem> {
        let mut planned = Planned::default();
        let found = self
            .survey
            .compare(&self.plan.spec, part, async |different, held| {
                for held in held {
                    tell(&will_be_held(part, held))?;
                }
                for group in groups(different) {
                    for change in self.changes(part, group, locales).await? {
                        planned.conflicts += u64::from(change.conflict.is_some());
                        match change.change {
                            "create" => planned.create += 1,
                            "keep" => planned.unchanged += 1,
                            "hold" => planned.held += 1,
                            _ => planned.update += 1,
                        }
                        planned.bytes += change.bytes;
                        tell(&change)?;
                    }
                }
                Ok(())
            })
            .await?;
        planned.delete = self.deletes(part, tell).await?;
        planned.unchanged += found.same;
        planned.held += found.held;
        let collection = part.collection.clone();
        let (source, target) = (found.source.summary, found.target.summary);
        Ok((planned, Fingerprint { collection, source, target, held: found.source.held_total }))
    }

    /// What a mirror would delete. Whether it may, and what of it is still needed, the target's agent tells the run.
    async fn deletes(
        &self,
        part: &Part,
        tell: &mut impl FnMut(&Change) -> Result<(), Problem>,
    ) -> Result<u64, Problem> {
        let collection = &part.collection;
        if !self.plan.mirrored.iter().any(|selected| selected.collection == *collection) {
            return Ok(0);
        }
        let (resource, model) = collection.resource();
        let mut extras = Extras::begin(self.survey.ends(), collection, part.selection.clone()).await?;
        let mut deletes = 0;
        while let Some(page) = extras.next().await? {
            if let Some(reason) = page.unproven.filter(|_| !page.extras.is_empty()) {
                let why = format!("{collection}: what is missing at the source cannot be told, because {reason}");
                return Err(Problem::refused(why));
            }
            for entry in page.extras {
                deletes += 1;
                tell(&Change {
                    resource: resource.into(),
                    model: model.into(),
                    identity: entry.identity,
                    change: "delete",
                    bytes: 0,
                    fields: None,
                    conflict: None,
                    held: None,
                })?;
            }
        }
        Ok(deletes)
    }

    async fn changes(
        &self,
        part: &Part,
        different: Vec<Compared>,
        locales: &LocaleNames,
    ) -> Result<Vec<Change>, Problem> {
        let collection = &part.collection;
        let identities: Vec<String> = different.iter().map(|compared| compared.entry.identity.clone()).collect();
        let files = match collection {
            Collection::Assets => self.bytes_of_files(&identities).await?,
            _ => BTreeMap::new(),
        };
        let mut fields = match self.detail {
            Detail::Fields => self.fields(part, identities, locales).await?,
            Detail::Names => BTreeMap::new(),
        };
        let mut lacking = self.lacking_assets(part, &different).await?;
        let rules = &self.plan.spec.on_conflict;
        let (rest, decided) = comparing::decide(self.survey.ends(), collection, different, rules).await?;
        let (resource, model) = collection.resource();
        let mut change = |compared: Compared, change: &'static str, conflict: Option<String>| {
            let identity = compared.entry.identity;
            let held = lacking.remove(&identity).filter(|_| matches!(change, "create" | "update"));
            let change = if held.is_some() { "hold" } else { change };
            let bytes = u64::from(compared.entry.size) + files.get(&identity).copied().unwrap_or(0);
            Change {
                resource: resource.into(),
                model: model.into(),
                change,
                conflict,
                held,
                bytes: if matches!(change, "create" | "update") { bytes } else { 0 },
                fields: fields.remove(&identity),
                identity,
            }
        };
        let mut changes = Vec::new();
        for compared in rest {
            let is_new = matches!(compared.difference, Difference::Lacks | Difference::Deleted);
            changes.push(change(compared, if is_new { "create" } else { "update" }, None));
        }
        for Decided { compared, stays, message } in decided {
            let what = match stays {
                Stays::Source => "update",
                Stays::Target => "keep",
                Stays::Neither => "hold",
            };
            changes.push(change(compared, what, Some(message)));
        }
        Ok(changes)
    }
}

fn will_be_held(part: &Part, held: HeldDocument) -> Change {
    let (resource, model) = part.collection.resource();
    Change {
        resource: resource.into(),
        model: model.into(),
        identity: held.identity,
        change: "hold",
        conflict: None,
        held: Some(held.message),
        bytes: 0,
        fields: None,
    }
}

/// Groups that may be held in memory with both versions of their documents.
fn groups(different: Vec<Compared>) -> Vec<Vec<Compared>> {
    let mut groups: Vec<Vec<Compared>> = Vec::new();
    let mut bytes = 0;
    for compared in different {
        let size = compared.entry.size as usize;
        match groups.last_mut() {
            Some(group) if group.len() < PAGE_DOCUMENTS && bytes + size <= PAGE_BYTES => {
                bytes += size;
                group.push(compared);
            }
            _ => {
                bytes = size;
                groups.push(vec![compared]);
            }
        }
    }
    groups
}
