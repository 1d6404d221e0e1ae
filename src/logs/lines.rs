//! Makes lines of what is logged, each with the run and the job it is about: they stand in the event, or in a span around it.

use std::io::Write;
use std::sync::LazyLock;

use protocol::log::{Level, Line};
use protocol::trace;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterFn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::channels::channel_of;
use super::keeping;

/// How lines are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Text,
    Json,
}

/// Where lines go.
pub enum Lines {
    Printed(Format),
    Kept,
}

/// To stderr, what `filter` lets pass.
pub fn printed<S>(format: Format, filter: EnvFilter) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    // Nothing is said under this name; its spans tell which job it is about.
    let spans = format!("{}=info", trace::TARGET).parse().expect("a target and a level are a directive");
    Lines::Printed(format).with_filter(filter.add_directive(spans))
}

/// To Redis, what this program itself says and everybody may want to know.
pub fn kept<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let is_wanted = FilterFn::new(|metadata| {
        *metadata.level() <= LevelFilter::INFO
            && (metadata.target() == trace::TARGET || channel_of(metadata.target()).is_some())
    });
    Lines::Kept.with_filter(is_wanted.with_max_level_hint(LevelFilter::INFO))
}

/// What a span says of what is logged in it.
#[derive(Default)]
struct Ids {
    run: Option<String>,
    job: Option<String>,
}

impl<S> Layer<S> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut said = Said::default();
        attributes.record(&mut said);
        if let Some(span) = context.span(id).filter(|_| said.ids.run.is_some()) {
            span.extensions_mut().replace(said.ids);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(around) = span.extensions().get::<Ids>().filter(|_| said.ids.run.is_none()) {
                said.ids = Ids { run: around.run.clone(), job: around.job.clone() };
            }
        }
        let line = said.line(event.metadata());
        match self {
            Self::Kept => keeping::keep(line),
            Self::Printed(format) => {
                let text = match format {
                    Format::Text => line.to_string(),
                    Format::Json => serde_json::to_string(&line).unwrap_or_default(),
                };
                // Nobody is left to be told.
                let _nobody_reads = writeln!(std::io::stderr().lock(), "{text}");
            }
        }
    }
}

/// What an event or a span holds.
#[derive(Default)]
struct Said {
    ids: Ids,
    message: String,
    fields: Map<String, Value>,
}

impl Said {
    fn line(mut self, metadata: &tracing::Metadata<'_>) -> Line {
        // What is said through the crate `log` comes with its own target, and with its place in somebody's source.
        let of_log = self.fields.remove("log.target");
        self.fields.retain(|name, _| !name.starts_with("log."));
        let target = of_log.as_ref().and_then(Value::as_str).unwrap_or(metadata.target());
        let channel = channel_of(target).unwrap_or_else(|| target.split("::").next().unwrap_or(target));
        line(level(*metadata.level()), channel, self)
    }

    fn take(&mut self, field: &Field, value: Value) {
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match field.name() {
            "message" => self.message = text(value),
            "run.id" => self.ids.run = Some(text(value)).filter(|run| !run.is_empty()),
            "job.id" => self.ids.job = Some(text(value)),
            name => drop(self.fields.insert(name.to_owned(), value)),
        }
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.take(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, value.into());
    }
}

fn level(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}

/// This machine and this process.
static PROCESS: LazyLock<String> = LazyLock::new(|| format!("{}/{}", crate::cli::host_name(), std::process::id()));

fn line(level: Level, channel: &str, said: Said) -> Line {
    Line {
        time: now(),
        level,
        channel: channel.to_owned(),
        process: PROCESS.clone(),
        run: said.ids.run,
        job: said.ids.job,
        message: said.message,
        fields: said.fields,
    }
}

/// That lines are missing, and how many.
pub fn missing(run: Option<String>, count: u64) -> Line {
    let message = format!("{count} lines are missing here: there were more than Redis took");
    line(Level::Warn, "sync", Said { ids: Ids { run, job: None }, message, fields: Map::new() })
}

fn now() -> String {
    let mut time = String::new();
    // Writing to a string does not fail.
    let _always_written = SystemTime.format_time(&mut Writer::new(&mut time));
    time
}
