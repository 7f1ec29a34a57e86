//! A loop as the journal knows it: where it was, which of its items ended, and how it ended itself.

use std::{collections::HashSet, sync::Arc, task::Waker};

use bowline_model::{
    EntryKey, EntryKind, EntryMeta, Error, Failure, Family, Payload, Position, ScopePath, Seq,
};

use super::{Board, BoardState, NAME_BYTES_MAX, Place, Stop, too_long};
use crate::{
    fit::mismatch,
    journal::looped::{DeadNote, Gone},
    leaf::{Leaf, LeafId, Outcome, Phase, Work},
    loops::progress::{DeadItem, Progress},
    machine::left_over,
    pauses::Paused,
    wait::Wait,
};

/// A loop that begins: whether it goes on, or has ended before.
pub(crate) enum LoopStart {
    Begun(BegunLoop),
    /// Its end is recorded, and is handed out in its turn.
    Ended(EndedLoop),
    Misplaced(Error),
    /// The machine will stop the run: stay pending.
    Stopped,
}

/// A loop whose end is recorded.
pub(crate) struct EndedLoop {
    pub(crate) leaf: LeafId,
    pub(crate) key: EntryKey,
    pub(crate) summary: Option<Payload>,
    /// The step whose failure ended it.
    pub(crate) caused_by: Option<EntryKey>,
}

/// A loop, and what is recorded of it.
pub(crate) struct BegunLoop {
    pub(crate) key: EntryKey,
    /// Where its code is.
    pub(crate) outside: Arc<Place>,
    /// The scope of its pages, in which its items have theirs.
    pub(crate) scope: ScopePath,
    segment: String,
    /// As its last note says.
    pub(crate) progress: Option<Progress>,
    /// Its dead items, in the order in which they failed.
    pub(crate) dead: Vec<(DeadItem, DeadNote)>,
    /// Items of which something is recorded: they are opened whatever the limit.
    pub(crate) recorded: HashSet<ScopePath>,
    /// Whether the run is undone: what is unknown of its items must be found.
    pub(crate) is_undone: bool,
}

impl BegunLoop {
    /// Where its pages are read.
    pub(crate) fn inside(&self) -> Place {
        self.outside.branch(&self.segment)
    }

    /// Where an item's code is.
    pub(crate) fn item(&self, key: &str) -> Place {
        self.outside.item(&self.segment, key)
    }

    /// The scope of an item.
    pub(crate) fn item_scope(&self, key: &str) -> ScopePath {
        self.scope.child(key)
    }
}

/// How a loop ended.
pub(crate) struct LoopEnd {
    pub(crate) payload: Option<Payload>,
    pub(crate) failure: Option<(Failure, Option<EntryKey>)>,
    /// Whether nothing of it is needed any more.
    pub(crate) is_clean: bool,
    /// What it left for a person, in words.
    pub(crate) left: Option<String>,
}

impl Board {
    /// The code comes to a loop.
    pub(crate) fn begin_loop(&self, name: &str, item: &ScopePath) -> LoopStart {
        let mut state = self.lock();
        if let Some(misplaced) = state.misplaced("loop", name, item) {
            return LoopStart::Misplaced(misplaced);
        }
        let started = match name.len() > NAME_BYTES_MAX {
            true => Err(too_long("loop", name)),
            false => state.start_loop(name),
        };
        started.unwrap_or_else(|stop| {
            state.stop.get_or_insert(stop);
            LoopStart::Stopped
        })
    }

    /// Notes how far a loop is. What has gone since the note before goes in the same commit.
    pub(crate) fn note_progress(&self, key: &EntryKey, progress: &Progress, gone: Vec<Gone>, urgent: bool) {
        let payload = Payload::encode(progress).expect("numbers and texts have a JSON form");
        let mut state = self.lock();
        self.append(&mut state, EntryKind::Items, key.clone(), EntryMeta::default(), Some(payload));
        for gone in gone {
            state.journal.looped.ends(gone);
        }
        state.unwritten.urgent |= urgent;
    }

    /// Whether a loop that has as much unwritten as it may waits for the disk.
    pub(crate) fn is_write_awaited(&self) -> bool {
        self.lock().unwritten.urgent
    }

    /// A loop that waits for a write, or for its workflow's pause to end, is woken by that: a combinator in between may poll
    /// nobody else.
    pub(crate) fn wake_when_loops_go_on(&self, waker: &Waker) {
        let mut state = self.lock();
        let waits = state.unwritten.urgent || state.is_held_back;
        if waits && !state.waiting_loops.iter().any(|known| known.will_wake(waker)) {
            state.waiting_loops.push(waker.clone());
        }
    }

    /// Whether steps may have been under way when the last process died.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.run.unsure_since.is_some() && self.run.crashes > 0
            || self.lock().journal.in_flight_since().is_some()
    }

    /// Whether what happens now is new, and not recorded before.
    pub(crate) fn is_live(&self) -> bool {
        self.lock().is_live
    }

    /// Whether the run's workflow is paused.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.as_ref().is_some_and(Paused::is_so)
    }

    /// Whether a loop must not go on to its next item: its workflow is paused. What was under way at a crash is found first.
    pub(crate) fn holds_back(&self) -> bool {
        if !self.is_paused() {
            return false;
        }
        let mut state = self.lock();
        state.is_held_back |= state.is_live;
        state.is_held_back
    }

    /// An item that runs again begins: what is recorded of it is handed out before anything new.
    pub(crate) fn item_again(&self, item: &ScopePath) {
        let mut state = self.lock();
        if state.journal.bring_back(item) {
            state.is_live = false;
        }
    }

    /// Whether that page of a loop is recorded.
    pub(crate) fn has_page(&self, scope: &ScopePath, page: u64) -> bool {
        self.lock().journal.get(&page_key(scope, page)).is_some()
    }

    /// An item has ended well: what is in memory of it goes; what of it stays unknown is noted. Yields what a person said of
    /// its steps.
    pub(crate) fn item_done(&self, scope: &ScopePath) -> Vec<Seq> {
        let mut state = self.lock();
        let unwritten = state.unwritten.entries.iter();
        let unwritten = unwritten
            .filter(|entry| entry.kind == EntryKind::StepUnknown && scope.encloses(&entry.key.scope));
        let mut unknown: Vec<_> =
            unwritten.map(|entry| (entry.seq, entry.key.clone(), entry.meta.clone())).collect();
        unknown.extend(state.journal.looped.unknown_in(scope));
        // What a person has said of it since stands.
        unknown.retain(|(seq, key, _)| !state.journal.was_settled_after(key, *seq));
        state.prune(scope, self);
        for (_, key, known) in unknown {
            let note = Some("the item went on without its outcome, which is unknown".into());
            // All else stays: since when, and whether it must be known before the run is undone.
            let meta = EntryMeta { note, failure: None, ..known };
            self.append(&mut state, EntryKind::Dropped, key, meta, None);
        }
        state.journal.settled_in(scope)
    }

    /// An item is a dead letter: what is recorded of it stays.
    pub(crate) fn item_dead(&self, of: &EntryKey, scope: &ScopePath, item: &DeadItem, error: &Error) {
        let payload = Payload::encode(item).expect("texts and JSON have a JSON form");
        let meta = EntryMeta {
            failure: Some(error.failure().clone()),
            caused_by: error.entry().cloned(),
            ..EntryMeta::default()
        };
        let key = EntryKey { scope: scope.clone(), ..of.clone() };
        let mut state = self.lock();
        state.prune(scope, self);
        self.append(&mut state, EntryKind::ItemDead, key, meta, Some(payload));
        if let Some(note) =
            state.unwritten.entries.last().filter(|entry| entry.kind == EntryKind::ItemDead).cloned()
        {
            state.journal.looped.dies(&note);
        }
    }

    /// What loops inside an item have left for a person: the item is no better than they.
    pub(crate) fn take_left_dead(&self, item: &ScopePath) -> Option<Vec<String>> {
        self.lock().left_dead.remove(item)
    }

    /// A loop has left dead items, as it ends now or ended before.
    pub(crate) fn leave_dead(&self, item: &ScopePath, left: String) {
        self.lock().left_dead.entry(item.clone()).or_default().push(left);
    }

    /// A loop has come to its end. The code receives it as any other outcome, in its turn: it is recorded then, and not if
    /// the code drops the loop before.
    pub(crate) fn end_loop(&self, begun: &BegunLoop, end: LoopEnd) -> LeafId {
        let mut state = self.lock();
        let leaf = state.open_recorded(begun.key.clone());
        let (scope, item) = (begun.scope.clone(), begun.outside.item.clone());
        state.ending_loops.push_back(EndingLoop { leaf, key: begun.key.clone(), scope, item, end });
        leaf
    }

    /// Records the end of the loop that has ended first, and says to whom it goes.
    pub(crate) fn take_ending_loop(&self, state: &mut BoardState) -> Option<(LeafId, Outcome)> {
        while let Some(EndingLoop { leaf, key, scope, item, end }) = state.ending_loops.pop_front() {
            if !state.leaves.contains_key(&leaf) {
                continue;
            }
            let outcome = match (&end.failure, &end.payload) {
                (Some((failure, _)), _) => Outcome::Failed(failure.clone()),
                (None, Some(summary)) => Outcome::Done(summary.clone()),
                (None, None) => Outcome::Done(Payload::from_stored("null")),
            };
            let (failure, caused_by) = end.failure.unzip();
            let meta = EntryMeta { failure, caused_by: caused_by.flatten(), ..EntryMeta::default() };
            self.append(state, EntryKind::Looped, key, meta, end.payload);
            if end.is_clean {
                state.journal.looped.ends(Gone::Scope(scope));
            }
            if let Some(left) = end.left {
                state.left_dead.entry(item).or_default().push(left);
            }
            return Some((leaf, outcome));
        }
        None
    }
}

/// A loop that has ended, and whose end the code has not received.
pub(crate) struct EndingLoop {
    leaf: LeafId,
    key: EntryKey,
    scope: ScopePath,
    /// The item that it is in.
    item: ScopePath,
    end: LoopEnd,
}

/// The key of the step that reads a page.
fn page_key(scope: &ScopePath, page: u64) -> EntryKey {
    EntryKey {
        family: Family::Step,
        scope: scope.clone(),
        name: PAGE_STEP.to_owned(),
        position: Position::Key(page.to_string()),
    }
}

/// The name of the steps that read pages.
pub(crate) const PAGE_STEP: &str = "page";

impl BoardState {
    /// What loops have left for a person, in words; empty if nothing.
    pub(crate) fn left_in_words(&self) -> String {
        let left: Vec<_> = self.left_dead.values().flatten().map(String::as_str).collect();
        left.join("; ")
    }

    fn start_loop(&mut self, name: &str) -> Result<LoopStart, Stop> {
        let key = self.next_branch(name);
        let scope = key.loop_scope();
        if let Some(recorded) = self.journal.get(&key) {
            let seq = recorded.seq;
            let (summary, caused_by) = (recorded.payload.clone(), recorded.meta.caused_by.clone());
            self.journal.close(&scope);
            let leaf = self.open_recorded(key.clone());
            self.asked.insert((seq, leaf));
            return Ok(LoopStart::Ended(EndedLoop { leaf, key, summary, caused_by }));
        }
        self.journal.looped.open(scope.clone());
        let progress = match self.journal.looped.progress_of(&scope) {
            Some(note) => Some(read::<Progress>(&key, &note)?),
            None => None,
        };
        progress.iter().flat_map(|progress| &progress.settled).for_each(|seq| self.journal.pass(*seq));
        let mut dead = Vec::new();
        for (item, note) in self.journal.looped.dead_of(&scope) {
            let read =
                read::<DeadItem>(&key, note.payload.as_ref().unwrap_or(&Payload::from_stored("null")))?;
            match note.forgotten {
                true => {
                    self.journal.looped.lives(&item);
                    // One that is undone is asked for all that is unknown.
                    if !self.journal.is_undone() {
                        self.journal.set_aside(&item);
                    }
                }
                false => self.journal.close(&item),
            }
            dead.push((read, note));
        }
        let (recorded, is_undone) = (self.journal.items_of(&scope), self.journal.is_undone());
        let (segment, outside) = (key.loop_segment(), self.place.clone());
        let begun = BegunLoop { key, outside, scope, segment, progress, dead, recorded, is_undone };
        Ok(LoopStart::Begun(begun))
    }

    /// A leaf for what is recorded under that very key.
    fn open_recorded(&mut self, key: EntryKey) -> LeafId {
        let id = self.next_leaf;
        self.next_leaf += 1;
        let leaf = Leaf {
            key,
            phase: Phase::Asked,
            work: Work::Wait(Box::new(Wait { until: None, mail: None, why: "the end of a loop".into() })),
            output_type: "()",
            asked_after: self.last_seen_at,
            set_aside: false,
            held: false,
            waker: None,
        };
        self.leaves.insert(id, leaf);
        id
    }

    /// What is in memory of a scope goes: its item has ended. What is recorded there and was not asked for tells that the
    /// code changed.
    fn prune(&mut self, scope: &ScopePath, board: &Board) {
        if let Some(left) = self.journal.first_required_in(scope) {
            let message = left_over(left, board, std::iter::empty());
            self.stop.get_or_insert(mismatch(message));
        }
        self.counters.retain(|(_, at, _), _| !scope.encloses(at));
        self.keyed.retain(|key| !scope.encloses(&key.scope));
        self.journal.close(scope);
    }
}

fn read<T: serde::de::DeserializeOwned>(key: &EntryKey, note: &Payload) -> Result<T, Stop> {
    note.decode().map_err(|error| mismatch(format!("a note of loop {key} cannot be read: {error}")))
}
