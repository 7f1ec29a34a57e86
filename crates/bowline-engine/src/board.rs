//! What the run's code asks for, and what it was given: the one place where the code and the machine meet.
//!
//! The code's side (leaves, [`Context`](crate::Context)) only asks and looks; the machine's side decides. No outcome
//! becomes visible to the code but through the machine, one between two polls.

mod changed;
mod draw;
mod dropped;
mod looping;
mod open;
mod place;
mod polled;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    thread::ThreadId,
    time::Duration,
};

use bowline_model::{
    Attempt, BuildId, Clock, DeadReason, Entry, EntryKey, EntryKind, EntryMeta, Error, Event, Family,
    FlowRules, MessageId, Payload, Run, ScopePath, Seq, Verdict,
};
use bowline_store::{Also, Message};
use jiff::Timestamp;

use self::{changed::Builds, open::other_item};
pub(crate) use self::{
    changed::CHANGED,
    draw::{Address, CALLBACK},
    looping::{BegunLoop, EndedLoop, EndingLoop, LoopEnd, LoopStart, PAGE_STEP},
    open::{NewLeaf, NewWork, Opened, too_long},
    place::{Place, Scoped},
};

use crate::{
    Workflow,
    activity::Activity,
    cancel::CancelFromCode,
    fit::mismatch,
    journal::Journal,
    leaf::{Leaf, LeafId, Outcome, Phase},
    mail::told_to_cancel,
    pauses::Paused,
};

/// Most entries in one run's journal.
pub(crate) const ENTRIES_MAX: i64 = 100_000;
/// Largest recorded value.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 16 << 20;
/// Longest step name or key.
pub(crate) const NAME_BYTES_MAX: usize = 512;

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
    /// What is not yet handed to the driver for writing.
    pub(crate) unwritten: Unwritten,
    pub(crate) leaves: BTreeMap<LeafId, Leaf>,
    /// Recorded entries with the leaf that asked for each: a run of thousands of steps side by side is not searched
    /// for each of them.
    asked: BTreeSet<(Seq, LeafId)>,
    /// Leaves that were told to start since the last poll.
    pub(crate) starting: Vec<LeafId>,
    /// Leaves whose attempt ended, in the order in which they did.
    pub(crate) arrivals: VecDeque<LeafId>,
    pub(crate) stop: Option<Stop>,
    /// Addresses that the code dropped since it was last asked, and at which it never waited: their mailboxes, with the key
    /// of a note.
    let_go: Vec<(EntryKey, String)>,
    next_leaf: LeafId,
    counters: HashMap<(Family, ScopePath, String), u32>,
    keyed: HashSet<EntryKey>,
    polling: Option<ThreadId>,
    /// Where in the code the poll under way is.
    place: Arc<Place>,
    /// The step whose attempt is being polled.
    in_attempt: Option<EntryKey>,
    pub(crate) ended: bool,
    /// When the last outcome or value was made that the code has seen.
    pub(crate) last_seen_at: Option<Timestamp>,
    /// Messages that nobody has taken, by id.
    pub(crate) mail: Vec<Message>,
    /// The last message that was ever seen here.
    pub(crate) mail_seen: Option<MessageId>,
    /// The run is cancelled as the one is that waits for it, for this reason.
    pub(crate) told_to_cancel: Option<String>,
    /// The run goes on as another one, with this input.
    pub(crate) continues: Option<Payload>,
    /// What `changed` answered, by id.
    changes: HashMap<String, bool>,
    /// Nothing recorded says that this build drives the run of another one.
    untold_build: bool,
    /// Whether what was recorded when the run was claimed has been handed out: what happens now is new.
    pub(crate) is_live: bool,
    /// Who polls loops that wait for a write, or for their workflow's pause to end.
    pub(crate) waiting_loops: Vec<Waker>,
    /// Loops that have ended, and whose end the code has not received.
    pub(crate) ending_loops: VecDeque<EndingLoop>,
    /// What loops that ended have left for a person, by the scope of the item that they are in, or the root.
    pub(crate) left_dead: BTreeMap<ScopePath, Vec<String>>,
    /// Whether a loop would go on, were its workflow not paused.
    pub(crate) is_held_back: bool,
}

/// What the run did that is not on disk yet: entries, and what happens in their commit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unwritten {
    pub(crate) entries: Vec<Entry>,
    pub(crate) also: Also,
    /// Whether the code waits for its write: a loop that has as much unwritten as it may.
    pub(crate) urgent: bool,
}

impl Unwritten {
    /// Whether there is nothing to write. What happens in a commit never comes without an entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// See the [module](self).
pub(crate) struct Board {
    pub(crate) run: Run,
    pub(crate) event: Arc<Event>,
    /// The events of its batch, if it is one.
    pub(crate) batch: Arc<[Event]>,
    pub(crate) build: BuildId,
    pub(crate) clock: Arc<dyn Clock>,
    /// Where this program is reached from outside, for addresses of callbacks: `https://hooks.example.com`.
    pub(crate) public_url: Arc<str>,
    /// By which rules the runs that it starts begin.
    pub(crate) rules: FlowRules,
    /// Counts the attempts.
    pub(crate) activity: Arc<Activity>,
    /// What its code cancels other runs with.
    pub(crate) cancel: Option<CancelFromCode>,
    /// Whether the run is undone when it fails.
    pub(crate) undo_on_failure: bool,
    /// How long the run may take.
    pub(crate) time_max: Option<Duration>,
    /// Whether another build recorded anything of this run, or may have sent something for it.
    pub(crate) begun_by_another: bool,
    /// Whether its workflow is paused.
    pub(crate) paused: Option<Paused>,
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
    /// Ask what became of the attempts before.
    Recheck(Attempt),
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
        let Builds { begun_by_another, untold: untold_build } = Builds::of(&run, &entries, &build);
        let mut journal = Journal::read(entries);
        journal.at_least(run.journal_len);
        let state = BoardState {
            journal,
            unwritten: Unwritten::default(),
            leaves: BTreeMap::new(),
            asked: BTreeSet::new(),
            starting: Vec::new(),
            arrivals: VecDeque::new(),
            stop: None,
            let_go: Vec::new(),
            next_leaf: 0,
            counters: HashMap::new(),
            keyed: HashSet::new(),
            polling: None,
            place: Arc::default(),
            in_attempt: None,
            ended: false,
            last_seen_at: None,
            mail: Vec::new(),
            mail_seen: None,
            told_to_cancel: None,
            continues: None,
            changes: HashMap::new(),
            untold_build,
            is_live: false,
            waiting_loops: Vec::new(),
            ending_loops: VecDeque::new(),
            left_dead: BTreeMap::new(),
            is_held_back: false,
        };
        let (public_url, activity) = (Arc::from(""), Arc::default());
        let (rules, state) = (FlowRules::default(), Mutex::new(state));
        Self {
            run,
            event,
            batch: Arc::default(),
            build,
            clock,
            public_url,
            rules,
            activity,
            cancel: None,
            undo_on_failure: false,
            time_max: None,
            begun_by_another,
            paused: None,
            state,
        }
    }

    /// The same board, its attempts counted with those of the node.
    pub(crate) fn counted_by(mut self, activity: Arc<Activity>) -> Self {
        self.activity = activity;
        self
    }

    /// The same board, for a program that is reached there.
    pub(crate) fn reached_at(mut self, public_url: Arc<str>) -> Self {
        self.public_url = public_url;
        self
    }

    /// The same board, for a run that took these events together.
    pub(crate) fn of_batch(mut self, batch: Arc<[Event]>) -> Self {
        self.batch = batch;
        self
    }

    /// The same board, for a program whose workflows have those rules.
    pub(crate) fn ruled_by(mut self, rules: FlowRules) -> Self {
        self.rules = rules;
        self
    }

    /// The same board, for code that cancels other runs with that.
    pub(crate) fn cancelling_with(mut self, cancel: CancelFromCode) -> Self {
        self.cancel = Some(cancel);
        self
    }

    /// The same board, for a run of that workflow.
    pub(crate) fn of(mut self, workflow: &Workflow) -> Self {
        self.undo_on_failure = workflow.undoes_failures();
        self.time_max = workflow.time_max();
        self
    }

    /// The same board, for a run whose workflow is paused when that says so.
    pub(crate) fn paused_by(mut self, paused: Paused) -> Self {
        self.paused = Some(paused);
        self
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, BoardState> {
        // A panic in user code never happens under this lock, so what a poisoned one guards is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Messages came, all that are there by their ids: those that are new are kept until somebody takes them.
    pub(crate) fn take_mail(&self, mail: Vec<Message>) {
        let mut state = self.lock();
        let seen = state.mail_seen;
        if state.told_to_cancel.is_none() {
            state.told_to_cancel = told_to_cancel(&mail);
        }
        state.mail.extend(mail.into_iter().filter(|message| seen.is_none_or(|seen| message.id > seen)));
        state.mail_seen = state.mail.last().map(|message| message.id).max(seen);
    }

    /// A leaf looks what it shall do.
    pub(crate) fn poll_leaf(&self, id: LeafId, waker: &Waker) -> Poll<Turn> {
        let mut state = self.lock();
        let Some(leaf) = state.leaves.get_mut(&id) else { return Poll::Pending };
        match &mut leaf.phase {
            Phase::Starting(attempt) => {
                let attempt = attempt.clone();
                leaf.phase = Phase::Running;
                let rechecks = leaf.sending().is_some_and(|sending| sending.rechecks);
                Poll::Ready(if rechecks { Turn::Recheck(attempt) } else { Turn::Start(attempt) })
            }
            Phase::Delivered(outcome) => {
                let outcome = outcome.clone();
                state.leaves.remove(&id);
                Poll::Ready(Turn::Take(outcome))
            }
            Phase::Asked
            | Phase::Backoff { .. }
            | Phase::Running
            | Phase::Arrived(_)
            | Phase::Waiting { .. } => {
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

    /// As [`arrive`](Self::arrive), with what undoes it.
    pub(crate) fn arrive_undoable(&self, id: LeafId, verdict: Verdict<Payload>, undo: Option<Payload>) {
        if let Some(sending) = self.lock().leaves.get_mut(&id).and_then(Leaf::sending_mut) {
            sending.undo = undo;
        }
        self.arrive(id, verdict);
    }

    /// Whether an operator settled that step, and no undo of it is noted.
    pub(crate) fn lacks_settled_undo(&self, step: &EntryKey) -> bool {
        let state = self.lock();
        state.journal.was_settled(step) && !state.journal.has_undo(step)
    }

    /// What asked what became of a step found that it did not happen: it may be sent.
    pub(crate) fn arrive_not_done(&self, id: LeafId) {
        if let Some(sending) = self.lock().leaves.get_mut(&id).and_then(Leaf::sending_mut) {
            sending.not_done = true;
        }
        self.arrive(id, Verdict::Wait { wait: Duration::ZERO, why: String::new() });
    }

    /// What undoes a step that was done: noted in the commit of its outcome.
    pub(crate) fn note_undo(&self, state: &mut BoardState, step: EntryKey, undo: Payload) {
        let key = EntryKey { family: Family::Undo, ..step };
        self.append(state, EntryKind::Undo, key, EntryMeta::default(), Some(undo));
    }

    /// The step that an operator settled as done: what undoes it is noted as the code receives its value.
    pub(crate) fn note_settled_undo(&self, step: &EntryKey, undo: Payload) {
        let mut state = self.lock();
        if !state.ended {
            self.note_undo(&mut state, step.clone(), undo);
        }
    }

    /// The code has said its last word: the run goes on as another one.
    pub(crate) fn continue_as(&self, input: Payload) {
        let mut state = self.lock();
        if state.is_polled_here() && state.in_attempt.is_none() {
            state.continues.get_or_insert(input);
        } else {
            let message =
                "`cx.continue_as` was called in a spawned task or a step's closure; call it in the workflow";
            state.stop.get_or_insert(mismatch(message.into()));
        }
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
        let (at, build) = (self.clock.now(), self.build.clone());
        let entry = Entry { seq, kind, key, at, build, meta, payload };
        state.journal.note_appended(&entry);
        state.unwritten.entries.push(entry);
    }
}

impl BoardState {
    /// What is to be written now, with the entries that go in the same commit.
    pub(crate) fn hand_over(&mut self) -> Unwritten {
        let mut unwritten = std::mem::take(&mut self.unwritten);
        // Nobody is polled before it is written.
        self.wake_loops();
        if !unwritten.is_empty() && self.journal.looped.is_used() {
            unwritten.entries.iter().for_each(|entry| self.journal.looped.log(entry));
            let compact = self.journal.looped.compact();
            self.journal.removes(compact.len());
            unwritten.also.compact.extend(compact);
        }
        unwritten
    }

    /// How far loops are is not written any more, and what ended stays. Says whether one waited for the disk.
    pub(crate) fn no_loop_goes_on(&mut self) -> bool {
        self.journal.looped.forget_ended();
        self.wake_loops();
        std::mem::take(&mut self.unwritten.urgent)
    }

    /// What loops waited for has come.
    pub(crate) fn wake_loops(&mut self) {
        self.waiting_loops.drain(..).for_each(Waker::wake);
    }

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
}

pub(crate) fn too_many_entries() -> Stop {
    Stop::new(
        DeadReason::Limit,
        format!(
            "the journal has {ENTRIES_MAX} entries, the most a run may have; split the work into several runs"
        ),
    )
}
