//! A store whose commits wait at a gate until the test opens it.

use std::sync::Arc;

use bowline_model::{
    BoxFuture, CredentialStore, Entry, EntryKey, Event, EventId, Payload, Run, RunId, WorkflowName,
};
use bowline_store::{
    Accepted, Batch, Claim, Counts, History, Mailbox, MailboxFilter, Message, NodeStart, Operation, Paused,
    Post, Posted, RunFilter, RunWrite, SqliteStore, StateEntry, StateFilter, Store, StoreError, Written,
};
use jiff::Timestamp;
use tokio::{sync::Semaphore, time::timeout};

use crate::wire::PATIENCE;

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

pub(crate) struct Gated {
    inner: Arc<SqliteStore>,
    accepts: Gate,
    writes: Gate,
}

impl Gated {
    /// Accepting waits at the gate.
    pub(crate) fn shut(inner: SqliteStore) -> Self {
        Self { inner: Arc::new(inner), accepts: Gate::shut(), writes: Gate::open() }
    }

    /// Writes of progress wait at the gate.
    pub(crate) fn shut_for_writes(inner: SqliteStore) -> Self {
        Self { inner: Arc::new(inner), accepts: Gate::open(), writes: Gate::shut() }
    }

    /// Waits for a commit to come to the gate that is shut.
    pub(crate) async fn arrival(&self) {
        let arrival = timeout(PATIENCE, self.the_shut_one().arrived.acquire()).await;
        arrival.expect("a commit in time").expect("never closed").forget();
    }

    /// Lets one commit through.
    pub(crate) fn let_one_through(&self) {
        self.the_shut_one().gate.add_permits(1);
    }

    fn the_shut_one(&self) -> &Gate {
        if self.accepts.is_open { &self.writes } else { &self.accepts }
    }
}

struct Gate {
    is_open: bool,
    arrived: Semaphore,
    gate: Semaphore,
}

impl Gate {
    fn shut() -> Self {
        Self { is_open: false, arrived: Semaphore::new(0), gate: Semaphore::new(0) }
    }

    fn open() -> Self {
        Self { is_open: true, ..Self::shut() }
    }

    async fn pass(&self) {
        if !self.is_open {
            self.arrived.add_permits(1);
            self.gate.acquire().await.expect("never closed").forget();
        }
    }
}

impl Store for Gated {
    fn accept(&self, batch: Batch) -> Answer<'_, Vec<Accepted>> {
        Box::pin(async {
            self.accepts.pass().await;
            self.inner.accept(batch).await
        })
    }

    fn start_node(&self, now: Timestamp) -> Answer<'_, NodeStart> {
        self.inner.start_node(now)
    }

    fn claim(&self, claim: Claim) -> Answer<'_, Vec<Run>> {
        self.inner.claim(claim)
    }

    fn histories<'a>(&'a self, runs: &'a [RunId]) -> Answer<'a, Vec<Result<History, StoreError>>> {
        self.inner.histories(runs)
    }

    fn write(&self, write: RunWrite) -> Answer<'_, Written> {
        Box::pin(async {
            self.writes.pass().await;
            self.inner.write(write).await
        })
    }

    fn operate(&self, operation: Operation) -> Answer<'_, ()> {
        self.inner.operate(operation)
    }

    fn post(&self, post: Post) -> Answer<'_, Posted> {
        self.inner.post(post)
    }

    fn mail(&self, run: RunId) -> Answer<'_, Vec<Message>> {
        self.inner.mail(run)
    }

    fn mailed(&self) -> Answer<'_, Vec<RunId>> {
        self.inner.mailed()
    }

    fn went_on(&self, run: RunId) -> Answer<'_, Option<RunId>> {
        self.inner.went_on(run)
    }
    fn waited_for(&self, run: RunId) -> Answer<'_, Vec<RunId>> {
        self.inner.waited_for(run)
    }
    fn forks(&self, runs: Vec<RunId>) -> Answer<'_, Vec<(RunId, EntryKey)>> {
        self.inner.forks(runs)
    }

    fn mailboxes(&self, filter: MailboxFilter) -> Answer<'_, Vec<Mailbox>> {
        self.inner.mailboxes(filter)
    }

    fn pause(&self, pause: Paused) -> Answer<'_, bool> {
        self.inner.pause(pause)
    }

    fn resume(&self, workflow: WorkflowName) -> Answer<'_, bool> {
        self.inner.resume(workflow)
    }

    fn paused(&self) -> Answer<'_, Vec<Paused>> {
        self.inner.paused()
    }

    fn next_due(&self, after: Timestamp) -> Answer<'_, Option<Timestamp>> {
        self.inner.next_due(after)
    }

    fn run(&self, run: RunId) -> Answer<'_, Option<Run>> {
        self.inner.run(run)
    }

    fn ended(&self, run: RunId) -> Answer<'_, Run> {
        self.inner.ended(run)
    }

    fn runs(&self, filter: RunFilter) -> Answer<'_, Vec<Run>> {
        self.inner.runs(filter)
    }

    fn event(&self, event: EventId) -> Answer<'_, Option<Event>> {
        self.inner.event(event)
    }

    fn journal(&self, run: RunId) -> Answer<'_, Vec<Entry>> {
        self.inner.journal(run)
    }

    fn output(&self, run: RunId) -> Answer<'_, Option<Payload>> {
        self.inner.output(run)
    }

    fn counts(&self, now: Timestamp) -> Answer<'_, Counts> {
        self.inner.counts(now)
    }

    fn cursor<'a>(&'a self, name: &'a str) -> Answer<'a, Option<String>> {
        self.inner.cursor(name)
    }

    fn state(&self, filter: StateFilter, now: Timestamp) -> Answer<'_, Vec<StateEntry>> {
        self.inner.state(filter, now)
    }

    fn probe(&self, now: Timestamp) -> Answer<'_, ()> {
        self.inner.probe(now)
    }

    fn tidy(&self, before: Timestamp, now: Timestamp) -> Answer<'_, bool> {
        self.inner.tidy(before, now)
    }

    fn credentials(self: Arc<Self>) -> Arc<dyn CredentialStore> {
        self.inner.clone()
    }

    fn close(&self) -> Answer<'_, ()> {
        self.inner.close()
    }
}
