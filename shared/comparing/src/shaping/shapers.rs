//! The shapers of one run, each made once: filters are compiled for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::collection::Collection;
use protocol::shaping::Shaping;

use super::{Commands, Shaper, ShapingError};

#[derive(Default)]
pub struct Shapers {
    commands: Commands,
    made: Mutex<HashMap<Collection, Arc<Shaper>>>,
}

impl Shapers {
    pub fn new(commands: Commands) -> Self {
        Self { commands, made: Mutex::default() }
    }

    /// None when there is nothing to do.
    pub fn of(&self, collection: &Collection, shaping: &Shaping) -> Result<Option<Arc<Shaper>>, ShapingError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shaper) = made.get(collection) {
            return Ok(Some(shaper.clone()));
        }
        let shaper = Shaper::new(collection, shaping, &self.commands)?;
        if let Some(shaper) = &shaper {
            made.insert(collection.clone(), shaper.clone());
        }
        Ok(shaper)
    }
}
