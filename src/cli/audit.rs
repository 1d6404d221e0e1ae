//! `audit`: what an instance's agent wrote down, and whether that is whole.

use std::path::Path;

use producer::{AuditReport, Problem, audit, verify_audit};
use protocol::audit::{Entry, Mark};

use super::Output;
use super::table::{short, table};
use crate::session::{Need, Session, load_config};

/// As with verify: something differs.
const NOT_WHOLE: u8 = 7;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Audit {
    /// The instance whose log is shown
    #[arg(required = true)]
    target: Option<String>,
    /// So many entries, the latest
    #[arg(long, default_value_t = 50, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
    last: u32,
    /// Only those of this run (its id, or the beginning or end of one), of the latest 1000
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Follow the chain of the whole log: is it as it was written? Exit code 7 when not
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
struct Verify {
    target: String,
    /// What an earlier look printed as its last entry: it must still be there
    #[arg(long, value_name = "NUMBER:HASH")]
    noted: Option<Mark>,
}

impl Audit {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let session = Session::open(load_config(config)?, Need::Look).await?;
        let done = match self.what {
            Some(What::Verify(verify)) => verify.run(&session, output).await,
            None => show(&session, &self.target.unwrap_or_default(), self.last, self.run.as_deref(), output).await,
        };
        session.close().await?;
        done
    }
}

async fn show(session: &Session, target: &str, last: u32, run: Option<&str>, output: &Output) -> Result<u8, Problem> {
    let mut entries = audit(&session.directory, target, if run.is_some() { 1000 } else { last }).await?;
    if let Some(wanted) = run {
        let is_of_it = |run: &String| run.starts_with(wanted) || run.ends_with(wanted);
        entries.retain(|entry| entry.run.as_ref().is_some_and(is_of_it));
    }
    output.print(&entries, || in_words(&entries))?;
    Ok(0)
}

impl Verify {
    async fn run(self, session: &Session, output: &Output) -> Result<u8, Problem> {
        let report = verify_audit(&session.directory, &self.target, self.noted).await?;
        output.print(&report, || judged(&report))?;
        Ok(if report.problems.is_empty() { 0 } else { NOT_WHOLE })
    }
}

fn in_words(entries: &[Entry]) -> String {
    if entries.is_empty() {
        return "no entries".into();
    }
    let mut rows = table(&["", "time", "what", "who", "from", "run", "counts", "why"]);
    for entry in entries {
        let key = entry.key.as_ref().map(|key| format!("key {key}"));
        let who = [entry.user.clone(), key].into_iter().flatten().collect::<Vec<_>>().join(", ");
        let counts: Vec<String> = entry.counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        rows.add_row([
            entry.number.to_string(),
            entry.time.clone(),
            entry.action.to_string(),
            who,
            entry.address.clone().unwrap_or_default(),
            entry.run.as_deref().map_or_else(String::new, |run| short(run).to_owned()),
            counts.join(", "),
            entry.reason.clone().unwrap_or_default(),
        ]);
    }
    rows.to_string()
}

fn judged(report: &AuditReport) -> String {
    let kept = match report.begins_after {
        0 => String::new(),
        number => format!(" (those up to {number} are not kept any more)"),
    };
    let found = if report.problems.is_empty() { "is whole" } else { "is NOT whole" };
    let mut text = format!("the audit log of {} {found}: {} entries{kept}", report.instance, report.entries);
    for problem in &report.problems {
        text += &format!("\n  {problem}");
    }
    text + &format!(
        "\nto prove later that it is still this one: audit verify {} --noted {}",
        report.instance, report.head
    )
}
