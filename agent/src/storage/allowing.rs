//! What this agent lets be read and written.

use protocol::api::{AgentError, ErrorCode};
use protocol::collection::Collection;
use protocol::selection::Selection;

use super::Storage;
use super::fault::{Answer, forbidden};
use crate::allowed::{AllowedModels, unreadable};

impl Storage {
    pub(super) fn allow_writing(&self) -> Answer<()> {
        if self.settings.read_only {
            return Err(AgentError::new(ErrorCode::ReadOnly, "this agent is read-only: its configuration says so"));
        }
        Ok(())
    }

    pub(super) fn allow_collection(&self, collection: &Collection) -> Answer<()> {
        match collection {
            Collection::Items(model) if !self.settings.models.serves(model) => {
                Err(forbidden(format!("this agent does not serve the model {model}: its configuration says so")))
            }
            // Where an agent serves some models only, it serves other collections only if they are named too.
            Collection::Custom(custom) if !self.settings.models.serves(custom.name()) => Err(forbidden(format!(
                "this agent does not serve the collection {}: its configuration says so",
                custom.name()
            ))),
            _ => Ok(()),
        }
    }

    /// Singletons and models are many models in one collection: each is looked at by itself.
    pub(super) fn is_allowed_document(
        &self,
        collection: &Collection,
        identity: &str,
        may: fn(&AllowedModels, &str) -> bool,
    ) -> bool {
        !matches!(collection, Collection::Singletons | Collection::Models) || may(&self.settings.models, identity)
    }

    /// What may not be read is not taken for what is not there.
    pub(super) fn allow_reading(&self, collection: &Collection, identity: &str) -> Answer<()> {
        match self.is_allowed_document(collection, identity, AllowedModels::may_read) {
            true => Ok(()),
            false => Err(unreadable(identity)),
        }
    }

    /// The identities that were asked for, without those of models that are not served, or may not be read.
    pub(super) fn only_allowed(
        &self,
        collection: &Collection,
        selection: &Selection,
        content: bool,
    ) -> Option<Vec<String>> {
        let only = selection.only.as_deref();
        let models = &self.settings.models;
        let allowed = if content { models.read.clone() } else { models.served() };
        match (collection, allowed) {
            (Collection::Singletons | Collection::Models, Some(allowed)) => match only {
                Some(only) => Some(only.iter().filter(|name| allowed.contains(name)).cloned().collect()),
                None => Some(allowed),
            },
            _ => only.map(<[String]>::to_vec),
        }
    }
}
