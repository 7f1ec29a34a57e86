//! Turns at the store: how many requests are there at once, how many wait for it, and for how long.
//!
//! Under more load than the machine takes, a queue only makes everybody wait. Here it stays short, so that what is
//! accepted is answered soon and the rest is told at once to come again: a request may wait long while the queue comes
//! and goes, as after a burst; once somebody has been waiting all the time, hardly at all (controlled delay, as in "Fail
//! at Scale", ACM Queue 13(8), 2015).
//!
//! What must never happen here: a turn that is not given back, a wait without an end.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use crate::{problem::Refusal, seldom::Seldom};

/// Requests at the store at once. Their events share a commit, so that more of them would only wait longer.
const AT_ONCE_MAX: usize = 128;
/// Requests that wait for a turn.
const WAITING_MAX: usize = 1024;
/// How long a request may wait for its turn while the queue comes and goes; and how long somebody must have been waiting
/// until that is over.
const BURST_MAX: Duration = Duration::from_millis(400);
/// How long it may wait after that.
const STANDING_MAX: Duration = Duration::from_millis(40);

/// The queue before the store.
#[derive(Debug)]
pub(crate) struct Turns {
    seats: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// When somebody last came and had not to wait.
    empty_at: Mutex<Instant>,
    refused: Seldom,
}

/// A request's turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(#[allow(dead_code, reason = "held")] OwnedSemaphorePermit);

impl Turns {
    pub(crate) fn new() -> Self {
        Self {
            seats: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            waiting: AtomicUsize::new(0),
            empty_at: Mutex::new(now()),
            refused: Seldom::default(),
        }
    }

    /// Whether a request that has just come has a chance of a turn: asked before anything is done for it.
    pub(crate) fn look(&self) -> Result<(), Refusal> {
        let is_long = self.waiting.load(Ordering::Relaxed) >= AT_ONCE_MAX;
        if is_long && self.patience() == STANDING_MAX { Err(self.refuse()) } else { Ok(()) }
    }

    /// A turn, as soon as it comes.
    pub(crate) async fn take(&self) -> Result<Turn, Refusal> {
        // Only if nobody waits: seats go to who waits first.
        if let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() {
            *self.empty_at.lock().unwrap_or_else(PoisonError::into_inner) = now();
            return Ok(Turn(seat));
        }
        let waiting = Waiting::begin(&self.waiting);
        if waiting.place > WAITING_MAX {
            return Err(self.refuse());
        }
        match timeout(self.patience(), Arc::clone(&self.seats).acquire_owned()).await {
            Ok(seat) => Ok(Turn(seat.expect("the seats are never closed"))),
            Err(_elapsed) => Err(self.refuse()),
        }
    }

    fn patience(&self) -> Duration {
        let empty_at = *self.empty_at.lock().unwrap_or_else(PoisonError::into_inner);
        if now().duration_since(empty_at) > BURST_MAX { STANDING_MAX } else { BURST_MAX }
    }

    fn refuse(&self) -> Refusal {
        if let Some(refused) = self.refused.note() {
            tracing::warn!(refused, "more comes than the store takes: some requests are answered 503");
        }
        Refusal::Overloaded
    }
}

/// One who waits.
struct Waiting<'a> {
    all: &'a AtomicUsize,
    place: usize,
}

impl<'a> Waiting<'a> {
    fn begin(all: &'a AtomicUsize) -> Self {
        Self { all, place: all.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}

#[allow(clippy::disallowed_methods, reason = "who waits at a socket waits in the machine's time")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn full() -> (Turns, Vec<Turn>) {
        let turns = Turns::new();
        let mut taken = vec![];
        for _ in 0..AT_ONCE_MAX {
            taken.push(turns.take().await.unwrap());
        }
        (turns, taken)
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_waits_and_a_standing_queue_does_not() {
        let (turns, taken) = full().await;
        let started = now();
        assert!(turns.take().await.is_err());
        assert_eq!(now() - started, BURST_MAX);
        tokio::time::advance(Duration::from_millis(1)).await;
        let started = now();
        assert!(turns.take().await.is_err());
        assert_eq!(now() - started, STANDING_MAX, "there was no free turn since the burst began");
        drop(taken);
        turns.take().await.unwrap();
        assert_eq!(turns.patience(), BURST_MAX, "somebody had not to wait");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_the_turn_that_is_given_back() {
        let (turns, mut taken) = full().await;
        let (turn, ()) = tokio::join!(turns.take(), async { drop(taken.pop()) });
        assert!(turn.is_ok());
        assert_eq!(turns.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_standing_queue_refuses_at_the_door_and_a_full_one_at_once() {
        let (turns, _taken) = full().await;
        let turns = Arc::new(turns);
        let wait = |turns: &Arc<Turns>| {
            let turns = Arc::clone(turns);
            tokio::spawn(async move { turns.take().await.map(drop) })
        };
        let all_wait = async |number| {
            while turns.waiting.load(Ordering::Relaxed) < number {
                tokio::task::yield_now().await;
            }
        };
        let crowd: Vec<_> = (0..WAITING_MAX).map(|_| wait(&turns)).collect();
        all_wait(WAITING_MAX).await;
        assert!(turns.look().is_ok(), "a burst is let in");
        let started = now();
        assert!(turns.take().await.is_err());
        assert_eq!(now(), started, "no room to wait");
        for waiting in crowd {
            assert!(waiting.await.unwrap().is_err());
        }
        tokio::time::advance(Duration::from_millis(1)).await;
        let crowd: Vec<_> = (0..AT_ONCE_MAX).map(|_| wait(&turns)).collect();
        all_wait(AT_ONCE_MAX).await;
        assert!(turns.look().is_err(), "they have been waiting all the time");
        for waiting in crowd {
            assert!(waiting.await.unwrap().is_err());
        }
        assert!(turns.look().is_ok(), "nobody waits now");
    }
}
