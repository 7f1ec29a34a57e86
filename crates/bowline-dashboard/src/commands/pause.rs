//! Pause and resume: an operator keeps the runs of a workflow from being driven, and lets them go on.
//!
//! Events are accepted meanwhile, whatever brings them. A run that is running goes on to its next rest, and stays there;
//! in a loop, to the end of the items that are under way. Runs that wait and become due stay too.

use bowline_model::{RunState, WorkflowName};
use bowline_store::{Paused, RunFilter, Store, StoreError, store::RUNS_PAGE_MAX};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Commands, Error, Operator};

/// A workflow that is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PausedWorkflow {
    /// Which one.
    pub workflow: WorkflowName,
    /// Since when.
    pub since: Timestamp,
    /// By whom, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How many of its runs have not ended: they wait, or come to their next rest. At most [`HELD_RUNS_MAX`].
    #[serde(default)]
    pub held: usize,
    /// There are more than these.
    #[serde(default)]
    pub more_held: bool,
}

/// Most runs of one paused workflow that are counted.
pub const HELD_RUNS_MAX: usize = RUNS_PAGE_MAX - 1;

impl PausedWorkflow {
    /// All that are paused, the longest first.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn all(store: &dyn Store) -> Result<Vec<Self>, StoreError> {
        let mut all = vec![];
        for paused in store.paused().await? {
            let runs = store.runs(Self::held_by(&paused)).await?.len();
            all.push(Self::holding(paused, runs));
        }
        Ok(all)
    }

    /// Which runs a pause holds.
    pub fn held_by(paused: &Paused) -> RunFilter {
        open_runs(&paused.workflow)
    }

    /// A pause, and how many of [these runs](Self::held_by) the store has.
    pub fn holding(Paused { workflow, since, why }: Paused, runs: usize) -> Self {
        Self { workflow, since, why, held: runs.min(HELD_RUNS_MAX), more_held: runs > HELD_RUNS_MAX }
    }
}

/// How a workflow stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Which one.
    pub workflow: WorkflowName,
    /// Its pause, if it is paused.
    pub paused: Option<PausedWorkflow>,
}

/// How many runs of a workflow have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenRuns {
    /// At most [`HELD_RUNS_MAX`].
    pub runs: usize,
    /// There are more than these.
    pub more: bool,
}

/// What a pause or a resumption did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pausing {
    /// Which workflow.
    pub workflow: WorkflowName,
    /// Whether it is paused now.
    pub is_paused: bool,
    /// Whether it was so before.
    pub was_so: bool,
}

fn open_runs(workflow: &WorkflowName) -> RunFilter {
    RunFilter {
        states: vec![RunState::Queued, RunState::Running, RunState::Waiting],
        workflow: Some(workflow.clone()),
        limit: HELD_RUNS_MAX + 1,
        ..RunFilter::default()
    }
}

impl Commands {
    /// Every workflow that the app has, or that is paused without it; by name.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn workflows(&self) -> Result<Vec<Standing>, Error> {
        let mut paused = PausedWorkflow::all(&*self.store).await?;
        let mut names: Vec<WorkflowName> = self.rules.workflows().cloned().collect();
        names.extend(paused.iter().map(|paused| paused.workflow.clone()));
        names.sort();
        names.dedup();
        let standing = names.into_iter().map(|workflow| {
            let at = paused.iter().position(|paused| paused.workflow == workflow);
            Standing { workflow, paused: at.map(|at| paused.swap_remove(at)) }
        });
        Ok(standing.collect())
    }

    /// How one of them stands.
    ///
    /// # Errors
    /// If the app has no such workflow, and it is not paused; or if the store does not answer.
    pub async fn workflow(&self, workflow: WorkflowName) -> Result<Standing, Error> {
        let paused = PausedWorkflow::all(&*self.store).await?;
        let paused = paused.into_iter().find(|paused| paused.workflow == workflow);
        if paused.is_none() {
            self.must_have(&workflow)?;
        }
        Ok(Standing { workflow, paused })
    }

    /// How many runs of it have not ended.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn open_runs(&self, workflow: &WorkflowName) -> Result<OpenRuns, Error> {
        let runs = self.store.runs(open_runs(workflow)).await?.len();
        Ok(OpenRuns { runs: runs.min(HELD_RUNS_MAX), more: runs > HELD_RUNS_MAX })
    }

    fn must_have(&self, workflow: &WorkflowName) -> Result<(), Error> {
        let known: Vec<&str> = self.rules.workflows().map(WorkflowName::as_str).collect();
        if known.is_empty() || known.contains(&workflow.as_str()) {
            return Ok(());
        }
        Err(Error::no_such_workflow(workflow, &known))
    }

    /// Keeps the runs of a workflow from being driven, until it is resumed. A second pause leaves the first as it is.
    ///
    /// # Durability
    /// The pause is on disk when this returns, and holds over restarts.
    ///
    /// # Errors
    /// If the app has no such workflow, or the store does not answer.
    pub async fn pause(&self, workflow: WorkflowName, operator: &Operator) -> Result<Pausing, Error> {
        self.must_have(&workflow)?;
        let why = Some(operator.note("paused"));
        let pause = Paused { workflow: workflow.clone(), since: self.clock.now(), why };
        let is_new = self.store.pause(pause).await?;
        (self.poke_pauses)();
        tracing::warn!(%workflow, note = operator.note("paused"), "paused");
        Ok(Pausing { workflow, is_paused: true, was_so: !is_new })
    }

    /// Lets the runs of a paused workflow go on.
    ///
    /// # Durability
    /// The pause is over on disk when this returns.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn resume(&self, workflow: WorkflowName, operator: &Operator) -> Result<Pausing, Error> {
        let was_paused = self.store.resume(workflow.clone()).await?;
        tracing::info!(%workflow, note = operator.note("resumed"), "resumed");
        (self.poke_pauses)();
        Ok(Pausing { workflow, is_paused: false, was_so: !was_paused })
    }
}
