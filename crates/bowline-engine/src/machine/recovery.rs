//! Recovery: hands out what is recorded, finds out whether the code still fits it, and what was in flight.

use bowline_model::{Entry, EntryKey, EntryKind, EntryMeta, Family, Payload, Position};
use jiff::Timestamp;

use super::{Machine, STRANGER_PATIENCE, attempts::hand_out};
use crate::{
    board::{Board, BoardState, CALLBACK},
    fit::what,
    leaf::{Leaf, Outcome},
};

pub(super) enum Recovery {
    Over,
    WaitsForStranger,
    Misfit(String),
}

impl Machine {
    /// Hands out the lowest recorded entry that a leaf asks for.
    pub(super) fn deliver_recorded(&mut self) -> bool {
        let mut state = self.board.lock();
        // An item that runs again brings what is recorded of it when it begins.
        self.recovering |= state.journal.has_recorded();
        if !self.recovering {
            return false;
        }
        let Some((id, entry)) = state.take_asked() else { return false };
        state.last_seen_at = Some(entry.at);
        let outcome = match (entry.payload, entry.meta.failure) {
            (Some(value), None) => Outcome::Done(value),
            (_, Some(failure)) => Outcome::Failed(failure),
            (None, None) if entry.kind == EntryKind::Message => Outcome::TimedOut,
            (None, None) => Outcome::Done(Payload::from_stored("null")),
        };
        hand_out(&mut state, id, outcome);
        self.must_poll = true;
        true
    }

    /// Hands out the end of a loop that has ended: after what is recorded, which was there before it, and before anything new.
    pub(super) fn deliver_ending_loop(&mut self) -> bool {
        let board = self.board.clone();
        let mut state = board.lock();
        let Some((id, outcome)) = board.take_ending_loop(&mut state) else { return false };
        hand_out(&mut state, id, outcome);
        self.must_poll = true;
        true
    }

    /// Nothing recorded can be delivered. Either all is, or the code does not fit, or it waits for a stranger first.
    pub(super) fn end_recovery(&mut self, now: Timestamp) -> Recovery {
        let state = self.board.lock();
        if let Some(left) = state.journal.first_required() {
            let since = *self.unfit_since.get_or_insert(now);
            let patient = since.checked_add(STRANGER_PATIENCE).is_ok_and(|end| now < end);
            if patient && self.may_have_stranger(&state) {
                return Recovery::WaitsForStranger;
            }
            return Recovery::Misfit(left_over(left, &self.board, state.leaves.values()));
        }
        self.unfit_since = None;
        // Optional entries stay reachable, for a branch that asks for them later.
        self.recovering = state.journal.has_recorded();
        Recovery::Over
    }

    /// What was in flight at a crash was asked for by leaves that see nothing but what is recorded: those that are there
    /// before the first new outcome. Each is noted, so that no later crash or retry forgets since when it is unknown.
    pub(super) fn note_in_flight(&mut self) {
        let Some(since) = self.in_flight_since.filter(|_| !self.draining) else { return };
        let board = self.board.clone();
        let mut state = board.lock();
        let mut notes = Vec::new();
        let may_be_others = board.begun_by_another;
        for leaf in state.leaves.values_mut() {
            let sent = leaf.asked_after.map_or(since, |at| at.max(since));
            let Some(sending) = leaf.sending_mut() else { continue };
            if sending.started.is_some() || sending.in_flight_noted {
                continue;
            }
            // An entry would say that it was begun, had this build sent it.
            if sending.must_note_start() && !may_be_others {
                continue;
            }
            sending.in_flight_noted = true;
            sending.unknown_since = match std::mem::take(&mut sending.consented) {
                // The operator's consent was to what came before.
                true => Some(sent),
                false => sending.unknown_since.or(Some(sent)),
            };
            notes.push(leaf.note());
        }
        self.in_flight_noted |= !notes.is_empty();
        for (key, meta) in notes {
            board.append(&mut state, EntryKind::InFlight, key, meta, None);
        }
    }

    /// The run is given back before it is known which steps were in flight at the last crash: the next claim must know.
    pub(super) fn hand_on_in_flight(&self, state: &mut BoardState) {
        // Where steps have notes of their own, those are what counts.
        if let Some(since) = self.in_flight_since.filter(|_| !self.in_flight_noted) {
            let meta = EntryMeta { unknown_since: Some(since), ..EntryMeta::default() };
            self.board.append(state, EntryKind::InFlight, EntryKey::run(), meta, None);
        }
    }
}

/// The message about a recorded entry that the code did not ask for.
pub(crate) fn left_over<'a>(left: &Entry, board: &Board, asking: impl Iterator<Item = &'a Leaf>) -> String {
    let asked: Vec<_> = asking.take(3).map(|leaf| format!("{} {}", what(&leaf.key), leaf.key)).collect();
    let now =
        if asked.is_empty() { "ends without it".into() } else { format!("asks for {}", asked.join(", ")) };
    let kind = what(&left.key);
    let recorded = match &left.meta.fingerprint {
        Some(call) => format!("{kind} {} ({call})", left.key),
        None => format!("{kind} {}", left.key),
    };
    let hint = match &left.key.position {
        _ if left.build != board.build => hint_for_changed_code(left),
        Position::Nth(_) => {
            "this build recorded it, so the code is not deterministic: branch only on the event, recorded outcomes, \
             cx.now() and cx.random(), and give steps of a loop a .key(id)"
        }
        Position::Key(_) => {
            "this build recorded it, so the code is not deterministic: branch only on the event, recorded outcomes, \
             cx.now() and cx.random(), and ask for steps of a loop in the same order (sort) or side by side (join_all)"
        }
    };
    format!("{recorded} is recorded as entry {}, and the code now {now}: {hint}", left.seq)
}

fn hint_for_changed_code(left: &Entry) -> &'static str {
    let may_be_renamed = match left.key.family {
        // A loop is known by its name alone.
        Family::Step => left.kind != EntryKind::Looped,
        Family::Message | Family::Transaction | Family::Undo => true,
        // A run that nobody waits for has no name of its own.
        Family::Child => left.meta.message.is_some(),
        Family::Value => left.key.name.starts_with(CALLBACK),
        Family::Run | Family::Branch | Family::Timer | Family::State => false,
    };
    if may_be_renamed {
        "the code changed since: keep the old path for runs under way with cx.changed(\"what changed\"), or name what it \
         was called with .was(\"old name\")"
    } else {
        "the code changed since: keep the old path for runs under way with cx.changed(\"what changed\")"
    }
}
