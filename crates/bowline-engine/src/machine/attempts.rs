//! Attempts: what may start, and what becomes of one that ended.

use bowline_model::{Certainty, EntryKind, Failure, Payload, Verdict};
use jiff::Timestamp;

use super::{Machine, Stage};
use crate::{
    board::{Board, BoardState, ENTRIES_MAX, Stop, too_many_entries},
    leaf::{LeafId, Outcome, Phase},
    sending::{Doubt, Sending},
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
                leaf.set_aside = true;
                if let Some(sending) = leaf.sending_mut() {
                    sending.attempts -= 1;
                    sending.unsent |= sending.begun && !sending.rechecks;
                }
            }
        }
    }

    /// Looks at one attempt that ended; says whether anything changed.
    pub(super) fn deliver_arrival(&mut self) -> bool {
        let board = self.board.clone();
        // Not the time at which the code was polled: the attempt may have ended long after.
        let now = board.clock.now();
        let mut state = board.lock();
        let Some(id) = state.arrivals.pop_front() else { return false };
        let chance = board.clock.random();
        let Some(leaf) = state.leaves.get_mut(&id) else { return true };
        let Phase::Arrived(verdict) = std::mem::replace(&mut leaf.phase, Phase::Asked) else { return true };
        let Some(sending) = leaf.sending_mut() else { return true };
        if std::mem::take(&mut sending.not_done) {
            sending.did_not_happen();
            if self.is_undoing() {
                let (key, meta) = leaf.note();
                self.note_not_done(&mut state, key, meta);
            }
            return true;
        }
        let ended = Ended::of(sending, verdict, now, chance);
        self.record(&board, &mut state, id, ended);
        true
    }

    /// Writes down what became of an attempt; the code goes on where it is the step's outcome.
    fn record(&mut self, board: &Board, state: &mut BoardState, id: LeafId, ended: Ended) {
        let Some(leaf) = state.leaves.get_mut(&id) else { return };
        let Ended { settled, unknown_since, was_begun, undo } = ended;
        let (key, mut meta) = leaf.note();
        match settled {
            Settled::Done(value) => {
                self.in_flight_since = None;
                board.append(state, EntryKind::StepDone, key.clone(), meta, Some(value.clone()));
                if let Some(undo) = undo {
                    board.note_undo(state, key, undo);
                }
                self.hand_over(state, id, Outcome::Done(value));
            }
            Settled::Failed(kind, failure) => {
                self.in_flight_since = None;
                if failure.certainty == Certainty::Unknown {
                    meta.unknown_since = unknown_since;
                }
                meta.failure = Some(failure.clone());
                board.append(state, kind, key, meta, None);
                self.hand_over(state, id, Outcome::Failed(failure));
            }
            Settled::Again(failure, due) => {
                leaf.phase = Phase::Backoff { due };
                tracing::warn!(
                    step = %key, attempt = meta.attempts, run = %board.run.id, workflow = %board.run.workflow, next = %due,
                    "attempt failed: {failure}"
                );
                meta.failure = Some(failure);
                meta.next_at = Some(due);
                board.append(state, EntryKind::AttemptFailed, key, meta, None);
            }
            Settled::Pause(due) => {
                leaf.phase = Phase::Backoff { due };
                if was_begun {
                    // What an entry says was begun was not: a later life must not take it for sent.
                    meta.failure = Some(Failure::refused("nothing was sent: it waits for its turn"));
                    meta.next_at = Some(due);
                    board.append(state, EntryKind::AttemptFailed, key, meta, None);
                }
            }
        }
    }
}

impl Machine {
    /// The code goes on with that outcome; that of a run whose unknown steps are settled goes no further.
    fn hand_over(&mut self, state: &mut BoardState, id: LeafId, outcome: Outcome) {
        match self.stage {
            Stage::Forward | Stage::Undo { .. } => {
                hand_out(state, id, outcome);
                self.must_poll = true;
            }
            Stage::Settle { .. } => {
                state.leaves.remove(&id);
            }
        }
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
    wanting.find_map(|leaf| {
        let sending = leaf.sending().filter(|sending| sending.is_stale(now))?;
        Some(sending.stale(&leaf.key))
    })
}

/// Says of every leaf that is about to be sent, and must not be sent again blindly, that it begins.
pub(super) fn note_starts(board: &Board, state: &mut BoardState, now: Timestamp) {
    let mut notes = Vec::new();
    for leaf in state.leaves.values_mut().filter(|leaf| leaf.wants_attempt(now)) {
        let Some(sending) = leaf.sending_mut().filter(|sending| sending.must_note_start()) else { continue };
        (sending.begun, sending.unsent) = (true, true);
        notes.push(leaf.note());
    }
    for (key, meta) in notes {
        board.append(state, EntryKind::Started, key, meta, None);
    }
}

/// The run is left here: what an entry says was begun, and was not sent, is taken back.
pub(super) fn take_back_starts(board: &Board, state: &mut BoardState) {
    let mut notes = Vec::new();
    for leaf in state.leaves.values_mut() {
        let Some(sending) = leaf.sending_mut().filter(|sending| sending.begun && sending.unsent) else {
            continue;
        };
        (sending.begun, sending.unsent) = (false, false);
        notes.push(leaf.note());
    }
    for (key, mut meta) in notes {
        meta.failure = Some(Failure::refused("nothing was sent: the process stopped before"));
        meta.next_at = Some(board.clock.now());
        board.append(state, EntryKind::AttemptFailed, key, meta, None);
    }
}

/// Lets every leaf that wants an attempt start one.
pub(super) fn start_attempts(state: &mut BoardState, now: Timestamp) {
    for (id, leaf) in state.leaves.iter_mut().filter(|(_, leaf)| leaf.wants_attempt(now)) {
        let Some(attempt) = leaf.sending_mut().map(|sending| sending.begin(now)) else { continue };
        leaf.phase = Phase::Starting(attempt);
        state.starting.push(*id);
        if let Some(waker) = leaf.waker.take() {
            waker.wake();
        }
    }
}

/// An attempt that ended, judged.
struct Ended {
    settled: Settled<Payload>,
    /// Since when it is not known whether it happened, should that stay so.
    unknown_since: Option<Timestamp>,
    /// An entry says that it was begun.
    was_begun: bool,
    undo: Option<Payload>,
}

impl Ended {
    /// Judges it, and keeps with the step what its next attempt must know.
    fn of(sending: &mut Sending, verdict: Verdict<Payload>, now: Timestamp, chance: u64) -> Self {
        let verdict = sending.judged(verdict);
        if matches!(verdict, Verdict::Wait { .. }) {
            // Nothing was sent: it was no attempt.
            sending.attempts = sending.attempts.saturating_sub(1);
        }
        let settled = match verdict {
            // Nobody but a person says what became of it.
            Verdict::Unknown(failure) if sending.options.doubt == Doubt::Park => Settled::Again(failure, now),
            verdict => settle(verdict, &sending.attempts(), now, chance),
        };
        let unknown_since = sending.unknown_since.or(sending.started);
        if let Settled::Again(failure, _) = &settled
            && failure.certainty == Certainty::Unknown
        {
            sending.unknown_since = unknown_since;
        }
        let was_begun = sending.begun && !sending.rechecks;
        if let Settled::Again(Failure { certainty: Certainty::Refused, .. }, _) | Settled::Pause(_) = &settled
        {
            sending.begun &= sending.rechecks;
        }
        Self { settled, unknown_since, was_begun, undo: sending.undo.take() }
    }
}
