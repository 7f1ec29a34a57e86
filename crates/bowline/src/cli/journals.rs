//! `check --journals`: whether the runs under way fit this build, before it takes work.
//!
//! What comes in: this build's workflows, and the store's file, read beside the server that may hold it. What goes out: which
//! runs would not fit, with both sides. What must never happen here: a lock on the store, a write to it, an effect.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bowline_engine::{Fit, Rehearsal};
use bowline_model::{Clock, Run, RunId, RunState, WorkflowName};
use bowline_store::{RunFilter, SqliteReader, StoreError};

use super::{CliContext, Error, Result, args::CheckArgs, print, render};

/// Runs of one look at the store.
const RUNS_PAGE: usize = 256;
/// Journals that are in memory at a time.
const JOURNALS_PAGE: usize = 16;
/// Runs that are named; others are counted.
const NAMED_MAX: usize = 50;

/// What `check --journals` found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fitted {
    /// How many runs of each workflow fit.
    pub workflows: BTreeMap<WorkflowName, Tally>,
    /// The first of those that would be parked.
    pub misfits: Vec<Misfit>,
}

/// How many runs fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Their code asks for all that is recorded.
    pub fit: usize,
    /// They would be parked.
    pub misfit: usize,
    /// They wait for something outside their steps: only a start tells.
    pub unsure: usize,
}

/// A run that would be parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The run.
    pub run: RunId,
    /// Its workflow.
    pub workflow: WorkflowName,
    /// Both sides, and what to do.
    pub why: String,
}

impl Fitted {
    /// How many runs would be parked.
    pub fn misfits(&self) -> usize {
        self.workflows.values().map(|tally| tally.misfit).sum()
    }

    fn note(&mut self, run: &Run, fit: Fit) {
        let tally = self.workflows.entry(run.workflow.clone()).or_default();
        match fit {
            Fit::Fits => tally.fit += 1,
            Fit::Unsure => tally.unsure += 1,
            Fit::Misfit { message, .. } => {
                tally.misfit += 1;
                if self.misfits.len() < NAMED_MAX {
                    self.misfits.push(Misfit { run: run.id, workflow: run.workflow.clone(), why: message });
                }
            }
        }
    }
}

pub(super) async fn check(context: CliContext, args: &CheckArgs) -> Result {
    let rehearsal = (context.rehearse)()?;
    let mut states = vec![RunState::Queued, RunState::Running, RunState::Waiting];
    if args.dead {
        states.push(RunState::DeadLettered);
    }
    let workflow = args.workflow.as_deref().map(WorkflowName::from);
    let fitted = look(&context.store, context.clock, &rehearsal, &states, workflow).await?;
    print(&render::fitted(&fitted, render::Paint::Colour))?;
    match fitted.misfits() {
        0 => Ok(()),
        misfits => Err(misfit(misfits)),
    }
}

/// What is said of runs that do not fit.
pub(crate) fn misfit(runs: usize) -> Error {
    let message = match runs {
        1 => "1 run under way does not fit this build: it would become a dead letter".to_owned(),
        runs => format!("{runs} runs under way do not fit this build: they would become dead letters"),
    };
    Error::new(message).hint(
        "keep the old path for them with cx.changed(\"what changed\") or .was(\"old name\"), or let the build that runs them \
         bring them to their end first",
    )
}

/// Looks at every run in these states, newest first, and a page at a time: what memory it takes does not grow with their
/// number. Where there is no store yet, nothing is under way.
pub(crate) async fn look(
    store: &Path,
    clock: Arc<dyn Clock>,
    rehearsal: &Rehearsal,
    states: &[RunState],
    workflow: Option<WorkflowName>,
) -> Result<Fitted, StoreError> {
    let mut fitted = Fitted::default();
    if !store.exists() {
        return Ok(fitted);
    }
    let reader = SqliteReader::open(store, clock)?;
    let mut before = None;
    loop {
        let filter = RunFilter {
            states: states.to_vec(),
            workflow: workflow.clone(),
            before,
            limit: RUNS_PAGE,
            ..RunFilter::default()
        };
        let runs = reader.runs(filter).await?;
        let Some(last) = runs.last() else { return Ok(fitted) };
        before = Some(last.id);
        for runs in runs.chunks(JOURNALS_PAGE) {
            let histories = reader.histories(runs.iter().map(|run| run.id).collect()).await?;
            for (run, history) in runs.iter().zip(histories) {
                // One that is gone has ended meanwhile, and fits.
                if let Ok(history) = history {
                    fitted.note(run, rehearsal.fits(run, history));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bowline_engine::{Context, Workflow, Workflows};
    use bowline_model::{
        BuildId, Entry, EntryKey, EntryKind, EntryMeta, Family, KeySeed, NewEvent, NewRun, Payload, Position,
        ScopePath, Seq, SystemClock,
    };
    use bowline_store::{Batch, SqliteOptions, SqliteStore, Store};

    use super::*;

    /// A run of `flow` by an old build, which recorded the step `create`; and one that was not begun.
    async fn begun(store: &SqliteStore) {
        begun_by(store, 1).await;
    }

    async fn begun_by(store: &SqliteStore, event: usize) {
        let key = EntryKey {
            family: Family::Step,
            scope: ScopePath::root(),
            name: "create".to_owned(),
            position: Position::Nth(1),
        };
        let now = SystemClock.now();
        let entry = Entry {
            seq: Seq(1),
            kind: EntryKind::StepDone,
            key,
            at: now,
            build: BuildId::from("old"),
            meta: EntryMeta::default(),
            payload: Some(Payload::from_stored("7")),
        };
        let run = |journal| NewRun {
            workflow: "flow".into(),
            key: None,
            priority: 0,
            parent: None,
            replay_of: None,
            build: BuildId::from("old"),
            key_seed: KeySeed(1),
            due: None,
            flow: Default::default(),
            journal,
        };
        let new = NewEvent {
            source: "test".to_owned(),
            provider: "test".to_owned(),
            kind: "test".to_owned(),
            dedupe_key: event.to_string(),
            dedupe_until: now,
            received_at: now,
            headers: vec![],
            body: "null".into(),
            input_pointer: String::new(),
            runs: vec![run(vec![entry]), run(vec![])],
        };
        store.accept(Batch { events: vec![new], ..Batch::default() }).await.unwrap();
    }

    /// What a build whose step is called that says of it.
    async fn meets(store: &Path, step: &'static str) -> Fitted {
        looked(
            store,
            Workflow::new("flow", move |cx: Context, _: Option<u8>| async move {
                cx.step(step, async || -> bowline_model::Result<u64> { panic!("no step runs") }).await
            }),
        )
        .await
    }

    async fn looked(store: &Path, workflow: Workflow) -> Fitted {
        let mut workflows = Workflows::default();
        workflows.insert(workflow);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let rehearsal = Rehearsal::new(workflows, BuildId::from("new"), clock.clone(), "");
        look(store, clock, &rehearsal, &[RunState::Queued], None).await.unwrap()
    }

    #[tokio::test]
    async fn names_what_a_build_cannot_begin_or_has_no_workflow_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bowline.db");
        let store = SqliteStore::open(&path, SqliteOptions::default(), Arc::new(SystemClock)).unwrap();
        begun(&store).await;
        let other_input = Workflow::new("flow", |cx: Context, _: u8| async move {
            cx.step("create", async || -> bowline_model::Result<u64> { panic!("no step runs") }).await
        });
        let other_workflow = Workflow::new("flood", |_: Context, _: Option<u8>| async { Ok(()) });
        for (workflow, why) in [(other_input, "the event does not fit u8"), (other_workflow, "no workflow")] {
            let fitted = looked(&path, workflow).await;
            assert_eq!(fitted.workflows[&"flow".into()], Tally { fit: 0, misfit: 2, unsure: 0 });
            assert!(fitted.misfits.iter().all(|run| run.why.contains(why)), "{:?}", fitted.misfits);
        }
        let never_polled = Workflow::new("flow", |cx: Context, _: Option<u8>| async move {
            assert_eq!(cx.run_id(), RunId(1), "what was not begun is not begun here");
            cx.step("create", async || -> bowline_model::Result<u64> { panic!("no step runs") }).await
        });
        assert_eq!(looked(&path, never_polled).await.workflows[&"flow".into()].fit, 2);
    }

    #[tokio::test]
    async fn looks_at_every_page_of_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bowline.db");
        let store = SqliteStore::open(&path, SqliteOptions::default(), Arc::new(SystemClock)).unwrap();
        for event in 0..RUNS_PAGE {
            begun_by(&store, event).await;
        }
        let parted = meets(&path, "make").await;
        assert_eq!(parted.workflows[&"flow".into()], Tally { fit: RUNS_PAGE, misfit: RUNS_PAGE, unsure: 0 });
        assert_eq!((parted.misfits(), parted.misfits.len()), (RUNS_PAGE, NAMED_MAX));
    }

    #[tokio::test]
    async fn names_the_runs_that_would_be_parked_beside_the_server_that_holds_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bowline.db");
        assert_eq!(meets(&path, "create").await, Fitted::default());
        let store = SqliteStore::open(&path, SqliteOptions::default(), Arc::new(SystemClock)).unwrap();
        begun(&store).await;
        let fits = meets(&path, "create").await;
        assert_eq!(fits.workflows[&"flow".into()], Tally { fit: 2, misfit: 0, unsure: 0 });
        let parted = meets(&path, "make").await;
        assert_eq!(parted.workflows[&"flow".into()], Tally { fit: 1, misfit: 1, unsure: 0 });
        let why = &parted.misfits[0].why;
        assert!(
            why.starts_with(
                "step \"create\" is recorded as entry 1, and the code now asks for step \"make\""
            )
        );
        let text = render::fitted(&parted, render::Paint::Plain);
        assert!(
            text.contains("✗ run 1 (flow)\n    the journal has:  step \"create\" is recorded as entry 1\n"),
            "{text}"
        );
        store.close().await.unwrap();
        assert_eq!(meets(&path, "make").await, parted, "and where no server runs");
    }
}
