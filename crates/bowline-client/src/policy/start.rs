//! The first calls to a remote whose limits nobody knows yet: few, then more with each answer, and with time.

use std::time::Duration;

/// Calls that may be under way before the first answer.
const FIRST_CALLS: u32 = 32;
/// How often twice as many may be under way, answers or not: a slow remote is not made slower.
const DOUBLES_EVERY: Duration = Duration::from_secs(1);
/// How long a round of answers takes, for who waits behind it.
const ROUND_TAKES: Duration = Duration::from_millis(100);
/// Once so many may be under way, all may.
const CALLS_MAX: u32 = 1024;

/// How far the start has come.
#[derive(Debug, Default)]
pub(super) struct Start {
    began: Option<Duration>,
    answers: u32,
}

impl Start {
    fn allowed(&self, now: Duration) -> u32 {
        let passed = self.began.map_or(Duration::ZERO, |began| now.saturating_sub(began));
        let doublings = (passed.as_millis() / DOUBLES_EVERY.as_millis()).min(16) as u32;
        match (FIRST_CALLS + self.answers) << doublings {
            allowed if allowed >= CALLS_MAX => u32::MAX,
            allowed => allowed,
        }
    }

    pub(super) fn room(&self, unanswered: u32, now: Duration) -> u32 {
        match self.allowed(now) {
            u32::MAX => u32::MAX,
            allowed => allowed.saturating_sub(unanswered),
        }
    }

    /// When the nth call from now may go, if answers come as they usually do.
    pub(super) fn time_of(&self, nth: u32, unanswered: u32, now: Duration) -> Duration {
        let room = self.room(unanswered, now);
        if nth <= room {
            return now;
        }
        let wanted = nth.saturating_add(unanswered).min(CALLS_MAX);
        let rounds = f64::from(wanted) / f64::from(FIRST_CALLS + self.answers);
        // Not by whole rounds: nobody is told the same time as many others.
        now + ROUND_TAKES.mul_f64(rounds.max(1.0).log2() + 0.5)
    }

    pub(super) fn take(&mut self, now: Duration) {
        self.began.get_or_insert(now);
    }

    pub(super) fn answered(&mut self) {
        self.answers = (self.answers + 1).min(CALLS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_by_answers_and_by_time() {
        let (mut start, began) = (Start::default(), Duration::from_secs(9));
        assert_eq!(start.room(0, began), 32);
        start.take(began);
        assert_eq!(start.room(32, began), 0);
        start.answered();
        assert_eq!(start.room(31, began), 2);
        assert_eq!(start.time_of(2, 31, began), began);
        let times: Vec<_> = (3..1000).map(|nth| start.time_of(nth, 31, began)).collect();
        assert!(times[0] > began && times.is_sorted() && times[996] < began + DOUBLES_EVERY);
        assert_eq!(start.room(31, began + 2 * DOUBLES_EVERY), 33 * 4 - 31);
        assert_eq!(start.room(5000, began + 10 * DOUBLES_EVERY), u32::MAX);
        (0..1000).for_each(|_| start.answered());
        assert_eq!(start.room(5000, began), u32::MAX);
    }
}
