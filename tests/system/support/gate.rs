//! A barrier for requests: a test waits until some stand at it, does what it wants to do meanwhile, and opens it.

use std::sync::{Arc, Condvar, Mutex};

use super::PATIENCE;

/// Holds what comes until it is opened, and tells what has come.
#[derive(Default)]
pub struct Gate {
    state: Mutex<Held>,
    changed: Condvar,
}

#[derive(Default)]
struct Held {
    came: usize,
    open: bool,
    answers: Vec<u16>,
}

impl Gate {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Stands at the gate until it is open.
    pub(super) fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.came += 1;
        self.changed.notify_all();
        while !state.open {
            state = self.changed.wait(state).unwrap();
        }
    }

    pub(super) fn answered(&self, status: u16) {
        self.state.lock().unwrap().answers.push(status);
        self.changed.notify_all();
    }

    /// Waits until so many stand at it.
    #[track_caller]
    pub fn wait_for(&self, count: usize) {
        let state = self.state.lock().unwrap();
        let (state, waited) = self.changed.wait_timeout_while(state, PATIENCE, |state| state.came < count).unwrap();
        assert!(!waited.timed_out(), "only {} of {count} came to the gate", state.came);
    }

    pub fn open(&self) {
        self.state.lock().unwrap().open = true;
        self.changed.notify_all();
    }

    /// What the agent answered to each that stood at the gate, once it is open.
    #[track_caller]
    pub fn answers(&self) -> Vec<u16> {
        let state = self.state.lock().unwrap();
        let is_missing = |state: &mut Held| state.answers.len() < state.came;
        let (state, waited) = self.changed.wait_timeout_while(state, PATIENCE, is_missing).unwrap();
        assert!(!waited.timed_out(), "only {} of {} were answered", state.answers.len(), state.came);
        state.answers.clone()
    }
}
