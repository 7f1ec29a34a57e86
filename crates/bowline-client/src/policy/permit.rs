//! The right to send one request.

use std::sync::Arc;

use bowline_model::{Alert, AlertKind, Clock};
use jiff::Timestamp;

use super::{
    Seen, Shared,
    gates::{Mark, News},
    line::Place,
};
use crate::read::Cost;

/// One request may go. Held until its answer is read; dropped before it showed anything, it counts as given up.
pub(crate) struct Permit {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    mark: Mark,
    place: Place,
}

impl Permit {
    pub(super) fn new(shared: Arc<Shared>, clock: Arc<dyn Clock>, mark: Mark, place: Place) -> Self {
        Self { shared, clock, mark, place }
    }

    /// Learns from the head of an answer, or from its absence.
    pub(crate) fn saw(&mut self, seen: Seen<'_>, now: Timestamp) {
        let (monotonic, chance) = (self.clock.monotonic(), self.clock.random());
        let news = {
            let mut state = self.shared.lock();
            let news = state.gates.saw(&mut self.mark, &seen, monotonic, now, chance);
            if self.mark.went_well() {
                state.line.is_done(self.place);
            }
            state.wake(monotonic);
            news
        };
        let api = &self.shared.name;
        match news {
            News::None => {}
            News::Closed => tracing::info!(api, "answers again"),
            News::Opened { wait } => self.shared.alerts.raise(Alert {
                api: api.clone(),
                kind: AlertKind::BreakerOpen,
                message: format!(
                    "{api} fails again and again: it is left alone for {:.0} s, then asked carefully; its calls wait",
                    wait.as_secs_f64()
                ),
                at: now,
            }),
        }
    }

    /// Learns what the call cost, where limits count costs.
    pub(crate) fn cost(&mut self, cost: Cost, _now: Timestamp) {
        let now = self.clock.monotonic();
        let mut state = self.shared.lock();
        state.gates.cost(&self.mark, cost, now);
        state.wake(now);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let now = self.clock.monotonic();
        let mut state = self.shared.lock();
        state.gates.gone(&mut self.mark, now);
        state.wake(now);
    }
}
