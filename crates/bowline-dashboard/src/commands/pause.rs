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
        RunFilter {
            states: vec![RunState::Queued, RunState::Running, RunState::Waiting],
            workflow: Some(paused.workflow.clone()),
            limit: HELD_RUNS_MAX + 1,
            ..RunFilter::default()
        }
    }

    /// A pause, and how many of [these runs](Self::held_by) the store has.
    pub fn holding(Paused { workflow, since, why }: Paused, runs: usize) -> Self {
        Self { workflow, since, why, held: runs.min(HELD_RUNS_MAX), more_held: runs > HELD_RUNS_MAX }
    }
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

impl Commands {
    /// Keeps the runs of a workflow from being driven, until it is resumed. A second pause leaves the first as it is.
    ///
    /// # Durability
    /// The pause is on disk when this returns, and holds over restarts.
    ///
    /// # Errors
    /// If the app has no such workflow, or the store does not answer.
    pub async fn pause(&self, workflow: WorkflowName, operator: &Operator) -> Result<Pausing, Error> {
        let known: Vec<&str> = self.rules.workflows().map(WorkflowName::as_str).collect();
        if !known.is_empty() && !known.contains(&workflow.as_str()) {
            return Err(Error::no_such_workflow(&workflow, &known));
        }
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
