//! The first calls to a remote whose limits nobody knows yet: few, then more with each answer, and with time.

use std::time::Duration;

/// Calls that may be under way before the first answer.
const FIRST_CALLS: u32 = 32;
/// How often twice as many may be under way, answers or not: a slow remote is not made slower.
const DOUBLES_EVERY: Duration = Duration::from_millis(100);
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

    /// When the nth call from now may go if no answer comes.
    pub(super) fn time_of(&self, nth: u32, unanswered: u32, now: Duration) -> Duration {
        let began = self.began.unwrap_or(now);
        let wanted = nth.saturating_add(unanswered).min(CALLS_MAX);
        let times = |doublings: &u32| (FIRST_CALLS + self.answers) << doublings >= wanted;
        let doublings = (0..16).find(times).unwrap_or(16);
        now.max(began + DOUBLES_EVERY * doublings)
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
        assert_eq!(start.time_of(40, 31, began), began + 2 * DOUBLES_EVERY);
        assert_eq!(start.room(31, began + 2 * DOUBLES_EVERY), 33 * 4 - 31);
        assert_eq!(start.room(5000, began + Duration::from_secs(1)), u32::MAX);
        (0..1000).for_each(|_| start.answered());
        assert_eq!(start.room(5000, began), u32::MAX);
    }
}
