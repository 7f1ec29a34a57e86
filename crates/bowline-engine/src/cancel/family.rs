//! A cancelled run's children, and theirs.
//!
//! The parent is cancelled first: from then on it starts no more of them. A crash in between leaves children that go on
//! under a cancelled parent; whoever cancels the parent again reaches them, and so does the engine, which looks at the
//! parent before it drives a child.

use bowline_model::{BoxFuture, Event, Run, RunId, RunState};
use bowline_store::{RunFilter, RunWrite, Store, StoreError, Transition, store::RUNS_PAGE_MAX};

use super::{Cancel, at_rest};
use crate::{child::CONTINUES, drive::write_to_store, engine::Shared};

/// The source of an event that starts a child for which its parent waits; other runs that a run started are on their own.
const CHILD: &str = "child";

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
}

/// Cancels a run, then all that it waits for.
pub(super) async fn cancel(
    by: &impl CancelOne,
    run: RunId,
    reason: &str,
) -> Result<CancelledFamily, StoreError> {
    let outcome = by.cancel_one(run, reason).await?;
    let children = match outcome {
        // Cancelled before: perhaps by somebody who got no further.
        Cancel::Cancelled | Cancel::Undoing | Cancel::Ended(RunState::Cancelled) => {
            below(by, run, reason).await?
        }
        Cancel::Ended(_) => 0,
    };
    Ok(CancelledFamily { run: outcome, children })
}

async fn below(by: &impl CancelOne, top: RunId, reason: &str) -> Result<u64, StoreError> {
    let (mut parents, mut cancelled, mut failed) = (vec![(top, CHILD)], 0, None);
    while let Some((parent, source)) = parents.pop() {
        let why = format!("its parent, run {parent}, was cancelled: {reason}");
        let mut before = None;
        loop {
            let filter =
                RunFilter { parent: Some(parent), before, limit: RUNS_PAGE_MAX, ..RunFilter::default() };
            let page = by.store().runs(filter).await?;
            for child in page.iter().filter(|child| child.parent == Some(parent)) {
                match cancel_child(by, child, source, &why).await {
                    Ok(Some(Cancel::Ended(RunState::Completed))) => parents.push((child.id, CONTINUES)),
                    Ok(Some(outcome)) => {
                        cancelled += u64::from(matches!(outcome, Cancel::Cancelled | Cancel::Undoing));
                        parents.push((child.id, CHILD));
                    }
                    Ok(None) => {}
                    // The others need not go on because of it.
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            if page.len() < RUNS_PAGE_MAX {
                break;
            }
            before = page.last().map(|oldest| oldest.id);
        }
    }
    failed.map_or(Ok(cancelled), Err)
}

/// `None` if it is none of those that end with their parent: started from `source`, and no dead letter. One that has
/// completed may go on as another run.
async fn cancel_child(
    by: &impl CancelOne,
    child: &Run,
    source: &str,
    why: &str,
) -> Result<Option<Cancel>, StoreError> {
    match child.state {
        RunState::Cancelled => return Ok(Some(Cancel::Ended(RunState::Cancelled))),
        RunState::DeadLettered => return Ok(None),
        RunState::Completed | RunState::Queued | RunState::Running | RunState::Waiting => {}
    }
    let event = by.store().event(child.event).await?;
    if event.is_none_or(|event| event.source != source) {
        return Ok(None);
    }
    match by.cancel_one(child.id, why).await? {
        Cancel::Ended(RunState::DeadLettered) => Ok(None),
        outcome => Ok(Some(outcome)),
    }
}

/// What a claimed run's parent says of it.
pub(crate) enum Orphan {
    /// It goes on.
    No,
    /// Its parent was cancelled, and the run with it: it is cancelled, or lost.
    Cancelled,
    /// That cannot be known now.
    Unknown,
}

/// Cancels a claimed run if its parent, which waits for it, was cancelled: a crash came between the two.
///
/// # Durability
/// It is cancelled on disk before its code is asked for anything.
pub(crate) async fn cancel_orphan(shared: &Shared, run: &Run, event: &Event) -> Orphan {
    let Some(parent) = run.parent.filter(|_| event.source == CHILD) else { return Orphan::No };
    match shared.store.run(parent).await {
        Ok(Some(found)) if found.state == RunState::Cancelled => {}
        Ok(_) => return Orphan::No,
        Err(_) => return Orphan::Unknown,
    }
    let why = format!("its parent, run {parent}, was cancelled");
    let entry = at_rest::entry(run, &why, shared.clock.now(), &shared.build);
    tracing::info!(run = %run.id, workflow = %run.workflow, "run cancelled: {why}");
    let write = RunWrite::new(run.id, run.epoch, entry.at, vec![entry], Some(Transition::Cancel));
    if write_to_store(shared, write).await.is_ok() {
        shared.passed_on(run);
    }
    Orphan::Cancelled
}
