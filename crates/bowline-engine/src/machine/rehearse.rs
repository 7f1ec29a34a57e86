//! A run's code is given what is recorded, and nothing more: does it still ask for it?

use bowline_model::DeadReason;
use jiff::Timestamp;

use super::{Machine, Polled, recovery::left_over};
use crate::board::Stop;

/// What came of it.
pub(crate) enum Rehearsed {
    Fits,
    Misfit(Stop),
    /// The code waits for something that the engine does not know, before all that is recorded could be delivered.
    Unsure,
}

impl Machine {
    /// Delivers what is recorded. No attempt starts, no wait is begun, nothing is there to be written.
    pub(crate) fn rehearse(&mut self, now: Timestamp) -> Rehearsed {
        let rehearsed = self.deliver_all(now);
        self.board.lock().ended = true;
        self.drop_code();
        rehearsed
    }

    fn deliver_all(&mut self, now: Timestamp) -> Rehearsed {
        loop {
            if self.waker.run().take() || self.must_poll {
                self.must_poll = false;
                match self.poll_code() {
                    Polled::Pending if self.repoll() => continue,
                    Polled::Pending => {}
                    Polled::Ready(_) => return self.left_at_the_end(),
                    Polled::Panicked(message) => {
                        return Rehearsed::Misfit(Stop::new(DeadReason::Panicked, message));
                    }
                }
            }
            self.repolls = 0;
            if let Some(stop) = self.stopped() {
                return Rehearsed::Misfit(stop);
            }
            if self.continues().is_some() {
                return self.left_at_the_end();
            }
            if !self.deliver_recorded() && !self.deliver_ending_loop() {
                return match self.end_recovery(now) {
                    super::Recovery::Over => Rehearsed::Fits,
                    super::Recovery::WaitsForStranger => Rehearsed::Unsure,
                    super::Recovery::Misfit(message) => {
                        Rehearsed::Misfit(Stop::new(DeadReason::Mismatch, message))
                    }
                };
            }
        }
    }

    fn left_at_the_end(&self) -> Rehearsed {
        if let Some(stop) = self.stopped() {
            return Rehearsed::Misfit(stop);
        }
        let state = self.board.lock();
        match state.journal.first_required() {
            Some(left) => {
                let message = left_over(left, &self.board, std::iter::empty());
                Rehearsed::Misfit(Stop::new(DeadReason::Mismatch, message))
            }
            None => Rehearsed::Fits,
        }
    }
}
