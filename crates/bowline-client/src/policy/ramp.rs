//! How calls rise again after a standstill: twice as fast with every second.

use std::time::Duration;

/// Calls that go in the first second, about.
const FIRST_SECOND: f64 = 10.0;
/// After this the remote has shown that it can take what comes.
const RAMP_LASTS: Duration = Duration::from_secs(12);

/// A rise that began at some time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ramp {
    began: Duration,
    taken: f64,
}

impl Ramp {
    pub(super) fn new(began: Duration) -> Self {
        Self { began, taken: 0.0 }
    }

    /// How many may have gone by then: 1, 10, 30, 70, 150 …
    fn allowed(&self, now: Duration) -> f64 {
        let passed = now.saturating_sub(self.began).min(RAMP_LASTS).as_secs_f64();
        1.0 + FIRST_SECOND * (passed.exp2() - 1.0)
    }

    pub(super) fn is_over(&self, now: Duration) -> bool {
        now >= self.began + RAMP_LASTS
    }

    pub(super) fn room(&self, now: Duration) -> u32 {
        if self.is_over(now) {
            return u32::MAX;
        }
        // What nobody took is not kept: a second's worth at most goes at once.
        let behind = self.allowed(now.saturating_sub(Duration::from_secs(1)).max(self.began));
        super::declared::whole(self.allowed(now) - self.taken.max(behind - 1.0))
    }

    pub(super) fn time_of(&self, nth: u32, now: Duration) -> Duration {
        if self.is_over(now) {
            return now;
        }
        let wanted = self.taken + f64::from(nth);
        let passed = ((wanted - 1.0) / FIRST_SECOND + 1.0).log2().max(0.0);
        now.max(self.began + Duration::from_secs_f64(passed).min(RAMP_LASTS))
    }

    pub(super) fn take(&mut self, now: Duration) {
        let behind = self.allowed(now.saturating_sub(Duration::from_secs(1)).max(self.began));
        self.taken = self.taken.max(behind - 1.0) + 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_and_ends() {
        let began = Duration::from_secs(100);
        let mut ramp = Ramp::new(began);
        let mut times = vec![];
        let mut now = began;
        for _ in 0..1000 {
            now = ramp.time_of(1, now) + Duration::from_nanos(10);
            assert!(ramp.room(now) >= 1);
            ramp.take(now);
            times.push((now - began).as_secs_f64());
        }
        let in_second = |second: f64| times.iter().filter(|at| (second..second + 1.0).contains(*at)).count();
        assert!((8..=12).contains(&in_second(0.0)), "{}", in_second(0.0));
        assert!((15..=25).contains(&in_second(1.0)), "{}", in_second(1.0));
        assert!(*times.last().unwrap() < 7.0);
        assert_eq!(ramp.room(began + RAMP_LASTS), u32::MAX);
    }
}
