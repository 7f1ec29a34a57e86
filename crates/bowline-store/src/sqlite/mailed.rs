//! Which runs have new messages: a hint for who keeps runs in memory.
//!
//! What comes in: from the writer, after each commit, the runs that it brought messages for. What goes out: each once, to
//! the one who asks. What must never happen here: a run told before the commit, or a list without bound.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bowline_model::RunId;
use tokio::sync::Notify;

/// Runs that are noted. Past it nobody is noted, and who asks looks on the disk.
const RUNS_MAX: usize = 65_536;

/// Between the writer, which tells, and the one who asks.
#[derive(Default)]
pub(super) struct Mailed {
    noted: Mutex<Noted>,
    changed: Notify,
}

#[derive(Default)]
struct Noted {
    runs: BTreeSet<RunId>,
    is_overfull: bool,
    is_closed: bool,
}

/// What is told.
pub(super) enum Told<'m> {
    /// These runs.
    Runs(Vec<RunId>),
    /// More than could be noted: to be looked up. Noted again unless that ends well.
    Overfull(Overfull<'m>),
    /// Nothing any more.
    Closed,
}

impl Mailed {
    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes runs whose messages were committed.
    pub(super) fn tell(&self, runs: &[RunId]) {
        if runs.is_empty() {
            return;
        }
        let mut noted = self.lock();
        if noted.is_overfull || noted.runs.len() + runs.len() > RUNS_MAX {
            noted.runs.clear();
            noted.is_overfull = true;
        } else {
            noted.runs.extend(runs);
        }
        drop(noted);
        self.changed.notify_one();
    }

    /// Waits until there is something to tell.
    pub(super) async fn next(&self) -> Told<'_> {
        loop {
            if let Some(told) = self.take() {
                return told;
            }
            self.changed.notified().await;
        }
    }

    fn take(&self) -> Option<Told<'_>> {
        let mut noted = self.lock();
        if noted.is_closed {
            return Some(Told::Closed);
        }
        if std::mem::take(&mut noted.is_overfull) {
            return Some(Told::Overfull(Overfull { mailed: self, is_done: false }));
        }
        let runs = std::mem::take(&mut noted.runs);
        (!runs.is_empty()).then(|| Told::Runs(runs.into_iter().collect()))
    }

    /// Tells nothing any more.
    pub(super) fn close(&self) {
        *self.lock() = Noted { is_closed: true, ..Noted::default() };
        self.changed.notify_one();
    }
}

/// A look at the disk that is owed.
pub(super) struct Overfull<'m> {
    mailed: &'m Mailed,
    is_done: bool,
}

impl Overfull<'_> {
    /// The look was taken.
    pub(super) fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for Overfull<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.mailed.lock().is_overfull = true;
            self.mailed.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(mailed: &Mailed) -> Vec<i64> {
        match mailed.take() {
            Some(Told::Runs(runs)) => runs.into_iter().map(|run| run.0).collect(),
            Some(Told::Overfull(_)) => vec![-1],
            Some(Told::Closed) => vec![-2],
            None => vec![],
        }
    }

    #[test]
    fn tells_each_run_once_and_an_overfull_list_until_it_was_looked_up() {
        let mailed = Mailed::default();
        mailed.tell(&[RunId(2), RunId(1)]);
        mailed.tell(&[RunId(2)]);
        assert_eq!(told(&mailed), [1, 2]);
        assert!(told(&mailed).is_empty());
        let many: Vec<_> = (0..=i64::try_from(RUNS_MAX).unwrap()).map(RunId).collect();
        mailed.tell(&many);
        mailed.tell(&[RunId(1)]);
        assert_eq!(told(&mailed), [-1], "not looked up");
        match mailed.take() {
            Some(Told::Overfull(look)) => look.done(),
            Some(Told::Runs(_) | Told::Closed) | None => panic!("it is owed still"),
        }
        mailed.tell(&[RunId(3)]);
        assert_eq!(told(&mailed), [3]);
        mailed.close();
        assert_eq!(told(&mailed), [-2]);
    }
}
