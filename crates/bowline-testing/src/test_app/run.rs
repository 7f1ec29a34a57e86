//! One run, as a test sees it.

use std::fmt;

use bowline::cli::render;
use bowline_dashboard::{Payloads, RunView};
use bowline_model::{DeadReason, Entry, EntryKind, Event, Run, RunId, RunState};
use bowline_store::Store;
use serde::de::DeserializeOwned;

use super::{TestApp, quiet::Door};

/// A run of an app under test.
pub struct TestRun<'a, S: Send + Sync + 'static> {
    app: &'a TestApp<S>,
    id: RunId,
}

impl<S: Send + Sync + 'static> Clone for TestRun<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Send + Sync + 'static> Copy for TestRun<'_, S> {}

impl<'a, S: Send + Sync + 'static> TestRun<'a, S> {
    pub(super) fn new(app: &'a TestApp<S>, id: RunId) -> Self {
        Self { app, id }
    }

    /// Its id.
    pub fn id(self) -> RunId {
        self.id
    }

    /// Lets time skip until the run has ended: completed, cancelled, or a dead letter. Everything else happens at its
    /// time meanwhile.
    ///
    /// # Panics
    /// With the run's timeline: after 60 days of the test's clock, or after 60 s of real time in which the run waited
    /// for something that is neither a mock system nor the clock.
    #[track_caller]
    pub fn end(self) -> Self {
        let what = format!("run {} does not end", self.id);
        self.app.skip_until(&what, Door::Free, || !self.row().state.is_open());
        self
    }

    /// Where it stands.
    pub fn state(self) -> RunState {
        self.row().state
    }

    /// What it returned.
    ///
    /// # Panics
    /// With its timeline, if it has not completed, or returned something else.
    #[track_caller]
    pub fn output<T: DeserializeOwned>(self) -> T {
        let journal = self.journal();
        let end = journal.iter().rev().find(|entry| entry.kind == EntryKind::Completed);
        let Some(payload) = end.and_then(|entry| entry.payload.as_ref()) else {
            panic!("run {} is {} and has no output\n{}", self.id, self.state(), self.timeline());
        };
        payload.decode().unwrap_or_else(|error| {
            let output = String::from_utf8_lossy(payload.as_bytes());
            panic!("run {} returned {output}, which does not fit: {error}", self.id)
        })
    }

    /// Why it is a dead letter.
    pub fn dead_reason(self) -> Option<DeadReason> {
        self.row().dead_reason
    }

    /// Why it is a dead letter, in one line.
    pub fn summary(self) -> Option<String> {
        self.row().summary
    }

    /// What the store has of it.
    ///
    /// # Panics
    /// If there is no such run.
    #[track_caller]
    pub fn row(self) -> Run {
        let run = self.app.read(self.app.world.disk.reads().run(self.id));
        run.unwrap_or_else(|| panic!("there is no run {}", self.id))
    }

    /// The event that started it.
    ///
    /// # Panics
    /// If there is no such run.
    #[track_caller]
    pub fn event(self) -> Event {
        let event = self.app.read(self.app.world.disk.reads().event(self.row().event));
        event.expect("a run's event is there as long as the run")
    }

    /// Its journal.
    pub fn journal(self) -> Vec<Entry> {
        self.app.read(self.app.world.disk.reads().journal(self.id))
    }

    /// Its timeline, as `show` draws it.
    pub fn timeline(self) -> String {
        let (disk, row) = (self.app.world.disk.reads(), self.row());
        let (view, _) = self.app.read(RunView::read(disk, &row, Payloads::Shown));
        render::timeline(&view, render::Paint::Plain)
    }
}

impl<S: Send + Sync + 'static> fmt::Debug for TestRun<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestRun").field("id", &self.id).field("state", &self.state()).finish()
    }
}
