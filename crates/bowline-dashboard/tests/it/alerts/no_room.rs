//! A real store on a disk that can run out of room for what is accepted, cursors among it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bowline_model::{
    BoxFuture, CredentialStore, Entry, EntryKey, Event, EventId, Payload, Run, RunId, WorkflowName,
};
use bowline_store::{
    Accepted, Batch, Claim, Counts, History, Mailbox, MailboxFilter, Message, NodeStart, Operation, Paused,
    Post, Posted, RunFilter, RunWrite, StateEntry, StateFilter, Store, StoreError, StoreErrorKind, Written,
};
use jiff::Timestamp;

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

pub(crate) struct NoRoom {
    pub(crate) store: Arc<dyn Store>,
    full: AtomicBool,
}

impl NoRoom {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, full: AtomicBool::new(false) }
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }
}

impl Store for NoRoom {
    fn accept(&self, batch: Batch) -> Answer<'_, Vec<Accepted>> {
        if self.full.load(Ordering::SeqCst) {
            let error = StoreError::new(StoreErrorKind::Full, "no room on the disk");
            return Box::pin(std::future::ready(Err(error)));
        }
        self.store.accept(batch)
    }

    fn start_node(&self, now: Timestamp) -> Answer<'_, NodeStart> {
        self.store.start_node(now)
    }

    fn claim(&self, claim: Claim) -> Answer<'_, Vec<Run>> {
        self.store.claim(claim)
    }

    fn histories<'a>(&'a self, runs: &'a [RunId]) -> Answer<'a, Vec<Result<History, StoreError>>> {
        self.store.histories(runs)
    }

    fn write(&self, write: RunWrite) -> Answer<'_, Written> {
        self.store.write(write)
    }

    fn operate(&self, operation: Operation) -> Answer<'_, ()> {
        self.store.operate(operation)
    }

    fn post(&self, post: Post) -> Answer<'_, Posted> {
        self.store.post(post)
    }

    fn mail(&self, run: RunId) -> Answer<'_, Vec<Message>> {
        self.store.mail(run)
    }

    fn mailed(&self) -> Answer<'_, Vec<RunId>> {
        self.store.mailed()
    }

    fn went_on(&self, run: RunId) -> Answer<'_, Option<RunId>> {
        self.store.went_on(run)
    }
    fn waited_for(&self, run: RunId) -> Answer<'_, Vec<RunId>> {
        self.store.waited_for(run)
    }
    fn forks(&self, runs: Vec<RunId>) -> Answer<'_, Vec<(RunId, EntryKey)>> {
        self.store.forks(runs)
    }

    fn mailboxes(&self, filter: MailboxFilter) -> Answer<'_, Vec<Mailbox>> {
        self.store.mailboxes(filter)
    }

    fn pause(&self, pause: Paused) -> Answer<'_, bool> {
        self.store.pause(pause)
    }

    fn resume(&self, workflow: WorkflowName) -> Answer<'_, bool> {
        self.store.resume(workflow)
    }

    fn paused(&self) -> Answer<'_, Vec<Paused>> {
        self.store.paused()
    }

    fn next_due(&self, after: Timestamp) -> Answer<'_, Option<Timestamp>> {
        self.store.next_due(after)
    }

    fn run(&self, run: RunId) -> Answer<'_, Option<Run>> {
        self.store.run(run)
    }

    fn ended(&self, run: RunId) -> Answer<'_, Run> {
        self.store.ended(run)
    }

    fn runs(&self, filter: RunFilter) -> Answer<'_, Vec<Run>> {
        self.store.runs(filter)
    }

    fn event(&self, event: EventId) -> Answer<'_, Option<Event>> {
        self.store.event(event)
    }

    fn journal(&self, run: RunId) -> Answer<'_, Vec<Entry>> {
        self.store.journal(run)
    }

    fn output(&self, run: RunId) -> Answer<'_, Option<Payload>> {
        self.store.output(run)
    }

    fn counts(&self, now: Timestamp) -> Answer<'_, Counts> {
        self.store.counts(now)
    }

    fn cursor<'a>(&'a self, name: &'a str) -> Answer<'a, Option<String>> {
        self.store.cursor(name)
    }

    fn state(&self, filter: StateFilter, now: Timestamp) -> Answer<'_, Vec<StateEntry>> {
        self.store.state(filter, now)
    }

    fn probe(&self, now: Timestamp) -> Answer<'_, ()> {
        self.store.probe(now)
    }

    fn tidy(&self, before: Timestamp, now: Timestamp) -> Answer<'_, bool> {
        self.store.tidy(before, now)
    }

    fn credentials(self: Arc<Self>) -> Arc<dyn CredentialStore> {
        self.store.clone().credentials()
    }

    fn close(&self) -> Answer<'_, ()> {
        self.store.close()
    }
}
