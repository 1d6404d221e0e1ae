//! Compares a collection once more, expecting nothing. What an editor changed meanwhile is a note; what nobody can
//! explain fails the run.

use std::collections::HashSet;

use comparing::{Compared, Page, Pages, Sending};
use protocol::api::{
    AgreeRequest, Difference, DocumentsRequest, Entry, HeldCause, HeldDocument, RememberSourceRequest, SummaryRequest,
};
use protocol::canonical::{Document, Value};
use protocol::collection::Collection;
use protocol::counts::{Note, Side as Kept};
use protocol::job::{Embedded, Rows};
use protocol::mirror::is_mirrored;
use protocol::selection::Selection;
use queue::{Outcome, Verdict};

use crate::failure::{verdict_of, verdict_of_comparing};
use crate::scope::Scope;
use crate::tally::Tally;

mod extras;

/// After so many unexplained differences there is no point in looking on.
const ENOUGH: usize = 20;

pub async fn execute(scope: &Scope, collection: &Collection) -> Result<Outcome, Verdict> {
    let spec = &scope.run.spec;
    let selection = spec.selection(collection);
    let shaper = scope.run.shaper(collection)?;
    // With a filter, only the listing tells what is meant at the source, and so what must be at the target.
    let counted = match selection.filter {
        Some(_) => 0,
        None => {
            // With the run's name, so that the target's receipt says what it came to.
            let run = Some(scope.run.id.clone());
            let request = SummaryRequest { collection: collection.clone(), selection: selection.clone(), run };
            let (source, target) = tokio::try_join!(scope.read(&request), scope.target(&request))?;
            if source.complete && selection.is_everything() {
                remember(scope, collection, source.summary.count).await?;
            }
            if source.summary == target.summary && !shaper.as_ref().is_some_and(|shaper| shaper.changes()) {
                let source_id = spec.source.instance.clone();
                let (collection, summary) = (collection.clone(), source.summary);
                let agree = AgreeRequest { collection, source: source_id, selection, summary };
                scope.target(&agree).await?;
                return Ok(Outcome::default());
            }
            source.summary.count
        }
    };
    // The target may hold more than the source (merge), so sums alone do not tell: document by document, then.
    compare(scope, collection, selection, &scope.run.spec.rows(collection), counted).await
}

/// The same for what the selected documents need of assets and folders.
pub async fn embedded(scope: &Scope, what: &Embedded) -> Result<Outcome, Verdict> {
    let identities = super::embedded::gather(scope, what).await?.into_iter().collect();
    compare(scope, &what.wanted, Selection::default(), &Rows::Identities(identities), 0).await
}

async fn compare(
    scope: &Scope,
    collection: &Collection,
    selection: Selection,
    rows: &Rows,
    counted: u64,
) -> Result<Outcome, Verdict> {
    let held = held_documents(scope, collection).await?;
    let mut tally = Tally::new(collection);
    let mut unexplained: Vec<String> = Vec::new();
    let mut listed = 0;
    let shaper = scope.run.shaper(collection)?;
    let progress = || scope.context.progress();
    let pages = Pages::new(scope.ends(), collection, selection, rows, Sending::Hashes);
    let mut pages = pages.shaped(shaper).agreeing().reporting(&progress);
    while let Some(mut page) = pages.next().await.map_err(verdict_of_comparing)? {
        scope.context.progress();
        listed += page.documents.len() as u64;
        listed += page.held.iter().filter(|held| held.cause == HeldCause::Transform).count() as u64;
        page.documents.retain(|compared| !held.contains(&compared.entry.identity));
        let different = differences(page, &mut tally);
        unexplained.extend(explain(scope, collection, different, &mut tally).await?);
        if unexplained.len() >= ENOUGH {
            break;
        }
    }
    if unexplained.len() < ENOUGH && listed < counted {
        // Somebody deleted at the source just now, or the listing is not what it should be: compare anew.
        return Err(Verdict::retry(format!(
            "verify: the source listed {listed} of {counted} documents of {collection}"
        )));
    }
    unexplained.extend(extras::unexplained(scope, collection, &held, &mut tally).await?);
    if unexplained.is_empty() {
        return Ok(tally.outcome(scope.run.spec.direction));
    }
    let shown: Vec<&str> = unexplained.iter().map(String::as_str).take(5).collect();
    Err(Verdict::Retry {
        error: format!(
            "verify: {}{} documents of {collection} are not equal on both sides and nobody edited them: {}",
            if unexplained.len() >= ENOUGH { "at least " } else { "" },
            unexplained.len(),
            shown.join(", ")
        ),
        after: None,
    })
}

/// How many documents the source had at this sync: a mirror that finds far fewer does not believe it.
async fn remember(scope: &Scope, collection: &Collection, count: u64) -> Result<(), Verdict> {
    if !is_mirrored(collection) {
        return Ok(());
    }
    let source = scope.run.spec.source.instance.clone();
    let request = RememberSourceRequest { token: scope.token(), source, collection: collection.clone(), count };
    scope.write(&request).await.map_err(verdict_of)?;
    Ok(())
}

/// Documents of a page that are not equal. Those that an editor changed on the target are noted.
fn differences(page: Page, tally: &mut Tally) -> Vec<String> {
    let mut different = Vec::new();
    for Compared { entry, difference } in page.documents {
        match difference {
            Difference::Same | Difference::Written(_) => {}
            Difference::Edited(_) => tally.edited(&entry.identity, "edited or deleted on the target during the run"),
            Difference::Deleted => tally.edited(&entry.identity, "deleted on the target during the run"),
            Difference::Changed(_) => tally.edited(&entry.identity, "edited on the target during the run"),
            Difference::Lacks | Difference::Differs(_) | Difference::Conflict(_) => different.push(entry.identity),
        }
    }
    different
}

/// Takes out what was saved on either side since the run began; gives back what nobody can explain.
async fn explain(
    scope: &Scope,
    collection: &Collection,
    different: Vec<String>,
    tally: &mut Tally,
) -> Result<Vec<String>, Verdict> {
    let (spec, run) = (&scope.run.spec, &scope.run.id);
    let (source, target) = tokio::try_join!(
        saved(scope, Side::Source, collection, run, &different, |modified| modified >= spec.source_began),
        saved(scope, Side::Target, collection, run, &different, |modified| modified > spec.modified),
    )?;
    let mut unexplained = Vec::new();
    for identity in different {
        if source.edited.contains(&identity) {
            tally.edited(&identity, "edited on the source during the run");
        } else if target.edited.contains(&identity) {
            tally.edited(&identity, "edited on the target during the run");
        } else if !source.missing.contains(&identity) {
            unexplained.push(identity);
        }
    }
    Ok(unexplained)
}

#[derive(Clone, Copy)]
enum Side {
    Source,
    Target,
}

/// What is known of documents on one side.
#[derive(Default)]
struct Saved {
    /// Saved since the run began: its agent saw it happen, or they say so themselves.
    edited: HashSet<String>,
    missing: HashSet<String>,
}

/// What was saved since this run, or look of it, began.
async fn saved(
    scope: &Scope,
    side: Side,
    collection: &Collection,
    run: &str,
    identities: &[String],
    is_new: impl Fn(i64) -> bool,
) -> Result<Saved, Verdict> {
    let mut saved = Saved::default();
    let mut identities = identities.to_vec();
    while !identities.is_empty() {
        let asked = identities.len();
        let run = Some(run.to_owned());
        let request = DocumentsRequest { collection: collection.clone(), identities, run };
        let answer = match side {
            Side::Source => scope.read(&request).await?,
            Side::Target => scope.target(&request).await?,
        };
        let edited = answer.documents.iter().filter(|entry| modified(entry).is_some_and(&is_new));
        saved.edited.extend(edited.map(|entry| entry.identity.clone()));
        saved.edited.extend(answer.changed);
        saved.missing.extend(answer.missing);
        if answer.not_sent.len() >= asked {
            return Err(Verdict::retry("verify: an agent sent none of the documents it was asked for"));
        }
        identities = answer.not_sent;
    }
    Ok(saved)
}

/// When a document says it was saved.
fn modified(entry: &Entry) -> Option<i64> {
    match Document::parse(entry.document.as_deref()?).ok()?.get("_modified") {
        Some(Value::Integer(modified)) => Some(*modified),
        _ => None,
    }
}

/// What the run held of this collection: expected to differ.
async fn held_documents(scope: &Scope, collection: &Collection) -> Result<HashSet<String>, Verdict> {
    let notes = scope.queue.notes(&scope.run.id).await.map_err(Verdict::retry)?;
    let of_collection = collection.resource();
    let held = notes.iter().filter_map(|note| match Note::decode(note)? {
        // Left as it was by the rules of the run.
        Note::Conflict { resource, model, identity, kept: Kept::Target, .. }
            if (resource.as_str(), model.as_str()) == of_collection =>
        {
            Some(identity)
        }
        Note::Held { resource, model, document: HeldDocument { identity, .. } }
            if (resource.as_str(), model.as_str()) == of_collection =>
        {
            Some(identity)
        }
        _ => None,
    });
    Ok(held.collect())
}
