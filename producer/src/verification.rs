//! Whether two instances hold the same, asked at any time: `verify` and `drift`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use config::Config;
use protocol::api::Difference;
use protocol::canonical::CollectionSummary;
use protocol::directory::Directory;
use protocol::run::RunSpec;
use serde::Serialize;

use crate::error::Problem;
use crate::plan::plan;
use crate::preflight::{ask_both, other_instance};
use crate::request::SyncRequest;
use crate::survey::{Part, Survey};

/// So many documents of a collection are named; all are counted.
const NAMED: usize = 100;

/// What was found, as `--json` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    pub source: String,
    pub target: String,
    /// The target holds everything of the source, the same.
    pub verified: bool,
    /// And nothing besides.
    pub equal: bool,
    pub counts: Differences,
    pub resources: BTreeMap<String, BTreeMap<String, Verified>>,
}

/// Documents by what they are on the other side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Differences {
    pub same: u64,
    pub different: u64,
    /// The target lacks them.
    pub missing: u64,
    /// Only the target has them.
    pub extra: u64,
    /// Not to be compared: malformed, duplicated, too large.
    pub held: u64,
}

/// One model.
#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    #[serde(flatten)]
    pub counts: Differences,
    pub fingerprints: Fingerprints,
    /// What is not the same, by name; at most 100.
    pub named: Vec<Named>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Fingerprints {
    pub source: CollectionSummary,
    pub target: CollectionSummary,
}

#[derive(Debug, Clone, Serialize)]
pub struct Named {
    pub identity: String,
    pub difference: &'static str,
}

/// Whether what only the target has is named too: that takes listing the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extras {
    Counted,
    Named,
}

/// Compares the local instance with the other one of the request. Reads only, whatever the config allows besides.
pub async fn verification(
    request: &SyncRequest,
    extras: Extras,
    config: &Config,
    directory: &Directory,
) -> Result<Verification, Problem> {
    other_instance(&request.other, config)?;
    let ends = ask_both(&config.local, &request.other, config, directory).await?;
    let plan = plan(request, &ends, config, directory).await?;
    let survey = Survey::of(&ends, config, directory)?;
    let mut counts = Differences::default();
    let mut resources: BTreeMap<String, BTreeMap<String, Verified>> = BTreeMap::new();
    for part in Part::all(&plan) {
        let verified = verify_part(&survey, &plan.spec, &part, extras).await?;
        counts.add(&verified.counts);
        let (resource, model) = part.collection.resource();
        match resources.entry(resource.into()).or_default().entry(model.into()) {
            Entry::Vacant(place) => drop(place.insert(verified)),
            Entry::Occupied(mut place) => place.get_mut().add(verified),
        }
    }
    Ok(Verification {
        source: ends.source.0,
        target: ends.target.0,
        verified: counts.different + counts.missing == 0,
        equal: counts.different + counts.missing + counts.extra == 0,
        counts,
        resources,
    })
}

async fn verify_part(survey: &Survey, spec: &RunSpec, part: &Part, extras: Extras) -> Result<Verified, Problem> {
    let mut counts = Differences::default();
    let mut named = Vec::new();
    let found = survey
        .compare(spec, part, async |different, _| {
            for compared in different {
                let is_missing = matches!(compared.difference, Difference::Lacks | Difference::Deleted);
                let count = if is_missing { &mut counts.missing } else { &mut counts.different };
                *count += 1;
                name(&mut named, compared.entry.identity, if is_missing { "missing" } else { "different" });
            }
            Ok(())
        })
        .await?;
    counts.same = found.same;
    counts.held = found.held;
    // Sums tell nothing of what a filter lets through; and what nobody embeds was not asked for.
    let (is_filtered, is_embedded) = (part.selection.filter.is_some(), part.embedded.is_some());
    if !is_filtered && !is_embedded {
        counts.extra = found.target.summary.count.saturating_sub(counts.same + counts.different);
    }
    if extras == Extras::Named && (counts.extra > 0 || is_filtered) && !is_embedded {
        // Counted anew: what the target holds twice, or cannot send, is no difference.
        counts.extra = 0;
        let turned = survey.turned();
        turned
            .compare(spec, &part.unshaped(), async |different, _| {
                for compared in different {
                    if matches!(compared.difference, Difference::Lacks | Difference::Deleted) {
                        counts.extra += 1;
                        name(&mut named, compared.entry.identity, "extra");
                    }
                }
                Ok(())
            })
            .await?;
    }
    let fingerprints = Fingerprints { source: found.source.summary, target: found.target.summary };
    Ok(Verified { counts, fingerprints, named })
}

impl Verified {
    /// Another part of the same collection.
    fn add(&mut self, other: Self) {
        self.counts.add(&other.counts);
        self.named.extend(other.named);
        self.named.truncate(NAMED);
    }
}

fn name(named: &mut Vec<Named>, identity: String, difference: &'static str) {
    if named.len() < NAMED {
        named.push(Named { identity, difference });
    }
}

impl Differences {
    fn add(&mut self, other: &Self) {
        self.same += other.same;
        self.different += other.different;
        self.missing += other.missing;
        self.extra += other.extra;
        self.held += other.held;
    }
}
