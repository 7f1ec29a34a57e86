//! An app under test: in memory, with mock systems for its Apis, and a clock that skips.
//!
//! What comes in: the same [`App`] that `main` serves, and what its senders would send. What goes out: real requests to
//! mock systems on loopback, recorded; runs, their ends and their timelines. What must never happen here: a wait by the
//! machine's clock for something that only time brings, a variable of the machine's environment, a call to a real remote.
//!
//! | Module | Story |
//! |---|---|
//! | `world` | what outlives a process: disk, clock, mock systems |
//! | `life`, `process` | one process of the app, and how it is killed |
//! | `disk` | the store that sees every write, and the moments at which a process may die |
//! | `clock` | a clock that stands still |
//! | `wall` | the same time on the wall clock of the app's process |
//! | `quiet` | when nothing can happen until time moves |
//! | `sending`, `reply` | what senders send, and what they are answered |
//! | `run` | one run, as a test sees it |
//! | `operate` | what operators do |

mod clock;
mod disk;
mod life;
mod operate;
mod process;
mod quiet;
mod reply;
mod run;
mod sending;
mod waiting;
mod wall;
mod world;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bowline::{App, TriggerState, Workflow};
use bowline_ingress::Route;
use bowline_model::{RunId, RunState};
use bowline_store::{RunFilter, Store};
use jiff::Timestamp;
use serde::Serialize;
use tokio::task::JoinHandle;

use self::{
    disk::When,
    life::Life,
    quiet::Door,
    waiting::{PATIENCE, wait_for},
    world::World,
};
use crate::MockSystem;

pub(crate) use self::{
    clock::ClockHandle,
    disk::{Moment, What, step_name},
    wall::MOVES as WALL_MOVES,
};
pub use self::{reply::Reply, run::TestRun};

/// Who is not answered within this real time waits for something, perhaps for time to pass.
const ANSWERED_AT_ONCE: Duration = Duration::from_millis(2);

/// An app under test. Everything about it is in memory and its own: tests run side by side.
///
/// Each Api of the app is a [`MockSystem`] of the same name, reached over real HTTP on loopback. Required variables that
/// the test does not set have stand-ins. The time begins at 2026-09-21T12:00:00Z and stands still: it skips where a test
/// waits for a run's [`end`](TestRun::end), or moves by [`advance`](Self::advance). On 64-bit Linux the wall clock that
/// the app's own code reads shows the same time (threads that the app starts by `std::thread` keep that of their start);
/// the test's thread has the machine's. Works in a plain `#[test]` and inside
/// an async one.
///
/// ```
/// use bowline::prelude::*;
/// use bowline_testing::{Answer, TestApp};
/// use serde_json::json;
///
/// struct Shop { crm: Api }
/// impl Shop {
///     async fn welcome(self: Arc<Self>, cx: Context, email: String) -> Result<u64> {
///         let contact: serde_json::Value =
///             cx.step("create contact", self.crm.post("/contacts").json(&email).decode()).await?;
///         Ok(contact["id"].as_u64().unwrap_or_default())
///     }
/// }
///
/// let welcome = workflow("welcome", Shop::welcome);
/// let app = TestApp::new(
///     App::new("shop", |setup| Shop { crm: setup.api("crm").base_url_env("CRM_BASE_URL") }).workflow(welcome.clone()),
/// );
/// app.mock("crm").answer(Answer::json(201, json!({"id": 7})));
/// app.mock("crm").fail_next(2, 503);
///
/// let run = app.start(&welcome, &"ada@example.com".to_owned()).end();
/// assert_eq!(run.output::<u64>(), 7);
/// assert_eq!(app.mock("crm").count(), 3);
/// ```
pub struct TestApp<S: Send + Sync + 'static> {
    app: Arc<App<S>>,
    variables: Arc<BTreeMap<String, String>>,
    world: World,
    mocks: BTreeMap<String, Arc<MockSystem>>,
    life: Mutex<Arc<Life<S>>>,
    /// How far the wall clocks of the processes after the first are ahead.
    next_ahead: Duration,
    /// Where senders send, looked up when the first one does.
    routes: OnceLock<Vec<Route>>,
    /// How many events and starts were named by the test.
    named: AtomicU32,
}

/// An app under test in the making.
#[must_use = "build it"]
pub struct TestAppBuilder<S> {
    app: App<S>,
    variables: BTreeMap<String, String>,
    next_ahead: Duration,
}

impl<S: Send + Sync + 'static> TestAppBuilder<S> {
    /// Sets a variable of the app's environment. Those of the machine are never read.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// How far the wall clocks of the processes after the first are ahead of the test's clock.
    pub(crate) fn next_processes(mut self, ahead: Duration) -> Self {
        self.next_ahead = ahead;
        self
    }

    /// Opens the app.
    ///
    /// # Panics
    /// If it cannot be opened, with all that is wrong with it.
    pub fn build(self) -> TestApp<S> {
        let (app, variables) = (Arc::new(self.app), Arc::new(self.variables));
        let world = World::new();
        let life = Life::begin(Duration::ZERO, &app, &variables, &world);
        let mocks = world.mocks.all();
        TestApp {
            app,
            variables,
            world,
            mocks,
            life: Mutex::new(Arc::new(life)),
            next_ahead: self.next_ahead,
            routes: OnceLock::new(),
            named: AtomicU32::new(0),
        }
    }
}

impl<S> fmt::Debug for TestAppBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestAppBuilder").field("app", &self.app).finish_non_exhaustive()
    }
}

impl<S: Send + Sync + 'static> TestApp<S> {
    /// Opens the app, in memory.
    ///
    /// # Panics
    /// If it cannot be opened, with all that is wrong with it.
    pub fn new(app: App<S>) -> Self {
        Self::with(app).build()
    }

    /// As [`new`](Self::new), with something more to say first.
    pub fn with(app: App<S>) -> TestAppBuilder<S> {
        TestAppBuilder { app, variables: BTreeMap::new(), next_ahead: Duration::ZERO }
    }

    /// The mock system that answers for the Api of that name.
    ///
    /// # Panics
    /// If the app has no such Api; says which it has.
    #[track_caller]
    pub fn mock(&self, name: &str) -> &MockSystem {
        let known = || self.mocks.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        match self.mocks.get(name) {
            Some(mock) => mock,
            None if self.mocks.is_empty() => panic!("this app has no Api {name:?}: it has none at all"),
            None => panic!("this app has no Api {name:?}; it has {}", known()),
        }
    }

    /// Every mock system.
    pub fn mocks(&self) -> impl Iterator<Item = &MockSystem> {
        self.mocks.values().map(|mock| &**mock)
    }

    /// The time of the test's clock.
    pub fn now(&self) -> Timestamp {
        self.world.clock.time()
    }

    /// Lets that much time pass. What is due on the way happens at its time, one thing after the other.
    ///
    /// # Panics
    /// If the app is at work for 60 s of real time.
    #[track_caller]
    pub fn advance(&self, by: Duration) {
        self.pass(by);
    }

    /// As [`advance`](Self::advance), for apps whose time brings events: their schedules tick on the way, each at its
    /// time, and the runs go as far as they can. Answers the runs that were started meanwhile, the older first.
    ///
    /// ```
    /// use bowline::{prelude::*, time::hours};
    /// use bowline_testing::TestApp;
    ///
    /// struct Reports;
    /// impl Reports {
    ///     async fn nightly(self: Arc<Self>, _cx: Context, tick: Tick) -> Result<String> {
    ///         Ok(tick.at.to_string())
    ///     }
    /// }
    ///
    /// // The test's clock begins at 2026-09-21T12:00:00Z.
    /// let nightly = Schedule::cron("30 3 * * *").zone("Europe/Berlin");
    /// let app = TestApp::new(
    ///     App::new("reports", |_| Reports).schedule("nightly report", nightly, workflow("report", Reports::nightly)),
    /// );
    /// let runs = app.skip(hours(24));
    /// assert_eq!(runs.len(), 1);
    /// assert_eq!(runs[0].output::<String>(), "2026-09-22T01:30:00Z");
    /// ```
    ///
    /// # Panics
    /// As [`advance`](Self::advance).
    #[track_caller]
    pub fn skip(&self, by: Duration) -> Vec<TestRun<'_, S>> {
        self.settle();
        let newest = self.runs().last().map(|run| run.id());
        self.pass(by);
        self.runs().into_iter().filter(|run| Some(run.id()) > newest).collect()
    }

    /// Lets everything happen that can happen now, without time passing.
    ///
    /// # Panics
    /// If something else than time or a mock system is waited for, for 60 s of real time.
    #[track_caller]
    pub fn settle(&self) {
        self.come_to_rest();
    }

    /// Starts a run as the program itself would ([`OpenApp::start`](bowline::OpenApp::start)).
    ///
    /// # Panics
    /// If it cannot be started; says why.
    #[track_caller]
    pub fn start<I, O>(&self, workflow: &Workflow<S, I, O>, input: &I) -> TestRun<'_, S>
    where
        I: Serialize,
        O: Send + 'static,
    {
        let key = format!("start {}", self.next_name());
        // After a crash it is started again under the same key, as a program does.
        let started = self.ask("a start was not answered", |life| {
            let start = life.process.app().start(workflow, input).dedupe(key.clone());
            life.process.handle().spawn(async move { start.await.map(|run| run.id()) })
        });
        match started {
            Ok(run) => self.run(run),
            Err(error) => panic!("workflow {} cannot be started: {error}", workflow.name()),
        }
    }

    /// A run by its id.
    pub fn run(&self, id: RunId) -> TestRun<'_, S> {
        TestRun::new(self, id)
    }

    /// All runs, the older first.
    pub fn runs(&self) -> Vec<TestRun<'_, S>> {
        let filter = RunFilter { limit: bowline_store::store::RUNS_PAGE_MAX, ..RunFilter::default() };
        let mut runs = self.read(self.world.disk.reads().runs(filter));
        runs.reverse();
        runs.iter().map(|run| self.run(run.id)).collect()
    }

    /// The dead letters, the older first.
    pub fn dead(&self) -> Vec<TestRun<'_, S>> {
        self.runs().into_iter().filter(|run| run.state() == RunState::DeadLettered).collect()
    }

    /// Kills the app's process, and starts another: what was not on disk is forgotten, what was goes on.
    pub fn crash(&self) {
        let life = self.life();
        life.kill();
        self.alive();
    }

    /// Kills the app's process as soon as the outcome of that step is on disk, once; another is started. The crash comes
    /// while the test sends, settles, advances or waits for an end.
    ///
    /// # Panics
    /// At the end of the test, if no such outcome was recorded.
    pub fn crash_after(&self, step: &str) {
        self.world.disk.die_at_step(When::After, step);
    }

    /// Kills the app's process when that step's effect has happened and its outcome is not on disk yet, once; another
    /// is started.
    ///
    /// # Panics
    /// At the end of the test, if it never came to that.
    pub fn crash_before_recording(&self, step: &str) {
        self.world.disk.die_at_step(When::Before, step);
    }

    /// How the app's schedules, polls and inboxes do, since its process was last started.
    pub fn triggers(&self) -> Vec<TriggerState> {
        self.alive().process.app().triggers()
    }

    /// The timelines of all runs, as `show` draws them.
    pub fn timelines(&self) -> String {
        let timelines: Vec<String> = self.runs().iter().map(|run| run.timeline()).collect();
        if timelines.is_empty() { "there is no run\n".to_owned() } else { timelines.join("\n") }
    }

    /// Numbers what the test gives a name.
    fn next_name(&self) -> u32 {
        self.named.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Something was put on the disk behind the app's back.
    pub(crate) fn poke(&self) {
        self.alive().process.app().poke();
    }

    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    fn life(&self) -> Arc<Life<S>> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The process that lives; a dead one is followed by another.
    fn alive(&self) -> Arc<Life<S>> {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        if life.is_dead() {
            life.kill();
            self.world.clock.forget_draws();
            self.mocks().for_each(MockSystem::process_died);
            // What the dead one had sent to the store before its death is written before the next one looks.
            let _ = wait_for(self.world.disk.reads().counts(self.now()), PATIENCE);
            *life = Arc::new(Life::begin(self.next_ahead, &self.app, &self.variables, &self.world));
        }
        life.clone()
    }

    /// Asks the app for something, and again if its process died before the answer.
    #[track_caller]
    fn ask<T: Send + 'static>(&self, what: &str, ask: impl Fn(&Life<S>) -> JoinHandle<T>) -> T {
        self.world.clock.begin_draws();
        loop {
            if let Some(answer) = self.ask_once(what, &ask) {
                return answer;
            }
            // Who asks again does so later than the next process goes on with what it finds.
            self.pause();
        }
    }

    /// Asks the app for something; `None` if its process died before the answer.
    #[track_caller]
    fn ask_once<T: Send + 'static>(&self, what: &str, ask: impl Fn(&Life<S>) -> JoinHandle<T>) -> Option<T> {
        let life = self.alive();
        let mut task = ask(&life);
        if let Some(Ok(answer)) = wait_for(&mut task, ANSWERED_AT_ONCE) {
            return Some(answer);
        }
        let is_over = || task.is_finished() || !Arc::ptr_eq(&life, &self.life());
        self.skip_until(what, Door::Waited, is_over);
        let has_died = life.is_dead();
        match wait_for(task, PATIENCE) {
            Some(Ok(answer)) => Some(answer),
            _ if has_died => None,
            Some(Err(_)) | None => panic!("{what}: the app panicked, see its message above"),
        }
    }
}

/// What was planned must have come.
impl<S: Send + Sync + 'static> Drop for TestApp<S> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        if let Some(step) = self.world.disk.step_to_die_at() {
            panic!("the crash at the step \"{step}\" never came: it was not recorded\n{}", self.timelines());
        }
    }
}

impl<S: Send + Sync + 'static> fmt::Debug for TestApp<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestApp").field("app", &self.app).field("now", &self.now()).finish_non_exhaustive()
    }
}
