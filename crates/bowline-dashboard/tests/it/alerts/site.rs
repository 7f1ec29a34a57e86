//! A store with dead letters, a chat's hook on a real socket, and a clock that a test moves.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    task::{Poll, Waker},
    time::Duration,
};

use bowline_client::{Api, Idempotency};
use bowline_dashboard::{
    Alerts,
    alerts::ApprovalAlerts,
    commands::{Commands, Operator},
};
use bowline_model::{
    BoxFuture, Clock, DeadReason, NewEvent, NodeId, Payload, RetryPolicy, RunId, Secret, SystemClock,
    WorkflowName,
    approval::{Decision, Question},
};
use bowline_store::{
    Accepted, Also, Batch, Claim, MailboxKind, NewMailbox, RunWrite, SqliteOptions, SqliteStore, Store,
    Transition,
};
use bowline_testing::MockSystem;
use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::json;
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};

use super::no_room::NoRoom;
use crate::{event::event, journal::build};

/// Longest real time that a test waits for something to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The secret part of the hook's address.
pub(crate) const HOOK_SECRET: &str = "T0B1C2D3E4F5x9y8z7";

/// A clock that stands still until a test moves it, and knows who sleeps by it.
pub(crate) struct StillClock {
    state: Mutex<ClockState>,
    sleeping: watch::Sender<usize>,
}

struct ClockState {
    now: Timestamp,
    sleepers: HashMap<u64, (Timestamp, Waker)>,
    draws: u64,
}

#[derive(Clone)]
pub(crate) struct ClockHandle(Arc<StillClock>);

impl ClockHandle {
    fn new() -> Self {
        let now = Timestamp::from_second(1_795_341_600).unwrap();
        let state = ClockState { now, sleepers: HashMap::new(), draws: 0 };
        Self(Arc::new(StillClock { state: Mutex::new(state), sleeping: watch::Sender::new(0) }))
    }

    fn advance(&self, by: Duration) {
        let mut state = self.0.state.lock().unwrap();
        state.now += by;
        let now = state.now;
        let due: Vec<_> = state.sleepers.extract_if(|_, (at, _)| *at <= now).collect();
        self.0.sleeping.send_replace(state.sleepers.len());
        drop(state);
        due.into_iter().for_each(|(_, (_, waker))| waker.wake());
    }

    /// The time to which the only sleeper sleeps.
    fn next(&self) -> Timestamp {
        self.0.state.lock().unwrap().sleepers.values().next().expect("somebody sleeps").0
    }
}

impl Clock for ClockHandle {
    fn now(&self) -> Timestamp {
        self.0.state.lock().unwrap().now
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.now().as_millisecond() as u64)
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        self.sleep_until(self.now() + wait)
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        let sleep = Sleep { clock: self.0.clone(), id: self.random(), until };
        Box::pin(sleep)
    }

    fn random(&self) -> u64 {
        let mut state = self.0.state.lock().unwrap();
        state.draws += 1;
        u64::MAX / 2 + state.draws
    }
}

/// The same time, for a client: its own deadlines are the machine's.
struct ClientClock(ClockHandle);

impl Clock for ClientClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        SystemClock.sleep(wait)
    }

    fn random(&self) -> u64 {
        SystemClock.random()
    }
}

struct Sleep {
    clock: Arc<StillClock>,
    id: u64,
    until: Timestamp,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<()> {
        let mut state = self.clock.state.lock().unwrap();
        if state.now >= self.until {
            return Poll::Ready(());
        }
        state.sleepers.insert(self.id, (self.until, cx.waker().clone()));
        self.clock.sleeping.send_replace(state.sleepers.len());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let mut state = self.clock.state.lock().unwrap();
        state.sleepers.remove(&self.id);
        self.clock.sleeping.send_replace(state.sleepers.len());
    }
}

pub(crate) struct Site {
    pub(crate) clock: ClockHandle,
    pub(crate) store: Arc<NoRoom>,
    pub(crate) chat: MockSystem,
    node: NodeId,
    alerts: Option<(JoinHandle<()>, oneshot::Sender<()>)>,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let clock = ClockHandle::new();
        let store = SqliteStore::in_memory(SqliteOptions::default(), Arc::new(clock.clone())).unwrap();
        let node = store.start_node(clock.now()).await.unwrap().node;
        let store = Arc::new(NoRoom::new(Arc::new(store)));
        Self { clock, store, chat: MockSystem::start(), node, alerts: None }
    }

    /// Starts the alerts, and waits until they have nothing to do.
    pub(crate) async fn start(&mut self) {
        self.launch();
        self.settle().await;
    }

    /// Starts those of approvals instead, and waits until they have nothing to do.
    pub(crate) async fn start_asked(&mut self) {
        let chat = self.hook();
        let alerts =
            ApprovalAlerts::new(self.store.clone(), Arc::new(self.clock.clone()), "shop", move |text| {
                chat.post("").json(&json!({ "text": text }))
            })
            .admin_url(Some("https://ops.example.com".to_owned()));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(alerts.run(async move {
            let _ = stopped.await;
        }));
        self.alerts = Some((task, stop));
        self.settle().await;
    }

    /// The call that posts to the chat.
    fn hook(&self) -> Api {
        let url = Secret::new(format!("{}/services/{HOOK_SECRET}", self.chat.url()));
        let chat = Api::new("alerts").idempotency(Idempotency::None).retry(RetryPolicy::never());
        chat.clock(Arc::new(ClientClock(self.clock.clone()))).no_learned_limits().no_breaker().secret_url(url)
    }

    /// Starts the alerts.
    pub(crate) fn launch(&mut self) {
        let chat = self.hook();
        let clock = Arc::new(self.clock.clone());
        let alerts = Alerts::new(self.store.clone(), clock, "payments", move |text: String| {
            chat.post("").json(&json!({ "text": text }))
        });
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(alerts.run(async move {
            let _ = stopped.await;
        }));
        self.alerts = Some((task, stop));
    }

    /// Stops them as a shutdown does; returns when they have ended.
    pub(crate) async fn stop(&mut self) {
        let (task, stop) = self.alerts.take().expect("they run");
        stop.send(()).unwrap();
        tokio::time::timeout(PATIENCE, task).await.expect("they stop").unwrap();
    }

    /// Asks them to stop, and does not wait.
    pub(crate) fn ask_to_stop(&mut self) -> JoinHandle<()> {
        let (task, stop) = self.alerts.take().expect("they run");
        stop.send(()).unwrap();
        task
    }

    /// They are gone, wherever they were.
    pub(crate) async fn crash(&mut self) {
        let (task, _stop) = self.alerts.take().expect("they run");
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }

    /// Waits until the alerts sleep.
    pub(crate) async fn settle(&self) {
        let mut sleeping = self.clock.0.sleeping.subscribe();
        let asleep = sleeping.wait_for(|sleepers| *sleepers > 0);
        tokio::time::timeout(PATIENCE, asleep).await.expect("they settle").unwrap();
    }

    /// Moves time; when it returns the alerts have done what was due, and sleep.
    pub(crate) async fn advance(&self, seconds: u64) {
        let mut left = Duration::from_secs(seconds);
        while !left.is_zero() {
            let nap = Duration::try_from(self.clock.next().duration_since(self.clock.now())).unwrap();
            let step = nap.min(left);
            self.clock.advance(step);
            left -= step;
            self.settle().await;
        }
    }

    /// Moves time without waiting for anything.
    pub(crate) fn jump(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// How long they sleep.
    pub(crate) fn nap_seconds(&self) -> i64 {
        self.clock.next().duration_since(self.clock.now()).as_secs()
    }

    /// The messages so far, whatever they were answered with.
    pub(crate) fn texts(&self) -> Vec<String> {
        let text = |body: serde_json::Value| body["text"].as_str().unwrap().to_owned();
        self.chat.requests().iter().map(|request| text(request.json())).collect()
    }

    /// So many runs of that workflow that failed just now.
    pub(crate) async fn die(&self, workflow: &str, count: usize) -> Vec<RunId> {
        self.die_of(workflow, count, DeadReason::Failed, "crm answered 422").await
    }

    pub(crate) async fn die_of(
        &self,
        workflow: &str,
        count: usize,
        reason: DeadReason,
        summary: &str,
    ) -> Vec<RunId> {
        let events = (0..count).map(|_| self.event(workflow)).collect();
        let accepted = self.store.accept(Batch { events, ..Batch::default() }).await.unwrap();
        let runs = accepted.into_iter().flat_map(|accepted| match accepted {
            Accepted::New { runs, .. } => runs,
            Accepted::Duplicate { .. } => vec![],
        });
        let runs: Vec<RunId> = runs.collect();
        self.end_queued(workflow, reason, summary).await;
        runs
    }

    /// A run asks that, from now on.
    pub(crate) async fn ask(&self, question: &Question) -> RunId {
        let now = self.clock.now();
        self.store.accept(Batch { events: vec![self.event("refund")], ..Batch::default() }).await.unwrap();
        let workflows = vec![(WorkflowName::from("refund"), 1)];
        let claim = Claim { node: self.node, now, total_max: 1, workflows, others_max: 0, crashes_min: 0 };
        let run = self.store.claim(claim).await.unwrap().remove(0);
        let mut mailbox = NewMailbox::new("approval:\"refund\"".to_owned(), MailboxKind::Approval);
        mailbox.about = Some(Payload::encode(question).unwrap());
        let wait = Some(Transition::Wait { due: None, seen: None });
        let write = RunWrite::new(run.id, run.epoch, now, vec![], wait);
        let also = Also { opens: vec![mailbox], ..Also::default() };
        self.store.write(RunWrite { also, ..write }).await.unwrap();
        run.id
    }

    /// A person says yes.
    pub(crate) async fn approve(&self, run: RunId) {
        let commands =
            Commands::new(self.store.clone(), Arc::new(self.clock.clone()), build(), Arc::new(|| {}));
        commands.decide(run, None, Decision::approved()).await.unwrap();
    }

    /// An operator retries that run.
    pub(crate) async fn retry(&self, run: RunId) {
        let clock = Arc::new(self.clock.clone());
        let commands = Commands::new(self.store.clone(), clock, build(), Arc::new(|| {}));
        commands.retry(run, &Operator::default()).await.unwrap();
    }

    /// All queued runs of that workflow fail.
    pub(crate) async fn end_queued(&self, workflow: &str, reason: DeadReason, summary: &str) {
        let now = self.clock.now();
        let workflows = vec![(WorkflowName::from(workflow), usize::MAX)];
        let claim =
            Claim { node: self.node, now, total_max: 100_000, workflows, others_max: 0, crashes_min: 0 };
        let writes = self.store.claim(claim).await.unwrap().into_iter().map(|run| {
            let transition = Some(Transition::DeadLetter { reason, summary: summary.to_owned() });
            self.store.write(RunWrite::new(run.id, run.epoch, now, vec![], transition))
        });
        for written in join_all(writes).await {
            written.unwrap();
        }
    }

    fn event(&self, workflow: &str) -> NewEvent {
        event(workflow, "payment_intent.succeeded", r#"{"email":"payload@example.com"}"#, self.clock.now())
    }
}
