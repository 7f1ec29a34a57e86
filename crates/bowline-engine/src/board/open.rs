//! The code asks for something: what it is called in the journal, whether it fits what is recorded, and what is known
//! of it already.

use bowline_model::{DeadReason, EntryKey, Family, Position, Shape, generation::Key};
use bowline_store::Ask;

use super::{Asked, Board, BoardState, NAME_BYTES_MAX, Place, Stop};
use crate::{
    fit::mismatch,
    key::idempotency_key,
    leaf::{Leaf, Phase, Work},
    sending::{LeafOptions, Sending},
    wait::Wait,
};

/// What the code asks for.
pub(crate) struct NewLeaf<'a> {
    /// What is asked: `step`, `signal`, for messages to people.
    pub(crate) verb: &'static str,
    pub(crate) family: Family,
    pub(crate) name: String,
    /// What it was called before, newest first.
    pub(crate) old_names: Vec<String>,
    pub(crate) key: Option<String>,
    /// Whose context asks: the scope of a loop's item, or the root.
    pub(crate) item: bowline_model::ScopePath,
    pub(crate) output_type: &'static str,
    pub(crate) work: NewWork<'a>,
}

/// What it is, as far as its key does not matter.
pub(crate) enum NewWork<'a> {
    Effect { shape: Shape, options: LeafOptions },
    Wait(Box<dyn FnOnce(&Opened<'_>) -> Wait + Send + 'a>),
    Ask(Ask),
}

/// What is known of a leaf that is being opened.
pub(crate) struct Opened<'a> {
    pub(crate) board: &'a Board,
    pub(crate) key: &'a EntryKey,
    oldest_name: &'a str,
    /// How many definite refusals were taken back.
    pub(crate) generation: u32,
}

impl Opened<'_> {
    /// The idempotency key under that generation.
    pub(crate) fn idempotency_key(&self, generation: u32) -> String {
        idempotency_key(self.board.run.key_seed, self.key, self.oldest_name, generation)
    }
}

impl Board {
    /// The code asks for an outcome.
    pub(crate) fn ask(&self, new: NewLeaf<'_>) -> Asked {
        let mut state = self.lock();
        if let Some(misplaced) = state.misplaced(new.verb, &new.name, &new.item) {
            return Asked::Misplaced(misplaced);
        }
        let id = state.next_leaf;
        state.next_leaf += 1;
        match state.open_leaf(new, self) {
            Ok(leaf) => {
                let key = leaf.key.clone();
                if let Some(recorded) = state.journal.get(&key).map(|entry| entry.seq) {
                    state.asked.insert((recorded, id));
                }
                state.leaves.insert(id, leaf);
                Asked::Leaf(id, key)
            }
            Err(stop) => {
                state.stop.get_or_insert(stop);
                Asked::Stopped
            }
        }
    }
}

impl Board {
    /// An undo asks for its outcome, under the key that it was noted with.
    pub(crate) fn ask_undo(&self, key: EntryKey, shape: Shape, options: LeafOptions) -> Asked {
        let mut state = self.lock();
        if let Err(stop) = state.check_fits(&key, &shape) {
            state.stop.get_or_insert(stop);
            return Asked::Stopped;
        }
        let known = state.journal.key(&key);
        let idempotency_key = idempotency_key(self.run.key_seed, &key, &key.name, known.generation);
        let (phase, sending) = state.open_effect(&key, known, shape, options, idempotency_key);
        let leaf = Leaf {
            key: key.clone(),
            phase,
            work: Work::Effect(Box::new(sending)),
            output_type: "()",
            asked_after: state.last_seen_at,
            set_aside: false,
            held: false,
            waker: None,
        };
        let id = state.next_leaf;
        state.next_leaf += 1;
        if let Some(recorded) = state.journal.get(&key).map(|entry| entry.seq) {
            state.asked.insert((recorded, id));
        }
        state.leaves.insert(id, leaf);
        Asked::Leaf(id, key)
    }
}

impl BoardState {
    fn open_leaf(&mut self, new: NewLeaf<'_>, board: &Board) -> Result<Leaf, Stop> {
        for text in [Some(&new.name), new.key.as_ref()].into_iter().flatten() {
            if text.len() > NAME_BYTES_MAX {
                return Err(too_long(new.verb, text));
            }
        }
        let today = self.next_key(new.family, &new.name, new.key);
        if matches!(today.position, Position::Key(_)) && !self.keyed.insert(today.clone()) {
            return Err(mismatch(format!(
                "{} {today} was asked for twice: a `.key` must be unique within its name",
                new.verb
            )));
        }
        let oldest_name = new.old_names.last().unwrap_or(&new.name).clone();
        let key = self.recorded_name(today, new.old_names);
        let known = self.journal.key(&key);
        let (phase, work) = match new.work {
            NewWork::Effect { shape, options } => {
                self.check_fits(&key, &shape)?;
                let seed = board.run.key_seed;
                let idempotency_key = idempotency_key(seed, &key, &oldest_name, known.generation);
                let (phase, sending) = self.open_effect(&key, known, shape, options, idempotency_key);
                (phase, Work::Effect(Box::new(sending)))
            }
            NewWork::Wait(make) => {
                let opened =
                    Opened { board, key: &key, oldest_name: &oldest_name, generation: known.generation };
                let wait = make(&opened);
                let recorded = self.journal.get(&key).map(|entry| entry.seq);
                // After a retry the code may take another way.
                let is_fixed = recorded.is_none_or(|seq| !self.journal.is_optional(seq));
                let phase = match self.journal.awaited(&key) {
                    Some(begun)
                        if is_fixed
                            && begun.build == board.build
                            && begun.why.as_ref() != Some(&wait.why) =>
                    {
                        return Err(other_wait(&key, begun.why.as_deref(), &wait.why));
                    }
                    // One that has ended is delivered first.
                    Some(begun) if recorded.is_none() => Phase::Waiting { due: begun.due },
                    Some(_) | None => Phase::Asked,
                };
                (phase, Work::Wait(Box::new(wait)))
            }
            NewWork::Ask(ask) => (Phase::Asked, Work::Ask(ask)),
        };
        Ok(Leaf {
            key,
            phase,
            work,
            output_type: new.output_type,
            asked_after: self.last_seen_at,
            set_aside: false,
            held: false,
            waker: None,
        })
    }

    fn open_effect(
        &self,
        key: &EntryKey,
        known: Key,
        shape: Shape,
        options: LeafOptions,
        idempotency_key: String,
    ) -> (Phase, Sending) {
        let tried = self.journal.tried(key);
        let phase = match tried.and_then(|tried| tried.next_at) {
            Some(due) => Phase::Backoff { due },
            None => Phase::Asked,
        };
        let begun = self.journal.begun(key).filter(|_| !known.consented);
        let sending = Sending {
            shape,
            options,
            idempotency_key,
            attempts: tried.map_or(0, |tried| tried.attempts),
            in_flight_noted: false,
            under_way_noted: false,
            since: tried.map(|tried| tried.first_sent),
            first_sent: tried.map(|tried| tried.first_sent),
            started: None,
            unknown_since: known.unknown_since.or(begun),
            consented: known.consented,
            begun: begun.is_some(),
            unsent: false,
            rechecks: false,
            not_done: false,
            undo: None,
        };
        (phase, sending)
    }

    /// The key of the next thing of that name, here.
    pub(super) fn next_key(&mut self, family: Family, name: &str, key: Option<String>) -> EntryKey {
        let scope = self.place.scope.clone();
        let position = match key {
            Some(key) => Position::Key(key),
            None => {
                let counter = self.counters.entry((family, scope.clone(), name.to_owned())).or_default();
                *counter += 1;
                Position::Nth(*counter)
            }
        };
        EntryKey { family, scope, name: name.to_owned(), position }
    }

    /// Where a branch of that name is, the next of its name here.
    pub(crate) fn next_branch(&mut self, name: &str) -> EntryKey {
        self.next_key(Family::Branch, name, None)
    }
}

/// Something is called by more than fits into a journal.
pub(crate) fn too_long(verb: &str, text: &str) -> Stop {
    let start: String = text.chars().take(40).collect();
    let message =
        format!("a {verb}'s name or key has {} bytes (limit {NAME_BYTES_MAX}): {start}…", text.len());
    Stop::new(DeadReason::Limit, message)
}

/// Two waits that only their order tells apart were asked for in another order.
fn other_wait(key: &EntryKey, recorded: Option<&str>, asks: &str) -> Stop {
    let recorded = recorded.unwrap_or("waits for something else");
    mismatch(format!(
        "wait {key} {recorded} as it was recorded, and the code now {asks}: ask for waits in the same order each time \
         (a `select!` that is not `biased` polls its branches in any order), give children a .key(id), and take times from cx.now()"
    ))
}

/// See [`Place`]: a context of another item than the one that is polled.
pub(super) fn other_item(verb: &str, name: &str, asks: &bowline_model::ScopePath, here: &Place) -> String {
    let outer = asks.encloses(&here.item);
    let (whose, which) = match outer {
        true => {
            ("the code around it", "use the `cx` that the item's closure is given: `async |cx, item| ..`")
        }
        false => ("another item", "use the `cx` of its own closure"),
    };
    format!(
        "{verb} \"{name}\" inside the loop's item {} was asked of the `cx` of {whose}: its order could not be recorded; {which}",
        here.item.as_str()
    )
}
