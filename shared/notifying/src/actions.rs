//! What can be done about an event.

use std::time::Duration;

use crate::Notice;

mod exec;
mod mail;
mod webhook;

pub(crate) use exec::Exec;
pub(crate) use mail::Mail;
pub(crate) use webhook::Webhook;

pub(crate) const KINDS: [&str; 4] = ["mail", "webhook", "exec", "log"];

/// No action may take longer.
pub const SLOWEST: Duration = Duration::from_secs(3600);
/// A mail server or a receiver that takes longer does not answer.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) enum Action {
    Mail(Box<Mail>),
    Webhook(Box<Webhook>),
    Exec(Exec),
    Log(Level),
}

/// It came to nothing. In words without addresses or keys: they are kept in Redis, and logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Failure {
    pub why: String,
    /// Not before that time again.
    pub after: Option<Duration>,
    /// It is no use to try again.
    pub lasting: bool,
}

impl Failure {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), after: None, lasting: false }
    }
}

impl Action {
    pub fn time_limit(&self) -> Duration {
        match self {
            Self::Exec(exec) => exec.time_limit(),
            Self::Mail(_) | Self::Webhook(_) => 2 * PATIENCE,
            Self::Log(_) => Duration::from_secs(1),
        }
    }

    pub async fn carry_out(&self, entry: &str, notice: &Notice) -> Result<(), Failure> {
        match self {
            Self::Mail(mail) => mail.send(notice).await,
            Self::Webhook(webhook) => webhook.call(notice).await,
            Self::Exec(exec) => exec.run(notice).await,
            Self::Log(level) => {
                level.log(entry, notice);
                Ok(())
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Level {
    Info,
    Warn,
    Error,
}

impl Level {
    pub fn named(name: Option<&str>) -> Option<Self> {
        match name {
            Some("info") => Some(Self::Info),
            Some("warn") => Some(Self::Warn),
            Some("error") => Some(Self::Error),
            _ => None,
        }
    }

    fn log(self, entry: &str, notice: &Notice) {
        let summary = notice.summary();
        let (event, run) = (notice.text("event").unwrap_or_default(), notice.text("run").unwrap_or_default());
        match self {
            Self::Info => tracing::info!(on = entry, event, run.id = run, "{summary}"),
            Self::Warn => tracing::warn!(on = entry, event, run.id = run, "{summary}"),
            Self::Error => tracing::error!(on = entry, event, run.id = run, "{summary}"),
        }
    }
}
