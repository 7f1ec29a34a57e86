//! Clocks that a test sets forward: one that goes on by itself, and one that stands still.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use bowline_model::{BoxFuture, Clock, SystemClock};
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};

use crate::wire::PATIENCE;

#[derive(Debug, Default)]
pub(crate) struct Ahead {
    seconds: AtomicI64,
}

impl Ahead {
    pub(crate) fn days(&self, days: i64) {
        self.seconds.fetch_add(days * 24 * 3600, Ordering::SeqCst);
    }
}

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now() + SignedDuration::from_secs(self.seconds.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        SystemClock.sleep(wait)
    }

    fn random(&self) -> u64 {
        SystemClock.random()
    }
}

/// Stands still until it is moved.
#[derive(Debug)]
pub(crate) struct Still {
    began: Timestamp,
    elapsed: watch::Sender<Duration>,
    sleepers: Semaphore,
}

impl Still {
    pub(crate) fn new() -> Self {
        let (elapsed, _) = watch::channel(Duration::ZERO);
        Self { began: SystemClock.now(), elapsed, sleepers: Semaphore::new(0) }
    }

    /// Waits until somebody begins to sleep.
    pub(crate) async fn sleeper(&self) {
        let sleeper = timeout(PATIENCE, self.sleepers.acquire()).await;
        sleeper.expect("somebody sleeps in time").expect("never closed").forget();
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.elapsed.send_modify(|elapsed| *elapsed += by);
    }
}

impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.began + *self.elapsed.borrow()
    }

    fn monotonic(&self) -> Duration {
        *self.elapsed.borrow()
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        let mut elapsed = self.elapsed.subscribe();
        let until = *elapsed.borrow() + wait;
        self.sleepers.add_permits(1);
        Box::pin(async move {
            if elapsed.wait_for(|elapsed| *elapsed >= until).await.is_err() {
                std::future::pending().await
            }
        })
    }

    fn random(&self) -> u64 {
        SystemClock.random()
    }
}
