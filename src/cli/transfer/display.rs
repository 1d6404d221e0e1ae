//! The live display: current task, bar, items, MB, rate, ETA.

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use producer::{Follow, report};

use crate::cli::Output;
use crate::cli::table::bytes;

/// A progress bar on a terminal; plain lines for what must be said elsewhere too.
pub struct Display {
    bar: ProgressBar,
}

impl Display {
    pub fn new(output: &Output) -> Self {
        Self::of(if output.is_live() { ProgressBar::new(0) } else { ProgressBar::hidden() })
    }

    /// One of several, a line each.
    pub fn beside(output: &Output, others: &MultiProgress) -> Self {
        Self::of(if output.is_live() { others.add(ProgressBar::new(0)) } else { ProgressBar::hidden() })
    }

    fn of(bar: ProgressBar) -> Self {
        let style = ProgressStyle::with_template(
            "{msg:<24} {bar:30} {human_pos}/{human_len} items {prefix} {per_sec} ETA {eta}",
        );
        if let Ok(style) = style {
            let rate = |state: &ProgressState, text: &mut dyn std::fmt::Write| {
                // A display that cannot be written to shows nothing anyway.
                let _written = write!(text, "{:.0}/s", state.per_sec());
            };
            bar.set_style(style.with_key("rate", rate).progress_chars("=> "));
        }
        Self { bar }
    }

    pub fn show(&mut self, news: Follow<'_>) {
        match news {
            Follow::Progress(view) => {
                let report = report(view);
                self.bar.set_length(report.items_total.max(report.items));
                self.bar.set_position(report.items);
                self.bar.set_prefix(bytes(report.bytes));
                let task = if view.state == queue::RunState::Running {
                    report.stage
                } else {
                    match report.position {
                        Some(position) => format!("{}, {position}. in line", view.state),
                        None => view.state.to_string(),
                    }
                };
                self.bar.set_message(format!("{} {task}", report.target));
            }
            Follow::NoWorker { requires } => self.line(&format!(
                "no worker that is alive knows {}: the run waits for one (cockpit-sync worker)",
                requires.join(" and ")
            )),
            Follow::RedisAway(error) => self.line(&format!("{error}; waiting for Redis to come back")),
        }
    }

    fn line(&self, text: &str) {
        if self.bar.is_hidden() {
            eprintln!("{text}");
        } else {
            self.bar.println(text);
        }
    }

    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
