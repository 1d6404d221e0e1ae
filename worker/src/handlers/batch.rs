//! Brings part of a collection over. Reading (list, diff, documents) runs ahead of writing by one page, so memory stays
//! bounded by pages whatever the size of the data (I8).

use std::collections::{HashMap, HashSet};

use comparing::{Compared, Decided, Pages, Sending, Stays};
use protocol::api::{Difference, HeldCause, HeldDocument};
use protocol::canonical::DocHash;
use protocol::counts::Side;
use protocol::job::Batch;
use queue::{Outcome, Verdict};
use tokio::sync::mpsc;

use crate::failure::verdict_of_comparing;
use crate::scope::Scope;
use crate::tally::Tally;

mod files;
mod writer;

use writer::Writer;

/// A document of the source that the target lacks or holds different.
pub struct Pending {
    pub identity: String,
    /// The source's.
    pub hash: DocHash,
    /// What the target holds, as this run saw it.
    pub expect: Option<DocHash>,
    pub document: Vec<u8>,
}

/// What reading a page brought: what to write, and what is settled already.
struct Page {
    pending: Vec<Pending>,
    settled: Settled,
}

/// A document that is asked for by name.
struct Wanted {
    expect: Option<DocHash>,
    /// It came with the listing already, and is asked for only to learn whether it has moved.
    came: Option<(DocHash, Vec<u8>)>,
}

/// Documents of a page that need no write.
#[derive(Default)]
struct Settled {
    unchanged: u64,
    written: Vec<(String, protocol::api::Wrote)>,
    edited: Vec<(String, protocol::api::Wrote)>,
    held: Vec<protocol::api::HeldDocument>,
    /// Changed on both sides; those that the source wins are written besides.
    conflicts: Vec<(String, Stays, String)>,
}

/// `tally` has what the job did already.
pub async fn execute(scope: &Scope, batch: &Batch, mut tally: Tally) -> Result<Outcome, Verdict> {
    scope.reads_with_others(&batch.collection);
    let (send, mut receive) = mpsc::channel(1);
    let reading = read_pages(scope, batch, send);
    let writing = async {
        let mut writer = Writer::new(scope, &batch.collection);
        while let Some(page) = receive.recv().await {
            settle(page.settled, &mut tally);
            writer.write(page.pending, &mut tally).await?;
        }
        writer.finish(&mut tally).await
    };
    tokio::try_join!(reading, writing)?;
    scope.pause().await;
    Ok(tally.outcome(scope.run.spec.direction))
}

fn settle(settled: Settled, tally: &mut Tally) {
    tally.unchanged(settled.unchanged);
    settled.held.into_iter().for_each(|held| tally.held(held));
    for (identity, stays, message) in settled.conflicts {
        match stays {
            Stays::Source => tally.conflict(identity, Side::Source, message),
            Stays::Target => {
                tally.unchanged(1);
                tally.conflict(identity, Side::Target, message);
            }
            Stays::Neither => {
                tally.counts_conflict();
                tally.held(HeldDocument { identity, cause: HeldCause::Conflict, message });
            }
        }
    }
    settled.written.into_iter().for_each(|(identity, wrote)| tally.written(identity, wrote));
    for (identity, wrote) in settled.edited {
        tally.edited(&identity, "an editor changed it on the target after this run had written it");
        tally.written(identity, wrote);
    }
}

/// Sends page after page. Ends early when nobody writes any more.
async fn read_pages(scope: &Scope, batch: &Batch, send: mpsc::Sender<Page>) -> Result<(), Verdict> {
    let selection = scope.run.spec.selection(&batch.collection);
    let sending = match batch.fresh {
        // Documents of a plan are asked for by name: then the source tells which of them have moved.
        _ if scope.run.spec.carries_out_a_plan() => Sending::Hashes,
        true => Sending::Documents,
        false => Sending::WhatDiffers,
    };
    let progress = || scope.context.progress();
    let mut pages = Pages::new(scope.ends(), &batch.collection, selection, &batch.rows, sending)
        .shaped(scope.run.shaper(&batch.collection)?)
        .reporting(&progress);
    while let Some(compared) = pages.next().await.map_err(verdict_of_comparing)? {
        scope.context.progress();
        let page = prepare(scope, batch, compared).await?;
        if send.send(page).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// What is to be written of a page, with its documents.
async fn prepare(scope: &Scope, batch: &Batch, compared: comparing::Page) -> Result<Page, Verdict> {
    let mut page = Page { pending: Vec::new(), settled: Settled { held: compared.held, ..Settled::default() } };
    let mut wanted = Vec::new();
    let rules = &scope.run.spec.on_conflict;
    let (mut documents, decided) = comparing::decide(scope.ends(), &batch.collection, compared.documents, rules)
        .await
        .map_err(verdict_of_comparing)?;
    for Decided { compared, stays, message } in decided {
        let identity = compared.entry.identity.clone();
        page.settled.conflicts.push((identity, stays, message));
        if stays == Stays::Source {
            documents.push(compared);
        }
    }
    for Compared { entry, difference } in documents {
        let expect = match difference {
            Difference::Same => {
                page.settled.unchanged += 1;
                continue;
            }
            Difference::Written(wrote) => {
                page.settled.written.push((entry.identity, wrote));
                continue;
            }
            Difference::Edited(wrote) => {
                page.settled.edited.push((entry.identity, wrote));
                continue;
            }
            Difference::Lacks | Difference::Deleted => None,
            // What an editor changed is refused and held, by name, where it is written.
            Difference::Differs(hash) | Difference::Changed(hash) | Difference::Conflict(hash) => Some(hash),
        };
        match entry.document {
            Some(document) if !scope.run.spec.carries_out_a_plan() => {
                page.pending.push(Pending { identity: entry.identity, hash: entry.hash, expect, document });
            }
            // What came, came shaped.
            came => wanted.push((entry.identity, Wanted { expect, came: came.map(|document| (entry.hash, document)) })),
        }
    }
    fetch(scope, batch, wanted, &mut page).await?;
    Ok(page)
}

/// Reads documents by identity. What is gone by now was deleted meanwhile: it is no document of this run any more.
async fn fetch(scope: &Scope, batch: &Batch, wanted: Vec<(String, Wanted)>, page: &mut Page) -> Result<(), Verdict> {
    let identities = wanted.iter().map(|(identity, _)| identity.clone()).collect();
    let mut expected: HashMap<String, Wanted> = wanted.into_iter().collect();
    let run = scope.run.spec.carries_out_a_plan().then_some(scope.run.id.as_str());
    let found =
        comparing::documents(scope.source(), &batch.collection, identities, run).await.map_err(verdict_of_comparing)?;
    scope.context.progress();
    let moved: HashSet<String> = found.changed.into_iter().collect();
    for entry in found.documents {
        if moved.contains(&entry.identity) {
            let message = "it was changed on the source after the plan was found to hold: it is not what was planned. \
                           Make a new plan";
            let (identity, cause, message) = (entry.identity, HeldCause::Contended, message.into());
            page.settled.held.push(HeldDocument { identity, cause, message });
            continue;
        }
        let (Some(document), Some(wanted)) = (entry.document, expected.remove(&entry.identity)) else { continue };
        let (hash, document) = wanted.came.unwrap_or((entry.hash, document));
        page.pending.push(Pending { identity: entry.identity, hash, expect: wanted.expect, document });
    }
    Ok(())
}
