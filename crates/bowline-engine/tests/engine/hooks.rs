//! Findings 1h, 12, 13: with a store that a test holds up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bowline_engine::{Context, Engine, EngineOptions, Workflow, Workflows};
use bowline_model::BoxFuture;
use bowline_model::{BuildId, DeadReason, Entry, Event, EventId, Run, RunId, RunState};
use bowline_store::{
    Accepted, Batch, Claim, Counts, History, NodeStart, Operation, RunFilter, RunWrite, Store, StoreError,
    StoreErrorKind, Written,
};
use jiff::Timestamp;
use serde_json::Value;
use tokio::{runtime::Runtime, sync::Semaphore};

use crate::{
    node::{ClockHandle, Host, Watched, until},
    remote::{Remote, Reply},
};

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

struct Hooked {
    inner: Arc<Watched>,
    /// Claims stop before they reach the store / after they committed, while set; `go` lets them on.
    hold_before: AtomicBool,
    hold_after: AtomicBool,
    held: Semaphore,
    go: Semaphore,
    next_due_fails: AtomicBool,
    next_dues: AtomicU64,
}

impl Hooked {
    fn new(host: &Host) -> Arc<Self> {
        Arc::new(Self {
            inner: host.store.clone(),
            hold_before: AtomicBool::new(false),
            hold_after: AtomicBool::new(false),
            held: Semaphore::new(0),
            go: Semaphore::new(0),
            next_due_fails: AtomicBool::new(false),
            next_dues: AtomicU64::new(0),
        })
    }
    async fn hold(&self, flag: &AtomicBool) {
        if flag.swap(false, Ordering::SeqCst) {
            self.held.add_permits(1);
            self.go.acquire().await.unwrap().forget();
        }
    }
}

impl Store for Hooked {
    fn start_node(&self, now: Timestamp) -> Answer<'_, NodeStart> {
        self.inner.start_node(now)
    }
    fn accept(&self, batch: Batch) -> Answer<'_, Vec<Accepted>> {
        self.inner.accept(batch)
    }
    fn claim(&self, claim: Claim) -> Answer<'_, Vec<Run>> {
        Box::pin(async move {
            self.hold(&self.hold_before).await;
            let runs = self.inner.claim(claim).await;
            self.hold(&self.hold_after).await;
            runs
        })
    }
    fn histories<'a>(&'a self, runs: &'a [RunId]) -> Answer<'a, Vec<Result<History, StoreError>>> {
        self.inner.histories(runs)
    }
    fn write(&self, write: RunWrite) -> Answer<'_, Written> {
        self.inner.write(write)
    }
    fn operate(&self, operation: Operation) -> Answer<'_, ()> {
        self.inner.operate(operation)
    }
    fn next_due(&self, after: Timestamp) -> Answer<'_, Option<Timestamp>> {
        self.next_dues.fetch_add(1, Ordering::SeqCst);
        if self.next_due_fails.load(Ordering::SeqCst) {
            return Box::pin(async {
                Err(StoreError::new(StoreErrorKind::Unavailable, "no descriptors left"))
            });
        }
        self.inner.next_due(after)
    }
    fn run(&self, run: RunId) -> Answer<'_, Option<Run>> {
        self.inner.run(run)
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
    fn counts(&self, now: Timestamp) -> Answer<'_, Counts> {
        self.inner.counts(now)
    }
    fn cursor<'a>(&'a self, name: &'a str) -> Answer<'a, Option<String>> {
        self.inner.cursor(name)
    }
    fn probe(&self, now: Timestamp) -> Answer<'_, ()> {
        self.inner.probe(now)
    }
    fn tidy(&self, before: Timestamp, now: Timestamp) -> Answer<'_, bool> {
        self.inner.tidy(before, now)
    }
    fn close(&self) -> Answer<'_, ()> {
        self.inner.close()
    }
}

fn start(host: &Host, store: &Arc<Hooked>, flow: Workflow) -> (Runtime, Arc<Engine>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut all = Workflows::default();
    all.insert(flow);
    let clock = Arc::new(ClockHandle(host.clock.clone()));
    let engine = runtime
        .block_on(Engine::start(
            store.clone(),
            clock,
            BuildId::from("build-1"),
            all,
            EngineOptions::default(),
        ))
        .unwrap();
    (runtime, Arc::new(engine))
}

fn one_call(remote: &Arc<Remote>) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, path: String| {
        let remote = remote.clone();
        async move { cx.step("call", remote.post(&path)).await }
    })
}

/// 1h. A shutdown while a crashed run is being recovered forgets that its effect was in flight.
#[test]
fn a_shutdown_during_recovery_does_not_hide_what_was_in_flight() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/charge", [Reply::Gate]);
    let run = host.accept(&["flow"], "\"/charge\"")[0];
    let node = host.start(vec![one_call(&remote)]);
    host.block_on("the charge", remote.next_arrival());
    node.kill();
    let store = Hooked::new(&host);
    store.hold_after.store(true, Ordering::SeqCst);
    let (runtime, engine) = start(&host, &store, one_call(&remote));
    host.block_on("the claim", store.held.acquire()).unwrap().forget();
    // The round of suspects claims nothing; hold the next one too.
    if host.run(run).state != RunState::Running {
        store.hold_after.store(true, Ordering::SeqCst);
        store.go.add_permits(1);
        host.block_on("the claim", store.held.acquire()).unwrap().forget();
    }
    assert_eq!(host.run(run).state, RunState::Running);
    let stopping = engine.clone();
    let stopped = runtime.spawn(async move { stopping.shutdown().await });
    until(|| engine.progress().stopping);
    store.go.add_permits(1);
    host.block_on("the stop", stopped).unwrap();
    assert_eq!((host.run(run).state, remote.keys("/charge").len()), (RunState::Queued, 1));
    host.clock.advance(Duration::from_secs(72 * 3600));
    let _node = host.start(vec![one_call(&remote)]);
    let end = host
        .wait(run, "ended", |run| run.state == RunState::Completed || run.state == RunState::DeadLettered);
    assert_eq!(end.dead_reason, Some(DeadReason::Stale), "sent {} times", remote.keys("/charge").len());
}

/// 12. A run of a limited workflow ends while a claim is on its way: the next one waits for the 30 s sweep.
#[test]
fn a_slot_freed_during_a_claim_is_noticed() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/first", [Reply::Gate]);
    let store = Hooked::new(&host);
    let first = host.accept(&["flow"], "\"/first\"")[0];
    let (_runtime, engine) = start(&host, &store, one_call(&remote).concurrency(1));
    host.block_on("the first", remote.next_arrival());
    std::thread::sleep(Duration::from_millis(50));
    store.hold_before.store(true, Ordering::SeqCst);
    let second = host.accept(&["flow"], "\"/second\"")[0];
    engine.poke();
    host.block_on("the claim", store.held.acquire()).unwrap().forget();
    remote.gate.add_permits(1);
    host.wait_for(first, RunState::Completed);
    until(|| engine.progress().slots_free == engine.progress().slots);
    store.go.add_permits(1);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(
        host.run(second).state,
        RunState::Completed,
        "all slots are free, the run is queued, nobody looks"
    );
}

/// 13. The time that was waited for has come and the store does not say which is next: a busy loop.
#[test]
fn a_store_that_does_not_say_what_is_due_is_not_asked_without_end() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/slow", [Reply::RetryAfter(Duration::from_secs(60))]);
    let store = Hooked::new(&host);
    let run = host.accept(&["flow"], "\"/slow\"")[0];
    let (_runtime, _engine) = start(&host, &store, one_call(&remote));
    host.wait_for(run, RunState::Waiting);
    std::thread::sleep(Duration::from_millis(50));
    store.next_due_fails.store(true, Ordering::SeqCst);
    host.clock.advance(Duration::from_secs(120));
    let before = store.next_dues.load(Ordering::SeqCst);
    std::thread::sleep(Duration::from_secs(1));
    let asked = store.next_dues.load(Ordering::SeqCst) - before;
    assert!(asked < 100, "asked {asked} times in a second in which the clock stood still");
}
