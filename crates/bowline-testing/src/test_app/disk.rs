//! The store of an app under test: it outlives the processes, sees every write, and lets a process die at any of them.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bowline_model::{
    BoxFuture, CredentialAnswer, CredentialStore, Entry, EntryKey, EntryKind, Event, EventId, Family,
    Payload, Run, RunId, Secret, StoredCredential, WorkflowName,
};
use bowline_store::{
    Accepted, Batch, Claim, Counts, History, Mailbox, MailboxFilter, Message, NodeStart, Operation, Paused,
    Post, Posted, RunFilter, RunWrite, SqliteStore, StateEntry, StateFilter, Store, StoreError, Transition,
    Written, sqlite::SqliteOptions,
};
use jiff::Timestamp;

use super::clock::{ClockHandle, StillClock};
use crate::pulse::Pulse;

/// What all lives of an app's process share.
pub(crate) struct Disk {
    inner: SqliteStore,
    clock: Arc<StillClock>,
    pulse: Arc<Pulse>,
    state: Mutex<State>,
    /// Is told what is recorded.
    witness: Witness,
}

/// Who is told of the entries that a process wrote.
pub(crate) type Witness = Box<dyn Fn(&[Entry]) + Send + Sync>;

#[derive(Default)]
struct State {
    /// The process dies at that moment, counted from 0.
    dies_at: Option<usize>,
    /// The process dies before or after the outcome of that step is recorded.
    dies_at_step: Option<(When, String)>,
    /// The moments that have passed, in order.
    moments: Vec<Moment>,
    accepted: Vec<RunId>,
}

/// On which side of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum When {
    Before,
    After,
}

/// A moment at which a process may die: before or after a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) when: When,
    pub(crate) what: What,
}

/// What is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// An event with its runs.
    Accepted,
    /// The engine takes runs up.
    Claimed,
    /// Outcomes of these steps, of one run.
    Recorded { steps: Vec<String>, end: Option<&'static str> },
    /// Something else of a run: a failed attempt, a wait, a recorded value.
    Noted(&'static str),
    /// An operator's command.
    Operated,
    /// A message to a run.
    Posted,
    /// A token, renewed.
    Credential,
}

impl Moment {
    /// Whether what it is about is not on disk yet.
    pub(crate) fn is_before(&self) -> bool {
        self.when == When::Before
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.when {
            When::Before => f.write_str("before ")?,
            When::After => f.write_str("after ")?,
        }
        match &self.what {
            What::Accepted => f.write_str("the event was on disk"),
            What::Claimed => f.write_str("the run was taken up"),
            What::Recorded { steps, end } if steps.is_empty() => {
                write!(f, "the run's end was recorded ({})", end.unwrap_or("end"))
            }
            What::Recorded { steps, end } => {
                let names: Vec<String> = steps.iter().map(|step| format!("\"{step}\"")).collect();
                let end = if end.is_some() { ", with the run's end," } else { "" };
                write!(f, "{}{end} was recorded", names.join(", "))
            }
            What::Noted(what) => f.write_str(what),
            What::Operated => f.write_str("the operator's command was recorded"),
            What::Posted => f.write_str("a message was kept"),
            What::Credential => f.write_str("a credential was saved"),
        }
    }
}

impl Disk {
    pub(crate) fn new(clock: Arc<StillClock>, pulse: Arc<Pulse>, witness: Witness) -> Arc<Self> {
        let handle = Arc::new(ClockHandle(clock.clone()));
        let inner = SqliteStore::in_memory(SqliteOptions::default(), handle)
            .expect("the machine has memory and a thread for a store");
        Arc::new(Self { inner, clock, pulse, state: Mutex::default(), witness })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the tests read: it counts as nothing that the app does.
    pub(crate) fn reads(&self) -> &SqliteStore {
        &self.inner
    }

    /// The disk as the next process sees it.
    pub(crate) fn for_process(self: &Arc<Self>) -> Arc<DiskOfProcess> {
        Arc::new(DiskOfProcess {
            disk: self.clone(),
            dead: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
        })
    }

    /// Lets the process die at that moment, counted from 0 from now on.
    pub(crate) fn die_at(&self, moment: usize) {
        let mut state = self.lock();
        state.moments.clear();
        state.dies_at = Some(moment);
    }

    /// Lets the process die when that step is recorded. A new plan replaces an old one.
    pub(crate) fn die_at_step(&self, when: When, step: &str) {
        self.lock().dies_at_step = Some((when, step.to_owned()));
    }

    /// The step at which the process was to die, and has not yet.
    pub(crate) fn step_to_die_at(&self) -> Option<String> {
        self.lock().dies_at_step.as_ref().map(|(_, step)| step.clone())
    }

    /// The moments so far.
    pub(crate) fn moments(&self) -> Vec<Moment> {
        self.lock().moments.clone()
    }

    /// The runs of what was accepted, or found to be there already, since this was last asked.
    pub(crate) fn take_accepted(&self) -> Vec<RunId> {
        std::mem::take(&mut self.lock().accepted)
    }
}

/// The disk as one process sees it: after its death nothing answers any more.
pub(crate) struct DiskOfProcess {
    disk: Arc<Disk>,
    dead: AtomicBool,
    calls: AtomicUsize,
}

/// A call that is under way until this is dropped.
struct Call<'a>(&'a DiskOfProcess);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::SeqCst);
        self.0.disk.pulse.beat();
    }
}

impl DiskOfProcess {
    /// Whether the process has died at a planned moment.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Calls under way.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// The process is dead: nothing that it still asks is answered.
    pub(crate) fn die(&self) {
        self.dead.store(true, Ordering::SeqCst);
        self.disk.pulse.beat();
    }

    fn begin(&self) -> Call<'_> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.disk.pulse.beat();
        Call(self)
    }

    /// A moment passes; says whether the process goes on.
    fn pass(&self, when: When, what: &What) -> bool {
        if self.is_dead() {
            return false;
        }
        let mut state = self.disk.lock();
        let at_moment = state.dies_at == Some(state.moments.len());
        let at_step =
            state.dies_at_step.as_ref().is_some_and(|(side, step)| *side == when && what.records(step));
        state.moments.push(Moment { when, what: what.clone() });
        if at_moment {
            state.dies_at = None;
        }
        if at_step {
            state.dies_at_step = None;
        }
        drop(state);
        let dies = at_moment || at_step;
        if dies {
            self.die();
        }
        !dies
    }

    fn read<'a, T, E>(&'a self, answer: BoxFuture<'a, Result<T, E>>) -> BoxFuture<'a, Result<T, E>>
    where
        T: Send + 'a,
        E: Send + 'a,
    {
        Box::pin(async move {
            let _call = self.begin();
            let answer = answer.await;
            if self.is_dead() { std::future::pending().await } else { answer }
        })
    }

    /// A write that always is one.
    fn write_of<'a, T, E>(
        &'a self,
        what: What,
        answer: BoxFuture<'a, Result<T, E>>,
    ) -> BoxFuture<'a, Result<T, E>>
    where
        T: Send + 'a,
        E: Send + 'a,
    {
        Box::pin(async move {
            let _call = self.begin();
            if !self.pass(When::Before, &what) {
                return std::future::pending().await;
            }
            self.disk.clock.keep_draws();
            let answer = answer.await;
            let goes_on = if answer.is_ok() { self.pass(When::After, &what) } else { !self.is_dead() };
            if goes_on { answer } else { std::future::pending().await }
        })
    }
}

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

impl Store for DiskOfProcess {
    fn start_node(&self, now: Timestamp) -> Answer<'_, NodeStart> {
        self.read(self.disk.inner.start_node(now))
    }
    fn accept(&self, batch: Batch) -> Answer<'_, Vec<Accepted>> {
        let accepted = Box::pin(async move {
            let accepted = self.disk.inner.accept(batch).await?;
            for Accepted::New { runs, .. } | Accepted::Duplicate { runs, .. } in &accepted {
                let mut state = self.disk.lock();
                let new: Vec<RunId> =
                    runs.iter().filter(|run| !state.accepted.contains(run)).copied().collect();
                state.accepted.extend(new);
            }
            Ok(accepted)
        });
        self.write_of(What::Accepted, accepted)
    }
    fn claim(&self, claim: Claim) -> Answer<'_, Vec<Run>> {
        Box::pin(async move {
            let _call = self.begin();
            let claimed = self.disk.inner.claim(claim).await?;
            let goes_on =
                if claimed.is_empty() { !self.is_dead() } else { self.pass(When::After, &What::Claimed) };
            if goes_on { Ok(claimed) } else { std::future::pending().await }
        })
    }
    fn histories<'a>(&'a self, runs: &'a [RunId]) -> Answer<'a, Vec<Result<History, StoreError>>> {
        self.read(self.disk.inner.histories(runs))
    }
    fn write(&self, write: RunWrite) -> Answer<'_, Written> {
        let what = What::of(&write);
        let entries = write.entries.clone();
        let written = Box::pin(async move {
            let written = self.disk.inner.write(write).await?;
            (self.disk.witness)(&entries);
            Ok(written)
        });
        self.write_of(what, written)
    }
    fn operate(&self, operation: Operation) -> Answer<'_, ()> {
        self.write_of(What::Operated, self.disk.inner.operate(operation))
    }
    fn post(&self, post: Post) -> Answer<'_, Posted> {
        self.write_of(What::Posted, self.disk.inner.post(post))
    }
    fn mail(&self, run: RunId) -> Answer<'_, Vec<Message>> {
        self.read(self.disk.inner.mail(run))
    }
    fn mailed(&self) -> Answer<'_, Vec<RunId>> {
        self.disk.inner.mailed()
    }
    fn went_on(&self, run: RunId) -> Answer<'_, Option<RunId>> {
        self.read(self.disk.inner.went_on(run))
    }
    fn waited_for(&self, run: RunId) -> Answer<'_, Vec<RunId>> {
        self.read(self.disk.inner.waited_for(run))
    }
    fn forks(&self, runs: Vec<RunId>) -> Answer<'_, Vec<(RunId, EntryKey)>> {
        self.read(self.disk.inner.forks(runs))
    }
    fn mailboxes(&self, filter: MailboxFilter) -> Answer<'_, Vec<Mailbox>> {
        self.read(self.disk.inner.mailboxes(filter))
    }
    fn pause(&self, pause: Paused) -> Answer<'_, bool> {
        self.write_of(What::Operated, self.disk.inner.pause(pause))
    }

    fn resume(&self, workflow: WorkflowName) -> Answer<'_, bool> {
        self.write_of(What::Operated, self.disk.inner.resume(workflow))
    }

    fn paused(&self) -> Answer<'_, Vec<Paused>> {
        self.read(self.disk.inner.paused())
    }

    fn next_due(&self, after: Timestamp) -> Answer<'_, Option<Timestamp>> {
        self.read(self.disk.inner.next_due(after))
    }
    fn run(&self, run: RunId) -> Answer<'_, Option<Run>> {
        self.read(self.disk.inner.run(run))
    }
    /// May take for ever: not counted as under way.
    fn ended(&self, run: RunId) -> Answer<'_, Run> {
        self.disk.inner.ended(run)
    }
    fn runs(&self, filter: RunFilter) -> Answer<'_, Vec<Run>> {
        self.read(self.disk.inner.runs(filter))
    }
    fn event(&self, event: EventId) -> Answer<'_, Option<Event>> {
        self.read(self.disk.inner.event(event))
    }
    fn journal(&self, run: RunId) -> Answer<'_, Vec<Entry>> {
        self.read(self.disk.inner.journal(run))
    }
    fn output(&self, run: RunId) -> Answer<'_, Option<Payload>> {
        self.read(self.disk.inner.output(run))
    }
    fn counts(&self, now: Timestamp) -> Answer<'_, Counts> {
        self.read(self.disk.inner.counts(now))
    }
    fn cursor<'a>(&'a self, name: &'a str) -> Answer<'a, Option<String>> {
        self.read(self.disk.inner.cursor(name))
    }
    fn state(&self, filter: StateFilter, now: Timestamp) -> Answer<'_, Vec<StateEntry>> {
        self.read(self.disk.inner.state(filter, now))
    }
    fn probe(&self, now: Timestamp) -> Answer<'_, ()> {
        self.read(self.disk.inner.probe(now))
    }
    fn tidy(&self, before: Timestamp, now: Timestamp) -> Answer<'_, bool> {
        self.read(self.disk.inner.tidy(before, now))
    }
    fn credentials(self: Arc<Self>) -> Arc<dyn CredentialStore> {
        self
    }
    fn close(&self) -> Answer<'_, ()> {
        // The next process goes on with it.
        Box::pin(std::future::ready(Ok(())))
    }
}

impl CredentialStore for DiskOfProcess {
    fn load<'a>(&'a self, name: &'a str) -> CredentialAnswer<'a, Option<StoredCredential>> {
        self.read(self.disk.inner.load(name))
    }
    fn save<'a>(
        &'a self,
        name: &'a str,
        replaces: i64,
        value: Secret,
        expires_at: Option<Timestamp>,
    ) -> CredentialAnswer<'a, i64> {
        self.write_of(What::Credential, self.disk.inner.save(name, replaces, value, expires_at))
    }
    fn forget<'a>(&'a self, name: &'a str, version: i64) -> CredentialAnswer<'a, ()> {
        self.write_of(What::Credential, self.disk.inner.forget(name, version))
    }
    fn names<'a>(&'a self, prefix: &'a str) -> CredentialAnswer<'a, Vec<String>> {
        self.read(self.disk.inner.names(prefix))
    }
    fn lease<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        now: Timestamp,
        ttl: Duration,
    ) -> CredentialAnswer<'a, bool> {
        self.read(self.disk.inner.lease(name, holder, now, ttl))
    }
    fn release<'a>(&'a self, name: &'a str, holder: &'a str) -> CredentialAnswer<'a, ()> {
        self.read(self.disk.inner.release(name, holder))
    }
}

impl What {
    fn of(write: &RunWrite) -> Self {
        let outcomes = write.entries.iter().filter(|entry| is_outcome(entry.kind));
        let steps: Vec<String> = outcomes.map(|entry| step_name(&entry.key)).collect();
        let end = match &write.transition {
            Some(Transition::Complete) => Some("completed"),
            Some(Transition::DeadLetter { .. }) => Some("dead"),
            Some(Transition::Cancel) => Some("cancelled"),
            Some(Transition::Wait { .. } | Transition::Release) | None => None,
        };
        if !steps.is_empty() || end.is_some() {
            return Self::Recorded { steps, end };
        }
        let failed = write.entries.iter().any(|entry| entry.kind == EntryKind::AttemptFailed);
        let waits = matches!(write.transition, Some(Transition::Wait { .. }));
        Self::Noted(match (failed, waits) {
            (true, _) => "a failed attempt was noted",
            (false, true) => "the run went to rest",
            (false, false) => "a value was recorded",
        })
    }

    fn records(&self, name: &str) -> bool {
        match self {
            Self::Recorded { steps, .. } => steps.iter().any(|step| is_step(step, name)),
            Self::Accepted
            | Self::Claimed
            | Self::Noted(_)
            | Self::Operated
            | Self::Posted
            | Self::Credential => false,
        }
    }
}

/// Whether the step as people read it (`sync#2`, `sync[17]`) is that one, or one of that name.
pub(crate) fn is_step(step: &str, name: &str) -> bool {
    step == name || step.strip_prefix(name).is_some_and(|rest| rest.starts_with(['#', '[']))
}

fn is_outcome(kind: EntryKind) -> bool {
    kind.is_outcome() || matches!(kind, EntryKind::State | EntryKind::Transaction)
}

/// A step as people read it.
pub(crate) fn step_name(key: &EntryKey) -> String {
    debug_assert_ne!(key.family, Family::Run);
    bowline_dashboard::view::step_name(key)
}
