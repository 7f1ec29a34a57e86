//! Attempts: what may start, and what becomes of one that ended.

use std::time::Duration;

use bowline_model::{Attempt, Certainty, EntryKind, Verdict};
use jiff::Timestamp;

use super::Machine;
use crate::{
    board::{BoardState, ENTRIES_MAX, Stop, too_many_entries},
    leaf::{LeafId, Outcome, Phase, stale},
    settle::{Settled, settle},
};

impl Machine {
    /// A leaf that was told to start and that the code did not poll starts nothing later: by then the code may have seen
    /// what is not on disk.
    pub(super) fn set_aside_unpolled(&self) {
        let mut state = self.board.lock();
        for id in std::mem::take(&mut state.starting) {
            let Some(leaf) = state.leaves.get_mut(&id) else { continue };
            if let Phase::Starting(_) = leaf.phase {
                leaf.phase = Phase::Asked;
                leaf.attempts -= 1;
                leaf.set_aside = true;
            }
        }
    }

    /// Looks at one attempt that ended; says whether anything changed.
    pub(super) fn deliver_arrival(&mut self) -> bool {
        let board = &self.board;
        // Not the time at which the code was polled: the attempt may have ended long after.
        let now = board.clock.now();
        let mut state = board.lock();
        let Some(id) = state.arrivals.pop_front() else { return false };
        let chance = board.clock.random();
        let Some(leaf) = state.leaves.get_mut(&id) else { return true };
        let Phase::Arrived(verdict) = std::mem::replace(&mut leaf.phase, Phase::Asked) else { return true };
        if matches!(verdict, Verdict::Wait { .. }) {
            // Nothing was sent: it was no attempt.
            leaf.attempts = leaf.attempts.saturating_sub(1);
        }
        let settled = settle(verdict, &leaf.attempts(), now, chance);
        let (key, mut meta) = leaf.note();
        match settled {
            Settled::Done(value) => {
                self.in_flight_since = None;
                board.append(&mut state, EntryKind::StepDone, key, meta, Some(value.clone()));
                hand_out(&mut state, id, Outcome::Done(value));
                self.must_poll = true;
            }
            Settled::Failed(kind, failure) => {
                self.in_flight_since = None;
                if failure.certainty == Certainty::Unknown {
                    meta.unknown_since = leaf.unknown_since.or(leaf.started);
                }
                meta.failure = Some(failure.clone());
                board.append(&mut state, kind, key, meta, None);
                hand_out(&mut state, id, Outcome::Failed(failure));
                self.must_poll = true;
            }
            Settled::Again(failure, due) => {
                if failure.certainty == Certainty::Unknown {
                    leaf.unknown_since = leaf.unknown_since.or(leaf.started);
                    meta.unknown_since = leaf.unknown_since;
                }
                leaf.phase = Phase::Backoff { due };
                tracing::warn!(
                    step = %key, attempt = meta.attempts, run = %board.run.id, workflow = %board.run.workflow, next = %due,
                    "attempt failed: {failure}"
                );
                meta.failure = Some(failure);
                meta.next_at = Some(due);
                board.append(&mut state, EntryKind::AttemptFailed, key, meta, None);
            }
            Settled::Pause(due) => leaf.phase = Phase::Backoff { due },
        }
        true
    }
}

/// Gives a leaf its outcome and wakes it.
pub(super) fn hand_out(state: &mut BoardState, id: LeafId, outcome: Outcome) {
    let leaf = state.leaves.get_mut(&id).expect("the machine hands out to leaves it just saw");
    leaf.phase = Phase::Delivered(outcome);
    if let Some(waker) = leaf.waker.take() {
        waker.wake();
    }
}

/// Why nothing may be sent now: an effect may no longer be repeated, or could no longer be recorded.
pub(super) fn refusal(state: &BoardState, now: Timestamp) -> Option<Stop> {
    let mut wanting = state.leaves.values().filter(|leaf| leaf.wants_attempt(now));
    if state.journal.len() + state.leaves.len() as i64 >= ENTRIES_MAX {
        return Some(too_many_entries());
    }
    wanting.find(|leaf| leaf.is_stale(now)).map(stale)
}

/// Lets every leaf that wants an attempt start one.
pub(super) fn start_attempts(state: &mut BoardState, now: Timestamp) {
    for (id, leaf) in state.leaves.iter_mut().filter(|(_, leaf)| leaf.wants_attempt(now)) {
        if std::mem::take(&mut leaf.consented) {
            // Sent again by an operator's will: from here on it is unknown since then.
            leaf.unknown_since = None;
        }
        let since = *leaf.since.get_or_insert(now);
        leaf.first_sent.get_or_insert(now);
        leaf.started = Some(now);
        leaf.attempts += 1;
        let remaining = leaf.options.timeout.and_then(|whole| {
            let end = since.checked_add(whole).ok()?;
            // A step that recovery finds past its timeout still gets one attempt.
            Duration::try_from(end.duration_since(now)).ok().filter(|left| !left.is_zero())
        });
        let timeout =
            remaining.map_or(leaf.options.attempt_timeout, |left| left.min(leaf.options.attempt_timeout));
        leaf.phase = Phase::Starting(Attempt::new(leaf.idempotency_key.clone(), leaf.attempts, timeout));
        state.starting.push(*id);
        if let Some(waker) = leaf.waker.take() {
            waker.wake();
        }
    }
}
