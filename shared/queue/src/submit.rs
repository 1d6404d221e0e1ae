//! Submit: from a [`NewRun`] to the one script that makes it real.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::schedule::TickArgs;
use crate::scripts::{self, SUBMIT};
use crate::{Busy, Error, IfBusy, NewJob, NewRun, Queue, Result, Submitted, ahead, item};

#[derive(Serialize)]
struct Args<'a> {
    id: &'a str,
    source: &'a str,
    target: &'a str,
    requires: String,
    priority: i32,
    urgent: u8,
    dedup: &'a str,
    window: u16,
    spec: &'a serde_bytes::Bytes,
    labels: String,
    totals: ByteBuf,
    held_counter: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    listens: &'a [String],
    refuse: bool,
    open: ByteBuf,
    close: ByteBuf,
    /// Name, jobs, and how many were sent ahead instead.
    stages: Vec<(&'a str, Vec<ByteBuf>, usize)>,
    names: &'a crate::EventNames,
    #[serde(skip_serializing_if = "Option::is_none")]
    tick: Option<TickArgs<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer {
    already: bool,
    refused: Option<String>,
    same: Option<String>,
    handled: bool,
    incomplete: bool,
    waiting: Option<u64>,
}

impl Queue {
    /// Makes a run exist with all its jobs, in one step; if the target is free it starts here and now.
    /// Repeating a submit (after an error of the connection) is safe. The jobs of a large run go ahead of it: nobody
    /// sees them before that step, and without it they expire.
    pub async fn submit(&self, run: &NewRun) -> Result<Submitted> {
        run.check()?;
        let large = ahead::is_large(run);
        if large {
            self.send_ahead(run).await?;
        }
        let last = u32::try_from(run.stages.len() + 1).unwrap_or(u32::MAX);
        let control = |job: &Option<NewJob>, stage| {
            ByteBuf::from(job.as_ref().map(|job| item::encode(job, stage)).unwrap_or_default())
        };
        let args = Args {
            id: &run.id,
            source: &run.source,
            target: &run.target,
            requires: run.requires.join(" "),
            priority: run.priority,
            urgent: u8::from(run.urgent),
            dedup: run.dedup.as_deref().unwrap_or_default(),
            window: run.window,
            spec: serde_bytes::Bytes::new(&run.spec),
            labels: run.labels_fragment(),
            totals: ByteBuf::from(serde_json::to_vec(&run.totals).unwrap_or_default()),
            held_counter: run.held_counter.as_deref().unwrap_or_default(),
            listens: &run.listens,
            refuse: run.if_busy == IfBusy::Refuse,
            open: control(&run.open, 0),
            close: control(&run.close, last),
            stages: run
                .stages
                .iter()
                .zip(1u32..)
                .map(|(stage, number)| {
                    if large {
                        return (stage.name.as_str(), Vec::new(), stage.jobs.len());
                    }
                    let jobs = stage.jobs.iter().map(|job| ByteBuf::from(item::encode(job, number))).collect();
                    (stage.name.as_str(), jobs, 0)
                })
                .collect(),
            names: &run.events,
            tick: run.tick.as_ref().map(TickArgs::of),
        };
        let packed: Vec<u8> = self.call(&SUBMIT, &args).await?;
        let answer: Answer = scripts::unpack(&packed)?;
        if answer.incomplete {
            return Err(Error::Unreachable(
                "the jobs that were sent ahead are not all there; submit the run again".into(),
            ));
        }
        if answer.already {
            return Ok(Submitted::AlreadyThere);
        }
        if let Some(holder) = answer.refused {
            return Ok(Submitted::Refused(self.busy(&holder).await?));
        }
        if let Some(run) = answer.same {
            return Ok(Submitted::Same { run });
        }
        if answer.handled {
            return Ok(Submitted::Handled);
        }
        Ok(answer.waiting.map_or(Submitted::Granted, |position| Submitted::Waiting { position }))
    }

    async fn busy(&self, holder: &str) -> Result<Busy> {
        let view = self.run(holder).await?;
        Ok(Busy {
            since_ms: view.started.unwrap_or(view.created),
            run: view.id,
            source: view.source,
            state: view.state,
            stage: view.stage,
            counts: view.counters.into_iter().collect(),
            totals: view.totals.into_iter().collect(),
        })
    }
}
