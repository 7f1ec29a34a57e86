//! Cancel: an operator ends a run that is still open, and the children that it waits for.
//!
//! Whoever drives the run must let go of it first: so the engine does it, or, where none runs, what opened the store.

use std::sync::Arc;

use bowline_model::{BoxFuture, RunId, RunState, WorkflowName, run::SUMMARY_BYTES_MAX};
use bowline_store::{RunFilter, StoreError, StoreErrorKind, store::RUNS_PAGE_MAX};
use serde::{Deserialize, Serialize};

use super::{Commands, Error, ErrorKind, Operator, retry::Failed};

/// The most runs that one bulk cancel visits.
pub const BULK_RUNS_MAX: usize = RUNS_PAGE_MAX;

/// Cancels a run with its children, for a reason: the engine's.
pub type CancelRun =
    Arc<dyn Fn(RunId, String) -> BoxFuture<'static, Result<CancelEnd, StoreError>> + Send + Sync>;

/// What came of a [`CancelRun`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CancelEnd {
    /// How the run had ended before; `None` if it was cancelled now.
    pub ended: Option<RunState>,
    /// Whether what it did is undone first, which goes on by itself.
    pub undoing: bool,
    /// How many children were cancelled with it.
    pub children: u64,
    /// Which run that is, if the one that was named went on as another one.
    pub went_on: Option<RunId>,
}

/// What a cancel did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// The run; it is cancelled now. If the one that was named went on as another one, that one.
    pub run: RunId,
    /// What the journal says of it.
    pub note: String,
    /// Whether what it did is undone first, which goes on by itself.
    #[serde(default)]
    pub undoing: bool,
    /// How many of its children, and of theirs, were cancelled with it.
    pub children: u64,
}

/// What a bulk cancel did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkCancelled {
    /// The runs that are cancelled now, oldest first.
    pub cancelled: Vec<RunId>,
    /// How many children were cancelled with them.
    pub children: u64,
    /// The runs that could not be cancelled, with the reason.
    pub failed: Vec<Failed>,
    /// There are more open runs than one command visits.
    pub more: bool,
}

impl Commands {
    /// Ends an open run: its code is dropped where it stands, a call under way with it. The children that it waits for
    /// end after it.
    ///
    /// # Durability
    /// The run and its children are cancelled on disk when this returns. After a crash before that the run goes on, or
    /// is cancelled; a child that was not reached does nothing more, and a second cancel reaches it.
    ///
    /// # Errors
    /// If the run is not there or has ended; if it cannot be cancelled now. A child that could not be cancelled is an
    /// error too: say it again.
    pub async fn cancel(&self, run: RunId, operator: &Operator) -> Result<Cancelled, Error> {
        let note = operator.short_note("cancelled", SUMMARY_BYTES_MAX);
        let Some(cancel) = &self.cancel else { return Err(Error::no_engine(run)) };
        let end = match cancel(run, note.clone()).await {
            Err(error) if error.kind() == StoreErrorKind::NotFound => return Err(Error::no_such_run(run)),
            end => end?,
        };
        let run = end.went_on.unwrap_or(run);
        match end.ended {
            // What was cancelled before may have had children that were not.
            Some(state) if end.children == 0 => Err(Error::not_open(run, state)),
            Some(_) | None => {
                tracing::info!(run = run.0, children = end.children, "cancelled by an operator");
                Ok(Cancelled { run, note, undoing: end.undoing, children: end.children })
            }
        }
    }

    /// Cancels the newest open runs (in these states, of one workflow, if named), at most `limit` and never more than
    /// [`BULK_RUNS_MAX`], the older of them first.
    ///
    /// # Durability
    /// Each run is a commit of its own: a crash in between leaves the rest open.
    ///
    /// # Errors
    /// If a state is not one of an open run, or the store does not answer for the list. What fails for one run is in the
    /// report.
    pub async fn cancel_all(
        &self,
        workflow: Option<WorkflowName>,
        states: &[RunState],
        limit: usize,
        operator: &Operator,
    ) -> Result<BulkCancelled, Error> {
        if let Some(ended) = states.iter().find(|state| !state.is_open()) {
            return Err(Error::not_cancellable(*ended));
        }
        let open = || RunState::ALL.into_iter().filter(|state| state.is_open()).collect();
        let states = if states.is_empty() { open() } else { states.to_vec() };
        let limit = limit.clamp(1, BULK_RUNS_MAX);
        let filter = RunFilter { states, workflow, limit, ..RunFilter::default() };
        let found = self.store.runs(filter.clone()).await?;
        let mut report = BulkCancelled::default();
        for run in found.iter().rev() {
            match self.cancel(run.id, operator).await {
                Ok(cancelled) => {
                    report.cancelled.push(cancelled.run);
                    report.children += cancelled.children;
                }
                // It came to its end, or went with its parent.
                Err(error) if matches!(error.kind(), ErrorKind::WrongState | ErrorKind::NotFound) => {}
                Err(error) => report.failed.push(Failed { run: run.id, error: error.to_string() }),
            }
        }
        if found.len() == limit {
            let before = found.last().map(|oldest| oldest.id);
            report.more = !self.store.runs(RunFilter { before, limit: 1, ..filter }).await?.is_empty();
        }
        Ok(report)
    }
}
