//! A large run's jobs on their way to Redis ahead of its submit, in pieces that keep no script busy for long.

use serde::Serialize;
use serde_bytes::ByteBuf;

use crate::scripts::PREPARE;
use crate::{NewRun, Queue, Result, item};

/// The most one script takes, here and in a submit: about two milliseconds of Redis' time.
const JOBS: usize = 1000;
const BYTES: usize = 256 << 10;

#[derive(Serialize)]
struct Args<'a> {
    run: &'a str,
    stage: u32,
    at: usize,
    jobs: Vec<ByteBuf>,
}

/// Too large for one script.
pub(crate) fn is_large(run: &NewRun) -> bool {
    let jobs = || run.stages.iter().flat_map(|stage| &stage.jobs);
    jobs().count() > JOBS || jobs().map(|job| job.payload.len()).sum::<usize>() > BYTES
}

impl Queue {
    /// Sends all jobs of the run's stages. What became of them only the submit that follows can tell.
    pub(crate) async fn send_ahead(&self, run: &NewRun) -> Result<()> {
        for (stage, number) in run.stages.iter().zip(1u32..) {
            let (mut at, mut piece, mut bytes) = (0, Vec::new(), 0);
            for (place, job) in stage.jobs.iter().enumerate() {
                let text = item::encode(job, number);
                bytes += text.len();
                piece.push(ByteBuf::from(text));
                if piece.len() == JOBS || bytes >= BYTES || place + 1 == stage.jobs.len() {
                    let jobs = std::mem::take(&mut piece);
                    let sent = jobs.len();
                    let fits: bool = self.call(&PREPARE, &Args { run: &run.id, stage: number, at, jobs }).await?;
                    if !fits {
                        return Ok(());
                    }
                    (at, bytes) = (at + sent, 0);
                }
            }
        }
        Ok(())
    }
}
