//! A clock on which time passes as ever, but more quickly: remote and client share it.

use std::time::Duration;

use bowline_model::{BoxFuture, Clock, SystemClock};
use jiff::Timestamp;

/// So many seconds pass in one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quick {
    times: u32,
    /// What the machine's clock showed when it began, and what this one did.
    began: Duration,
    start: Timestamp,
}

impl Quick {
    pub(crate) fn new(times: u32) -> Self {
        // A whole second: remotes whose windows begin with seconds begin one now.
        let start = Timestamp::from_second(1_795_341_600).unwrap();
        Self { times, began: SystemClock.monotonic(), start }
    }

    /// The time since it began.
    pub(crate) fn passed(&self) -> Duration {
        (SystemClock.monotonic() - self.began) * self.times
    }
}

impl Clock for Quick {
    fn now(&self) -> Timestamp {
        self.start + self.passed()
    }

    fn monotonic(&self) -> Duration {
        self.passed()
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        SystemClock.sleep(wait / self.times)
    }

    fn random(&self) -> u64 {
        SystemClock.random()
    }
}
