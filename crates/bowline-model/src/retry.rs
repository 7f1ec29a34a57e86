//! The one retry schedule: exponential backoff with full jitter, the remote's own wish honoured, and an end.
//!
//! Pure: time and chance come in as arguments. The engine asks it inside a run, the client when it stands alone.

use std::time::Duration;

use jiff::Timestamp;

use crate::{Failure, effect::Tried};

/// How often, how fast and how long a step is tried again.
///
/// | Option | Default |
/// |---|---|
/// | first delay | up to 0.5 s |
/// | growth | doubles with every attempt, each delay drawn evenly from zero to the bound (full jitter) |
/// | longest delay | 10 min |
/// | give up | 20 h after the first attempt, before any provider forgets an idempotency key |
/// | attempts | at most 1,000 |
///
/// ```
/// use bowline_model::RetryPolicy;
/// use std::time::Duration;
///
/// let patient = RetryPolicy::default().attempts_max(5).delay_max(Duration::from_secs(30));
/// assert_eq!(patient.delay_bound(1), Duration::from_millis(500));
/// assert_eq!(patient.delay_bound(20), Duration::from_secs(30));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    base: Duration,
    delay_max: Duration,
    give_up_after: Duration,
    attempts_max: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(500),
            delay_max: Duration::from_secs(600),
            give_up_after: Duration::from_secs(20 * 3600),
            attempts_max: ATTEMPTS_MAX,
        }
    }
}

/// No delay is longer than this, whatever a policy or a remote asks for: 30 days.
const DELAY_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// No policy tries more often than this.
pub const ATTEMPTS_MAX: u32 = 1000;

impl RetryPolicy {
    /// One attempt, no more.
    pub fn never() -> Self {
        Self::default().attempts_max(1)
    }

    /// Bound of the first delay; it doubles from there.
    pub fn base(mut self, base: Duration) -> Self {
        self.base = base;
        self
    }

    /// Longest delay between two attempts, unless the remote asks for a longer one.
    pub fn delay_max(mut self, longest: Duration) -> Self {
        self.delay_max = longest;
        self
    }

    /// No attempt starts later than this after the first one.
    pub fn give_up_after(mut self, whole: Duration) -> Self {
        self.give_up_after = whole;
        self
    }

    /// Most attempts, the first included: 1 to [`ATTEMPTS_MAX`].
    pub fn attempts_max(mut self, attempts: u32) -> Self {
        self.attempts_max = attempts.clamp(1, ATTEMPTS_MAX);
        self
    }

    /// The longest delay that may follow attempt number `attempt`, unless the remote asks for a longer one.
    pub fn delay_bound(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.base.saturating_mul(1 << doublings).min(self.delay_max)
    }

    /// When to try again after `failure`, or `None` to give up.
    ///
    /// `chance` is an even draw from all of `u64`. What the remote asked for is honoured: the next attempt is never
    /// earlier than that. If it lies beyond the end of the schedule, there is no next attempt.
    pub fn next_attempt(
        &self,
        failure: &Failure,
        tried: Tried,
        now: Timestamp,
        chance: u64,
    ) -> Option<Timestamp> {
        if !failure.retryable || tried.attempts >= self.attempts_max {
            return None;
        }
        let bound_nanos = self.delay_bound(tried.attempts).min(DELAY_MAX).as_nanos();
        // 64 bits of chance by at most 52 bits of nanoseconds: exact, and never more than the bound.
        let jittered = Duration::from_nanos_u128((bound_nanos * u128::from(chance)) / u128::from(u64::MAX));
        let delay = match failure.retry_after {
            // A little more than asked, so that a thousand runs told "5 s" do not come back in the same instant.
            Some(asked) => asked.min(DELAY_MAX) + jittered.min(asked / 10),
            None => jittered,
        };
        let next = now.checked_add(delay).ok()?;
        let end = tried.since.checked_add(self.give_up_after).unwrap_or(Timestamp::MAX);
        (next <= end).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn tried(attempts: u32) -> Tried {
        Tried { attempts, since: NOW }
    }

    #[test]
    fn full_jitter_spans_zero_to_the_doubled_bound() {
        let (policy, failure) = (RetryPolicy::default(), Failure::unknown("reset"));
        for (attempts, bound_millis) in [(1, 500), (2, 1000), (3, 2000), (12, 600_000), (900, 600_000)] {
            let earliest = policy.next_attempt(&failure, tried(attempts), NOW, 0);
            let latest = policy.next_attempt(&failure, tried(attempts), NOW, u64::MAX);
            assert_eq!(earliest, Some(NOW));
            assert_eq!(latest, Some(NOW + Duration::from_millis(bound_millis)), "after attempt {attempts}");
        }
    }

    #[test]
    fn the_remotes_wish_is_a_floor() {
        let failure = Failure::refused("429").retry_after(Some(Duration::from_secs(120)));
        let next = RetryPolicy::default().next_attempt(&failure, tried(1), NOW, 0);
        assert_eq!(next, Some(NOW + Duration::from_secs(120)));
    }

    #[test]
    fn gives_up_by_attempts_by_time_and_when_it_cannot_help() {
        let failure = Failure::unknown("reset");
        let policy = RetryPolicy::default().attempts_max(3);
        assert!(policy.next_attempt(&failure, tried(2), NOW, 0).is_some());
        assert!(policy.next_attempt(&failure, tried(3), NOW, 0).is_none());
        let late = NOW + Duration::from_secs(20 * 3600 + 1);
        assert!(RetryPolicy::default().next_attempt(&failure, tried(2), late, 0).is_none());
        assert!(policy.next_attempt(&failure.permanent(), tried(1), NOW, 0).is_none());
    }
}
