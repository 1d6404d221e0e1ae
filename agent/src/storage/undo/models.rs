//! Definitions of models: as they were, byte by byte. One that the run created goes only when it has no items.

use std::sync::PoisonError;

use protocol::api::{UndoRequest, Undone, Wrote};
use protocol::collection::{Collection, is_model_name};

use super::{Place, changed_since, count, held_back};
use crate::storage::Storage;
use crate::storage::fault::{Answer, bad_request};
use crate::storage::images::{Rows, Standing, Step};
use crate::storage::index::Mark;
use crate::storage::models::{index_row, row_of};

impl Storage {
    pub(super) fn model_now(&self, name: &str) -> Answer<Rows> {
        if !is_model_name(name) {
            return Err(bad_request(format!("{name:?} is no name of a model")));
        }
        self.stored_model(name)
    }

    pub(super) fn undo_models(&self, request: &UndoRequest, steps: &[Step]) -> Answer<Undone> {
        let mut undone = Undone::default();
        let mut touched = Vec::new();
        {
            let permit = self.grants.permit(&request.token)?;
            let _one_at_a_time = self.models.writing.lock().unwrap_or_else(PoisonError::into_inner);
            for step in steps {
                let now = self.model_now(&step.identity)?;
                match step.standing(&now) {
                    Standing::Same => self.count_same(&mut undone, permit.run(), request, step)?,
                    Standing::Changed => {
                        undone.conflicts.push(changed_since(step));
                        continue;
                    }
                    Standing::Left if !step.existed && self.has_items(&step.identity)? => {
                        let message = "the run created it, and it has items now: it stays".to_owned();
                        undone.conflicts.push(held_back(step, message));
                        continue;
                    }
                    Standing::Left => {
                        if !self.undo_model(permit.run(), request, step, &now)? {
                            undone.conflicts.push(changed_since(step));
                            continue;
                        }
                        count(&mut undone, step, &now, &Place::Models);
                        permit.wrote(1);
                    }
                }
                // Of a replay, too: the process may have died between the file and the cache.
                touched.push(step.identity.clone());
            }
            let identities: Vec<&str> = touched.iter().map(String::as_str).collect();
            if !identities.is_empty() {
                self.log_commit(&request.token, permit.run(), &Collection::Models, &identities);
            }
        }
        super::super::log_failure("Cockpit may show old models for a while", self.cache_models(&touched));
        Ok(undone)
    }

    /// False when somebody else was faster.
    fn undo_model(&self, run: &str, request: &UndoRequest, step: &Step, now: &Rows) -> Answer<bool> {
        let keep = || {
            let image = step.image(now.clone());
            self.images.keep(run, &request.collection, &[image], self.now_ms()).map(drop)
        };
        if !self.restore_model(&step.identity, now, &step.before, keep)? {
            return Ok(false);
        }
        let number = self.number_of_models()?;
        let definition = self.model(&step.identity)?;
        let lookup = self.index.lock();
        match definition {
            Some(Ok(definition)) => {
                let mark = Mark { run: lookup.run(run)?, wrote: Wrote::Updated, hash: definition.hash };
                lookup.put(number, &index_row(&step.identity, &definition, Some(mark)))?;
            }
            Some(Err(_)) => {}
            None => {
                if let Some(known) = lookup.row(number, row_of(&step.identity))? {
                    lookup.bury(number, &known, self.now_ms())?;
                }
            }
        }
        Ok(true)
    }

    fn has_items(&self, name: &str) -> Answer<bool> {
        let of_singleton = self.document_count(&Collection::Singletons, Some(name))?;
        Ok(of_singleton > 0 || self.document_count(&Collection::Items(name.into()), None)? > 0)
    }
}
