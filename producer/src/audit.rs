//! The audit log of an instance, asked of its agent, and whether it is whole.

use protocol::api::{AuditFrom, AuditPage, AuditPlace, AuditRequest};
use protocol::audit::{Chain, Entry, Mark, Problem as Broken};
use protocol::client::AgentClient;
use protocol::directory::Directory;
use serde::Serialize;

use crate::error::Problem;

/// Whether a log is whole.
#[derive(Debug, Clone, Serialize)]
pub struct AuditReport {
    pub instance: String,
    pub id: String,
    pub entries: u64,
    /// The oldest entry that is kept is the one after this number.
    pub begins_after: u64,
    /// To be kept elsewhere: whoever writes the whole log anew cannot have this hash at this place.
    pub head: String,
    /// What is wrong, each in words.
    pub problems: Vec<String>,
}

/// The latest entries, the oldest first. A line that is no entry is left out: [`verify_audit`] names it.
pub async fn audit(directory: &Directory, target: &str, count: u32) -> Result<Vec<Entry>, Problem> {
    let page = page(&agent(directory, target).await?, AuditFrom::Last(count)).await?;
    Ok(page.lines.iter().filter_map(|line| Entry::read(line)).map(|(entry, _)| entry).collect())
}

/// Follows the whole chain here, not at the agent. `noted`: what was kept from an earlier look.
pub async fn verify_audit(directory: &Directory, target: &str, noted: Option<Mark>) -> Result<AuditReport, Problem> {
    let agent = agent(directory, target).await?;
    let mut read = page(&agent, AuditFrom::Place(AuditPlace::default())).await?;
    let begin = read.begin.clone();
    let mut chain = Chain::behind(begin.clone(), noted);
    loop {
        read.lines.iter().for_each(|line| chain.follow(line));
        let Some(next) = read.next else { break };
        read = page(&agent, AuditFrom::Place(next)).await?;
    }
    chain.end(&read.head);
    Ok(AuditReport {
        instance: target.into(),
        id: agent.instance().unwrap_or_default().into(),
        entries: chain.entries,
        begins_after: begin.number,
        head: read.head.to_string(),
        problems: chain.problems.iter().map(Broken::to_string).collect(),
    })
}

async fn agent(directory: &Directory, target: &str) -> Result<AgentClient, Problem> {
    let manifest = directory.client(target, None)?.manifest().await?;
    Ok(directory.client(target, Some(&manifest.instance))?)
}

async fn page(agent: &AgentClient, from: AuditFrom) -> Result<AuditPage, Problem> {
    Ok(agent.call(&AuditRequest { from }).await?)
}
