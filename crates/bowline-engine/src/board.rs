//! What the run's code asks for, and what it was given: the one place where the code and the machine meet.
//!
//! The code's side (leaves, [`Context`](crate::Context)) only asks and looks; the machine's side decides. No outcome
//! becomes visible to the code but through the machine, one between two polls.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    thread::{self, ThreadId},
};

use bowline_model::{
    Attempt, BuildId, Clock, DeadReason, Entry, EntryKey, EntryKind, EntryMeta, Error, Event, Family,
    Payload, Position, Run, ScopePath, Seq, Shape, Verdict,
};
use jiff::Timestamp;

use crate::{
    activity::Activity,
    fit::mismatch,
    journal::Journal,
    key::idempotency_key,
    leaf::{Leaf, LeafId, LeafOptions, Outcome, Phase},
};

/// Most entries in one run's journal.
pub(crate) const ENTRIES_MAX: i64 = 100_000;
/// Largest recorded value.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 16 << 20;
/// Longest step name or key.
const NAME_BYTES_MAX: usize = 512;

/// Why the machine must stop the run: what the code did, said in words for a person.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    pub(crate) reason: DeadReason,
    pub(crate) message: String,
    /// The step it is about, if an operator's retry must know.
    pub(crate) entry: Option<EntryKey>,
}

impl Stop {
    pub(crate) fn new(reason: DeadReason, message: String) -> Self {
        Self { reason, message, entry: None }
    }
}

/// The state behind the board's lock.
pub(crate) struct BoardState {
    pub(crate) journal: Journal,
    /// Entries not yet handed to the driver for writing.
    pub(crate) unwritten: Vec<Entry>,
    pub(crate) leaves: BTreeMap<LeafId, Leaf>,
    /// Recorded entries with the leaf that asked for each: a run of thousands of steps side by side is not searched
    /// for each of them.
    asked: BTreeSet<(Seq, LeafId)>,
    /// Leaves that were told to start since the last poll.
    pub(crate) starting: Vec<LeafId>,
    /// Leaves whose attempt ended, in the order in which they did.
    pub(crate) arrivals: VecDeque<LeafId>,
    pub(crate) stop: Option<Stop>,
    next_leaf: LeafId,
    counters: HashMap<(Family, ScopePath, String), u32>,
    keyed: HashSet<EntryKey>,
    polling: Option<ThreadId>,
    /// The step whose attempt is being polled.
    in_attempt: Option<EntryKey>,
    pub(crate) ended: bool,
    /// When the last outcome or value was made that the code has seen.
    pub(crate) last_seen_at: Option<Timestamp>,
}

/// See the [module](self).
pub(crate) struct Board {
    pub(crate) run: Run,
    pub(crate) event: Arc<Event>,
    pub(crate) build: BuildId,
    pub(crate) clock: Arc<dyn Clock>,
    /// Counts the attempts.
    pub(crate) activity: Arc<Activity>,
    state: Mutex<BoardState>,
}

/// Whether an ask found a leaf.
pub(crate) enum Asked {
    Leaf(LeafId, EntryKey),
    /// The machine will stop the run: stay pending.
    Stopped,
    /// The caller is not where a step may be.
    Misplaced(Error),
}

/// What a leaf shall do next.
pub(crate) enum Turn {
    Start(Attempt),
    Take(Outcome),
}

impl Board {
    pub(crate) fn new(
        run: Run,
        event: Arc<Event>,
        entries: Vec<Entry>,
        build: BuildId,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let state = BoardState {
            journal: Journal::read(entries),
            unwritten: Vec::new(),
            leaves: BTreeMap::new(),
            asked: BTreeSet::new(),
            starting: Vec::new(),
            arrivals: VecDeque::new(),
            stop: None,
            next_leaf: 0,
            counters: HashMap::new(),
            keyed: HashSet::new(),
            polling: None,
            in_attempt: None,
            ended: false,
            last_seen_at: None,
        };
        Self { run, event, build, clock, activity: Arc::default(), state: Mutex::new(state) }
    }

    /// The same board, its attempts counted with those of the node.
    pub(crate) fn counted_by(mut self, activity: Arc<Activity>) -> Self {
        self.activity = activity;
        self
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, BoardState> {
        // A panic in user code never happens under this lock, so what a poisoned one guards is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the run as being polled, on this thread, until the guard is dropped.
    pub(crate) fn begin_poll(&self) -> PollGuard<'_> {
        self.lock().polling = Some(thread::current().id());
        PollGuard(self)
    }

    /// The code asks for a step's outcome. `name` is today's, `old_names` what it was called before, newest first.
    pub(crate) fn ask(&self, step: NewLeaf) -> Asked {
        let mut state = self.lock();
        if let Some(misplaced) = state.misplaced(&step.name) {
            return Asked::Misplaced(misplaced);
        }
        let id = state.next_leaf;
        state.next_leaf += 1;
        match state.open_leaf(step, self) {
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

    /// A leaf looks what it shall do.
    pub(crate) fn poll_leaf(&self, id: LeafId, waker: &Waker) -> Poll<Turn> {
        let mut state = self.lock();
        let Some(leaf) = state.leaves.get_mut(&id) else { return Poll::Pending };
        match &mut leaf.phase {
            Phase::Starting(attempt) => {
                let attempt = attempt.clone();
                leaf.phase = Phase::Running;
                Poll::Ready(Turn::Start(attempt))
            }
            Phase::Delivered(outcome) => {
                let outcome = outcome.clone();
                state.leaves.remove(&id);
                Poll::Ready(Turn::Take(outcome))
            }
            Phase::Asked | Phase::Backoff { .. } | Phase::Running | Phase::Arrived(_) => {
                leaf.set_aside = false;
                match &mut leaf.waker {
                    Some(known) => known.clone_from(waker),
                    none => *none = Some(waker.clone()),
                }
                Poll::Pending
            }
        }
    }

    /// An attempt ended. Its outcome stays here until the machine delivers it.
    pub(crate) fn arrive(&self, id: LeafId, verdict: Verdict<Payload>) {
        let mut state = self.lock();
        if let Some(leaf) = state.leaves.get_mut(&id) {
            leaf.phase = Phase::Arrived(verdict);
            state.arrivals.push_back(id);
        }
    }

    /// The code dropped a leaf. If its effect may have happened, that is noted.
    pub(crate) fn drop_leaf(&self, id: LeafId) {
        let mut state = self.lock();
        let Some(leaf) = state.leaves.remove(&id) else { return };
        if let Phase::Arrived(_) = leaf.phase {
            state.arrivals.retain(|arrived| *arrived != id);
        }
        if state.ended {
            return;
        }
        let (known, may_have_acted) = match leaf.phase {
            Phase::Asked | Phase::Starting(_) | Phase::Delivered(_) => return,
            Phase::Backoff { .. } => ("the code went on without it; no further attempt will be made", false),
            Phase::Running => ("the code went on without it; an attempt was under way", true),
            Phase::Arrived(Verdict::Done(_)) => ("the code went on without it; it was done", true),
            Phase::Arrived(Verdict::Unknown(_)) => {
                ("the code went on without it; an attempt had no answer", true)
            }
            Phase::Arrived(Verdict::RetryAfter(_) | Verdict::Wait { .. } | Verdict::Refused(_)) => {
                ("the code went on without it; an attempt had failed", false)
            }
        };
        let (key, mut meta) = leaf.note();
        meta.note = Some(known.to_owned());
        if may_have_acted {
            meta.unknown_since = meta.unknown_since.or(leaf.started);
        }
        self.append(&mut state, EntryKind::Dropped, key, meta, None);
    }

    /// Marks whose attempt is being polled, until the guard is dropped.
    pub(crate) fn begin_attempt(&self, key: EntryKey) -> AttemptGuard<'_> {
        self.lock().in_attempt = Some(key);
        AttemptGuard(self)
    }

    /// A value that the code draws (`now`, `random`, `uuid`): the recorded one, or `draw`'s, recorded.
    ///
    /// Inside a step's closure it is drawn and not recorded: the step's outcome is.
    pub(crate) fn value<T>(&self, name: &str, draw: impl FnOnce() -> T) -> T
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
    {
        let mut state = self.lock();
        if state.in_attempt.is_some() {
            return draw();
        }
        if !state.is_polled_here() {
            let message = format!(
                "`cx.{name}()` was called outside the run, in a spawned task; call it in the workflow"
            );
            state.stop.get_or_insert(mismatch(message));
            return draw();
        }
        let key = state.next_key(Family::Value, ScopePath::root(), name, None);
        match state.take_value(&key) {
            Ok(Some(recorded)) => return recorded,
            Ok(None) => {}
            Err(stop) => {
                state.stop.get_or_insert(stop);
                return draw();
            }
        }
        let value = draw();
        let payload = Payload::encode(&value).expect("a time, a number and a UUID have JSON forms");
        self.append(&mut state, EntryKind::Value, key, EntryMeta::default(), Some(payload));
        value
    }

    /// The code cannot go on: what is recorded does not fit what it asks.
    pub(crate) fn stop(&self, reason: DeadReason, message: String) {
        self.lock().stop.get_or_insert(Stop::new(reason, message));
    }

    /// Appends an entry that is not yet written.
    pub(crate) fn append(
        &self,
        state: &mut BoardState,
        kind: EntryKind,
        key: EntryKey,
        meta: EntryMeta,
        payload: Option<Payload>,
    ) {
        if state.journal.len() >= ENTRIES_MAX && kind.is_delivered() {
            state.stop.get_or_insert(too_many_entries());
            return;
        }
        let seq = state.journal.next_seq();
        state.unwritten.push(Entry {
            seq,
            kind,
            key,
            at: self.clock.now(),
            build: self.build.clone(),
            meta,
            payload,
        });
    }
}

/// A step as the code asks for it.
pub(crate) struct NewLeaf {
    pub(crate) scope: ScopePath,
    pub(crate) name: String,
    pub(crate) old_names: Vec<String>,
    pub(crate) key: Option<String>,
    pub(crate) shape: Shape,
    pub(crate) options: LeafOptions,
    pub(crate) output_type: &'static str,
}

impl BoardState {
    /// Takes out the lowest recorded entry that a leaf asks for: it is being delivered.
    pub(crate) fn take_asked(&mut self) -> Option<(LeafId, Entry)> {
        while let Some((_, id)) = self.asked.pop_first() {
            // The code may have dropped it, or another leaf of the same old name was first.
            let Some(leaf) = self.leaves.get(&id).filter(|leaf| matches!(leaf.phase, Phase::Asked)) else {
                continue;
            };
            if let Some(entry) = self.journal.take(&leaf.key) {
                return Some((id, entry));
            }
        }
        None
    }

    fn is_polled_here(&self) -> bool {
        self.polling == Some(thread::current().id())
    }

    /// Why a step may not be asked for here, if so.
    fn misplaced(&self, name: &str) -> Option<Error> {
        if let Some(outer) = &self.in_attempt {
            return Some(Error::permanent(format!(
                "step \"{name}\" is inside the closure of step {outer}: a step runs once and records one outcome; \
                 move it out and put it before or after"
            )));
        }
        (!self.is_polled_here()).then(|| {
            Error::permanent(format!(
                "step \"{name}\" was awaited outside its run (in a spawned task?): its order could not be recorded; \
                 await it in the workflow itself, side by side with `tokio::join!`"
            ))
        })
    }

    fn next_key(&mut self, family: Family, scope: ScopePath, name: &str, key: Option<String>) -> EntryKey {
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

    fn open_leaf(&mut self, step: NewLeaf, board: &Board) -> Result<Leaf, Stop> {
        for text in [Some(&step.name), step.key.as_ref()].into_iter().flatten() {
            if text.len() > NAME_BYTES_MAX {
                let start: String = text.chars().take(40).collect();
                let message = format!(
                    "a step's name or key has {} bytes (limit {NAME_BYTES_MAX}): {start}…",
                    text.len()
                );
                return Err(Stop::new(DeadReason::Limit, message));
            }
        }
        let today = self.next_key(Family::Step, step.scope, &step.name, step.key);
        if matches!(today.position, Position::Key(_)) && !self.keyed.insert(today.clone()) {
            return Err(mismatch(format!(
                "step {today} was asked for twice: a `.key` must be unique within its name"
            )));
        }
        let oldest_name = step.old_names.last().unwrap_or(&step.name).clone();
        let key = self.recorded_name(today, step.old_names);
        self.check_fits(&key, &step.shape)?;
        let tried = self.journal.tried(&key);
        let known = self.journal.key(&key);
        let leaf = Leaf {
            phase: match tried.and_then(|tried| tried.next_at) {
                Some(due) => Phase::Backoff { due },
                None => Phase::Asked,
            },
            attempts: tried.map_or(0, |tried| tried.attempts),
            since: tried.map(|tried| tried.first_sent),
            first_sent: tried.map(|tried| tried.first_sent),
            started: None,
            unknown_since: known.unknown_since,
            consented: known.consented,
            idempotency_key: idempotency_key(board.run.key_seed, &key, &oldest_name, known.generation),
            key,
            shape: step.shape,
            options: step.options,
            output_type: step.output_type,
            asked_after: self.last_seen_at,
            set_aside: false,
            in_flight_noted: false,
            waker: None,
        };
        Ok(leaf)
    }

    fn take_value<T: serde::de::DeserializeOwned>(&mut self, key: &EntryKey) -> Result<Option<T>, Stop> {
        let Some(entry) = self.journal.get(key) else { return Ok(None) };
        let value = entry.payload.as_ref().map(Payload::decode);
        self.last_seen_at = Some(entry.at);
        self.journal.take(key);
        match value {
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(error)) => Err(mismatch(format!("recorded value {key} cannot be read: {error}"))),
            None => Err(mismatch(format!("recorded value {key} has no value"))),
        }
    }
}

pub(crate) fn too_many_entries() -> Stop {
    Stop::new(
        DeadReason::Limit,
        format!(
            "the journal has {ENTRIES_MAX} entries, the most a run may have; split the work into several runs"
        ),
    )
}

/// Ends the poll of an attempt when dropped, also by a panic that the code catches.
pub(crate) struct AttemptGuard<'a>(&'a Board);

impl Drop for AttemptGuard<'_> {
    fn drop(&mut self) {
        self.0.lock().in_attempt = None;
    }
}

/// Ends a poll when dropped, also by a panic.
pub(crate) struct PollGuard<'a>(&'a Board);

impl Drop for PollGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.polling = None;
        state.in_attempt = None;
    }
}
