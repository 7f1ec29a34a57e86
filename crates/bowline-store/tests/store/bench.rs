//! What the tests stand on: a store, a clock that moves when told, and short ways to say common things.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bowline_model::{
    BoxFuture, BuildId, Clock, CredentialStore, Entry, EntryKey, EntryKind, EntryMeta, EventId, Family,
    KeySeed, NewEvent, NewRun, NodeId, Payload, Position, Run, RunId, RunState, ScopePath, Seq,
};
use bowline_store::{
    Accepted, Also, Batch, Claim, Operation, RunWrite, Store, StoreError, Transition, Written,
};
use jiff::{SignedDuration, Timestamp};

/// Time that stands still until a test moves it.
#[derive(Debug, Default)]
pub(crate) struct TestClock {
    nanos: AtomicU64,
}

impl TestClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.nanos.fetch_add(u64::try_from(by.as_nanos()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        at(0) + SignedDuration::from_nanos(i64::try_from(self.nanos.load(Ordering::SeqCst)).unwrap())
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::SeqCst))
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn random(&self) -> u64 {
        4
    }
}

/// A time so many seconds after the tests begin.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// Where stores come from. A PostgreSQL store joins with another of these.
pub(crate) trait Backend: Send + Sync {
    /// Opens the store; again after a close or a crash, with the same contents.
    fn open(&self, clock: Arc<TestClock>) -> Arc<dyn Store>;

    /// Whether contents outlive the store.
    fn is_durable(&self) -> bool;
}

/// A store under test.
pub(crate) struct Bench {
    store: Option<Arc<dyn Store>>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) node: NodeId,
}

impl Bench {
    pub(crate) async fn new(backend: Box<dyn Backend>) -> Self {
        let clock = Arc::new(TestClock::default());
        let store = backend.open(Arc::clone(&clock));
        let node = store.start_node(at(0)).await.unwrap().node;
        Self { store: Some(store), clock, backend, node }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &**self.store.as_ref().unwrap()
    }

    /// The store, to share with tasks.
    pub(crate) fn shared(&self) -> Arc<dyn Store> {
        Arc::clone(self.store.as_ref().unwrap())
    }

    pub(crate) fn credentials(&self) -> Arc<dyn CredentialStore> {
        self.shared().credentials()
    }

    /// The process dies, and another starts. In memory only the node is another.
    pub(crate) async fn crash_and_restart(&mut self, now: Timestamp) -> Vec<RunId> {
        if self.backend.is_durable() {
            // The old one lets go before the new one opens.
            self.store = None;
            self.store = Some(self.backend.open(Arc::clone(&self.clock)));
        }
        let start = self.store().start_node(now).await.unwrap();
        self.node = start.node;
        start.recovered
    }

    /// Accepts one event that starts these runs.
    pub(crate) async fn accept(&self, key: &str, runs: Vec<NewRun>) -> (EventId, Vec<RunId>) {
        match self.try_accept(event(key, runs)).await.unwrap() {
            Accepted::New { event, runs } => (event, runs),
            Accepted::Duplicate { .. } => panic!("{key} is new"),
        }
    }

    pub(crate) async fn try_accept(&self, event: NewEvent) -> Result<Accepted, StoreError> {
        let answers = self.store().accept(Batch { events: vec![event], ..Batch::default() }).await?;
        assert_eq!(answers.len(), 1);
        Ok(answers.into_iter().next().unwrap())
    }

    /// Accepts one event with one run of that workflow.
    pub(crate) async fn queue(&self, key: &str, workflow: &str) -> RunId {
        self.accept(key, vec![run_of(workflow)]).await.1[0]
    }

    /// What to claim: up to 100 of that workflow.
    pub(crate) fn claim_of(&self, workflow: &str, now: Timestamp) -> Claim {
        Claim {
            node: self.node,
            now,
            total_max: 100,
            workflows: vec![(workflow.into(), 100)],
            others_max: 0,
            crashes_min: 0,
        }
    }

    pub(crate) async fn claim(&self, workflow: &str, now: Timestamp) -> Vec<Run> {
        self.store().claim(self.claim_of(workflow, now)).await.unwrap()
    }

    pub(crate) async fn claim_one(&self, workflow: &str, now: Timestamp) -> Run {
        let mut claimed = self.claim(workflow, now).await;
        assert_eq!(claimed.len(), 1, "one run of {workflow} is claimable");
        claimed.remove(0)
    }

    pub(crate) async fn write(
        &self,
        run: &Run,
        entries: Vec<Entry>,
        transition: Option<Transition>,
        now: Timestamp,
    ) -> Result<Written, StoreError> {
        self.store().write(RunWrite::new(run.id, run.epoch, now, entries, transition)).await
    }

    pub(crate) async fn write_with(
        &self,
        run: &Run,
        entries: Vec<Entry>,
        transition: Option<Transition>,
        also: Also,
        now: Timestamp,
    ) -> Result<Written, StoreError> {
        let write = RunWrite::new(run.id, run.epoch, now, entries, transition);
        self.store().write(RunWrite { also, ..write }).await
    }

    /// Queues, claims and ends a run.
    pub(crate) async fn ended(&self, key: &str, now: Timestamp) -> RunId {
        self.queue(key, "ending").await;
        let run = self.claim_one("ending", now).await;
        self.write(&run, vec![done(1, key)], Some(Transition::Complete), now).await.unwrap();
        run.id
    }

    pub(crate) async fn dead(&self, key: &str, now: Timestamp) -> Run {
        self.queue(key, "dying").await;
        let run = self.claim_one("dying", now).await;
        let dead = Transition::DeadLetter {
            reason: bowline_model::DeadReason::Failed,
            summary: "the CRM said no".to_owned(),
        };
        self.write(&run, vec![done(1, key)], Some(dead), now).await.unwrap();
        self.run(run.id).await
    }

    pub(crate) async fn run(&self, run: RunId) -> Run {
        self.store().run(run).await.unwrap().unwrap()
    }

    pub(crate) async fn state(&self, run: RunId) -> RunState {
        self.run(run).await.state
    }

    pub(crate) fn operation(
        &self,
        run: &Run,
        to: RunState,
        entries: Vec<Entry>,
        now: Timestamp,
    ) -> Operation {
        Operation {
            run: run.id,
            expect: run.state,
            expect_journal_len: run.journal_len,
            now,
            entries,
            to,
            ruled: None,
        }
    }

    /// Tidies until there is nothing more to do.
    pub(crate) async fn tidy(&self, before: Timestamp, now: Timestamp) {
        for _ in 0..1000 {
            if !self.store().tidy(before, now).await.unwrap() {
                return;
            }
        }
        panic!("tidying comes to an end");
    }
}

pub(crate) fn event(key: &str, runs: Vec<NewRun>) -> NewEvent {
    NewEvent {
        source: "/webhooks/stripe".to_owned(),
        provider: "stripe".to_owned(),
        kind: "payment_intent.succeeded".to_owned(),
        dedupe_key: key.to_owned(),
        dedupe_until: at(40 * 86_400),
        received_at: at(0),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: r#"{"id":"evt_1"}"#.into(),
        input_pointer: "/data/object".to_owned(),
        runs,
    }
}

pub(crate) fn run_of(workflow: &str) -> NewRun {
    NewRun {
        workflow: workflow.into(),
        key: None,
        priority: 0,
        parent: None,
        replay_of: None,
        build: BuildId::new("1.0.0-abc"),
        key_seed: KeySeed(u128::MAX - 7),
        due: None,
        flow: Default::default(),
        journal: vec![],
    }
}

/// A step's recorded outcome.
pub(crate) fn done(seq: i64, value: &str) -> Entry {
    entry(seq, EntryKind::StepDone, "step", Some(Payload::encode(value).unwrap()))
}

pub(crate) fn entry(seq: i64, kind: EntryKind, name: &str, payload: Option<Payload>) -> Entry {
    Entry {
        seq: Seq(seq),
        kind,
        key: EntryKey {
            family: Family::Step,
            scope: ScopePath::root(),
            name: name.to_owned(),
            position: Position::Nth(1),
        },
        at: at(seq),
        build: BuildId::new("1.0.0-abc"),
        meta: EntryMeta::default(),
        payload,
    }
}

pub(crate) fn ids(runs: &[Run]) -> Vec<RunId> {
    runs.iter().map(|run| run.id).collect()
}
