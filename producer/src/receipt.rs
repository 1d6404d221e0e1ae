//! The receipt of a run, asked of its target's agent.

use protocol::api::{Receipt, ReceiptRequest};
use protocol::directory::Directory;

use crate::error::{Problem, ProblemKind};

/// What the agent of `target` remembers of a run: its id, the beginning or end of one, or `last`.
pub async fn receipt(directory: &Directory, target: &str, run: &str) -> Result<Receipt, Problem> {
    let manifest = directory.client(target, None)?.manifest().await?;
    let agent = directory.client(target, Some(&manifest.instance))?;
    let found = agent.call(&ReceiptRequest { run: run.into() }).await?;
    found.receipt.ok_or_else(|| {
        let message = format!(
            "the agent of {target} remembers no run {run}: it never wrote there, or more than 90 days have passed since"
        );
        Problem::new(ProblemKind::Lost, message)
    })
}
