//! Discard: an operator closes a dead letter that needs no more work, or has what it did undone first.

use bowline_model::{Entry, EntryKind, EntryMeta, Run, RunId, RunState};
use bowline_store::Operation;
use serde::{Deserialize, Serialize};

use super::{Commands, Error, Moment, Operator, changed_meanwhile, entry};

/// What a discard did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discarded {
    /// The run; it is cancelled now, or when it is undone.
    pub run: RunId,
    /// What the journal says of it.
    pub note: String,
    /// Whether what it did is undone first, which goes on by itself.
    #[serde(default)]
    pub undoing: bool,
}

/// Decides what a discard writes: the run's end, with who closed it and why.
///
/// # Errors
/// If the run is not a dead letter.
pub fn decide(run: &Run, operator: &Operator, moment: &Moment) -> Result<Operation, Error> {
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
    let meta = EntryMeta { note: Some(operator.note("discarded")), ..EntryMeta::default() };
    Ok(Operation {
        run: run.id,
        expect: RunState::DeadLettered,
        expect_journal_len: run.journal_len,
        now: moment.now,
        entries: vec![entry(run, EntryKind::Cancelled, moment, meta)],
        to: RunState::Cancelled,
        ruled: None,
    })
}

/// Decides what a discard with undo writes: that the run is undone from here on, and the run queued for it.
///
/// # Errors
/// If the run is not a dead letter.
pub fn decide_undo(run: &Run, operator: &Operator, moment: &Moment) -> Result<Operation, Error> {
    let closed = decide(run, operator, moment)?;
    let entries = closed.entries.into_iter().map(|entry| Entry { kind: EntryKind::Undoing, ..entry });
    Ok(Operation { entries: entries.collect(), to: RunState::Queued, ..closed })
}

impl Commands {
    /// Closes a dead letter when what its steps did is undone: newest first, as they said. It goes on by itself, and is a
    /// dead letter again if something cannot be undone.
    ///
    /// # Durability
    /// That the run is undone is on disk when this returns, and nothing of it goes forward any more; a crash before that
    /// leaves the dead letter as it was.
    ///
    /// # Errors
    /// If the run is not there, is not a dead letter, or the store does not answer.
    pub async fn discard_undone(&self, run: RunId, operator: &Operator) -> Result<Discarded, Error> {
        let mut decisions = 0;
        loop {
            decisions += 1;
            let found = self.store.run(run).await?.ok_or_else(|| Error::no_such_run(run))?;
            let operation = decide_undo(&found, operator, &self.moment())?;
            match self.store.operate(operation).await.map_err(Error::from) {
                Ok(()) => {
                    tracing::info!(run = run.0, "discarded by an operator, and undone");
                    (self.poke)();
                    return Ok(Discarded { run, note: operator.note("discarded"), undoing: true });
                }
                Err(error) if changed_meanwhile(&error, decisions) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Closes a dead letter. What it did stays done; nothing is undone.
    ///
    /// # Durability
    /// The run is cancelled on disk when this returns; a crash before that leaves the dead letter as it was.
    ///
    /// # Errors
    /// If the run is not there, is not a dead letter, or the store does not answer.
    pub async fn discard(&self, run: RunId, operator: &Operator) -> Result<Discarded, Error> {
        let mut decisions = 0;
        loop {
            decisions += 1;
            let found = self.store.run(run).await?.ok_or_else(|| Error::no_such_run(run))?;
            let operation = decide(&found, operator, &self.moment())?;
            match self.store.operate(operation).await.map_err(Error::from) {
                Ok(()) => {
                    tracing::info!(run = run.0, "discarded by an operator");
                    return Ok(Discarded { run, note: operator.note("discarded"), undoing: false });
                }
                Err(error) if changed_meanwhile(&error, decisions) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
