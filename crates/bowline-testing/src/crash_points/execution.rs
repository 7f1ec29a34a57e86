//! One execution of a scenario, with a crash somewhere or with none, and what came of it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use bowline::App;
use bowline_model::{DeadReason, Entry, EntryKind, Family, Fingerprint, RunState};
use serde_json::Value;

use super::{
    effects::{Effect, KeyReused, effects},
    hush::hushed,
};
use crate::{
    TestApp,
    test_app::{Moment, step_name},
};

/// What came of one execution.
pub(super) struct Execution<T> {
    /// What the scenario returned, or the message with which it panicked.
    pub(super) result: Result<T, String>,
    pub(super) effects: Vec<Effect>,
    pub(super) reused: Vec<KeyReused>,
    pub(super) runs: Vec<RunEnd>,
    /// Where the process died.
    pub(super) died: Option<Moment>,
    /// The moments at which it could have died.
    pub(super) moments: usize,
    /// The addresses of the mock systems, by name.
    pub(super) addresses: Vec<(String, String)>,
}

/// How a run ended.
pub(super) struct RunEnd {
    pub(super) workflow: String,
    pub(super) state: RunState,
    pub(super) reason: Option<DeadReason>,
    pub(super) summary: Option<String>,
    pub(super) output: Option<Value>,
    pub(super) journal: Vec<Entry>,
    pub(super) timeline: String,
}

/// Where an execution's process dies.
#[derive(Debug, Clone)]
pub(super) enum Crash {
    Never,
    /// At that moment; the next process's wall clock is that much ahead.
    At(usize, Duration),
}

pub(super) fn execute<S: Send + Sync + 'static, T>(
    app: App<S>,
    scenario: &impl Fn(&TestApp<S>) -> T,
    crash: &Crash,
) -> Execution<T> {
    let ahead = match crash {
        Crash::Never => Duration::ZERO,
        Crash::At(_, ahead) => *ahead,
    };
    let app = TestApp::with(app).next_processes(ahead).build();
    for mock in app.mocks() {
        mock.expect_anything();
        mock.remember_keys();
    }
    let moment = match crash {
        Crash::Never => usize::MAX,
        Crash::At(moment, _) => *moment,
    };
    app.world().disk.die_at(moment);
    let run = || {
        let result = scenario(&app);
        app.settle();
        result
    };
    let result = match crash {
        // It must pass without a crash: its own panic says best why it does not.
        Crash::Never => Ok(run()),
        Crash::At(..) => hushed(|| catch_unwind(AssertUnwindSafe(run))),
    };
    collect(&app, result, moment)
}

fn collect<S: Send + Sync + 'static, T>(
    app: &TestApp<S>,
    result: Result<T, String>,
    moment: usize,
) -> Execution<T> {
    let (effects, reused) = effects(app.mocks());
    let runs = app.runs().into_iter().map(|run| {
        let (row, journal) = (run.row(), run.journal());
        let end = journal.iter().rev().find(|entry| entry.kind == EntryKind::Completed);
        RunEnd {
            workflow: row.workflow.to_string(),
            state: row.state,
            reason: row.dead_reason,
            summary: row.summary,
            output: end.and_then(|end| end.payload.as_ref()?.decode().ok()),
            journal,
            timeline: run.timeline(),
        }
    });
    let moments = app.world().disk.moments();
    Execution {
        result,
        effects,
        reused,
        runs: runs.collect(),
        died: moments.get(moment).cloned(),
        moments: moments.len(),
        addresses: app.mocks().map(|mock| (mock.name().to_owned(), mock.url())).collect(),
    }
}

impl<T> Execution<T> {
    /// The calls that a step recorded, whatever came of them.
    pub(super) fn recorded(&self) -> impl Iterator<Item = &Fingerprint> {
        let entries = self.runs.iter().flat_map(|run| &run.journal);
        entries
            .filter(|entry| entry.kind != EntryKind::Dropped)
            .filter_map(|entry| entry.meta.fingerprint.as_ref())
    }

    /// The steps that ran closures, as people read them.
    pub(super) fn closures(&self) -> Vec<String> {
        let entries = self.runs.iter().flat_map(|run| &run.journal);
        let closures =
            entries.filter(|entry| entry.key.family == Family::Step && entry.meta.fingerprint.is_none());
        closures.map(|entry| step_name(&entry.key)).collect()
    }

    /// Whether a run has a loop, whose ended items leave nothing in the journal.
    pub(super) fn has_loops(&self) -> bool {
        let of_loop = |entry: &Entry| matches!(entry.kind, EntryKind::Items | EntryKind::Looped);
        self.runs.iter().any(|run| run.journal.iter().any(of_loop))
    }

    /// Whether a step ran a closure.
    pub(super) fn has_closures(&self) -> bool {
        !self.closures().is_empty()
    }

    /// The calls of steps that the code dropped: they may have been sent or not.
    pub(super) fn dropped(&self) -> impl Iterator<Item = &Fingerprint> {
        let entries = self.runs.iter().flat_map(|run| &run.journal);
        entries
            .filter(|entry| entry.kind == EntryKind::Dropped)
            .filter_map(|entry| entry.meta.fingerprint.as_ref())
    }
}
