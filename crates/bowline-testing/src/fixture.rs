//! Runs of production, replayed against today's code.
//!
//! What comes in: the file that `export RUN` wrote, and an app. What goes out: nothing, or a panic that shows where today's
//! code no longer fits what the run recorded. What must never happen here: an answer to a call that is not recorded.

use std::{fmt::Write, path::Path, time::Duration};

use bowline::App;
use bowline_dashboard::export::Fixture;
use bowline_ingress::draw_key_seed;
use bowline_model::{
    DeadReason, Entry, EntryKind, Event, Gather, NewEvent, NewRun, RunFlow, RunId, RunState,
};
use bowline_store::{Accepted, Batch, Store};
use jiff::Timestamp;

use crate::{
    Answer, Recorded, TestApp,
    crash_points::diff::diff,
    mock::list,
    test_app::{ClockHandle, TestAppBuilder},
};

/// Replays an exported run against today's code: its event and its recorded journal are given to the app's workflow. Passes
/// if the code takes all that is recorded, does nothing else, and ends as the run did; what the run had not done when it was
/// exported is not looked at.
///
/// `path` counts from the package's folder. The file is what the app's command `export RUN --out FILE` writes; it holds the
/// event's body and the results of the steps, so look at it before it goes into a repository.
///
/// ```no_run
/// # fn app() -> bowline::App<()> { bowline::App::new("shop", |_| ()) }
/// use bowline_testing::replay_fixture;
///
/// #[test]
/// fn yesterdays_run_still_fits() {
///     replay_fixture(app(), "tests/fixtures/run-17.json");
/// }
/// ```
///
/// # Panics
/// With what differs, and the run's timeline. If the file cannot be read, or is no exported run.
#[track_caller]
pub fn replay_fixture<S: Send + Sync + 'static>(app: App<S>, path: impl AsRef<Path>) {
    TestApp::with(app).replay_fixture(path);
}

impl<S: Send + Sync + 'static> TestAppBuilder<S> {
    /// As [`replay_fixture`](crate::replay_fixture()), for an app with variables.
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn replay_fixture(self, path: impl AsRef<Path>) {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .unwrap_or_else(|error| panic!("the fixture {} cannot be read: {error}", path.display()));
        let fixture =
            Fixture::read(&text).unwrap_or_else(|error| panic!("the fixture {}: {error}", path.display()));
        let app = self.build();
        let differences = replay(&app, &fixture);
        assert!(
            differences.is_empty(),
            "{}: run {} ({}, by build {}) no longer fits today's code:\n{differences}\n{}",
            path.display(),
            fixture.run.id,
            fixture.run.workflow,
            fixture.run.build,
            app.timelines()
        );
    }
}

/// Longer than the pause between two attempts.
const ATTEMPTS_WITHIN: Duration = Duration::from_secs(3600);

fn replay<S: Send + Sync + 'static>(app: &TestApp<S>, fixture: &Fixture) -> String {
    // Whatever comes is not recorded: it is seen, and never answered.
    app.mocks().for_each(|mock| mock.answer(Answer::hang()));
    let recorded = without_end(fixture.entries());
    let times =
        recorded.iter().map(|entry| entry.at).chain([fixture.event.received_at, fixture.run.created_at]);
    app.world().clock.set(times.max().unwrap_or(Timestamp::MIN));
    let run = put(app, fixture, recorded.clone());
    app.poke();
    app.settle();
    if app.run(run).state() == RunState::Waiting && expects_end(fixture).is_some() {
        // It waits for the next attempt at something that the run never tried again.
        app.advance(ATTEMPTS_WITHIN);
    }
    let requests: Vec<Recorded> = app.mocks().flat_map(|mock| mock.requests()).collect();
    compare(app, fixture, run, recorded.len(), &requests)
}

/// The journal without the end that the run had.
fn without_end(mut journal: Vec<Entry>) -> Vec<Entry> {
    if journal.last().is_some_and(|entry| entry.kind.is_end()) {
        journal.pop();
    }
    journal
}

/// How the code must end, if the record goes as far as that.
fn expects_end(fixture: &Fixture) -> Option<RunState> {
    match (fixture.run.state, fixture.run.dead_reason) {
        (RunState::Completed, _) => Some(RunState::Completed),
        (RunState::DeadLettered, Some(DeadReason::Failed)) => Some(RunState::DeadLettered),
        // Parked, or stopped from outside: the record says nothing of what the code would have done next.
        (RunState::DeadLettered | RunState::Cancelled, _) => None,
        (RunState::Queued | RunState::Running | RunState::Waiting, _) => None,
    }
}

fn put<S: Send + Sync + 'static>(app: &TestApp<S>, fixture: &Fixture, journal: Vec<Entry>) -> RunId {
    let (taken, gather) = match &fixture.batch[..] {
        [] => (std::slice::from_ref(&fixture.event), None),
        batch => {
            let events_max = u32::try_from(batch.len()).unwrap_or(u32::MAX);
            // The last of them lets it go.
            (batch, Some(Gather::Batch { key: "fixture".to_owned(), events_max, wait: ATTEMPTS_WITHIN }))
        }
    };
    let run = NewRun {
        workflow: fixture.run.workflow.clone(),
        key: None,
        priority: 0,
        parent: None,
        replay_of: None,
        build: fixture.run.build.clone(),
        // Nothing is sent under its keys.
        key_seed: draw_key_seed(&ClockHandle(app.world().clock.clone())),
        due: None,
        flow: RunFlow { gather, ..RunFlow::default() },
        journal,
    };
    let events = taken.iter().map(|event| new_event(event.clone(), run.clone()));
    let batch = Batch { events: events.collect(), ..Batch::default() };
    let accepted = app.read(app.world().disk.reads().accept(batch));
    let runs = accepted.into_iter().flat_map(|accepted| match accepted {
        Accepted::New { runs, .. } | Accepted::Duplicate { runs, .. } => runs,
    });
    runs.last().expect("an event with a run has a run")
}

fn new_event(event: Event, run: NewRun) -> NewEvent {
    NewEvent {
        source: event.source,
        provider: event.provider,
        kind: event.kind,
        dedupe_key: event.dedupe_key,
        dedupe_until: event.received_at,
        received_at: event.received_at,
        headers: event.headers,
        body: event.body,
        input_pointer: event.input_pointer,
        runs: vec![run],
    }
}

/// What differs, as people read it; empty if nothing does.
fn compare<S: Send + Sync + 'static>(
    app: &TestApp<S>,
    fixture: &Fixture,
    run: RunId,
    recorded: usize,
    requests: &[Recorded],
) -> String {
    let (row, journal) = (app.run(run).row(), app.run(run).journal());
    let new = journal.get(recorded..).unwrap_or_default();
    let mut text = String::new();
    if matches!(
        row.dead_reason,
        Some(DeadReason::Mismatch | DeadReason::UnknownWorkflow | DeadReason::Malformed)
    ) {
        let _ = writeln!(text, "{}", row.summary.unwrap_or_default());
        return text;
    }
    let Some(end) = expects_end(fixture) else { return text };
    if !requests.is_empty() {
        let _ = write!(text, "it calls what the run never called:\n{}", list(requests));
    }
    for entry in new.iter().filter(|entry| entry.kind.is_delivered()) {
        let _ = writeln!(text, "it asks for what the run never asked for: {}", told(entry));
    }
    if !text.is_empty() {
        return text;
    }
    if row.state != end {
        let why = row.summary.map(|summary| format!(": {summary}")).unwrap_or_default();
        let _ = writeln!(text, "it is {}{why}; the run was {end}", row.state);
        return text;
    }
    let ended = |entries: &[Entry]| entries.last().map(end_text).unwrap_or_default();
    let (then, now) = (ended(&fixture.entries()), ended(new));
    if then != now {
        let _ = write!(text, "it ends with something else:\n{}", diff(&then, &now));
    }
    text
}

fn told(entry: &Entry) -> String {
    match &entry.meta.fingerprint {
        Some(call) => format!("step {} ({call})", entry.key),
        None if entry.kind == EntryKind::Value => format!("cx.{}()", entry.key.name),
        None => format!("step {}", entry.key),
    }
}

/// What an end holds: the output, or the failure.
fn end_text(end: &Entry) -> String {
    if let Some(output) = end.payload.as_ref().and_then(|payload| payload.decode::<serde_json::Value>().ok())
    {
        return format!("{}\n", serde_json::to_string_pretty(&output).expect("JSON can be written"));
    }
    end.meta.failure.as_ref().map(|failure| format!("{failure}\n")).unwrap_or_default()
}

impl<S: Send + Sync + 'static> TestApp<S> {
    /// The run as a fixture: what `export` writes of a run in production.
    ///
    /// # Panics
    /// If there is no such run.
    #[track_caller]
    pub fn export(&self, run: RunId) -> String {
        let exported = self.read(Fixture::export(self.world().disk.reads(), "test", run));
        exported.unwrap_or_else(|| panic!("there is no run {run}")).to_json()
    }
}
