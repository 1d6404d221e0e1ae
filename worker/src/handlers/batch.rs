//! Brings a range of rows over. Reading (list, diff, documents) runs ahead of writing by one page, so memory stays
//! bounded by pages whatever the size of the data (I8).

use protocol::api::{DiffRequest, Difference, DocumentsRequest, Entry, ListRequest};
use protocol::canonical::DocHash;
use protocol::job::Batch;
use queue::{Outcome, Verdict};
use tokio::sync::mpsc;

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

/// Documents of a page that need no write.
#[derive(Default)]
struct Settled {
    unchanged: u64,
    written: Vec<(String, protocol::api::Wrote)>,
    edited: Vec<(String, protocol::api::Wrote)>,
    held: Vec<protocol::api::HeldDocument>,
}

pub async fn execute(scope: &Scope, batch: &Batch) -> Result<Outcome, Verdict> {
    let mut tally = Tally::new(&batch.collection);
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
    Ok(tally.outcome(scope.run.spec.direction))
}

fn settle(settled: Settled, tally: &mut Tally) {
    tally.unchanged(settled.unchanged);
    settled.held.into_iter().for_each(|held| tally.held(held));
    settled.written.into_iter().for_each(|(identity, wrote)| tally.written(identity, wrote));
    for (identity, wrote) in settled.edited {
        tally.edited(&identity, "an editor changed it on the target after this run had written it");
        tally.written(identity, wrote);
    }
}

/// Sends page after page. Ends early when nobody writes any more.
async fn read_pages(scope: &Scope, batch: &Batch, pages: mpsc::Sender<Page>) -> Result<(), Verdict> {
    let mut next = Some(batch.from_row);
    let mut with_documents = batch.fresh;
    while let Some(from_row) = next {
        let listing = scope
            .read(&ListRequest {
                collection: batch.collection.clone(),
                only: scope.run.spec.only(&batch.collection),
                from_row,
                to_row: batch.to_row,
                documents: with_documents,
            })
            .await?;
        next = listing.next_row;
        let listed = listing.entries.len();
        let mut page = compare(scope, batch, listing.entries).await?;
        page.settled.held.extend(listing.held);
        // Where most of it differs, asking for documents one by one only costs a round trip more.
        with_documents = page.pending.len() * 2 > listed;
        if pages.send(page).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Asks the target what of a page it lacks or holds different, and the source for those documents.
async fn compare(scope: &Scope, batch: &Batch, entries: Vec<Entry>) -> Result<Page, Verdict> {
    let mut page = Page { pending: Vec::new(), settled: Settled::default() };
    if entries.is_empty() {
        return Ok(page);
    }
    let request = DiffRequest {
        collection: batch.collection.clone(),
        run: scope.run.id.clone(),
        entries: entries.iter().map(|entry| (entry.identity.clone(), entry.hash)).collect(),
    };
    let diff = scope.target(&request).await?;
    if diff.differences.len() != entries.len() {
        return Err(Verdict::retry("the target's agent compared fewer documents than it was asked to"));
    }
    let mut wanted = Vec::new();
    for (entry, difference) in entries.into_iter().zip(diff.differences) {
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
            Difference::Differs(hash) | Difference::Changed(hash) => Some(hash),
        };
        match entry.document {
            Some(document) => {
                page.pending.push(Pending { identity: entry.identity, hash: entry.hash, expect, document });
            }
            None => wanted.push((entry.identity, expect)),
        }
    }
    fetch(scope, batch, wanted, &mut page.pending).await?;
    Ok(page)
}

/// Reads documents by identity. What is gone by now was deleted meanwhile: it is no document of this run any more.
async fn fetch(
    scope: &Scope,
    batch: &Batch,
    wanted: Vec<(String, Option<DocHash>)>,
    pending: &mut Vec<Pending>,
) -> Result<(), Verdict> {
    let mut expected: std::collections::HashMap<String, Option<DocHash>> = wanted.iter().cloned().collect();
    let mut identities: Vec<String> = wanted.into_iter().map(|(identity, _)| identity).collect();
    while !identities.is_empty() {
        let asked = identities.len();
        let request = DocumentsRequest { collection: batch.collection.clone(), identities, run: None };
        let answer = scope.read(&request).await?;
        for entry in answer.documents {
            let (Some(document), Some(expect)) = (entry.document, expected.remove(&entry.identity)) else { continue };
            pending.push(Pending { identity: entry.identity, hash: entry.hash, expect, document });
        }
        if answer.not_sent.len() >= asked {
            return Err(Verdict::retry("the source's agent sent none of the documents it was asked for"));
        }
        identities = answer.not_sent;
    }
    Ok(())
}
