//! A cancelled run's children, and theirs.
//!
//! That the family is told is the store's work: in the commit that cancels a run, or from which on it is undone, each run
//! whose end it waits for finds word of it in its mail, and does nothing more once it looks. What is here makes that quick:
//! who is queued, held back or paused looks at nothing by itself. So no crash in between leaves a child that goes on.

use bowline_model::{BoxFuture, Entry, EntryKind, Run, RunId, RunState};
use bowline_store::{RunWrite, Store, StoreError, StoreErrorKind, Transition};
use futures_util::{StreamExt, stream};

use super::{Cancel, at_rest};
use crate::{drive::write_to_store, engine::Shared, undo};

/// Runs that are cancelled at a time: their commits share syncs.
const AT_A_TIME: usize = 64;

/// Cancels single runs.
pub(super) trait CancelOne: Sync {
    fn cancel_one<'a>(&'a self, run: RunId, reason: &'a str) -> BoxFuture<'a, Result<Cancel, StoreError>>;

    fn store(&self) -> &dyn Store;
}

/// What came of [`Engine::cancel_family`](crate::Engine::cancel_family).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CancelledFamily {
    /// What came of the run itself.
    pub run: Cancel,
    /// How many of its children, and of theirs, were cancelled with it.
    pub children: u64,
    /// Which run that is, if the one that was named went on as another one.
    pub went_on: Option<RunId>,
}

/// A run, and the one that waits for its end.
struct Child {
    parent: RunId,
    run: RunId,
}

/// Cancels a run, then all that it waits for.
pub(super) async fn cancel(
    by: &impl CancelOne,
    run: RunId,
    reason: &str,
) -> Result<CancelledFamily, StoreError> {
    let (named, mut run) = (run, run);
    let (outcome, generations) = loop {
        // Looked up before: whom a cancelled run waited for is known no more. Whom it starts meanwhile, the store tells.
        let generations = below(by.store(), run).await?;
        match by.cancel_one(run, reason).await {
            // It may go on once more meanwhile. The first of a chain is known when its row is long gone.
            Ok(Cancel::Ended(RunState::Completed)) => match by.store().went_on(run).await? {
                Some(latest) => run = latest,
                None => break (Cancel::Ended(RunState::Completed), generations),
            },
            Err(error) if error.kind() == StoreErrorKind::NotFound => match by.store().went_on(run).await? {
                Some(latest) => run = latest,
                None => return Err(error),
            },
            outcome => break (outcome?, generations),
        }
    };
    let children = match outcome {
        Cancel::Cancelled | Cancel::Undoing | Cancel::Ended(RunState::Cancelled) => {
            cancel_all(by, generations, reason).await?
        }
        Cancel::Ended(_) => 0,
    };
    Ok(CancelledFamily { run: outcome, children, went_on: (run != named).then_some(run) })
}

/// Cancels all that a run waits for.
pub(super) async fn cancel_below(by: &impl CancelOne, run: RunId, reason: &str) -> Result<u64, StoreError> {
    let generations = below(by.store(), run).await?;
    cancel_all(by, generations, reason).await
}

/// All that a run waits for, generation by generation.
async fn below(store: &dyn Store, top: RunId) -> Result<Vec<Vec<Child>>, StoreError> {
    let (mut generations, mut parents) = (vec![], vec![top]);
    while !parents.is_empty() {
        let mut generation = vec![];
        for parent in parents {
            let children = store.waited_for(parent).await?;
            generation.extend(children.into_iter().map(|run| Child { parent, run }));
        }
        parents = generation.iter().map(|child| child.run).collect();
        generations.push(generation);
    }
    Ok(generations)
}

/// Parents before their children: a parent that is cancelled makes nothing of their end.
async fn cancel_all(
    by: &impl CancelOne,
    generations: Vec<Vec<Child>>,
    reason: &str,
) -> Result<u64, StoreError> {
    let (mut cancelled, mut failed) = (0, None);
    for generation in generations {
        let each = generation.into_iter().map(|child| async move {
            let why = format!("its parent, run {}, was cancelled: {reason}", child.parent);
            by.cancel_one(child.run, &why).await
        });
        let mut outcomes = stream::iter(each).buffer_unordered(AT_A_TIME);
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                // Perhaps by its own look into its mail.
                Ok(Cancel::Cancelled | Cancel::Undoing | Cancel::Ended(RunState::Cancelled)) => {
                    cancelled += 1
                }
                Ok(Cancel::Ended(_)) => {}
                Err(error) if error.kind() == StoreErrorKind::NotFound => {}
                // The others need not go on because of it.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
    }
    failed.map_or(Ok(cancelled), Err)
}

/// What became of a claimed run that was told that it is cancelled.
pub(crate) enum Told {
    /// It is cancelled, or lost.
    Over,
    /// It is undone; this is its journal.
    Undone(Vec<Entry>),
}

/// Cancels a claimed run that was told so in its mail, or begins to undo it.
///
/// # Durability
/// That is on disk before its code is asked for anything.
pub(crate) async fn cancel_told(shared: &Shared, run: &Run, mut journal: Vec<Entry>, why: &str) -> Told {
    let last = at_rest::entry(run, why, shared.clock.now(), &shared.build);
    let is_undone = undo::may_be_needed(run, &journal);
    let kind = if is_undone { EntryKind::Undoing } else { EntryKind::Cancelled };
    let entry = Entry { kind, ..last };
    let end = (!is_undone).then_some(Transition::Cancel);
    let write = RunWrite::new(run.id, run.epoch, entry.at, vec![entry.clone()], end);
    tracing::info!(run = %run.id, workflow = %run.workflow, "run cancelled: {why}");
    match write_to_store(shared, write).await {
        Err(_) => Told::Over,
        Ok(_) if is_undone => {
            journal.push(entry);
            Told::Undone(journal)
        }
        Ok(_) => {
            shared.passed_on(run);
            Told::Over
        }
    }
}
