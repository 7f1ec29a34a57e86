//! A store that outlives processes, processes that can be killed, and a clock that a test moves.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

use bowline_dashboard::commands::{Commands, Moment, Operator, Outcome, fork};
use bowline_engine::{CancelAtRest, CancelledFamily, Context, Engine, EngineOptions, Workflow, Workflows};
use bowline_model::{
    BoxFuture, BuildId, Clock, CredentialStore, Entry, EntryKey, EntryKind, Event, EventId, KeySeed,
    NewEvent, NewRun, Payload, Run, RunFlow, RunId, RunState, WorkflowName,
};
use bowline_store::{
    Accepted, Batch, Claim, Counts, History, Mailbox, MailboxFilter, Message, NodeStart, Operation, Paused,
    Post, Posted, RunFilter, RunWrite, SqliteStore, StateEntry, StateFilter, Store, StoreError,
    StoreErrorKind, Written, sqlite::SqliteOptions,
};
use jiff::Timestamp;
use serde_json::Value;
use tokio::{
    runtime::Runtime,
    sync::{Semaphore, watch},
    task::JoinHandle,
};

/// Longest real time that a test waits for something to happen.
const PATIENCE: Duration = Duration::from_secs(120);

/// A clock that stands still.
pub(crate) struct StillClock {
    state: Mutex<ClockState>,
}

struct ClockState {
    now: Timestamp,
    sleepers: HashMap<u64, (Timestamp, Waker)>,
    draws: u64,
}

impl StillClock {
    fn new() -> Self {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        Self { state: Mutex::new(ClockState { now, sleepers: HashMap::new(), draws: 0 }) }
    }

    pub(crate) fn time(&self) -> Timestamp {
        self.state.lock().unwrap().now
    }

    pub(crate) fn advance(&self, by: Duration) {
        let mut state = self.state.lock().unwrap();
        state.now += by;
        let now = state.now;
        let due: Vec<_> = state.sleepers.extract_if(|_, (at, _)| *at <= now).collect();
        drop(state);
        due.into_iter().for_each(|(_, (_, waker))| waker.wake());
    }

    /// Half way through any jitter, and never twice the same number.
    fn draw(&self) -> u64 {
        let mut state = self.state.lock().unwrap();
        state.draws += 1;
        u64::MAX / 2 + state.draws
    }
}

/// The clock as the engine holds it.
#[derive(Clone)]
pub(crate) struct ClockHandle(pub(crate) Arc<StillClock>);

impl Clock for ClockHandle {
    fn now(&self) -> Timestamp {
        self.0.time()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.now().as_millisecond() as u64)
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        self.sleep_until(self.now() + wait)
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        let (clock, id) = (self.0.clone(), self.0.draw());
        Box::pin(std::future::poll_fn(move |cx| {
            let mut state = clock.state.lock().unwrap();
            if state.now >= until {
                return Poll::Ready(());
            }
            state.sleepers.insert(id, (until, cx.waker().clone()));
            Poll::Pending
        }))
    }

    fn random(&self) -> u64 {
        self.0.draw()
    }
}

/// A place in the store where a test stops the next caller.
pub(crate) struct Hold {
    armed: AtomicBool,
    held: Semaphore,
    go: Semaphore,
}

impl Hold {
    fn new() -> Self {
        Self { armed: AtomicBool::new(false), held: Semaphore::new(0), go: Semaphore::new(0) }
    }

    /// The next caller stops here.
    pub(crate) fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    /// Ends when a caller has stopped here.
    pub(crate) async fn holds(&self) {
        self.held.acquire().await.expect("never closed").forget();
    }

    /// Lets the caller go on.
    pub(crate) fn release(&self) {
        self.go.add_permits(1);
    }

    async fn pass(&self) {
        if self.armed.swap(false, Ordering::SeqCst) {
            self.held.add_permits(1);
            self.go.acquire().await.expect("never closed").forget();
        }
    }
}

/// The store, told of every write, and slow or out of order where a test says so.
pub(crate) struct Watched {
    inner: Arc<SqliteStore>,
    writes: watch::Sender<u64>,
    /// While set, nothing can be written.
    pub(crate) broken: AtomicBool,
    /// How often something could not.
    pub(crate) refusals: AtomicU64,
    /// The next write of progress is refused as this.
    pub(crate) refuse_write: Mutex<Option<StoreErrorKind>>,
    /// While set, the store does not say what is due next.
    pub(crate) due_unknown: AtomicBool,
    /// How often it was asked.
    pub(crate) due_asked: AtomicU64,
    pub(crate) before_claim: Hold,
    /// Only claims that found something stop here.
    pub(crate) after_claim: Hold,
    pub(crate) before_write: Hold,
}

impl Watched {
    fn new() -> Self {
        let clock = Arc::new(bowline_model::SystemClock);
        Self {
            inner: Arc::new(SqliteStore::in_memory(SqliteOptions::default(), clock).unwrap()),
            writes: watch::Sender::new(0),
            broken: AtomicBool::new(false),
            refusals: AtomicU64::new(0),
            refuse_write: Mutex::new(None),
            due_unknown: AtomicBool::new(false),
            due_asked: AtomicU64::new(0),
            before_claim: Hold::new(),
            after_claim: Hold::new(),
            before_write: Hold::new(),
        }
    }

    fn told<'a, T: Send + 'a>(&'a self, answer: Answer<'a, T>) -> Answer<'a, T> {
        Box::pin(async move {
            if self.broken.load(Ordering::SeqCst) {
                self.refusals.fetch_add(1, Ordering::SeqCst);
                return Err(StoreError::new(StoreErrorKind::Unavailable, "the test broke the store"));
            }
            let answer = answer.await;
            self.writes.send_modify(|writes| *writes += 1);
            answer
        })
    }
}

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

impl Store for Watched {
    fn start_node(&self, now: Timestamp) -> Answer<'_, NodeStart> {
        self.told(self.inner.start_node(now))
    }
    fn accept(&self, batch: Batch) -> Answer<'_, Vec<Accepted>> {
        self.told(self.inner.accept(batch))
    }
    fn claim(&self, claim: Claim) -> Answer<'_, Vec<Run>> {
        Box::pin(async move {
            self.before_claim.pass().await;
            let claimed = self.told(self.inner.claim(claim)).await?;
            if !claimed.is_empty() {
                self.after_claim.pass().await;
            }
            Ok(claimed)
        })
    }
    fn histories<'a>(&'a self, runs: &'a [RunId]) -> Answer<'a, Vec<Result<History, StoreError>>> {
        self.inner.histories(runs)
    }
    fn write(&self, write: RunWrite) -> Answer<'_, Written> {
        Box::pin(async move {
            self.before_write.pass().await;
            let refused = self.refuse_write.lock().unwrap().take();
            match refused {
                Some(kind) => Err(StoreError::new(kind, "the test refused the write")),
                None => self.told(self.inner.write(write)).await,
            }
        })
    }
    fn operate(&self, operation: Operation) -> Answer<'_, ()> {
        self.told(self.inner.operate(operation))
    }
    fn post(&self, post: Post) -> Answer<'_, Posted> {
        self.told(self.inner.post(post))
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
        self.told(self.inner.pause(pause))
    }

    fn resume(&self, workflow: WorkflowName) -> Answer<'_, bool> {
        self.told(self.inner.resume(workflow))
    }

    fn paused(&self) -> Answer<'_, Vec<Paused>> {
        self.inner.paused()
    }

    fn next_due(&self, after: Timestamp) -> Answer<'_, Option<Timestamp>> {
        self.due_asked.fetch_add(1, Ordering::SeqCst);
        if self.due_unknown.load(Ordering::SeqCst) {
            let error = StoreError::new(StoreErrorKind::Unavailable, "the test hid what is due");
            return Box::pin(std::future::ready(Err(error)));
        }
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

/// The machine that processes run on: its disk and its clock.
pub(crate) struct Host {
    pub(crate) clock: Arc<StillClock>,
    pub(crate) store: Arc<Watched>,
    runtime: Runtime,
    events: Mutex<u32>,
}

impl Host {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(StillClock::new());
        let store = Arc::new(Watched::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { clock, store, runtime, events: Mutex::new(0) }
    }

    /// Starts a process with these workflows.
    pub(crate) fn start(&self, workflows: Vec<Workflow>) -> Node {
        self.start_as("build-1", workflows, EngineOptions::default())
    }

    pub(crate) fn start_as(&self, build: &str, workflows: Vec<Workflow>, options: EngineOptions) -> Node {
        let mut all = Workflows::default();
        all.insert(another());
        workflows.into_iter().for_each(|workflow| all.insert(workflow));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (store, clock) = (self.store.clone(), Arc::new(ClockHandle(self.clock.clone())));
        let engine =
            runtime.block_on(Engine::start(store, clock, BuildId::from(build), all, options)).unwrap();
        Node { runtime: Some(runtime), engine: Arc::new(engine) }
    }

    /// Accepts an event with that input; it starts one run of each workflow.
    pub(crate) fn accept(&self, workflows: &[&str], input: &str) -> Vec<RunId> {
        self.accept_keyed(workflows, input, None)
    }

    /// The same, for runs that share that key.
    pub(crate) fn accept_keyed(&self, workflows: &[&str], input: &str, key: Option<&str>) -> Vec<RunId> {
        self.accept_ruled(workflows, input, key, &RunFlow::default())
    }

    /// The same, for runs that begin by these rules.
    pub(crate) fn accept_ruled(
        &self,
        workflows: &[&str],
        input: &str,
        key: Option<&str>,
        flow: &RunFlow,
    ) -> Vec<RunId> {
        let runs = workflows.iter().map(|name| NewRun {
            workflow: (*name).into(),
            key: key.map(str::to_owned),
            priority: 0,
            parent: None,
            replay_of: None,
            build: BuildId::from("build-1"),
            key_seed: KeySeed(u128::from(self.clock.draw())),
            due: None,
            flow: flow.clone(),
            journal: vec![],
        });
        self.accept_runs(runs.collect(), input)
    }

    fn accept_runs(&self, runs: Vec<NewRun>, input: &str) -> Vec<RunId> {
        let mut events = self.events.lock().unwrap();
        *events += 1;
        let now = self.clock.time();
        let event = NewEvent {
            source: "/test".into(),
            provider: "test".into(),
            kind: "test".into(),
            dedupe_key: events.to_string(),
            dedupe_until: now + Duration::from_secs(60),
            received_at: now,
            headers: vec![],
            body: input.to_owned().into(),
            input_pointer: String::new(),
            runs,
        };
        let batch = Batch { events: vec![event], ..Batch::default() };
        match self.runtime.block_on(self.store.accept(batch)).unwrap().remove(0) {
            Accepted::New { runs, .. } => runs,
            Accepted::Duplicate { .. } => panic!("every event is another"),
        }
    }

    /// An operator of that build forks a run that has ended.
    pub(crate) fn fork(&self, id: RunId, from: &str, build: &str) -> RunId {
        let moment = Moment { now: self.clock.time(), build: BuildId::from(build) };
        let (run, journal) = (self.run(id), self.journal(id));
        let seed = KeySeed(u128::from(self.clock.draw()));
        let forked = fork::decide(&run, &journal, from, seed, "forked".to_owned(), &moment).unwrap();
        self.accept_runs(vec![forked.run], "null")[0]
    }

    pub(crate) fn run(&self, id: RunId) -> Run {
        self.runtime.block_on(self.store.inner.run(id)).unwrap().expect("the run is there")
    }

    pub(crate) fn journal(&self, id: RunId) -> Vec<Entry> {
        self.runtime.block_on(self.store.inner.journal(id)).unwrap()
    }

    pub(crate) fn kinds(&self, id: RunId) -> Vec<EntryKind> {
        self.journal(id).iter().map(|entry| entry.kind).collect()
    }

    /// Waits until the run is as asked.
    #[track_caller]
    pub(crate) fn wait(&self, id: RunId, what: &str, is: impl Fn(&Run) -> bool) -> Run {
        let waited = self.runtime.block_on(async {
            let mut writes = self.store.writes.subscribe();
            tokio::time::timeout(PATIENCE, async {
                loop {
                    let run = self.store.inner.run(id).await.unwrap().expect("the run is there");
                    if is(&run) {
                        return run;
                    }
                    writes.changed().await.unwrap();
                }
            })
            .await
        });
        waited.unwrap_or_else(|_| {
            panic!("run {id} is not {what}: {:#?}\n{:#?}", self.run(id), self.journal(id))
        })
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, id: RunId, state: RunState) -> Run {
        self.wait(id, state.as_str(), |run| run.state == state)
    }

    /// Waits until the run has ended, well or as a dead letter.
    #[track_caller]
    pub(crate) fn end(&self, id: RunId) -> Run {
        self.wait(id, "at an end", |run| !run.state.is_open())
    }

    /// Lets another run go by from its claim to its end, on the one thread of the process: whatever others could do
    /// meanwhile, they did.
    #[track_caller]
    pub(crate) fn let_another_pass(&self, node: &Node) {
        let another = self.accept(&["another"], "null")[0];
        node.engine.poke();
        self.wait_for(another, RunState::Completed);
    }

    /// An operator retries a dead letter.
    pub(crate) fn retry(&self, node: &Node, id: RunId) {
        let engine = node.engine.clone();
        let commands = self.commands(move || engine.poke());
        self.runtime.block_on(commands.retry(id, &Operator::default())).unwrap();
    }

    /// An operator discards a dead letter, and has what it did undone.
    pub(crate) fn discard_undone(&self, node: &Node, id: RunId) {
        let engine = node.engine.clone();
        let commands = self.commands(move || engine.poke());
        self.runtime.block_on(commands.discard_undone(id, &Operator::default())).unwrap();
    }

    /// An operator says what became of a step.
    pub(crate) fn settle(&self, node: &Node, id: RunId, step: &str, outcome: &Outcome) {
        let engine = node.engine.clone();
        let commands = self.commands(move || engine.poke());
        self.runtime.block_on(commands.settle(id, step, outcome, &Operator::default())).unwrap();
    }

    /// The same while no process runs.
    pub(crate) fn settle_on_disk(&self, id: RunId, step: &str, outcome: &Outcome) {
        let commands = self.commands(|| ());
        self.runtime.block_on(commands.settle(id, step, outcome, &Operator::default())).unwrap();
    }

    fn commands(&self, poke: impl Fn() + Send + Sync + 'static) -> Commands {
        let clock = Arc::new(ClockHandle(self.clock.clone()));
        Commands::new(self.store.clone(), clock, BuildId::from("build-1"), Arc::new(poke))
    }

    /// Cancels a run while no process runs.
    pub(crate) fn cancel_at_rest(&self, id: RunId, why: &str) -> CancelledFamily {
        let clock = Arc::new(ClockHandle(self.clock.clone()));
        let by = CancelAtRest::new(self.store.clone(), clock, BuildId::from("build-1"));
        self.runtime.block_on(by.cancel_family(id, why)).unwrap()
    }

    /// The runs that a run started, the older first.
    pub(crate) fn started_by(&self, id: RunId) -> Vec<RunId> {
        let filter = RunFilter { parent: Some(id), ..RunFilter::default() };
        let runs = self.runtime.block_on(self.store.inner.runs(filter)).unwrap();
        runs.iter().rev().map(|run| run.id).collect()
    }

    /// What a completed run yielded.
    pub(crate) fn output(&self, id: RunId) -> Value {
        let output = self.runtime.block_on(self.store.inner.output(id)).unwrap();
        output.expect("the run is completed").decode().unwrap()
    }

    /// Waits for something that a process tells the test.
    #[track_caller]
    pub(crate) fn block_on<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let waited = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await });
        waited.unwrap_or_else(|_| panic!("{what} does not happen"))
    }
}

/// Waits until something that no write tells of is so.
#[track_caller]
pub(crate) fn until(mut is: impl FnMut() -> bool) {
    let clock = bowline_model::SystemClock;
    let end = clock.monotonic() + PATIENCE;
    while !is() {
        assert!(clock.monotonic() < end, "it never is");
        std::thread::yield_now();
    }
}

/// A process.
pub(crate) struct Node {
    runtime: Option<Runtime>,
    pub(crate) engine: Arc<Engine>,
}

impl Node {
    /// As `kill -9`: nothing is told to anybody.
    pub(crate) fn kill(mut self) {
        self.runtime.take().expect("killed once").shutdown_timeout(PATIENCE);
    }

    /// As SIGTERM: returns when everything has ended.
    #[track_caller]
    pub(crate) fn stop(self) {
        self.begin_stop().end();
    }

    /// As SIGTERM: returns when nothing new is begun any more.
    #[track_caller]
    pub(crate) fn begin_stop(self) -> Stop {
        let engine = self.engine.clone();
        let ended = self.runtime().spawn(async move { engine.shutdown().await });
        until(|| self.engine.progress().stopping);
        Stop { node: self, ended }
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("not killed")
    }
}

/// A process that is stopping.
pub(crate) struct Stop {
    node: Node,
    ended: JoinHandle<()>,
}

impl Stop {
    #[track_caller]
    pub(crate) fn end(self) {
        let Self { node, ended } = self;
        let waited = node.runtime().block_on(async { tokio::time::timeout(PATIENCE, ended).await });
        waited.expect("the stop ends").expect("the stop does not panic");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A workflow that every process has: see [`Host::let_another_pass`].
fn another() -> Workflow {
    Workflow::new("another", |cx: Context, _: Value| async move { cx.step("one", async || Ok(1)).await })
}
