//! `plan`: what a push or pull would do. Prints it, keeps it in a file, and writes nothing else.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use producer::{Change, Detail, Forecast, Forecasting, PlanWriter, Problem};
use protocol::run::Direction;

use super::Output;
use super::table::{bytes, table};
use super::transfer::TransferOptions;
use super::verify::DIFFERENCES;
use crate::session::{Need, Session, load_config};

mod words;

#[derive(Debug, clap::Args)]
pub struct Plan {
    #[command(subcommand)]
    of: Of,
}

#[derive(Debug, Subcommand)]
enum Of {
    /// What a push would do
    Push(Options),
    /// What a pull would do
    Pull(Options),
}

#[derive(Debug, clap::Args)]
struct Options {
    /// The other instance
    instance: String,
    /// Show the fields of items that differ: the old value and the new one
    #[arg(long)]
    diff: bool,
    /// Keep the plan in this file, for `cockpit-sync apply FILE`
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// End with exit code 7 when there is something to do
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    transfer: TransferOptions,
}

impl Plan {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let (direction, options) = match self.of {
            Of::Push(options) => (Direction::Push, options),
            Of::Pull(options) => (Direction::Pull, options),
        };
        if options.instance.contains(',') {
            return Err(Problem::usage(format!(
                "a plan is made for one target, and bound to it: plan each of {} on its own",
                options.instance
            )));
        }
        let config = load_config(config)?;
        let request = options.transfer.request(direction, options.instance, &config)?;
        let detail = if options.diff { Detail::Fields } else { Detail::Names };
        let session = Session::open(config, Need::Look).await?;
        let (directory, queue) = (&session.directory, &session.queue);
        let begun = Forecasting::begin(&request, detail, &session.config, directory, queue).await;
        let planned = match begun {
            Ok(forecasting) => make(forecasting, options.diff, options.output, output).await,
            Err(problem) => Err(problem),
        };
        session.close().await?;
        let something_to_do = planned?.counts.changes();
        Ok(if options.exit_code && something_to_do { DIFFERENCES } else { 0 })
    }
}

/// Makes the plan, printing and keeping it on the way.
async fn make(
    forecasting: Forecasting,
    shows_items: bool,
    file: Option<PathBuf>,
    output: &Output,
) -> Result<Forecast, Problem> {
    let head = forecasting.head.clone();
    let mut kept = match &file {
        Some(path) => Some(Kept::begin(path, |file| PlanWriter::begin(file, &head))?),
        None => None,
    };
    let stdout = |error: std::io::Error| Problem::usage(format!("the plan cannot be printed: {error}"));
    let mut printed = match output.is_json() {
        true => Some(PlanWriter::begin(BufWriter::new(std::io::stdout()), &head).map_err(stdout)?),
        false => None,
    };
    let tell = |change: &Change| {
        if let Some(kept) = &mut kept {
            kept.change(change)?;
        }
        match &mut printed {
            Some(printed) => printed.change(change).map_err(stdout)?,
            None if shows_items || change.change == "hold" => output.line(&words::change(change)),
            None => {}
        }
        Ok(())
    };
    let forecast = forecasting.finish(tell).await?;
    if let Some(kept) = kept {
        kept.end(&forecast)?;
    }
    match printed {
        Some(printed) => drop(printed.end(&forecast).map_err(stdout)?),
        None => output.line(&in_words(&forecast, file.as_deref())),
    }
    Ok(forecast)
}

/// A plan's file: under its name only once it is whole.
struct Kept {
    path: PathBuf,
    unfinished: PathBuf,
    writer: PlanWriter<BufWriter<File>>,
}

impl Kept {
    fn begin(
        path: &Path,
        begin: impl FnOnce(BufWriter<File>) -> std::io::Result<PlanWriter<BufWriter<File>>>,
    ) -> Result<Self, Problem> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".unfinished");
        let unfinished = PathBuf::from(unfinished);
        let writer = File::create(&unfinished).and_then(|file| begin(BufWriter::new(file)));
        let writer = writer.map_err(|error| cannot_keep(path, &error))?;
        Ok(Self { path: path.into(), unfinished, writer })
    }

    fn change(&mut self, change: &Change) -> Result<(), Problem> {
        self.writer.change(change).map_err(|error| cannot_keep(&self.path, &error))
    }

    fn end(self, forecast: &Forecast) -> Result<(), Problem> {
        let Self { path, unfinished, writer } = self;
        let ended = writer.end(forecast).and_then(|mut file| file.flush());
        ended.and_then(|()| std::fs::rename(&unfinished, &path)).map_err(|error| cannot_keep(&path, &error))
    }
}

fn cannot_keep(path: &Path, error: &std::io::Error) -> Problem {
    Problem::usage(format!("{} cannot be written: {error}", path.display()))
}

fn in_words(forecast: &Forecast, file: Option<&Path>) -> String {
    let mut rows = table(&["", "create", "update", "delete", "unchanged", "conflicts", "held", ""]);
    for (resource, models) in &forecast.resources {
        for (model, planned) in models {
            let name = if resource == model { resource.clone() } else { format!("{resource} {model}") };
            let numbers =
                [planned.create, planned.update, planned.delete, planned.unchanged, planned.conflicts, planned.held];
            let numbers = numbers.map(|number| number.to_string());
            rows.add_row(std::iter::once(name).chain(numbers).chain([bytes(planned.bytes)]));
        }
    }
    let (spec, counts) = (&forecast.spec, forecast.counts);
    let what = match counts.changes() {
        true => format!(
            "would create {}, update {} and delete {} items ({}); nothing was written",
            counts.create,
            counts.update,
            counts.delete,
            bytes(counts.bytes)
        ),
        false => "has nothing to do".into(),
    };
    let held = match counts.held {
        0 => String::new(),
        held => format!("; {held} would be held"),
    };
    let breaking = forecast.schema.iter().any(|change| change.breaking) && !spec.accept_schema_changes;
    let mut schema: Vec<String> = forecast.schema.iter().map(|change| format!("schema: {change}\n")).collect();
    if breaking {
        schema.push("refused unless given --accept-schema-changes\n".into());
    }
    let apply = file.map(|file| format!("\ncarry it out with: cockpit-sync apply {}", file.display()));
    format!(
        "{}{rows}\n{} {} -> {}: {what}{held}{}",
        schema.concat(),
        spec.direction,
        spec.source.name,
        spec.target.name,
        apply.unwrap_or_default()
    )
}
