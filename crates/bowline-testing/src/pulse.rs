//! Who waits for something to happen is woken when something did: a counter that only rises.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

/// Beats whenever something moves in a test's world: a write begins or ends, a request comes or is answered, somebody
/// begins to sleep.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    beats: Mutex<u64>,
    beaten: Condvar,
}

impl Pulse {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn beat(&self) {
        *self.beats.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.beaten.notify_all();
    }

    /// How many beats there were.
    pub(crate) fn count(&self) -> u64 {
        *self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks until there were more beats than `seen`, or that long.
    pub(crate) fn wait_beyond(&self, seen: u64, longest: Duration) {
        let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.beaten.wait_timeout_while(beats, longest, |beats| *beats == seen);
    }
}
