//! The machine's clock, which a test can set forward.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use bowline_model::{BoxFuture, Clock, SystemClock};
use jiff::{SignedDuration, Timestamp};

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
