//! A rate limit that was declared: so many calls in any span of a length.

use std::{collections::VecDeque, time::Duration};

/// How much longer than its span a limit is taken to be: what is sent evenly arrives unevenly.
const MARGIN_SHARE: u32 = 50;
const MARGIN_MIN: Duration = Duration::from_millis(10);
const MARGIN_MAX: Duration = Duration::from_secs(1);
/// Share of a limit's calls that may go at once, if nobody says otherwise.
const BURST_SHARE: u32 = 10;
/// Most times that are remembered of one limit; beyond it, calls are remembered in groups.
const TIMES_MAX: u32 = 4096;

/// What is declared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RateLimit {
    pub(super) calls: u32,
    pub(super) per: Duration,
    pub(super) burst: u32,
}

impl RateLimit {
    pub(super) fn new(calls: u32, per: Duration, burst: Option<u32>) -> Self {
        let burst = burst.unwrap_or(calls / BURST_SHARE).clamp(1, calls.max(1));
        Self { calls, per, burst }
    }
}

/// How much of it is used.
///
/// Calls go evenly, after a first burst; and never more of them than the limit in any span of its length.
#[derive(Debug)]
pub(super) struct Declared {
    calls: u32,
    /// The limit's span and its margin.
    span: Duration,
    burst: f64,
    /// How many may go at once, as of `at`.
    tokens: f64,
    at: Duration,
    /// When each group of calls ended, the oldest first.
    ends: VecDeque<Duration>,
    group: u32,
    /// Calls since the last group ended.
    begun: u32,
}

impl Declared {
    pub(super) fn new(limit: RateLimit) -> Self {
        let margin = (limit.per / MARGIN_SHARE).clamp(MARGIN_MIN, MARGIN_MAX);
        Self {
            calls: limit.calls.max(1),
            span: limit.per + margin,
            burst: f64::from(limit.burst),
            tokens: f64::from(limit.burst),
            at: Duration::ZERO,
            ends: VecDeque::new(),
            group: limit.calls.div_ceil(TIMES_MAX).max(1),
            begun: 0,
        }
    }

    fn interval(&self) -> Duration {
        self.span / self.calls
    }

    fn tokens(&self, now: Duration) -> f64 {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        (self.tokens + passed / self.interval().as_secs_f64()).min(self.burst)
    }

    /// How many more fit into the span that ends now.
    fn left(&self, now: Duration) -> u32 {
        let over = self.ends.partition_point(|end| *end + self.span <= now);
        let groups = u32::try_from(self.ends.len() - over).expect("as many as are remembered");
        self.calls.saturating_sub(groups * self.group + self.begun)
    }

    /// How many may go now.
    pub(super) fn room(&self, now: Duration) -> u32 {
        whole(self.tokens(now)).min(self.left(now))
    }

    /// When the nth call from now may go.
    pub(super) fn time_of(&self, nth: u32, now: Duration) -> Duration {
        let short = (f64::from(nth) - self.tokens(now)).max(0.0);
        let even = now + self.interval().mul_f64(short);
        let left = self.left(now);
        let Some(beyond) = nth.checked_sub(left + 1) else { return even };
        let over = self.ends.partition_point(|end| *end + self.span <= now);
        let index = over + (beyond / self.group) as usize;
        let end = self.ends.get(index).or(self.ends.back()).copied();
        even.max(end.unwrap_or(now) + self.span)
    }

    /// One goes now.
    pub(super) fn take(&mut self, now: Duration) {
        self.tokens = self.tokens(now) - 1.0;
        self.at = now;
        while self.ends.front().is_some_and(|end| *end + self.span <= now) {
            self.ends.pop_front();
        }
        self.begun += 1;
        if self.begun >= self.group {
            self.ends.push_back(now);
            self.begun = 0;
        }
    }
}

/// What rounding errors of additions may take from a whole number.
const EPSILON: f64 = 1e-6;

/// The whole part of a number of calls.
pub(super) fn whole(number: f64) -> u32 {
    // Saturates, and is zero below zero.
    (number + EPSILON) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    /// The times at which `calls` go if each goes as early as it may.
    fn eager(limit: RateLimit, calls: usize) -> Vec<Duration> {
        let (mut declared, mut now) = (Declared::new(limit), Duration::ZERO);
        let mut times = vec![];
        while times.len() < calls {
            now = declared.time_of(1, now);
            assert!(declared.room(now) >= 1, "what is foretold comes true: {now:?} {declared:?}");
            declared.take(now);
            times.push(now);
        }
        times
    }

    fn most_in_any(span: Duration, times: &[Duration]) -> usize {
        (0..times.len())
            .map(|from| times[from..].iter().take_while(|time| **time < times[from] + span).count())
            .max()
            .unwrap_or(0)
    }

    #[test]
    fn two_thousand_calls_take_their_time_and_little_more() {
        let times = eager(RateLimit::new(100, S, None), 2000);
        assert!(most_in_any(S, &times) <= 100);
        let last = times.last().unwrap().as_secs_f64();
        assert!((19.0..=20.5).contains(&last), "{last}");
        assert_eq!(times[9], Duration::ZERO, "a tenth at once");
    }

    #[test]
    fn times_are_foretold() {
        let mut declared = Declared::new(RateLimit::new(10, S, Some(10)));
        let foretold: Vec<_> = (1..=30).map(|nth| declared.time_of(nth, Duration::ZERO)).collect();
        let mut now = Duration::ZERO;
        for (nth, foretold) in foretold.into_iter().enumerate() {
            now = declared.time_of(1, now);
            declared.take(now);
            assert!(now >= foretold, "{nth}: {now:?} {foretold:?}");
            assert!(now <= foretold + S, "{nth}: {now:?} {foretold:?}");
        }
    }

    proptest! {
        #[test]
        fn no_span_holds_more_than_the_limit(
            calls in 1_u32..60, per_ms in 1_u64..5000, burst in 1_u32..60,
            gaps_ms in prop::collection::vec(0_u64..400, 1..300),
        ) {
            let per = Duration::from_millis(per_ms);
            let mut declared = Declared::new(RateLimit::new(calls, per, Some(burst)));
            let (mut now, mut times) = (Duration::from_secs(5), vec![]);
            for gap in gaps_ms {
                now += Duration::from_millis(gap);
                while declared.room(now) > 0 {
                    declared.take(now);
                    times.push(now);
                }
            }
            prop_assert!(most_in_any(per, &times) <= calls as usize);
        }

        #[test]
        fn large_limits_hold_too(burst in 2_000_u32..100_000) {
            let limit = RateLimit::new(100_000, 60 * S, Some(burst));
            let mut declared = Declared::new(limit);
            let mut sent = 0;
            for second in 0..60 {
                for _ in 0..declared.room(S * second) {
                    declared.take(S * second);
                    sent += 1;
                }
            }
            prop_assert!((80_000..=100_000).contains(&sent), "{}", sent);
            prop_assert!(declared.ends.len() <= TIMES_MAX as usize);
        }
    }
}
