//! Who waits for a run's end.
//!
//! What comes in: waiters, and from the writer, after each commit, the runs that it ended. What must never happen here:
//! a waiter who is told before the commit, or one who is gone and leaves something behind.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bowline_model::RunId;
use tokio::sync::Notify;

/// Between the writer, which tells, and who waits.
#[derive(Default)]
pub(super) struct Ends(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// One for all who wait for the same run.
    by_run: HashMap<RunId, Arc<Notify>>,
    is_closed: bool,
}

impl Ends {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits from now on: whoever looks at the run after this call misses no end of it. `None` once closed.
    pub(super) fn wait_for(&self, run: RunId) -> Option<Waiter<'_>> {
        let mut waiting = self.lock();
        let told = (!waiting.is_closed).then(|| Arc::clone(waiting.by_run.entry(run).or_default()))?;
        Some(Waiter { ends: self, run, told })
    }

    /// Tells all who wait for those runs.
    pub(super) fn tell(&self, ended: &[RunId]) {
        if ended.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        let told: Vec<_> = ended.iter().filter_map(|run| waiting.by_run.remove(run)).collect();
        drop(waiting);
        told.iter().for_each(|told| told.notify_waiters());
    }

    /// Tells everybody, and lets nobody wait any more.
    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        waiting.is_closed = true;
        let told = std::mem::take(&mut waiting.by_run);
        drop(waiting);
        told.values().for_each(|told| told.notify_waiters());
    }
}

/// Somebody who waits for a run's end.
pub(super) struct Waiter<'e> {
    ends: &'e Ends,
    run: RunId,
    told: Arc<Notify>,
}

impl Waiter<'_> {
    /// Ends when the run has ended, or the store is closed, since this future was made.
    pub(super) fn told(&self) -> impl Future<Output = ()> {
        self.told.notified()
    }
}

/// The last who waits for a run leaves nothing behind.
impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiting = self.ends.lock();
        // After an end others may wait for the next, with another notice.
        let is_ours = waiting.by_run.get(&self.run).is_some_and(|told| Arc::ptr_eq(told, &self.told));
        if is_ours && Arc::strong_count(&self.told) == 2 {
            waiting.by_run.remove(&self.run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waited_for(ends: &Ends) -> usize {
        ends.lock().by_run.len()
    }

    #[test]
    fn waiters_who_leave_leave_nothing_behind() {
        let ends = Ends::default();
        let first = ends.wait_for(RunId(1)).unwrap();
        let (second, other) = (ends.wait_for(RunId(1)).unwrap(), ends.wait_for(RunId(2)).unwrap());
        assert_eq!(waited_for(&ends), 2);
        drop(first);
        assert_eq!(waited_for(&ends), 2, "another waits for the same run");
        drop(second);
        assert_eq!(waited_for(&ends), 1);
        drop(other);
        assert_eq!(waited_for(&ends), 0);
    }

    #[tokio::test]
    async fn who_was_told_takes_nothing_from_who_waits_anew() {
        let ends = Ends::default();
        let old = ends.wait_for(RunId(1)).unwrap();
        let told = old.told();
        ends.tell(&[RunId(1), RunId(7)]);
        told.await;
        assert_eq!(waited_for(&ends), 0);
        let new = ends.wait_for(RunId(1)).unwrap();
        let told = new.told();
        drop(old);
        assert_eq!(waited_for(&ends), 1);
        ends.tell(&[RunId(1)]);
        told.await;
    }

    #[tokio::test]
    async fn a_closed_store_keeps_nobody_waiting() {
        let ends = Ends::default();
        let waiter = ends.wait_for(RunId(1)).unwrap();
        let told = waiter.told();
        ends.close();
        told.await;
        assert!(ends.wait_for(RunId(1)).is_none());
    }
}
