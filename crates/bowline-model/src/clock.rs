//! The one source of time and randomness, so that tests can move the one and repeat the other.

use std::{future::Future, pin::Pin, time::Duration};

use jiff::Timestamp;

/// A future whose type is not spelled out: what object-safe ports return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How long a [`SystemClock`] sleeps until it looks again at the wall clock.
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(30);

/// Time and chance.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// Time since some fixed point that no one sets back: for measuring and for deadlines.
    fn monotonic(&self) -> Duration;

    /// Ends after `wait`.
    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()>;

    /// Ends when the wall clock shows `until`. A clock that can be moved overrides this, so that a move between the look
    /// at the time and the beginning of the sleep is not slept through.
    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        self.sleep(Duration::try_from(until.duration_since(self.now())).unwrap_or_default())
    }

    /// 64 bits, each evenly drawn, that nobody can guess.
    fn random(&self) -> u64;
}

/// The machine's clock and its source of randomness. [`sleep`](Clock::sleep) needs a Tokio runtime.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[allow(clippy::disallowed_methods, reason = "this is the port that the banned calls point to")]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        START.get_or_init(std::time::Instant::now).elapsed()
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(wait))
    }

    /// Looks at the wall clock now and then: a sleep of the runtime takes no notice of a suspended machine, or of a
    /// clock that is set.
    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            while let Ok(wait) = Duration::try_from(until.duration_since(Timestamp::now()))
                && !wait.is_zero()
            {
                tokio::time::sleep(wait.min(LOOK_AGAIN_MAX)).await;
            }
        })
    }

    fn random(&self) -> u64 {
        rand::random()
    }
}
