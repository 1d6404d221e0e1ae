//! Runs a page at a time: those that are wanted, newest first.

use axum::Json;
use axum::extract::{Query, State};
use producer::options::values;
use producer::report;
use queue::{Queue, RunPage, RunState, WantedRuns};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::state::Shared;

/// A page of runs, unless asked otherwise; and the most.
const PAGE: usize = 50;
const LARGEST_PAGE: usize = 500;

/// As callers and the form of the history ask. What is empty is not asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Which {
    #[serde(deserialize_with = "given")]
    pub target: Option<String>,
    /// Several with commas.
    #[serde(deserialize_with = "given")]
    pub state: Option<String>,
    #[serde(deserialize_with = "given")]
    pub direction: Option<String>,
    /// A part of who started it.
    #[serde(deserialize_with = "given")]
    pub by: Option<String>,
    /// Points in time: submitted then or later, and before.
    #[serde(deserialize_with = "given")]
    pub since: Option<String>,
    #[serde(deserialize_with = "given")]
    pub until: Option<String>,
    /// The run after which the page begins: `next` of the page before.
    #[serde(deserialize_with = "given")]
    pub after: Option<String>,
    pub limit: Option<usize>,
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()))
}

impl Which {
    pub async fn page(&self, queue: &Queue) -> Result<RunPage, ApiError> {
        let states = self.state.as_deref().map(states).transpose()?;
        let labels = [("direction", self.direction.as_deref()), ("started_by", self.by.as_deref())];
        let labels: Vec<(&str, &str)> = labels.into_iter().filter_map(|(name, text)| Some((name, text?))).collect();
        let wanted = WantedRuns {
            target: self.target.as_deref(),
            states: states.as_deref(),
            labels: &labels,
            since: milliseconds(self.since.as_deref())?,
            until: milliseconds(self.until.as_deref())?,
            after: self.after.as_deref(),
            limit: super::limit(self.limit, PAGE, LARGEST_PAGE)?,
        };
        Ok(queue.page_of_runs(&wanted).await?)
    }
}

/// `GET /api/runs`
pub async fn list(State(shared): State<Shared>, Query(which): Query<Which>) -> Result<Json<Value>, ApiError> {
    let page = which.page(&shared.queue).await?;
    let runs: Vec<_> = page.runs.iter().map(report).collect();
    Ok(Json(json!({ "runs": runs, "next": page.next })))
}

fn states(text: &str) -> Result<Vec<RunState>, ApiError> {
    let state = |word: &str| {
        serde_json::from_value::<RunState>(word.trim().into())
            .map_err(|_| ApiError::usage(format!("{word:?} is no state of a run")))
    };
    text.split(',').map(state).collect()
}

fn milliseconds(time: Option<&str>) -> Result<Option<u64>, ApiError> {
    let Some(text) = time else { return Ok(None) };
    let seconds = values::since(text).map_err(ApiError::usage)?;
    Ok(Some(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000)))
}
