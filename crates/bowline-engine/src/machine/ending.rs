//! How a run leaves the machine: completed, as a dead letter, or given back.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bowline_model::{DeadReason, EntryKey, EntryKind, EntryMeta, Error, Failure, Payload, Result};

use bowline_store::NewStart;
use jiff::Timestamp;

use super::{End, Machine, Next, Stage, attempts::take_back_starts, recovery::left_over};
use crate::{
    board::{BoardState, PAYLOAD_BYTES_MAX, Stop, Unwritten},
    child::{CONTINUES, started},
    key::idempotency_key,
    leaf::Leaf,
};

impl Machine {
    /// Drops the code where it stands and returns what must still be written: attempts under way are noted, because
    /// they may have had their effect.
    pub(crate) fn abandon(&mut self, why: &str) -> Unwritten {
        let board = self.board.clone();
        let now = board.clock.now();
        {
            let mut state = board.lock();
            state.ended = true;
            state.withdraw_waits();
            take_back_starts(&board, &mut state);
            let under_way = state.leaves.values().filter(|leaf| leaf.is_under_way());
            let started = |leaf: &Leaf| leaf.sending().and_then(|sending| sending.started);
            let notes: Vec<_> = under_way.map(|leaf| (leaf.note(), started(leaf))).collect();
            for ((key, mut meta), started) in notes {
                meta.unknown_since = meta.unknown_since.or(started);
                meta.failure = Some(Failure::unknown(why));
                meta.next_at = Some(now);
                board.append(&mut state, EntryKind::AttemptFailed, key, meta, None);
            }
        }
        self.drop_code();
        let mut state = board.lock();
        self.hand_on_in_flight(&mut state);
        state.hand_over()
    }

    /// Drops the code where it stands, and returns what must still be written with the run's end.
    pub(crate) fn cancel(&mut self, reason: &str) -> Unwritten {
        let unwritten = self.abandon("the run was cancelled while this attempt was under way");
        let board = self.board.clone();
        let mut state = board.lock();
        state.unwritten = unwritten;
        let meta = EntryMeta { note: Some(reason.to_owned()), ..EntryMeta::default() };
        board.append(&mut state, EntryKind::Cancelled, EntryKey::run(), meta, None);
        state.hand_over()
    }

    /// Shutting down: what is under way may end, then the run goes back.
    pub(super) fn give_back(&self, state: &mut BoardState) -> Next {
        if state.has_attempts() {
            return match state.unwritten.is_empty() {
                true => Next::Idle { until: None },
                false => Next::Write(state.hand_over()),
            };
        }
        take_back_starts(&self.board, state);
        self.hand_on_in_flight(state);
        Next::Release { unwritten: state.hand_over() }
    }

    /// The code said its last word.
    pub(super) fn finish_code(&mut self, result: Result<Payload>) -> Next {
        match self.stage.clone() {
            Stage::Forward | Stage::Settle { .. } => self.finish(result),
            Stage::Undo { why } => self.finish_undone(result, why),
        }
    }

    /// When the run has taken as long as its workflow allows.
    pub(super) fn deadline(&self, state: &BoardState) -> Option<Timestamp> {
        let longest = self.board.time_max.filter(|_| self.stage == Stage::Forward)?;
        let since = state.journal.retried_at().unwrap_or(self.board.run.created_at);
        since.checked_add(longest).ok()
    }

    /// The end of a run that took longer than its workflow allows.
    pub(super) fn past_deadline(&mut self, now: Timestamp) -> Option<Next> {
        let deadline = self.deadline(&self.board.lock())?;
        if now < deadline || self.draining {
            return None;
        }
        let seconds = self.board.time_max.unwrap_or_default().as_secs();
        let message = format!(
            "the run took longer than the {seconds} s that its workflow allows (until {deadline}); `retry` gives it as \
             long again"
        );
        Some(self.finish_dead(DeadReason::Deadline, message))
    }

    pub(super) fn finish(&mut self, result: Result<Payload>) -> Next {
        self.board.lock().ended = true;
        self.drop_code();
        let board = self.board.clone();
        let mut state = board.lock();
        if let Some(stop) = state.stop.clone() {
            drop(state);
            return self.finish_stopped(stop);
        }
        if let Some(left) = state.journal.first_required() {
            let message = left_over(left, &board, std::iter::empty());
            drop(state);
            return self.finish_dead(DeadReason::Mismatch, message);
        }
        match result {
            Ok(output) if output.as_bytes().len() > PAYLOAD_BYTES_MAX => {
                drop(state);
                let message = format!(
                    "the workflow's output has {} bytes (limit {PAYLOAD_BYTES_MAX}); return what is needed, and keep the \
                     rest elsewhere",
                    output.as_bytes().len()
                );
                self.finish_dead(DeadReason::Limit, message)
            }
            Ok(_) if !state.left_dead.is_empty() => {
                let left = state.left_in_words();
                drop(state);
                self.finish_dead(DeadReason::Items, left)
            }
            Ok(output) => {
                board.append(
                    &mut state,
                    EntryKind::Completed,
                    EntryKey::run(),
                    EntryMeta::default(),
                    Some(output),
                );
                Next::Finish { unwritten: state.hand_over(), end: End::Completed }
            }
            Err(error) => {
                drop(state);
                self.finish_failed(DeadReason::Failed, error)
            }
        }
    }

    /// The run ends, and goes on as another one: started in the same commit, in its place.
    pub(super) fn finish_continued(&mut self, input: Payload) -> Next {
        let left = self.board.lock().left_in_words();
        if !left.is_empty() {
            // Another run would leave them behind, and nobody would see them.
            return self.finish_dead(DeadReason::Items, left);
        }
        let unwritten = self.abandon("the run went on as another one while this attempt was under way");
        let board = self.board.clone();
        let mut state = board.lock();
        state.unwritten = unwritten;
        let identity = idempotency_key(board.run.key_seed, &EntryKey::run(), "continue", 0);
        let event = started(&board, &board.run.workflow, CONTINUES, identity, input.clone());
        board.append(&mut state, EntryKind::Continued, EntryKey::run(), EntryMeta::default(), Some(input));
        let start = NewStart { event, tells: None, earlier: None, continues: true };
        state.unwritten.also.starts.push(start);
        Next::Finish { unwritten: state.hand_over(), end: End::Continued }
    }

    pub(super) fn finish_stopped(&mut self, stop: Stop) -> Next {
        let error = Error::permanent(stop.message);
        let error = match stop.entry {
            Some(key) => error.from_entry(key),
            None => error,
        };
        self.finish_failed(stop.reason, error)
    }

    pub(super) fn finish_dead(&mut self, reason: DeadReason, message: String) -> Next {
        self.finish_failed(reason, Error::permanent(message))
    }

    pub(super) fn finish_failed(&mut self, reason: DeadReason, error: Error) -> Next {
        if self.undoes_failure(reason) {
            let why = summary(&format!("{reason}, and undone: {error}"));
            return Next::Undo { unwritten: self.begin_undo(&why, Some(error)) };
        }
        let unwritten = self.abandon("the run ended while this attempt was under way");
        let board = self.board.clone();
        let mut state = board.lock();
        state.unwritten = unwritten;
        let summary = summary(&error.to_string());
        let meta = EntryMeta {
            caused_by: error.entry().cloned(),
            failure: Some(error.into_failure()),
            note: Some(reason.as_str().to_owned()),
            ..EntryMeta::default()
        };
        board.append(&mut state, EntryKind::DeadLettered, EntryKey::run(), meta, None);
        Next::Finish { unwritten: state.hand_over(), end: End::Dead { reason, summary } }
    }

    /// Drops the code; a panic in a destructor is as good as none here.
    pub(super) fn drop_code(&mut self) {
        if let Some(code) = self.code.take() {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(code)));
        }
    }
}

pub(super) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the workflow panicked: {}", text.unwrap_or("(no message)"))
}

/// The first line, cut at the bound of a run's row.
fn summary(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut end = line.len().min(bowline_model::run::SUMMARY_BYTES_MAX);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line[..end].to_owned()
}
