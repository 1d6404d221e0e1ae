//! Undo: what a run overwrote or deleted is put back byte by byte, what it created is removed, where nobody changed
//! it since. What is there now is compared with what the run left, so doing it twice changes nothing (I5).

use protocol::api::{
    ASSET_FILES, AgentError, HeldCause, HeldDocument, UndoPart, UndoPlan, UndoPlanRequest, UndoRequest, Undone,
};
use protocol::collection::Collection;

use super::Storage;
use super::fault::{Answer, bad_request, forbidden};
use super::images::{Rows, Standing, Step};

mod documents;
mod files;
mod models;

pub(crate) use documents::put_rows;

/// Where what a run wrote lies.
enum Place {
    Documents(Collection),
    Models,
    Files,
}

impl Place {
    fn of(name: &str) -> Answer<Self> {
        if name == ASSET_FILES {
            return Ok(Self::Files);
        }
        match Collection::try_from(name.to_owned()).map_err(|error| bad_request(error.to_string()))? {
            Collection::Models => Ok(Self::Models),
            collection => Ok(Self::Documents(collection)),
        }
    }
}

impl Storage {
    /// What undoing would do to a page of what the run wrote.
    pub fn plan_undo(&self, request: &UndoPlanRequest) -> Answer<UndoPlan> {
        let place = Place::of(&request.collection)?;
        let after = request.after.as_deref();
        let (steps, next) = self.images.steps(&request.run, &request.collection, None, after)?;
        let now = match &place {
            Place::Documents(collection) => self.documents_now(collection, &steps)?,
            Place::Models => steps.iter().map(|step| self.model_now(&step.identity)).collect::<Answer<_>>()?,
            Place::Files => steps.iter().map(|step| self.file_now(&step.identity)).collect::<Answer<_>>()?,
        };
        let mut plan = UndoPlan { next, ..UndoPlan::default() };
        for (step, now) in steps.iter().zip(&now) {
            match step.standing(now) {
                Standing::Same => plan.same += 1,
                Standing::Left if step.existed => {
                    plan.put_back += 1;
                    plan.deleted += u64::from(now.is_empty());
                    plan.bytes += bytes_of(step, &place);
                }
                Standing::Left => plan.remove += 1,
                Standing::Changed => plan.conflicts.push(changed_since(step)),
            }
        }
        Ok(plan)
    }

    /// Whether somebody let this very run undo that one. That it is approved was checked before.
    pub fn check_undo_order(&self, request: &UndoRequest) -> Answer<()> {
        let run = self.grants.permit(&request.token)?.run().to_owned();
        let order = request.order.undo_order();
        let order = order.map_err(|error| bad_request(format!("the order of this undo cannot be read: {error}")))?;
        if order.run == run && order.undoes == request.run && order.target == self.instance() {
            return Ok(());
        }
        Err(forbidden("the order is for another run, or for another instance"))
    }

    /// Undoes a page.
    pub fn undo(&self, request: &UndoRequest) -> Answer<Undone> {
        self.allow_writing()?;
        // Asked again when it counts; this one spares the work.
        drop(self.grants.permit(&request.token)?);
        let place = Place::of(&request.collection)?;
        let after = request.after.as_deref();
        let (steps, next) = self.images.steps(&request.run, &request.collection, Some(request.part), after)?;
        let undone = match &place {
            Place::Documents(collection) => self.undo_documents(request, collection, &steps)?,
            Place::Models => self.undo_models(request, &steps)?,
            Place::Files => self.undo_files(request, &steps)?,
        };
        Ok(Undone { next, ..undone })
    }

    /// As before the run already: because an earlier attempt made it so, or somebody else.
    fn count_same(&self, undone: &mut Undone, run: &str, request: &UndoRequest, step: &Step) -> Answer<()> {
        match self.images.wrote(run, &request.collection, &step.identity, self.now_ms())? {
            Some((true, true)) => undone.updated += 1,
            Some((false, true)) => undone.created += 1,
            Some((_, false)) => undone.deleted += 1,
            None => undone.unchanged += 1,
        }
        Ok(())
    }
}

/// It is about to be undone.
fn count(undone: &mut Undone, step: &Step, now: &Rows, place: &Place) {
    match (step.existed, now.is_empty()) {
        (true, true) => undone.created += 1,
        (true, false) => undone.updated += 1,
        (false, _) => undone.deleted += 1,
    }
    undone.bytes += bytes_of(step, place);
}

fn bytes_of(step: &Step, place: &Place) -> u64 {
    let of_row = |(row, bytes): &(i64, Vec<u8>)| match place {
        Place::Files => row.cast_unsigned(),
        Place::Documents(_) | Place::Models => bytes.len() as u64,
    };
    step.before.iter().map(of_row).sum()
}

fn changed_since(step: &Step) -> HeldDocument {
    let message = if step.existed {
        "it was changed or deleted after the run had written it, and stays as it is now"
    } else {
        "the run created it, and it was changed since: it stays"
    };
    held_back(step, message.into())
}

fn held_back(step: &Step, message: String) -> HeldDocument {
    HeldDocument { identity: step.identity.clone(), cause: HeldCause::ChangedSince, message }
}

/// Something that was put into place at the last moment is not what was looked at.
fn vanished(what: &str) -> AgentError {
    super::fault::busy(format!("{what} changed while it was put back"))
}

fn puts_back(request: &UndoRequest) -> bool {
    request.part == UndoPart::PutBack
}
