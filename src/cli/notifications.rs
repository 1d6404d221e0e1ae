//! `notifications`: what is done when something happens, and what of it waits or failed.

use std::path::Path;

use producer::{NotificationReport, Problem, notification_reports};

use super::Output;
use super::table::table;
use crate::session::{Need, Session, load_config};

#[derive(Debug, clap::Args)]
pub struct Notifications {}

impl Notifications {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let session = Session::open(load_config(config)?, Need::Look).await?;
        let reports = notification_reports(&session.queue).await;
        session.close().await?;
        let reports = reports?;
        output.print(&reports, || in_words(&reports)).map(|()| 0)
    }
}

fn in_words(reports: &[NotificationReport]) -> String {
    if reports.is_empty() {
        return "no process has told Redis of an [[on]] yet: `cockpit-sync serve` does".into();
    }
    let mut rows = table(&["on", "served", "brought", "open", "of these again", "dead", "missed", "last error"]);
    for report in reports {
        rows.add_row([
            report.name.clone(),
            if report.served { "yes" } else { "no" }.into(),
            report.brought.to_string(),
            report.open.to_string(),
            report.delayed.to_string(),
            report.dead.to_string(),
            report.missed.to_string(),
            report.last_error.clone().unwrap_or_default(),
        ]);
    }
    rows.to_string()
}
