//! Documents by identity, asked for until all are there.

use protocol::api::{Documents, DocumentsRequest};
use protocol::client::AgentClient;
use protocol::collection::Collection;

use crate::CompareError;

/// All of these that are there, however many answers it takes; for a run, which of them are not what it saw first. The caller bounds how many it asks for (I8).
pub async fn documents(
    agent: &AgentClient,
    collection: &Collection,
    mut identities: Vec<String>,
    run: Option<&str>,
) -> Result<Documents, CompareError> {
    let mut found = Documents { documents: Vec::new(), missing: Vec::new(), not_sent: Vec::new(), changed: Vec::new() };
    while !identities.is_empty() {
        let asked = identities.len();
        let run = run.map(str::to_owned);
        let answer = agent.call(&DocumentsRequest { collection: collection.clone(), identities, run }).await?;
        if answer.not_sent.len() >= asked {
            let message = "an agent sent none of the documents it was asked for";
            return Err(CompareError::Incomplete(message.into()));
        }
        found.documents.extend(answer.documents);
        found.missing.extend(answer.missing);
        found.changed.extend(answer.changed);
        identities = answer.not_sent;
    }
    Ok(found)
}
