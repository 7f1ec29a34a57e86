//! Schedules over a real store, with a clock that a test sets, forward and back.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

use bowline_ingress::{
    Intake, TriggerBoard, TriggerState,
    schedule::{Schedule, Scheduled, run_schedules},
};
use bowline_model::{BoxFuture, BuildId, Clock, Run, RunId, RunState};
use bowline_store::{RunFilter, SqliteOptions, SqliteStore, Store};
use jiff::{SignedDuration, Timestamp};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::wire::PATIENCE;

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A wall clock that stands still until it is set.
pub(crate) struct SetClock {
    now: Mutex<Timestamp>,
    sleepers: Mutex<BTreeMap<usize, (Timestamp, Option<Waker>)>>,
    /// How many sleeps there were in all.
    pub(crate) sleeps: AtomicUsize,
    /// How many sleep, or will when they are polled.
    asleep: watch::Sender<usize>,
}

impl SetClock {
    fn new(now: Timestamp) -> Arc<Self> {
        let (sleepers, sleeps) = (Mutex::default(), AtomicUsize::new(0));
        Arc::new(Self { now: Mutex::new(now), sleepers, sleeps, asleep: watch::Sender::new(0) })
    }

    /// How many sleep.
    pub(crate) fn sleepers(&self) -> usize {
        *self.asleep.borrow()
    }

    /// For when nobody sleeps.
    pub(crate) fn set_alone(&self, to: Timestamp) {
        assert_eq!(self.sleepers(), 0);
        self.set(to);
    }

    fn set(&self, to: Timestamp) {
        *self.now.lock().unwrap() = to;
        let mut sleepers = self.sleepers.lock().unwrap();
        let woken: Vec<_> = sleepers.extract_if(.., |_, (until, _)| *until <= to).collect();
        self.asleep.send_replace(sleepers.len());
        drop(sleepers);
        woken.into_iter().filter_map(|(_, (_, waker))| waker).for_each(Waker::wake);
    }
}

/// The clock as schedules hold it.
struct Hands(Arc<SetClock>);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        *self.0.now.lock().unwrap()
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        self.sleep_until(self.now() + wait)
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        let (clock, id) = (self.0.clone(), self.0.sleeps.fetch_add(1, Ordering::SeqCst));
        let place = Place { clock, id };
        Box::pin(std::future::poll_fn(move |cx| {
            let clock = &place.clock;
            if *clock.now.lock().unwrap() >= until {
                return Poll::Ready(());
            }
            let mut sleepers = clock.sleepers.lock().unwrap();
            sleepers.insert(place.id, (until, Some(cx.waker().clone())));
            clock.asleep.send_replace(sleepers.len());
            Poll::Pending
        }))
    }

    fn random(&self) -> u64 {
        u64::MAX / 2
    }
}

/// Whoever stops sleeping leaves nothing behind.
struct Place {
    clock: Arc<SetClock>,
    id: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sleepers = self.clock.sleepers.lock().unwrap();
        sleepers.remove(&self.id);
        self.clock.asleep.send_replace(sleepers.len());
    }
}

/// A machine: its clock and its disk outlive its processes.
pub(crate) struct Machine {
    pub(crate) clock: Arc<SetClock>,
    pub(crate) store: Arc<SqliteStore>,
    schedules: Vec<Scheduled>,
    boards: Mutex<Vec<TriggerBoard>>,
    _folder: Option<tempfile::TempDir>,
}

impl Machine {
    pub(crate) fn new(now: &str, schedules: impl IntoIterator<Item = (&'static str, Schedule)>) -> Self {
        let clock = SetClock::new(at(now));
        let store = SqliteStore::in_memory(SqliteOptions::default(), Arc::new(Hands(clock.clone()))).unwrap();
        Self::with(clock, store, None, schedules)
    }

    /// With a file for its store: one whose commits may fail.
    pub(crate) fn on_disk(now: &str, schedules: impl IntoIterator<Item = (&'static str, Schedule)>) -> Self {
        let (clock, folder) = (SetClock::new(at(now)), tempfile::tempdir().unwrap());
        let path = folder.path().join("bowline.db");
        let store =
            SqliteStore::open(&path, SqliteOptions::default(), Arc::new(Hands(clock.clone()))).unwrap();
        Self::with(clock, store, Some(folder), schedules)
    }

    fn with(
        clock: Arc<SetClock>,
        store: SqliteStore,
        folder: Option<tempfile::TempDir>,
        schedules: impl IntoIterator<Item = (&'static str, Schedule)>,
    ) -> Self {
        let (store, boards) = (Arc::new(store), Mutex::default());
        let mut machine = Self { clock, store, schedules: vec![], boards, _folder: folder };
        machine.deploy(schedules);
        machine
    }

    /// What the next process knows.
    pub(crate) fn deploy(&mut self, schedules: impl IntoIterator<Item = (&'static str, Schedule)>) {
        let scheduled = |(name, schedule): (&str, Schedule)| Scheduled {
            name: name.to_owned(),
            plan: schedule.plan().unwrap(),
            workflow: "report".into(),
        };
        self.schedules = schedules.into_iter().map(scheduled).collect();
    }

    /// Starts a process, and waits until it sleeps.
    pub(crate) async fn start(&self) -> Process {
        let (board, stopping) = (TriggerBoard::default(), watch::Sender::new(false));
        let store: Arc<dyn Store> = self.store.clone();
        let intake =
            Intake::new(store, Arc::new(Hands(self.clock.clone())), BuildId::from("test"), Arc::new(|| {}));
        let cancelled = Arc::new(Mutex::new(vec![]));
        let (told, by) = (cancelled.clone(), self.store.clone());
        let panics = Arc::new(AtomicBool::new(false));
        let fault = panics.clone();
        let cancel = Arc::new(move |run: RunId, why: String| -> BoxFuture<'static, _> {
            let (told, store, fault) = (told.clone(), by.clone(), fault.clone());
            Box::pin(async move {
                assert!(!fault.load(Ordering::SeqCst), "a fault of the program");
                told.lock().unwrap().push((run, why));
                let found = store.run(run).await?.unwrap();
                let operation = bowline_store::Operation {
                    run,
                    expect: found.state,
                    expect_journal_len: found.journal_len,
                    now: found.changed_at,
                    entries: vec![],
                    to: RunState::Cancelled,
                    ruled: None,
                };
                store.operate(operation).await
            })
        });
        let ticking = run_schedules(intake, &board, self.schedules.clone(), cancel, stopping.subscribe());
        self.boards.lock().unwrap().push(board.clone());
        let before = *self.clock.asleep.borrow();
        let task = tokio::spawn(ticking);
        self.asleep(before + 1).await;
        Process { board, stopping, task, cancelled, panics }
    }

    async fn asleep(&self, count: usize) {
        let mut asleep = self.clock.asleep.subscribe();
        let waited = timeout(PATIENCE, asleep.wait_for(|asleep| *asleep >= count)).await;
        waited.expect("who has nothing to do sleeps").unwrap();
        let is_at_work = || self.boards.lock().unwrap().iter().any(|board| board.at_work() > 0);
        let rest = async {
            while is_at_work() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, rest).await.expect("who is at work comes to an end");
    }

    /// Sets the clock, and waits until everybody sleeps again.
    pub(crate) async fn set(&self, to: Timestamp) {
        let sleepers = *self.clock.asleep.borrow();
        self.clock.set(to);
        self.asleep(sleepers).await;
    }

    pub(crate) fn now(&self) -> Timestamp {
        *self.clock.now.lock().unwrap()
    }

    /// Lets time pass, a minute at a time.
    pub(crate) async fn pass(&self, minutes: i64) {
        for _ in 0..minutes {
            self.set(self.now() + SignedDuration::from_mins(1)).await;
        }
    }

    pub(crate) async fn jump(&self, minutes: i64) {
        self.set(self.now() + SignedDuration::from_mins(minutes)).await;
    }

    /// All runs, the older first.
    pub(crate) async fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = vec![];
        loop {
            let before = runs.last().map(|run| run.id);
            let page =
                self.store.runs(RunFilter { limit: 1000, before, ..RunFilter::default() }).await.unwrap();
            if page.is_empty() {
                runs.reverse();
                return runs;
            }
            runs.extend(page);
        }
    }

    /// The instants of all ticks that started a run, in the order of their runs.
    pub(crate) async fn ticks(&self) -> Vec<String> {
        let mut ticks = vec![];
        for run in self.runs().await {
            ticks.push(self.store.event(run.event).await.unwrap().unwrap().dedupe_key);
        }
        ticks
    }

    pub(crate) async fn cursor(&self, schedule: &str) -> Option<String> {
        self.store.cursor(&format!("schedule/{schedule}")).await.unwrap()
    }
}

/// A process that ticks. Dropped it dies.
pub(crate) struct Process {
    pub(crate) board: TriggerBoard,
    stopping: watch::Sender<bool>,
    task: JoinHandle<()>,
    pub(crate) cancelled: Arc<Mutex<Vec<(RunId, String)>>>,
    /// Whether what cancels runs panics.
    pub(crate) panics: Arc<AtomicBool>,
}

impl Process {
    pub(crate) fn shown(&self) -> TriggerState {
        self.board.all().remove(0)
    }

    pub(crate) async fn stop(mut self) {
        self.stopping.send_replace(true);
        timeout(PATIENCE, &mut self.task).await.expect("a stop ends").unwrap();
    }

    /// As `kill -9`.
    pub(crate) async fn kill(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.task.abort();
    }
}
