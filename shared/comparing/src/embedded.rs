//! What the selected documents of a run need of assets and folders.

use std::collections::BTreeSet;

use protocol::api::EmbeddedRequest;
use protocol::client::AgentClient;
use protocol::job::Embedded;
use protocol::run::RunSpec;

use crate::CompareError;

/// The identities of one part of them, each once. How many parts there are keeps this small (I8). `progress` is told of every
/// answer.
pub async fn embedded(
    source: &AgentClient,
    spec: &RunSpec,
    what: &Embedded,
    progress: impl Fn(),
) -> Result<BTreeSet<String>, CompareError> {
    let mut found = BTreeSet::new();
    for collection in &what.by {
        let mut next = Some(0);
        while let Some(from_row) = next {
            let request = EmbeddedRequest {
                collection: collection.clone(),
                selection: spec.selection(collection),
                from_row,
                wanted: what.wanted.clone(),
                except: spec.selection_of_assets(&what.wanted),
                part: what.part,
                parts: what.parts,
            };
            let answer = source.call(&request).await?;
            progress();
            found.extend(answer.identities);
            next = answer.next_row;
        }
    }
    Ok(found)
}
