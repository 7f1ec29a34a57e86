//! What a poll holds while it asks: its name, the time, and a way to send a call once.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bowline_model::{Attempt, Clock, Effect, Failure, Result, Verdict};
use jiff::Timestamp;
use uuid::Builder;

/// What a poll's function is given: by it, calls are [sent](Self::send).
#[derive(Clone)]
pub struct Poll {
    name: Arc<str>,
    clock: Arc<dyn Clock>,
    /// By the monotonic clock.
    ends: Duration,
    failures_in_a_row: u32,
    waited_nanos: Arc<AtomicU64>,
}

impl Poll {
    pub(super) fn new(name: &str, clock: Arc<dyn Clock>, within: Duration, failures_in_a_row: u32) -> Self {
        let ends = clock.monotonic().saturating_add(within);
        Self { name: name.into(), clock, ends, failures_in_a_row, waited_nanos: Arc::default() }
    }

    /// The poll's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The time, for queries such as "changed in the last hour".
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// How often this poll failed since it last went well.
    pub fn failures_in_a_row(&self) -> u32 {
        self.failures_in_a_row
    }

    /// How much of the poll's time is left.
    pub fn time_left(&self) -> Duration {
        self.ends.saturating_sub(self.clock.monotonic())
    }

    /// Sends a call, once: when to ask again after a failure is the poll's matter, and it heeds what the remote says of
    /// its limits. A wait that the Api's own limits ask for is sat through if it ends within the poll's time.
    ///
    /// Prefer it to [`Call::send`](https://docs.rs/bowline-client), which tries again by a schedule of its own until the
    /// poll's time is over.
    ///
    /// # Errors
    /// What the remote answered, or why nothing was sent; hand it on with `?`.
    pub async fn send<E: Effect>(&self, call: E) -> Result<E::Output> {
        // A new key for each call: whoever asks for news does not want to be answered with the last ones.
        let bits = u128::from(self.clock.random()) << 64 | u128::from(self.clock.random());
        let key = Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().to_string();
        loop {
            let attempt = Attempt::new(key.as_str(), 1, self.time_left());
            match call.attempt(attempt).await {
                Verdict::Done(value) => return Ok(value),
                Verdict::RetryAfter(failure) | Verdict::Refused(failure) | Verdict::Unknown(failure) => {
                    return Err(failure.into());
                }
                Verdict::Wait { wait, why } if wait >= self.time_left() => {
                    return Err(Failure::refused(format!("still waiting: {why}"))
                        .retry_after(Some(wait))
                        .into());
                }
                Verdict::Wait { wait, .. } => {
                    let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
                    self.waited_nanos.fetch_add(nanos, Ordering::Relaxed);
                    self.clock.sleep(wait).await;
                }
            }
        }
    }

    /// How long it waited for limits of the Apis it asked.
    pub(super) fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited_nanos.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Poll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poll").field("name", &self.name).finish_non_exhaustive()
    }
}
