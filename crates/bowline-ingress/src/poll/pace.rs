//! When to ask again. Pure: what came of a poll, how long it took, and chance come in; a wait goes out.

use std::time::Duration;

/// Bound of the wait after the first failure; it doubles from there, and the wait is drawn evenly below it.
const FAILURE_WAIT_MIN: Duration = Duration::from_secs(1);
/// Largest bound of the wait after failures, unless the poll's own interval is longer.
const FAILURE_WAIT_MAX: Duration = Duration::from_secs(600);
/// No remote puts a poll off for longer: a day.
const LIMITED_WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// How often the interval doubles at most: to 32 times.
const DOUBLINGS_MAX: u32 = 5;
/// Polls without a limit after which the interval is halved again; a limit within as many polls doubles it.
const CALM_POLLS: u32 = 4;

/// What came of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It went well.
    Found {
        /// Whether there is more already.
        more: bool,
        /// How long it waited for limits.
        waited: Duration,
    },
    /// Another node was there first.
    Overtaken,
    /// The remote, or a limit of its Api, asks to come back later.
    Limited {
        /// How much later, if it says so.
        after: Option<Duration>,
    },
    /// Something else failed.
    Failed {
        /// When it may help to ask again, if that is known.
        after: Option<Duration>,
    },
}

/// How fast a poll asks.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    every: Duration,
    failures: u32,
    /// How often the interval was doubled.
    doublings: u32,
    /// Polls since the last limit, or the last change of the interval.
    calm: u32,
}

impl Pace {
    pub(super) fn new(every: Duration) -> Self {
        Self { every, failures: 0, doublings: 0, calm: CALM_POLLS }
    }

    /// Failures since a poll went well.
    pub(super) fn failures_in_a_row(&self) -> u32 {
        self.failures
    }

    /// From start to start.
    fn interval(&self) -> Duration {
        self.every.saturating_mul(1 << self.doublings)
    }

    /// How long to wait, counted from now, after a poll that took so long. `chance` is an even draw from all of `u64`.
    pub(super) fn wait_after(&mut self, outcome: Outcome, took: Duration, chance: u64) -> Duration {
        match outcome {
            Outcome::Found { more, waited } => {
                self.failures = 0;
                // Whoever waits for as long as it should rest asks more than it may.
                if waited >= self.interval() {
                    self.limited()
                } else {
                    self.calmer()
                }
                if more { Duration::ZERO } else { self.interval().saturating_sub(took) }
            }
            Outcome::Overtaken => {
                self.failures = 0;
                self.interval().saturating_sub(took)
            }
            Outcome::Limited { after } => {
                self.failures = self.failures.saturating_add(1);
                self.limited();
                let asked = after.unwrap_or_default().min(LIMITED_WAIT_MAX);
                let least = asked.max(self.interval().saturating_sub(took));
                // A little more than asked: others were told the same.
                least.saturating_add(share(asked / 10, chance))
            }
            Outcome::Failed { after } => {
                self.failures = self.failures.saturating_add(1);
                let doublings = (self.failures - 1).min(u32::BITS - 1);
                let cap = FAILURE_WAIT_MAX.max(self.every);
                let bound = FAILURE_WAIT_MIN.saturating_mul(1 << doublings).min(cap);
                share(bound, chance).max(after.unwrap_or_default().min(LIMITED_WAIT_MAX))
            }
        }
    }

    /// The first limit in a while changes nothing: it says itself how long to wait. The next one does.
    fn limited(&mut self) {
        if self.calm < CALM_POLLS {
            self.doublings = (self.doublings + 1).min(DOUBLINGS_MAX);
        }
        self.calm = 0;
    }

    fn calmer(&mut self) {
        self.calm = self.calm.saturating_add(1);
        if self.calm >= CALM_POLLS && self.doublings > 0 {
            self.doublings -= 1;
            self.calm = 0;
        }
    }
}

/// An even draw from zero to `bound`.
fn share(bound: Duration, chance: u64) -> Duration {
    // 64 bits of chance by at most 57 bits of nanoseconds: exact, and never more than the bound.
    Duration::from_nanos_u128(bound.as_nanos() * u128::from(chance) / u128::from(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(30);
    const WELL: Outcome = Outcome::Found { more: false, waited: Duration::ZERO };
    const FAILED: Outcome = Outcome::Failed { after: None };

    fn limited(seconds: u64) -> Outcome {
        Outcome::Limited { after: Some(Duration::from_secs(seconds)) }
    }

    fn wait(pace: &mut Pace, outcome: Outcome, chance: u64) -> u64 {
        pace.wait_after(outcome, Duration::ZERO, chance).as_secs()
    }

    #[test]
    fn from_start_to_start_is_the_interval_and_more_comes_at_once() {
        let mut pace = Pace::new(EVERY);
        assert_eq!(pace.wait_after(WELL, Duration::from_secs(12), 7), Duration::from_secs(18));
        assert_eq!(pace.wait_after(WELL, Duration::from_secs(31), 7), Duration::ZERO);
        let more = Outcome::Found { more: true, waited: Duration::ZERO };
        assert_eq!(wait(&mut pace, more, u64::MAX), 0);
    }

    #[test]
    fn failures_wait_longer_and_longer_drawn_evenly_and_success_resets() {
        let mut pace = Pace::new(EVERY);
        let bounds: Vec<u64> = (0..12).map(|_| wait(&mut pace, FAILED, u64::MAX)).collect();
        assert_eq!(bounds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        assert_eq!(wait(&mut pace, FAILED, 0), 0);
        assert_eq!(wait(&mut pace, FAILED, u64::MAX / 2), 299);
        assert_eq!(pace.failures_in_a_row(), 14);
        wait(&mut pace, WELL, 0);
        assert_eq!((pace.failures_in_a_row(), wait(&mut pace, FAILED, u64::MAX)), (0, 1));
    }

    #[test]
    fn what_the_store_asks_for_is_a_floor() {
        let full = Outcome::Failed { after: Some(Duration::from_secs(30)) };
        assert_eq!(wait(&mut Pace::new(EVERY), full, 0), 30);
    }

    #[test]
    fn a_slow_poll_that_fails_is_asked_no_less_often_than_one_that_works() {
        let mut pace = Pace::new(Duration::from_secs(3600));
        let bounds = (0..40).map(|_| wait(&mut pace, FAILED, u64::MAX));
        assert_eq!(bounds.max(), Some(3600));
    }

    #[test]
    fn a_remotes_limit_is_waited_for_and_not_the_interval_less() {
        assert_eq!(wait(&mut Pace::new(EVERY), limited(120), 0), 120);
        assert_eq!(wait(&mut Pace::new(EVERY), limited(120), u64::MAX), 132);
        assert_eq!(wait(&mut Pace::new(EVERY), limited(5), 0), 30, "the interval is longer");
        assert_eq!(wait(&mut Pace::new(EVERY), Outcome::Limited { after: None }, 0), 30);
        assert_eq!(wait(&mut Pace::new(EVERY), limited(u64::MAX), 0), 24 * 3600);
    }

    #[test]
    fn limits_in_a_row_widen_the_interval_and_calm_narrows_it() {
        let mut pace = Pace::new(EVERY);
        let waits: Vec<u64> = (0..8).map(|_| wait(&mut pace, limited(1), 0)).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 960, 960]);
        let waits: Vec<u64> = (0..21).map(|_| wait(&mut pace, WELL, 0)).collect();
        let halves = [
            960, 960, 960, 480, 480, 480, 480, 240, 240, 240, 240, 120, 120, 120, 120, 60, 60, 60, 60, 30, 30,
        ];
        assert_eq!(waits, halves);
        assert_eq!(wait(&mut pace, limited(1), 0), 60, "soon after another one");
    }

    #[test]
    fn limits_now_and_then_do_not_widen_it() {
        let mut pace = Pace::new(EVERY);
        for _ in 0..50 {
            assert_eq!(wait(&mut pace, limited(1), 0), 30);
            (0..CALM_POLLS).for_each(|_| assert_eq!(wait(&mut pace, WELL, 0), 30));
        }
    }

    #[test]
    fn waits_of_the_clients_own_limits_count_when_they_are_as_long_as_the_interval() {
        let mut pace = Pace::new(EVERY);
        let waited = Outcome::Found { more: false, waited: EVERY };
        assert_eq!([0; 3].map(|_| wait(&mut pace, waited, 0)), [30, 60, 30 * 2], "60 s were not waited for");
        let short = Outcome::Found { more: false, waited: EVERY / 2 };
        let mut pace = Pace::new(EVERY);
        assert!((0..20).all(|_| wait(&mut pace, short, 0) == 30));
    }
}
