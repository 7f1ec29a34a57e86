//! Whether a run began after a change of its code.

use bowline_model::{
    BuildId, DeadReason, Entry, EntryKey, EntryKind, EntryMeta, Family, Payload, Position, Run, ScopePath,
};

use super::{Board, BoardState, NAME_BYTES_MAX, Stop};
use crate::fit::mismatch;

/// The name of the entries: their key is the change's id.
pub(crate) const CHANGED: &str = "changed";

impl Board {
    /// Whether this run began after the change of that id: the same answer wherever and whenever it asks.
    pub(crate) fn changed(&self, id: &str, item: &ScopePath) -> bool {
        let mut state = self.lock();
        let stop = match state.in_attempt.clone() {
            _ if id.len() > NAME_BYTES_MAX => {
                let bytes = id.len();
                let message = format!("the id of a change has {bytes} bytes (limit {NAME_BYTES_MAX})");
                Some(Stop::new(DeadReason::Limit, message))
            }
            Some(step) => Some(mismatch(format!(
                "`cx.changed(\"{id}\")` was called inside the closure of step {step}; ask before, and move the answer in"
            ))),
            None => state.misdrawn(CHANGED, item),
        };
        if let Some(stop) = stop {
            state.stop.get_or_insert(stop);
            return false;
        }
        if let Some(known) = state.changes.get(id) {
            return *known;
        }
        // Of the whole run, whichever branch or item asks first.
        let key = EntryKey {
            family: Family::State,
            scope: ScopePath::root(),
            name: CHANGED.to_owned(),
            position: Position::Key(id.to_owned()),
        };
        let answer = match state.take_value(&key) {
            Ok(Some(recorded)) => recorded,
            Ok(None) => {
                let answer = !self.begun_by_another && !state.journal.has_required();
                let payload = Payload::encode(&answer).expect("yes and no have JSON forms");
                self.append(&mut state, EntryKind::Changed, key, EntryMeta::default(), Some(payload));
                answer
            }
            Err(stop) => {
                state.stop.get_or_insert(stop);
                false
            }
        };
        state.changes.insert(id.to_owned(), answer);
        answer
    }
}

/// What builds recorded of a run, as far as it matters to the one that drives it now.
pub(super) struct Builds {
    /// Whether another build recorded anything of it, or may have sent something for it: then the old code had begun.
    pub(super) begun_by_another: bool,
    /// Whether this build must say that it drives it, before it sends anything.
    pub(super) untold: bool,
}

impl Builds {
    /// A first attempt leaves nothing behind when its process dies. But a build that drives a run of another one says so
    /// before it sends anything: what is in flight without a word is by the build that accepted the run.
    pub(super) fn of(run: &Run, entries: &[Entry], build: &BuildId) -> Self {
        let in_flight = run.crashes > 0 && run.unsure_since.is_some();
        // What a fork took is older than the fork. As long as any of it is left to deliver, the old code's path is the run's;
        // from there on the run is this code's.
        let forked = entries.first().filter(|first| first.kind == EntryKind::Inherited).map(|first| first.at);
        let is_taken = |entry: &Entry| forked.is_some_and(|forked| entry.at < forked);
        let mut by_code = entries.iter().filter(|entry| is_by_code(entry.kind) && !is_taken(entry));
        let recorded = by_code.any(|entry| entry.build != *build);
        let told = entries.iter().any(|entry| is_by_code(entry.kind) && entry.build == *build);
        Self {
            begun_by_another: recorded || in_flight && run.build != *build,
            untold: run.build != *build && !told,
        }
    }
}

/// Whether the code of a build brought such an entry about, and not an operator.
fn is_by_code(kind: EntryKind) -> bool {
    match kind {
        EntryKind::Inherited
        | EntryKind::OperatorRetry
        | EntryKind::Settled
        | EntryKind::DeadLettered
        | EntryKind::Cancelled => false,
        EntryKind::StepDone
        | EntryKind::StepRefused
        | EntryKind::StepUnknown
        | EntryKind::Value
        | EntryKind::Timer
        | EntryKind::Message
        | EntryKind::Child
        | EntryKind::Race
        | EntryKind::State
        | EntryKind::Changed
        | EntryKind::Transaction
        | EntryKind::Looped
        | EntryKind::AttemptFailed
        | EntryKind::Started
        | EntryKind::Dropped
        | EntryKind::Undo
        | EntryKind::Items
        | EntryKind::Misfit
        | EntryKind::Undoing
        | EntryKind::ItemDead
        | EntryKind::Awaited
        | EntryKind::InFlight
        | EntryKind::Completed
        | EntryKind::Continued => true,
    }
}

impl BoardState {
    /// Before the first effect of a build that did not accept the run: a later one must know, should this one die.
    pub(crate) fn tell_build(&mut self, board: &Board) {
        if std::mem::take(&mut self.untold_build) {
            let meta =
                EntryMeta { note: Some(format!("driven by build {}", board.build)), ..EntryMeta::default() };
            board.append(self, EntryKind::InFlight, EntryKey::run(), meta, None);
        }
    }
}
