//! One life of an app under test: its process, and the disk as that process sees it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bowline::{App, OpenOptions};
use bowline_model::{BuildId, Variables};

use super::{
    clock::ClockHandle,
    disk::DiskOfProcess,
    process::{NoAnswer, Process, ping},
    world::World,
};

/// What the journal calls the build of an app under test.
const BUILD: &str = "test";

/// What the tokens of an app under test are sealed with: 32 bytes that everybody knows.
const TOKEN_KEY: &str = "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b";

/// What surrounds an app under test, but for its store.
pub(crate) fn surroundings(variables: &Arc<BTreeMap<String, String>>, world: &World) -> OpenOptions {
    let (mocks, variables) = (world.mocks.clone(), variables.clone());
    // Sealed as in production, so that a crash loses of a token what it would lose there.
    let key = |name: &str| (name == "BOWLINE_TOKEN_KEY").then(|| TOKEN_KEY.to_owned());
    OpenOptions::default()
        .variables(
            Variables::new(move |name| variables.get(name).cloned().or_else(|| key(name))).with_stand_ins(),
        )
        .clock(Arc::new(ClockHandle(world.clock.clone())))
        .build(BuildId::from(BUILD))
        .divert(move |api| Some(mocks.url(api)))
        .without_housekeeping()
}

pub(crate) struct Life<S> {
    pub(crate) process: Process<S>,
    pub(crate) disk: Arc<DiskOfProcess>,
}

/// What goes on in the world at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Parts of the engine at work.
    pub(crate) busy: usize,
    /// Calls of the store under way.
    pub(crate) calls: usize,
    /// Attempts under way.
    pub(crate) attempts: usize,
    /// Requests that mocks keep waiting.
    pub(crate) held: usize,
    /// Who sleeps for a span of time.
    pub(crate) spans: usize,
}

impl Look {
    /// Whether something goes on that needs neither time nor an answer.
    pub(crate) fn is_moving(self) -> bool {
        self.busy > 0 || self.calls > 0
    }

    /// Whether every attempt is a request that a mock keeps waiting.
    pub(crate) fn all_held(self) -> bool {
        self.attempts == self.held
    }

    /// Sleepers that are neither the engine's (one, and one for each attempt) nor `others`: calls sleep until their
    /// time is over, and between two attempts of their own.
    pub(crate) fn calls_asleep(self, others: usize) -> usize {
        const OF_DISPATCHER: usize = 1;
        self.spans.saturating_sub(OF_DISPATCHER + self.attempts + others)
    }
}

impl<S: Send + Sync + 'static> Life<S> {
    /// Starts a process whose wall clock is that much ahead of the test's.
    ///
    /// # Panics
    /// If the app cannot be opened, with all that is wrong with it.
    pub(crate) fn begin(
        ahead: Duration,
        app: &Arc<App<S>>,
        variables: &Arc<BTreeMap<String, String>>,
        world: &World,
    ) -> Self {
        let disk = world.disk.for_process();
        let options = surroundings(variables, world).store(disk.clone());
        world.clock.wall().begin(ahead);
        match Process::start(world.clock.wall(), app, options) {
            Ok(Ok(process)) => Self { process, disk },
            Ok(Err(error)) => panic!("the app cannot be opened: {error}"),
            Err(NoAnswer::Late) => panic!("the app is not open after {:?}", super::waiting::PATIENCE),
            Err(NoAnswer::Gone) => panic!("the app's set-up panicked; see its message above"),
        }
    }

    /// Whether something in it starts runs by itself.
    pub(crate) fn has_triggers(&self) -> bool {
        !self.process.app().triggers().is_empty()
    }

    pub(crate) fn look(&self, world: &World) -> Look {
        let progress = self.process.app().progress();
        Look {
            busy: progress.busy,
            calls: self.disk.calls(),
            attempts: progress.attempts,
            held: world.gauge.held(),
            spans: world.clock.spans(),
        }
    }

    /// Lets everything run that is ready, in the process and in the mock systems.
    pub(crate) fn ping(&self, world: &World) -> Result<(), NoAnswer> {
        ping(self.process.handle())?;
        ping(world.mocks.host().handle())?;
        ping(self.process.handle())
    }

    /// Whether it has met its end.
    pub(crate) fn is_dead(&self) -> bool {
        self.disk.is_dead()
    }

    /// As `kill -9`.
    ///
    /// # Panics
    /// If code of the app does not yield, so that its thread cannot end.
    pub(crate) fn kill(&self) {
        self.disk.die();
        assert!(
            self.process.kill(),
            "the app's process cannot be killed: code of a workflow or of a step's closure has kept its thread busy \
             for {:?} without an await; move blocking work to tokio::task::spawn_blocking",
            super::waiting::PATIENCE
        );
    }
}
