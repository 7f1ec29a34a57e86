//! So many calls at once, and no more.

use std::time::Duration;

/// How long a call takes, before one was seen.
const CALL_TAKES: Duration = Duration::from_millis(100);
/// Weight of the last call in the estimate.
const LAST_SHARE: f64 = 0.1;

/// The lanes of one account.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: u32,
    in_use: u32,
    call_takes: Duration,
}

impl Lanes {
    pub(super) fn new(lanes: u32) -> Self {
        Self { lanes: lanes.max(1), in_use: 0, call_takes: CALL_TAKES }
    }

    pub(super) fn room(&self) -> u32 {
        self.lanes.saturating_sub(self.in_use)
    }

    /// When there is a lane for the nth call from now, about.
    pub(super) fn time_of(&self, nth: u32, now: Duration) -> Duration {
        let behind = nth.saturating_sub(self.room());
        now + self.call_takes.mul_f64(f64::from(behind) / f64::from(self.lanes))
    }

    pub(super) fn take(&mut self) {
        self.in_use += 1;
    }

    pub(super) fn gone(&mut self, took: Duration) {
        self.in_use -= 1;
        self.call_takes = self.call_takes.mul_f64(1.0 - LAST_SHARE) + took.mul_f64(LAST_SHARE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_comes_back_and_waits_are_estimated_from_what_calls_took() {
        let mut lanes = Lanes::new(2);
        lanes.take();
        lanes.take();
        assert_eq!(lanes.room(), 0);
        for _ in 0..100 {
            lanes.gone(Duration::from_secs(4));
            lanes.take();
        }
        let wait = lanes.time_of(3, Duration::ZERO).as_secs_f64();
        assert!((5.9..=6.1).contains(&wait), "{wait}");
        lanes.gone(Duration::from_secs(4));
        assert_eq!(lanes.room(), 1);
    }
}
