//! Retry: a dead letter goes on, with its recorded outcomes kept.
//!
//! Only failures are forgotten, never a success: what the journal shows as done is not done again.

use std::collections::HashSet;

use bowline_model::{
    DeadReason, Entry, EntryKey, EntryKind, EntryMeta, Ruled, Run, RunId, RunState, ScopePath, Seq,
    WorkflowName,
};
use bowline_store::{Operation, RunFilter, store::RUNS_PAGE_MAX};
use serde::{Deserialize, Serialize};

use super::{Commands, Error, ErrorKind, Moment, Operator, changed_meanwhile, entry};
use crate::view::step_name;

/// The most dead letters that one bulk retry visits.
pub const BULK_RUNS_MAX: usize = RUNS_PAGE_MAX;

/// What a retry did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    /// The run; it is queued now.
    pub run: RunId,
    /// Failed steps that are forgotten and will be tried again.
    pub forgotten: Vec<String>,
    /// Recorded outcomes that still count and will not be computed again.
    pub kept: usize,
}

/// What a bulk retry did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkRetried {
    /// The runs that are queued now, oldest first.
    pub retried: Vec<RunId>,
    /// The runs that could not be retried, with the reason.
    pub failed: Vec<Failed>,
    /// There are more dead letters than one command visits.
    pub more: bool,
}

/// One run of a bulk retry that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The run.
    pub run: RunId,
    /// Why.
    pub error: String,
}

/// Decides what a retry writes: a note that says which entries no longer count, and the run queued again.
///
/// The dead letter's own note names the step that the run's error came from; its latest failure and every failure
/// after it are forgotten. Failures before it were handled by the code and stay. An error that came from no step
/// forgets the failures after the last recorded success. A run that was parked for another reason than an error of
/// its code (a mismatch, an unknown workflow, a stale key) forgets nothing and just goes on.
///
/// # Errors
/// If the run is not a dead letter.
pub fn decide(
    run: &Run,
    journal: &[Entry],
    operator: &Operator,
    moment: &Moment,
) -> Result<Operation, Error> {
    match run.state {
        RunState::DeadLettered => {}
        RunState::Queued
        | RunState::Running
        | RunState::Waiting
        | RunState::Completed
        | RunState::Cancelled => {
            return Err(Error::not_dead(run));
        }
    }
    let forgets = forgets(run, journal);
    let meta = EntryMeta { forgets, note: Some(operator.note("retried")), ..EntryMeta::default() };
    Ok(Operation {
        run: run.id,
        expect: RunState::DeadLettered,
        expect_journal_len: run.journal_len,
        now: moment.now,
        entries: vec![entry(run, EntryKind::OperatorRetry, moment, meta)],
        to: RunState::Queued,
        ruled: None,
    })
}

pub(super) fn forgets(run: &Run, journal: &[Entry]) -> Vec<Seq> {
    let gone = forgotten(journal);
    let counting: Vec<&Entry> = journal.iter().filter(|entry| !gone.contains(&entry.seq)).collect();
    match errs_in_code(run.dead_reason) {
        true => of_dead_items(run, journal, &counting).unwrap_or_else(|| of_steps(run, journal, &counting)),
        false => of_steps(run, journal, &counting),
    }
}

/// What a retry of dead items forgets, if there are any: their notes and failures, the ends of the loops around them, and,
/// where the code failed then, what failed after those. `None`: there are none.
fn of_dead_items(run: &Run, journal: &[Entry], counting: &[&Entry]) -> Option<Vec<Seq>> {
    let dead: Vec<&Entry> =
        counting.iter().filter(|entry| entry.kind == EntryKind::ItemDead).copied().collect();
    let is_dead = |scope: &ScopePath| dead.iter().any(|item| item.key.scope.encloses(scope));
    let around = |looped: &EntryKey| dead.iter().any(|item| looped.loop_scope().encloses(&item.key.scope));
    let ends = |entry: &&&Entry| entry.kind == EntryKind::Looped && around(&entry.key);
    let last_end = counting.iter().filter(ends).map(|entry| entry.seq).max();
    let after = match (dead.is_empty(), run.dead_reason) {
        (true, _) => return None,
        // The code came to its end: what failed after the loops it has handled.
        (false, Some(DeadReason::Items)) => None,
        (false, _) => Some(last_end.unwrap_or(Seq(journal.len() as i64 + run.journal_len))),
    };
    let goes = |entry: &&&Entry| match entry.kind {
        EntryKind::ItemDead => true,
        EntryKind::Looped => around(&entry.key),
        kind => {
            kind.is_failure() && (is_dead(&entry.key.scope) || after.is_some_and(|after| entry.seq > after))
        }
    };
    Some(counting.iter().filter(goes).map(|entry| entry.seq).collect())
}

fn of_steps(run: &Run, journal: &[Entry], counting: &[&Entry]) -> Vec<Seq> {
    let failures = || counting.iter().filter(|entry| is_failure(entry));

    let dead = journal.iter().rev().find(|entry| entry.kind == EntryKind::DeadLettered);
    let caused_by = dead.and_then(|dead| dead.meta.caused_by.as_ref());
    let cause = caused_by.and_then(|key| failures().rfind(|entry| entry.key == *key));
    let after = match cause {
        Some(cause) => Seq(cause.seq.0 - 1),
        None if errs_in_code(run.dead_reason) => {
            counting.iter().rfind(|entry| entry.is_success()).map_or(Seq(0), |success| success.seq)
        }
        // Nothing of what was recorded led here: forgetting a handled failure could only change the path.
        None => return vec![],
    };
    failures().map(|entry| entry.seq).filter(|seq| *seq > after).collect()
}

/// Whether it is a failure that the code received: of a step, or of a loop that stopped.
fn is_failure(entry: &Entry) -> bool {
    entry.kind.is_failure() || (entry.kind == EntryKind::Looped && entry.meta.failure.is_some())
}

/// Entries that earlier retries and settlements forgot.
pub(crate) fn forgotten(journal: &[Entry]) -> HashSet<Seq> {
    journal
        .iter()
        .filter(|entry| entry.kind.is_operators())
        .flat_map(|entry| entry.meta.forgets.iter().copied())
        .collect()
}

/// Whether the code itself ended the run, so that a failure it received may be the reason.
fn errs_in_code(reason: Option<DeadReason>) -> bool {
    match reason {
        // A panic too: `.unwrap()` on a step's failure.
        Some(DeadReason::Failed | DeadReason::Panicked | DeadReason::Items) | None => true,
        Some(
            DeadReason::Malformed
            | DeadReason::Mismatch
            | DeadReason::Poison
            | DeadReason::Stale
            | DeadReason::Limit
            | DeadReason::UnknownWorkflow
            | DeadReason::Undo
            | DeadReason::Deadline,
        ) => false,
    }
}

fn report(run: RunId, journal: &[Entry], operation: &Operation) -> Retried {
    let new: HashSet<Seq> = operation.entries.iter().flat_map(|entry| entry.meta.forgets.clone()).collect();
    let before = forgotten(journal);
    let forgotten =
        journal.iter().filter(|entry| new.contains(&entry.seq)).map(|entry| step_name(&entry.key));
    let counts = |entry: &&Entry| !new.contains(&entry.seq) && !before.contains(&entry.seq);
    Retried {
        run,
        forgotten: forgotten.collect(),
        kept: journal.iter().filter(|entry| entry.kind.is_delivered()).filter(counts).count(),
    }
}

impl Commands {
    /// Lets a dead letter go on: recorded outcomes are kept, the failure that ended it is forgotten.
    ///
    /// # Durability
    /// The run is queued on disk when this returns; a crash before that leaves the dead letter as it was.
    ///
    /// # Errors
    /// If the run is not there, is not a dead letter, or the store does not answer.
    pub async fn retry(&self, run: RunId, operator: &Operator) -> Result<Retried, Error> {
        let mut decisions = 0;
        loop {
            decisions += 1;
            let (run, journal) = self.load(run).await?;
            let operation = decide(&run, &journal, operator, &self.moment())?;
            let operation = Operation { ruled: self.ruled_anew(&run, &journal).await?, ..operation };
            let retried = report(run.id, &journal, &operation);
            match self.store.operate(operation).await.map_err(Error::from) {
                Ok(()) => {
                    tracing::info!(run = run.id.0, forgotten = ?retried.forgotten, "retried by an operator");
                    (self.poke)();
                    return Ok(retried);
                }
                Err(error) if changed_meanwhile(&error, decisions) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// By which rules a run begins that got no key when its event came, as its input could not be read or its key function
    /// failed: by those of this build, now that nothing of it was done. `None`: it keeps what it has.
    async fn ruled_anew(&self, run: &Run, journal: &[Entry]) -> Result<Option<Ruled>, Error> {
        let has_begun = journal.iter().any(|entry| entry.kind.shows_begun());
        if run.key.is_some() || run.parent.is_some() || has_begun || self.rules.is_empty() {
            return Ok(None);
        }
        let Some(event) = self.store.event(run.event).await? else { return Ok(None) };
        let mut ruled = self.rules.judge(&run.workflow, &event.body, &event.input_pointer).alone();
        // An operator's retry waits for no pace.
        ruled.flow.rate = None;
        Ok(Some(ruled).filter(|ruled| ruled.key.is_some() || ruled.flow.unique.is_some()))
    }

    /// Retries the newest dead letters (of one workflow, if named), at most `limit` and never more than
    /// [`BULK_RUNS_MAX`], the older of them first.
    ///
    /// # Durability
    /// Each run is a commit of its own: a crash in between leaves the rest as dead letters.
    ///
    /// # Errors
    /// If the store does not answer for the list. What fails for one run is in the report.
    pub async fn retry_all(
        &self,
        workflow: Option<WorkflowName>,
        limit: usize,
        operator: &Operator,
    ) -> Result<BulkRetried, Error> {
        let limit = limit.clamp(1, BULK_RUNS_MAX);
        let filter =
            RunFilter { states: vec![RunState::DeadLettered], workflow, limit, ..RunFilter::default() };
        let dead = self.store.runs(filter.clone()).await?;
        let mut report = BulkRetried::default();
        for run in dead.iter().rev() {
            match self.retry(run.id, operator).await {
                Ok(retried) => report.retried.push(retried.run),
                // Another operator, or retention, was faster: that run needs nobody any more.
                Err(error) if matches!(error.kind(), ErrorKind::WrongState | ErrorKind::NotFound) => {}
                Err(error) => report.failed.push(Failed { run: run.id, error: error.to_string() }),
            }
        }
        if dead.len() == limit {
            let before = dead.last().map(|oldest| oldest.id);
            report.more = !self.store.runs(RunFilter { before, limit: 1, ..filter }).await?.is_empty();
        }
        Ok(report)
    }
}
