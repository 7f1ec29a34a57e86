//! Where the code is being polled: only there may it ask.

use std::{sync::Arc, thread};

use bowline_model::{EntryKey, Error, ScopePath};

use super::{Board, BoardState, other_item};

impl Board {
    /// Marks the run as being polled, on this thread, until the guard is dropped.
    pub(crate) fn begin_poll(&self) -> PollGuard<'_> {
        let mut state = self.lock();
        state.polling = Some(thread::current().id());
        state.place = Arc::default();
        drop(state);
        PollGuard(self)
    }

    /// Marks whose attempt is being polled, until the guard is dropped.
    pub(crate) fn begin_attempt(&self, key: EntryKey) -> AttemptGuard<'_> {
        self.lock().in_attempt = Some(key);
        AttemptGuard(self)
    }
}

impl BoardState {
    pub(super) fn is_polled_here(&self) -> bool {
        self.polling == Some(thread::current().id())
    }

    /// Why that may not be asked for here, if so.
    pub(super) fn misplaced(&self, verb: &str, name: &str, item: &ScopePath) -> Option<Error> {
        if let Some(outer) = &self.in_attempt {
            return Some(Error::permanent(format!(
                "{verb} \"{name}\" is inside the closure of step {outer}: a step runs once and records one outcome; \
                 move it out and put it before or after"
            )));
        }
        if !self.is_polled_here() {
            return Some(Error::permanent(format!(
                "{verb} \"{name}\" was awaited outside its run (in a spawned task?): its order could not be recorded; \
                 await it in the workflow itself, side by side with `tokio::join!`"
            )));
        }
        (*item != self.place.item).then(|| Error::permanent(other_item(verb, name, item, &self.place)))
    }
}

/// Ends the poll of an attempt when dropped, also by a panic that the code catches.
pub(crate) struct AttemptGuard<'a>(&'a Board);

impl Drop for AttemptGuard<'_> {
    fn drop(&mut self) {
        self.0.lock().in_attempt = None;
    }
}

/// Ends a poll when dropped, also by a panic.
pub(crate) struct PollGuard<'a>(&'a Board);

impl Drop for PollGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.polling = None;
        state.in_attempt = None;
    }
}
