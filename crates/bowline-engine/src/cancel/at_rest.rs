//! Cancelling runs that nobody drives: on disk, by a compare-and-set.

use std::sync::Arc;

use bowline_model::{
    BoxFuture, BuildId, Clock, Entry, EntryKey, EntryKind, EntryMeta, Run, RunId, RunState, Seq,
};
use bowline_store::{Operation, Store, StoreError, StoreErrorKind};
use jiff::Timestamp;

use super::{
    Cancel,
    family::{self, CancelOne, CancelledFamily},
    no_such_run, one_line,
};
use crate::undo;

/// Cancels runs while no engine runs on their store, as [`Engine::cancel_family`](crate::Engine::cancel_family) does.
///
/// What was running when its process died is taken over first, and its crash counted, as the next start would.
pub struct CancelAtRest {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    build: BuildId,
}

impl CancelAtRest {
    /// On that store, which this process holds. Entries are written as `build`.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, build: BuildId) -> Self {
        Self { store, clock, build }
    }

    /// Cancels a run and its children.
    ///
    /// # Durability
    /// As [`Engine::cancel_family`](crate::Engine::cancel_family).
    ///
    /// # Errors
    /// `NotFound`; what the store refuses.
    pub async fn cancel_family(&self, run: RunId, reason: &str) -> Result<CancelledFamily, StoreError> {
        family::cancel(self, run, reason).await
    }

    async fn cancel_one(&self, run: RunId, reason: &str) -> Result<Cancel, StoreError> {
        loop {
            let found = self.store.run(run).await?.ok_or_else(|| no_such_run(run))?;
            match found.state {
                RunState::Completed | RunState::Cancelled | RunState::DeadLettered => {
                    return Ok(Cancel::Ended(found.state));
                }
                RunState::Running => {
                    self.store.start_node(self.clock.now()).await?;
                }
                RunState::Queued | RunState::Waiting => {
                    let operation =
                        operation(&*self.store, &found, reason, &*self.clock, &self.build).await?;
                    let Some(operation) = operation else { return Ok(Cancel::Undoing) };
                    let is_over = operation.to == RunState::Cancelled;
                    let cancel = if is_over { Cancel::Cancelled } else { Cancel::Undoing };
                    match self.store.operate(operation).await {
                        Ok(()) => return Ok(cancel),
                        Err(error) if error.kind() == StoreErrorKind::Conflict => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }
}

impl CancelOne for CancelAtRest {
    fn cancel_one<'a>(&'a self, run: RunId, reason: &'a str) -> BoxFuture<'a, Result<Cancel, StoreError>> {
        Box::pin(self.cancel_one(run, reason))
    }

    fn store(&self) -> &dyn Store {
        &*self.store
    }
}

impl std::fmt::Debug for CancelAtRest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelAtRest").field("build", &self.build).finish_non_exhaustive()
    }
}

/// The write that ends a run that is queued or waits, or lets it be undone; `None` if it is undone already.
pub(super) async fn operation(
    store: &dyn Store,
    run: &Run,
    reason: &str,
    clock: &dyn Clock,
    build: &BuildId,
) -> Result<Option<Operation>, StoreError> {
    let journal = if run.journal_len > 0 { store.journal(run.id).await? } else { vec![] };
    let now = clock.now();
    let Some((entry, to)) = decide_at_rest(run, &journal, reason, now, build) else { return Ok(None) };
    Ok(Some(Operation {
        run: run.id,
        expect: run.state,
        expect_journal_len: run.journal_len,
        now,
        entries: vec![entry],
        to,
        ruled: None,
    }))
}

/// How a run that nobody drives is ended: the entry that says so, and the state that comes of it. `None`: it is undone
/// already.
pub(crate) fn decide_at_rest(
    run: &Run,
    journal: &[Entry],
    reason: &str,
    now: Timestamp,
    build: &BuildId,
) -> Option<(Entry, RunState)> {
    if undo::reason(journal).is_some() {
        return None;
    }
    let last = entry(run, reason, now, build);
    Some(match undo::may_be_needed(run, journal) {
        true => (Entry { kind: EntryKind::Undoing, ..last }, RunState::Queued),
        false => (last, RunState::Cancelled),
    })
}

/// The last entry of a run whose code is not asked.
pub(super) fn entry(run: &Run, reason: &str, now: Timestamp, build: &BuildId) -> Entry {
    Entry {
        seq: Seq(run.journal_len + 1),
        kind: EntryKind::Cancelled,
        key: EntryKey::run(),
        at: now,
        build: build.clone(),
        meta: EntryMeta {
            note: Some(one_line(reason).to_owned()),
            // What was in flight at a crash may have arrived; the code is not asked any more.
            unknown_since: run.unsure_since.filter(|_| run.crashes > 0),
            ..EntryMeta::default()
        },
        payload: None,
    }
}
