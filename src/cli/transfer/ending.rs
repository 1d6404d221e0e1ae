//! How a run came out: for programs, in words, and as exit code.

use producer::{Problem, ProblemKind, RunReport, refusal, report};
use queue::{RunState, RunView};
use serde_json::Value;

use crate::cli::Output;
use crate::cli::output::problem_as_json;
use crate::cli::table::{bytes, short, table};

/// A run that is over.
pub struct Ending {
    pub json: Value,
    /// A guard refused the run: a refusal like any other, and the run that says the same from now on.
    pub words: Result<String, Problem>,
    pub code: u8,
}

impl Ending {
    pub fn of(view: &RunView) -> Result<Self, Problem> {
        let report = report(view);
        let unprintable = |error: serde_json::Error| Problem::usage(format!("this cannot be printed: {error}"));
        let mut json = serde_json::to_value(&report).map_err(unprintable)?;
        if let Some(why) = refusal(view) {
            let problem = Problem::refused(format!("run {}: {why}", report.run));
            json["error"] = problem_as_json(&problem);
            return Ok(Self { json, code: problem.kind.exit_code(), words: Err(problem) });
        }
        let has_notes = report.counts.held + report.dead_jobs + report.edited_meanwhile + report.conflicts > 0;
        let more = format!("\nwhich and why: cockpit-sync show {} --held", short(&report.run));
        let words = ended_in_words(&report) + if has_notes { &more } else { "" };
        let code = match view.state {
            RunState::Finished => 0,
            RunState::FinishedHeld => 3,
            RunState::Cancelled | RunState::Unlocked => ProblemKind::Lost.exit_code(),
            _ => ProblemKind::Failed.exit_code(),
        };
        Ok(Self { json, words: Ok(words), code })
    }
}

/// Prints a run that is over; gives back the documented exit code.
pub fn print_end(view: &RunView, output: &Output) -> Result<u8, Problem> {
    let ending = Ending::of(view)?;
    match ending.words {
        Err(problem) if !output.is_json() => Err(problem),
        words => {
            output.print(&ending.json, || words.unwrap_or_default())?;
            Ok(ending.code)
        }
    }
}

/// The end of a run for people.
pub fn ended_in_words(report: &RunReport) -> String {
    let mut rows = table(&["", "created", "updated", "unchanged", "deleted", "held"]);
    for (resource, models) in &report.resources {
        for (model, counts) in models {
            let name = if resource == model { resource.clone() } else { format!("{resource} {model}") };
            let numbers = [counts.created, counts.updated, counts.unchanged, counts.deleted, counts.held];
            rows.add_row(std::iter::once(name).chain(numbers.map(|number| number.to_string())));
        }
    }
    let mut text = format!("{rows}\n");
    let rate = if report.seconds > 0.0 { report.items as f64 / report.seconds } else { 0.0 };
    text += &format!(
        "{} {} -> {}: {} in {:.1} s, {} items ({rate:.0}/s), {} written{}",
        report.direction,
        report.source,
        report.target,
        report.state,
        report.seconds,
        report.items,
        bytes(report.bytes),
        if report.verified { ", verified equal" } else { "" }
    );
    if report.edited_meanwhile > 0 {
        text += &format!("\n{} items were edited by others meanwhile and left alone", report.edited_meanwhile);
    }
    if report.conflicts > 0 {
        text += &format!("\n{} items had been changed on both sides since they were the same", report.conflicts);
    }
    if report.left > 0 {
        text += &format!("\nthe time limit was reached: {} jobs were left; the next sync brings the rest", report.left);
    }
    if let Some(error) = &report.error {
        text += &format!("\n{error}");
    }
    if let Some(by) = &report.by {
        text += &format!("\nby {by}");
    }
    text
}
