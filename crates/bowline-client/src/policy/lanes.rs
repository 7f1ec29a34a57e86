//! So many calls at once, and no more.

use std::time::Duration;

/// How long a call takes, before one was seen.
const CALL_TAKES: Duration = Duration::from_millis(100);
/// Nobody waits longer for a call that takes unusually long before it asks again: it may end at any moment.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// Weight of the last call in the estimate.
const LAST_SHARE: f64 = 0.1;

/// The lanes of one account.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: u32,
    /// When each call under way was sent.
    in_use: Vec<Duration>,
    call_takes: Duration,
}

impl Lanes {
    pub(super) fn new(lanes: u32) -> Self {
        Self { lanes: lanes.max(1), in_use: vec![], call_takes: CALL_TAKES }
    }

    pub(super) fn room(&self) -> u32 {
        self.lanes.saturating_sub(u32::try_from(self.in_use.len()).unwrap_or(u32::MAX))
    }

    /// When there is a lane for the nth call from now, about.
    pub(super) fn time_of(&self, nth: u32, now: Duration) -> Duration {
        let behind = nth.saturating_sub(self.room());
        let Some(before) = behind.checked_sub(1) else { return now };
        let mut left: Vec<Duration> = self.in_use.iter().map(|sent| self.left_of(*sent, now)).collect();
        let lane = before as usize % left.len().max(1);
        let first = if left.is_empty() { Duration::ZERO } else { *left.select_nth_unstable(lane).1 };
        let rounds = f64::from(before - lane as u32) / f64::from(self.lanes);
        now + first + self.call_takes.mul_f64(rounds)
    }

    /// How much longer a call takes: what is left of the usual time, or as long again.
    fn left_of(&self, sent: Duration, now: Duration) -> Duration {
        let age = now.saturating_sub(sent);
        self.call_takes.checked_sub(age).unwrap_or(age.min(WAIT_MAX))
    }

    pub(super) fn take(&mut self, now: Duration) {
        self.in_use.push(now);
    }

    pub(super) fn gone(&mut self, sent: Duration, now: Duration) {
        if let Some(place) = self.in_use.iter().position(|other| *other == sent) {
            self.in_use.swap_remove(place);
        }
        let took = now.saturating_sub(sent);
        self.call_takes = self.call_takes.mul_f64(1.0 - LAST_SHARE) + took.mul_f64(LAST_SHARE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_comes_back_and_waits_are_estimated_from_what_calls_took() {
        let s = Duration::from_secs;
        let mut lanes = Lanes::new(2);
        lanes.take(s(0));
        for nth in 0..100 {
            lanes.gone(s(4 * nth), s(4 * nth + 4));
            lanes.take(s(4 * nth + 4));
        }
        lanes.take(s(400));
        assert_eq!(lanes.room(), 0);
        let wait = |lanes: &Lanes, nth| (lanes.time_of(nth, s(400)) - s(400)).as_secs_f64().round();
        assert_eq!([1, 2, 3, 4].map(|nth| wait(&lanes, nth)), [4.0, 4.0, 8.0, 8.0]);
        lanes.gone(s(400), s(400));
        assert_eq!((lanes.room(), wait(&lanes, 1), wait(&lanes, 2)), (1, 0.0, 4.0));
    }

    #[test]
    fn a_call_that_takes_unusually_long_is_looked_at_when_it_took_twice_as_long() {
        let s = Duration::from_secs;
        let mut lanes = Lanes::new(2);
        lanes.take(s(0));
        lanes.take(s(5));
        assert_eq!([1, 2].map(|nth| lanes.time_of(nth, s(8))), [s(11), s(16)]);
        assert_eq!([1, 2].map(|nth| lanes.time_of(nth, s(3600))), [s(3620), s(3620)], "and not in an hour");
    }
}
