//! The trait that every store passes the same conformance suite for.
//!
//! Written for one SQLite file and for several nodes on PostgreSQL alike: all state that decides ownership is in the
//! run's row, every write of progress names the epoch it holds, and nothing here assumes that the caller is alone.

use std::sync::Arc;

use bowline_model::{
    BoxFuture, CredentialStore, DeadReason, Entry, EntryKey, Epoch, Event, EventId, MessageId, NewEvent,
    NewRun, NodeId, Payload, Ruled, Run, RunId, RunState, WorkflowName,
};
use jiff::Timestamp;

use crate::{
    Also, Answered, Mailbox, MailboxFilter, Message, Post, Posted, StateEntry, StateFilter, StoreError,
};

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// A durable place for events, runs, journals, and the credentials that runs call with.
///
/// # Durability
/// A method that writes returns `Ok` only after its commit reached the disk; whoever saw `Ok` finds the write after
/// any crash. A method that returns an error wrote nothing.
pub trait Store: Send + Sync + 'static {
    /// Registers this process as a node, and takes over what a dead one left: every run that was
    /// [`Running`](RunState::Running) under a node that is gone becomes [`Queued`](RunState::Queued) with its crash
    /// counted (and counted as alone if no other run of that node was running).
    fn start_node(&self, now: Timestamp) -> Answer<'_, NodeStart>;

    /// Accepts events with the runs they start, and moves a cursor, all in one transaction or not at all.
    /// Answers per event, in order, then per replay. An event whose pair of source and dedupe key is known starts
    /// nothing; a replay always starts its run.
    ///
    /// Runs begin by the rules of [`NewRun::flow`](bowline_model::NewRun::flow), in this very transaction: a run that is
    /// debounced replaces the one that waited, which ends cancelled; an event joins an open batch, whose run is its run; of
    /// a unique key that has an open run, the new one ends cancelled as it comes. Their summaries say why.
    ///
    /// # Errors
    /// `NotFound` if a replayed event is not there.
    /// `Full` (earlier than for other writes, by the disk watermark), `Busy`, `Unavailable`; `Conflict` if the cursor
    /// is not at the expected value; `Limit` if a dedupe key is too long.
    fn accept(&self, batch: Batch) -> Answer<'_, Vec<Accepted>>;

    /// Takes runs that can go on: queued, or waiting and due. Of runs that share a key only as many are let go as their
    /// [`Line`](bowline_model::Line)s allow, in their order; of those that begin, as many as their
    /// [`Rate`](bowline_model::Rate) does; of a [paused](Self::pause) workflow none. Higher priority first, then older first. Each becomes
    /// [`Running`](RunState::Running) with its epoch raised by one, and its `unsure_since` set where it was `None`.
    /// Among suspects (`crashes_min` above 0) those with fewer crashes alone go first.
    fn claim(&self, claim: Claim) -> Answer<'_, Vec<Run>>;

    /// The event, the journal and the unread messages of claimed runs, in the order asked. One run that cannot be read (an entry of a newer
    /// format: `Incompatible`) does not keep the others from being read.
    fn histories<'a>(&'a self, runs: &'a [RunId]) -> Answer<'a, Vec<Result<History, StoreError>>>;

    /// Appends to a run's journal and, with a transition, moves the run on: one commit. Entries of a delivered kind and
    /// failed attempts are progress: they clear the run's counts of crashes.
    ///
    /// With it, in the same commit, go the mailboxes, messages and runs of [`Also`]. Where the run ends, its mailboxes and
    /// messages go, and if it is the child of a run, a message says so in that one's mailbox. A dead letter keeps them and its
    /// parent waits on, until an operator lets it go on or discards it.
    ///
    /// Repeating a write whose answer was lost is safe: the same epoch, entries and transition are written once, and with
    /// entries or a transition what comes with them.
    ///
    /// # Errors
    /// `Stale` if the run is not `Running` under that epoch. `Conflict` if the first entry's sequence is not the
    /// journal's next, or a message that it consumes is not there unread. `Overtaken` if an unread message is in a mailbox
    /// that it closes. `Limit` if a text or a list of it is too long. `Full`, `Busy`, `Unavailable`: try again, it is safe.
    fn write(&self, write: RunWrite) -> Answer<'_, Written>;

    /// An operator's write to a run that nobody drives.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if the run is not in the expected state with the expected journal length, or would be open
    /// beside another one of its unique key.
    fn operate(&self, operation: Operation) -> Answer<'_, ()>;

    /// Puts a message into a run's mailbox. A run that waits can be claimed at once: in the same commit. A dead letter
    /// finds it when it goes on.
    ///
    /// # Durability
    /// What was [`Kept`](Posted::Kept) is read by its run, unless the run ends first.
    ///
    /// # Errors
    /// `Limit` if the message, its id or the name is too long. `Full` (earlier than for other writes, by the disk
    /// watermark), `Busy`, `Unavailable`.
    fn post(&self, post: Post) -> Answer<'_, Posted>;

    /// A run's unread messages, by id.
    fn mail(&self, run: RunId) -> Answer<'_, Vec<Message>>;

    /// Runs for which messages were committed since the last call, and waiting ones that became claimable by them; waits
    /// for some. A hint for the one caller, the engine, who keeps runs in memory: that a run can be claimed, and what it
    /// finds unread then, is on disk. The caller may drop the future and lose nothing.
    ///
    /// # Errors
    /// `Unavailable` when the store is closed.
    fn mailed(&self) -> Answer<'_, Vec<RunId>>;

    /// The latest of the runs that went on in that one's place; `None` if it did not go on. It may have ended. Known for as
    /// long as the latest is, of the first of them also when that left the store.
    fn went_on(&self, run: RunId) -> Answer<'_, Option<RunId>>;

    /// The runs whose end that run waits for, and that may come to it: its children, or the runs that went on in their
    /// place; not those that are dead letters. The older first.
    fn waited_for(&self, run: RunId) -> Answer<'_, Vec<RunId>>;

    /// Mailboxes: those opened last first.
    fn mailboxes(&self, filter: MailboxFilter) -> Answer<'_, Vec<Mailbox>>;

    /// The earliest time after `after` at which a waiting run, or a queued one that is not yet due, becomes due.
    fn next_due(&self, after: Timestamp) -> Answer<'_, Option<Timestamp>>;

    /// One run.
    fn run(&self, run: RunId) -> Answer<'_, Option<Run>>;

    /// The run, once it is not open any more: completed, cancelled or a dead letter; at once if it is so already. Says
    /// so after the commit of its end, and no sooner. A run that is opened again before the answer was looked up is
    /// waited for anew. It may take for ever: the caller brings the deadline, and drops the future.
    ///
    /// # Errors
    /// `NotFound` if there is no such run; `Unavailable` when the store is closed.
    fn ended(&self, run: RunId) -> Answer<'_, Run>;

    /// Runs, newest first.
    fn runs(&self, filter: RunFilter) -> Answer<'_, Vec<Run>>;

    /// One event.
    fn event(&self, event: EventId) -> Answer<'_, Option<Event>>;

    /// A run's journal in order.
    fn journal(&self, run: RunId) -> Answer<'_, Vec<Entry>>;

    /// Those of the runs that are forks, each with the step that it was forked from, without their journals.
    fn forks(&self, runs: Vec<RunId>) -> Answer<'_, Vec<(RunId, EntryKey)>>;

    /// What a run yielded, without its journal: the value of its last [`Completed`](bowline_model::EntryKind::Completed)
    /// entry. `None` unless the run is completed.
    fn output(&self, run: RunId) -> Answer<'_, Option<Payload>>;

    /// Claims no run of that workflow any more, until it is resumed: not those that have not begun, not those that wait and
    /// become due. Those that are running go on. Everything is accepted as before. Says whether it was not paused yet.
    ///
    /// # Durability
    /// A pause holds over restarts.
    fn pause(&self, pause: Paused) -> Answer<'_, bool>;

    /// Lets a paused workflow go on. Says whether it was paused.
    fn resume(&self, workflow: WorkflowName) -> Answer<'_, bool>;

    /// The paused workflows, the longest paused first.
    fn paused(&self) -> Answer<'_, Vec<Paused>>;

    /// How many runs are in each state, and how old the oldest claimable one is.
    fn counts(&self, now: Timestamp) -> Answer<'_, Counts>;

    /// A cursor's value.
    fn cursor<'a>(&'a self, name: &'a str) -> Answer<'a, Option<String>>;

    /// Values between runs, for people, by their keys.
    fn state(&self, filter: StateFilter, now: Timestamp) -> Answer<'_, Vec<StateEntry>>;

    /// Writes something small, durably: shows that writes make progress.
    fn probe(&self, now: Timestamp) -> Answer<'_, ()>;

    /// Removes what retention no longer keeps, a bounded piece at a time: ended runs with their journals and events
    /// that ended before `before`, dedupe keys and values past their time. Returns whether there is more to do. A store that drops
    /// history by whole periods may keep a run for as long as its period lasts.
    fn tidy(&self, before: Timestamp, now: Timestamp) -> Answer<'_, bool>;

    /// The credentials that runs call with: beside the runs, on the same disk.
    fn credentials(self: Arc<Self>) -> Arc<dyn CredentialStore>;

    /// Ends this node: writes what is queued, and lets go of the store.
    fn close(&self) -> Answer<'_, ()>;
}

/// What [`Store::start_node`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStart {
    /// This process's id.
    pub node: NodeId,
    /// Runs that were running when their node died.
    pub recovered: Vec<RunId>,
}

/// Events to accept together, and a cursor that moves with them.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The events.
    pub events: Vec<NewEvent>,
    /// New runs of events that are stored already: an operator's replays.
    pub replays: Vec<(EventId, NewRun)>,
    /// The cursor.
    pub cursor: Option<CursorMove>,
}

/// A compare-and-set of a named cursor (a poll's place, a schedule's last tick).
#[derive(Debug, Clone)]
pub struct CursorMove {
    /// Its name.
    pub name: String,
    /// What it must be now; `None`: not there yet.
    pub from: Option<String>,
    /// What it becomes.
    pub to: String,
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It is on disk, with these runs.
    New {
        /// Its id.
        event: EventId,
        /// Its runs, in the order of [`NewEvent::runs`].
        runs: Vec<RunId>,
    },
    /// It was on disk already; nothing was started.
    Duplicate {
        /// The first one's id.
        event: EventId,
        /// The runs that the first one started.
        runs: Vec<RunId>,
    },
}

/// What to claim.
#[derive(Debug, Clone)]
pub struct Claim {
    /// For which node.
    pub node: NodeId,
    /// Runs due by then.
    pub now: Timestamp,
    /// At most this many in all.
    pub total_max: usize,
    /// At most this many of each workflow. One that is not named here is not claimed.
    pub workflows: Vec<(WorkflowName, usize)>,
    /// At most this many of workflows that are in `workflows` not at all (no such workflow in this build).
    pub others_max: usize,
    /// If set, only runs with at least this many crashes.
    pub crashes_min: u32,
}

/// What recovery needs of a run.
#[derive(Debug, Clone)]
pub struct History {
    /// The event.
    pub event: Event,
    /// The journal in order.
    pub journal: Vec<Entry>,
    /// Messages that no entry has delivered yet, by id.
    pub mail: Vec<Message>,
    /// The events that it has taken together, in the order in which they came; empty for a run of one event.
    pub batch: Vec<Event>,
}

/// Progress of a run.
#[derive(Debug, Clone)]
pub struct RunWrite {
    /// Which run.
    pub run: RunId,
    /// The epoch under which it was claimed.
    pub epoch: Epoch,
    /// When.
    pub now: Timestamp,
    /// Entries to append, in order.
    pub entries: Vec<Entry>,
    /// Where the run goes, if it does not stay `Running`.
    pub transition: Option<Transition>,
    /// What it changes besides.
    pub also: Also,
}

impl RunWrite {
    /// Progress that changes nothing besides the run's journal and state.
    pub fn new(
        run: RunId,
        epoch: Epoch,
        now: Timestamp,
        entries: Vec<Entry>,
        transition: Option<Transition>,
    ) -> Self {
        Self { run, epoch, now, entries, transition, also: Also::default() }
    }
}

/// What a write found and left.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// The state the run is in now.
    pub state: RunState,
    /// What the store answered to [`Also::ask`].
    pub answer: Option<Answered>,
    /// The runs of [`Also::starts`], in that order: new ones, and earlier ones that are waited for.
    pub started: Vec<RunId>,
}

impl Written {
    /// The run is in that state now.
    pub fn new(state: RunState) -> Self {
        Self { state, answer: None, started: vec![] }
    }
}

/// Where a running run goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    /// All its leaves wait on disk; it goes on when due, or when a message comes.
    Wait {
        /// When it goes on by itself.
        due: Option<Timestamp>,
        /// The last of the run's messages that its code knows of. If there is an unread one with a higher id (with any, if
        /// `None`), the run can be claimed at once: a message that comes while the run goes to rest is not slept through.
        seen: Option<MessageId>,
    },
    /// Given back, at a shutdown.
    Release,
    /// Ended well.
    Complete,
    /// Needs a person.
    DeadLetter {
        /// Why.
        reason: DeadReason,
        /// Why, in one line.
        summary: String,
    },
    /// Ended by a policy or an operator. The note of its `Cancelled` entry becomes the run's summary, unless it has one.
    Cancel,
}

/// An operator's write: a compare-and-set on the run's state and journal.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Which run.
    pub run: RunId,
    /// The state it must be in.
    pub expect: RunState,
    /// The journal length it must have.
    pub expect_journal_len: i64,
    /// When.
    pub now: Timestamp,
    /// Entries to append, in order.
    pub entries: Vec<Entry>,
    /// The state it goes to. `Queued` clears its counts of crashes and its reason; `Cancelled` is as
    /// [`Transition::Cancel`].
    pub to: RunState,
    /// By which rules it begins from now on, with `Queued`: of a run that has not begun. `None`: as before.
    pub ruled: Option<Ruled>,
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// In these states; empty: in any.
    pub states: Vec<RunState>,
    /// Of this workflow.
    pub workflow: Option<WorkflowName>,
    /// Of this event.
    pub event: Option<EventId>,
    /// Started by this run.
    pub parent: Option<RunId>,
    /// Older than this run: the last of the page before.
    pub before: Option<RunId>,
    /// At most this many; 0 means [`RUNS_PAGE_DEFAULT`], and never more than [`RUNS_PAGE_MAX`].
    pub limit: usize,
}

/// A page of runs, if the filter does not say.
pub const RUNS_PAGE_DEFAULT: usize = 50;
/// The largest page of runs.
pub const RUNS_PAGE_MAX: usize = 1000;

/// A workflow of which no run is claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paused {
    /// Which one.
    pub workflow: WorkflowName,
    /// Since when.
    pub since: Timestamp,
    /// Who paused it, and why, in a line.
    pub why: Option<String>,
}

/// How many runs are where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Per state; states without runs are left out.
    pub by_state: Vec<(RunState, u64)>,
    /// When the oldest run that could be claimed now became claimable.
    pub oldest_claimable: Option<Timestamp>,
}
