//! What a run is: kept with it in the queue, read by every worker that executes a job of it.

use serde::{Deserialize, Serialize};

use crate::api::RunAbout;
use crate::canonical::CollectionSummary;
use crate::collection::Collection;
use crate::conflicts::ConflictRules;
use crate::job::Rows;
use crate::mirror::SignedOrder;
use crate::pace::Pace;
use crate::selection::{Selected, Selection};
use crate::shaping::{Shaped, Shaping};

/// Said instead of a direction of a run that undoes another.
pub const UNDO: &str = "undo";

/// How the error of a run begins that a guard refused, or that wrote nothing because what it was made for has changed.
pub const REFUSED: &str = "refused: ";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// local -> named
    Push,
    /// named -> local
    Pull,
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Push => "push",
            Self::Pull => "pull",
        })
    }
}

/// What becomes of a document that an editor has open in Cockpit on the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLocked {
    /// It is set aside.
    #[default]
    Hold,
    /// It is asked again until the editor is done, for some minutes; then set aside.
    Wait,
    /// It is written all the same.
    Override,
}

/// One end of a run. Names and ids, never URLs or keys: those are in each worker's own config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// As in the config.
    pub name: String,
    /// The instance id the agent had when the run was made: the audience of every request of the run.
    pub instance: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    pub direction: Direction,
    pub source: Endpoint,
    pub target: Endpoint,
    /// Who asked, for those who are refused meanwhile: "anna on web1".
    pub started_by: String,
    /// Rows per batch job.
    pub batch_size: u32,
    /// `--models`: narrows models, singletons and items to these.
    pub models: Option<Vec<String>>,
    /// What narrows collections further.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selections: Vec<Selected>,
    /// Nothing is brought but what `selections` name.
    #[serde(default)]
    pub only_selected: bool,
    /// Also the assets that the selected documents embed.
    #[serde(default)]
    pub with_assets: bool,
    #[serde(default, skip_serializing_if = "Pace::is_free")]
    pub pace: Pace,
    /// What both sides were when the plan was made that this run carries out; empty where there was none. Where one of
    /// them has moved, the run is refused; what moves later is left as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub planned: Vec<Fingerprint>,
    /// What becomes of what both sides have changed.
    #[serde(default, skip_serializing_if = "ConflictRules::is_usual")]
    pub on_conflict: ConflictRules,
    /// Definitions of models may change so that values on the target break.
    #[serde(default)]
    pub accept_schema_changes: bool,
    /// Of lokalize: what was said of it when the run was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_keys_only: Option<bool>,
    /// How documents are changed on their way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shapings: Vec<Shaped>,
    #[serde(default)]
    pub on_locked: OnLocked,
    /// Names of the resources it covers, and how many of its jobs workers are given at a time: what a retry needs.
    pub resources: Vec<String>,
    pub window: u16,
    /// Which of the models are trees: they are not split.
    pub trees: Vec<String>,
    /// The target's clock when the run was made, Unix seconds: set as `_modified` on everything the run writes. What the
    /// target shows as modified later was saved by somebody else.
    pub modified: i64,
    /// The source's clock when the run was made, Unix seconds: what it shows as modified since was saved meanwhile.
    pub source_began: i64,
    /// The run that is undone; source and target are then the same instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
    /// That somebody asked for it. Nothing is undone without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_order: Option<SignedOrder>,
    /// Of a mirror: what it may delete. A run without deletes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<SignedOrder>,
    /// Other runs bring the same from this source at the same time: what is read for one serves all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shares_source: bool,
    /// Where the trace of the run began, as W3C `traceparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// What both sides hold of a collection, as far as the run selects it by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fingerprint {
    pub collection: Collection,
    pub source: CollectionSummary,
    pub target: CollectionSummary,
    /// Rows of the source that hold no document that can be sent.
    pub held: u64,
}

impl Fingerprint {
    /// Both hold the same, and nothing besides has to be named.
    pub fn is_equal(&self) -> bool {
        self.source == self.target && self.held == 0
    }
}

impl RunSpec {
    /// The run does what a plan says, and nothing else.
    pub fn carries_out_a_plan(&self) -> bool {
        !self.planned.is_empty()
    }

    /// Which side is not what it was planned to be, in words.
    pub fn moved(
        &self,
        planned: &Fingerprint,
        source: &CollectionSummary,
        target: &CollectionSummary,
    ) -> Option<String> {
        let collection = &planned.collection;
        let sides = [(&self.source, planned.source, source), (&self.target, planned.target, target)];
        let (moved, before, now) = sides.into_iter().find(|(_, before, now)| before != *now)?;
        Some(format!(
            "{collection} on {} is not what it was when the plan was made ({} items then, {} now): make a new plan",
            moved.name, before.count, now.count
        ))
    }

    /// Which documents of a collection the run is about. What holds something of every model is narrowed to its models.
    pub fn selection(&self, collection: &Collection) -> Selection {
        let selected = self.selections.iter().find(|selected| selected.collection == *collection);
        let mut selection = selected.map(|selected| selected.selection.clone()).unwrap_or_default();
        if matches!(collection, Collection::Models | Collection::Singletons) && selection.only.is_none() {
            selection.only = self.models.clone();
        }
        selection
    }

    /// Which assets or folders the run brings whether a document embeds them or not.
    pub fn selection_of_assets(&self, collection: &Collection) -> Selection {
        match self.resources.iter().any(|resource| resource == collection.resource().0) {
            true => self.selection(collection),
            false => Selection::only(Vec::new()),
        }
    }

    /// The rows in which these documents are: single ones are asked for by name, however large the collection is. Of
    /// singletons and models there are few, and listing them also tells what is wrong with them.
    pub fn rows(&self, collection: &Collection) -> Rows {
        match (collection, self.selection(collection)) {
            (Collection::Models | Collection::Singletons, _) => Rows::all(),
            (_, Selection { only: Some(only), filter: None }) => Rows::Identities(only),
            _ => Rows::all(),
        }
    }

    /// For the receipt that the target's agent keeps.
    pub fn about(&self) -> RunAbout {
        let mut options = serde_json::to_value(self).expect("a run spec has no map with keys that are not strings");
        if let Some(options) = options.as_object_mut() {
            options
                .retain(|name, _| !["direction", "source", "target", "started_by", "traceparent"].contains(&&**name));
        }
        RunAbout {
            direction: self.undo.as_ref().map_or_else(|| self.direction.to_string(), |_| UNDO.into()),
            source: self.source.clone(),
            target: self.target.clone(),
            started_by: self.started_by.clone(),
            options,
        }
    }

    /// What happens to the documents of a collection on their way; mostly nothing.
    pub fn shaping(&self, collection: &Collection) -> Option<&Shaping> {
        let shaped = self.shapings.iter().find(|shaped| shaped.collection == *collection);
        shaped.map(|shaped| &shaped.shaping).filter(|shaping| !shaping.is_nothing())
    }

    /// As stored with the run.
    pub fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("a run spec has no map with keys that are not strings")
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, rmp_serde::decode::Error> {
        crate::msgpack::read(bytes)
    }
}
