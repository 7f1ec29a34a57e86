//! The first calls to a remote whose limits nobody knows yet: few, then slowly more with answers, as all that are under
//! way may be refused at once.

use std::time::Duration;

/// Calls that may be under way before the first answer.
const FIRST_CALLS: u32 = 32;
/// How many answers let one more be under way.
const ANSWERS_FOR_ONE: u32 = 8;
/// How often twice as many may be under way while no answer comes: a slow remote is not made slower.
const DOUBLES_EVERY: Duration = Duration::from_secs(1);
/// How long a round of answers takes, for who waits behind it.
const ROUND_TAKES: Duration = Duration::from_millis(100);
/// Once so many may be under way, all may.
const CALLS_MAX: u32 = 1024;

/// How far the start has come.
#[derive(Debug, Default)]
pub(super) struct Start {
    /// When the first call went, or the last good answer came.
    since: Option<Duration>,
    answers: u32,
}

impl Start {
    fn allowed(&self, now: Duration) -> u32 {
        let passed = self.since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        let doublings = (passed.as_millis() / DOUBLES_EVERY.as_millis()).min(16) as u32;
        match self.calls() << doublings {
            allowed if allowed >= CALLS_MAX => u32::MAX,
            allowed => allowed,
        }
    }

    fn calls(&self) -> u32 {
        FIRST_CALLS + self.answers / ANSWERS_FOR_ONE
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
        let rounds = f64::from(wanted) / f64::from(self.calls());
        // Not by whole rounds: nobody is told the same time as many others.
        now + ROUND_TAKES.mul_f64(rounds.max(1.0).log2() + 0.5)
    }

    pub(super) fn take(&mut self, now: Duration) {
        self.since.get_or_insert(now);
    }

    pub(super) fn answered(&mut self, now: Duration) {
        self.since = Some(now);
        self.answers = (self.answers + 1).min(CALLS_MAX * ANSWERS_FOR_ONE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_by_answers_and_by_silence() {
        let (mut start, began) = (Start::default(), Duration::from_secs(9));
        assert_eq!(start.room(0, began), 32);
        start.take(began);
        assert_eq!(start.room(32, began), 0);
        (0..8).for_each(|_| start.answered(began));
        assert_eq!(start.room(31, began), 2);
        assert_eq!(start.time_of(2, 31, began), began);
        let times: Vec<_> = (3..1000).map(|nth| start.time_of(nth, 31, began)).collect();
        assert!(times[0] > began && times.is_sorted() && times[996] < began + DOUBLES_EVERY);
        assert_eq!(start.room(31, began + 2 * DOUBLES_EVERY), 33 * 4 - 31);
        start.answered(began + 2 * DOUBLES_EVERY);
        assert_eq!(start.room(31, began + 2 * DOUBLES_EVERY), 2, "it answers");
        assert_eq!(start.room(5000, began + 10 * DOUBLES_EVERY), u32::MAX);
        (0..8000).for_each(|_| start.answered(began));
        assert_eq!(start.room(5000, began), u32::MAX);
    }
}
