//! The machine of a run that is undone: it settles what is unknown, and goes nowhere else.

use bowline_model::{
    DeadReason, EntryKey, EntryKind, EntryMeta, Error, Failure, Payload, Result, entry::Role,
};
use bowline_store::Also;
use jiff::Timestamp;

use super::{
    End, Machine, Next, Polled,
    attempts::{note_starts, start_attempts},
    recovery::Recovery,
};
use crate::{
    board::{BoardState, Unwritten},
    leaf::{Leaf, Phase},
};

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its code does what it is for.
    Forward,
    /// It is undone, for that reason: what is unknown is settled.
    Settle { why: String },
    /// It is undone, for that reason: what undoes its steps is sent.
    Undo { why: String },
}

impl Machine {
    /// Whether the run is undone.
    pub(crate) fn is_undoing(&self) -> bool {
        self.stage != Stage::Forward
    }

    /// Why the run is undone; empty if it is not.
    pub(crate) fn undone_why(&self) -> String {
        match &self.stage {
            Stage::Forward => String::new(),
            Stage::Settle { why } | Stage::Undo { why } => why.clone(),
        }
    }

    /// Whether something of the run is to be undone, or may be.
    pub(crate) fn may_need_undo(&self) -> bool {
        let state = self.board.lock();
        let in_doubt = |leaf: &Leaf| {
            let sending = leaf.sending().filter(|sending| sending.options.reversible);
            sending.is_some_and(|sending| leaf.is_under_way() || sending.unknown_since.is_some())
        };
        // Noted, the steps themselves tell.
        let in_flight = self.in_flight_since.is_some() && !self.in_flight_noted;
        in_flight || state.journal.has_undos() || state.leaves.values().any(in_doubt)
    }

    /// From here on the run is undone: drops the code where it stands, and returns what must be written, the word of it
    /// included.
    pub(crate) fn begin_undo(&mut self, why: &str, error: Option<Error>) -> Unwritten {
        let unwritten = self.abandon("the run was ended while this attempt was under way");
        let board = self.board.clone();
        let mut state = board.lock();
        state.unwritten = unwritten;
        let meta = EntryMeta {
            note: Some(why.to_owned()),
            caused_by: error.as_ref().and_then(|error| error.entry().cloned()),
            failure: error.map(Error::into_failure),
            ..EntryMeta::default()
        };
        board.append(&mut state, EntryKind::Undoing, EntryKey::run(), meta, None);
        state.hand_over()
    }

    /// Whether a failure of that kind undoes the run, where its workflow says so.
    pub(super) fn undoes_failure(&self, reason: DeadReason) -> bool {
        let undoes = match reason {
            DeadReason::Failed | DeadReason::Panicked | DeadReason::Items | DeadReason::Deadline => true,
            // A person looks first: it is not the work that failed.
            DeadReason::Malformed
            | DeadReason::Mismatch
            | DeadReason::Poison
            | DeadReason::Stale
            | DeadReason::Limit
            | DeadReason::UnknownWorkflow
            | DeadReason::Undo => false,
        };
        undoes && self.stage == Stage::Forward && self.board.undo_on_failure && self.may_need_undo()
    }

    /// What to do now, in the first part: outcomes that are recorded go to the code, steps that may have happened and can
    /// be undone are sent again, and nothing else happens.
    pub(super) fn settle_next(&mut self, now: Timestamp) -> Next {
        loop {
            if self.waker.run().take() || self.must_poll {
                self.must_poll = false;
                match self.poll_code() {
                    Polled::Pending if self.repoll() => continue,
                    Polled::Pending => {}
                    Polled::Ready(_) | Polled::Panicked(_) => return self.settled(),
                }
            }
            self.repolls = 0;
            self.set_aside_unpolled();
            if self.stopped().is_some() || self.continues().is_some() {
                return self.settled();
            }
            if self.deliver_recorded() {
                continue;
            }
            if self.recovering {
                match self.end_recovery(now) {
                    Recovery::Over => {}
                    Recovery::WaitsForStranger if self.draining => {}
                    Recovery::WaitsForStranger => return self.look_again(now),
                    Recovery::Misfit(_) => return self.settled(),
                }
            }
            self.note_in_flight();
            if self.deliver_ending_loop() || self.deliver_arrival() {
                continue;
            }
            if let Some(next) = self.settle_on(now) {
                return next;
            }
        }
    }

    fn settle_on(&mut self, now: Timestamp) -> Option<Next> {
        let board = self.board.clone();
        let mut state = board.lock();
        state.hold_what_is_known(now);
        if state.strip() {
            self.must_poll = true;
            return None;
        }
        if self.draining {
            return Some(self.give_back(&mut state));
        }
        let ready = state.leaves.values().any(|leaf| leaf.wants_attempt(now));
        if ready {
            note_starts(&board, &mut state, now);
        }
        let under_way = state.has_attempts();
        if !state.unwritten.is_empty() && (ready || under_way) {
            return Some(Next::Write(state.hand_over()));
        }
        if ready {
            start_attempts(&mut state, now);
            self.must_poll = true;
            return None;
        }
        if under_way {
            return Some(Next::Idle { until: None });
        }
        let waits = state.leaves.values().filter(|leaf| !leaf.held && leaf.sending().is_some());
        let due = waits.filter_map(Leaf::due).min();
        if due.is_some() {
            return Some(Next::Rest { unwritten: state.hand_over(), due });
        }
        drop(state);
        Some(self.settled())
    }

    /// The first part is over.
    fn settled(&mut self) -> Next {
        let mut unwritten = self.abandon("the run is undone");
        let mut state = self.board.lock();
        state.unwritten = std::mem::take(&mut unwritten);
        state.strip();
        Next::Settled { unwritten: state.hand_over() }
    }

    /// The second part came to its end.
    pub(super) fn finish_undone(&mut self, result: Result<Payload>, why: String) -> Next {
        if let Err(error) = result {
            return self.finish_failed(DeadReason::Undo, error);
        }
        let unwritten = self.cancel(&why);
        Next::Finish { unwritten, end: End::Undone { why } }
    }

    /// The step was looked at, in the first part: what the code would do with it does not count any more.
    pub(super) fn note_not_done(&self, state: &mut BoardState, key: EntryKey, mut meta: EntryMeta) {
        meta.unknown_since = None;
        meta.failure = Some(Failure::refused("it was looked for, and had not happened"));
        self.board.append(state, EntryKind::AttemptFailed, key, meta, None);
    }
}

impl BoardState {
    /// Only what may have happened, can be undone and may be sent again is sent.
    fn hold_what_is_known(&mut self, now: Timestamp) {
        for leaf in self.leaves.values_mut().filter(|leaf| !leaf.is_under_way()) {
            let settles = leaf.sending().is_some_and(|sending| {
                sending.options.reversible && sending.unknown_since.is_some() && !sending.is_stale(now)
            });
            leaf.held = !settles;
            if settles && matches!(leaf.phase, Phase::Asked) {
                leaf.set_aside = false;
            }
        }
    }

    /// What code does beside its steps does not count any more. Says whether a loop waited for it to be written.
    fn strip(&mut self) -> bool {
        let awaited = self.no_loop_goes_on();
        let before = self.unwritten.entries.len();
        let Some(first) = self.unwritten.entries.first().map(|entry| entry.seq.0) else { return awaited };
        self.unwritten.entries.retain(|entry| match entry.kind.role() {
            Role::Outcome | Role::Attempt => true,
            Role::Undo => entry.kind == EntryKind::Undo,
            Role::Answer
            | Role::Waited
            | Role::Work
            | Role::Progress
            | Role::Waiting
            | Role::Operator
            | Role::Inherited
            | Role::End => false,
        });
        for (at, entry) in (first..).zip(&mut self.unwritten.entries) {
            entry.seq.0 = at;
        }
        self.journal.take_back(before - self.unwritten.entries.len());
        self.unwritten.also = Also::default();
        awaited
    }
}
