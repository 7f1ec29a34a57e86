//! How many calls may be repeated: each repetition is paid for by calls that succeeded.

use std::time::Duration;

use super::declared::whole;

/// How many calls may be repeated while a remote fails: a budget that repetitions draw on, and that successes and, slowly,
/// time fill again. Without it a remote that is down would be asked as often by those who repeat as by all others.
///
/// | Option | Default |
/// |---|---|
/// | [`RetryBudget::new`] | 100 repetitions at once |
/// | [`per_success`](RetryBudget::per_success) | 0.2 for each call that succeeds |
/// | [`per_second`](RetryBudget::per_second) | 1, so that nothing waits for ever |
///
/// # Half as patient
/// ```
/// use bowline_client::{Api, RetryBudget};
///
/// let crm = Api::new("crm").base_url("https://crm.example.com").retry_budget(RetryBudget::new(50).per_second(0.5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryBudget {
    capacity: f64,
    per_success: f64,
    per_second: f64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new(100)
    }
}

impl RetryBudget {
    /// A budget of that many repetitions at once, at least one.
    ///
    /// # A small one
    /// ```
    /// let budget = bowline_client::RetryBudget::new(10);
    /// ```
    pub fn new(repetitions: u32) -> Self {
        Self { capacity: f64::from(repetitions.max(1)), per_success: 0.2, per_second: 1.0 }
    }

    /// What a call that succeeds adds.
    ///
    /// # One repetition for ten successes
    /// ```
    /// let budget = bowline_client::RetryBudget::new(10).per_success(0.1);
    /// ```
    pub fn per_success(self, repetitions: f64) -> Self {
        Self { per_success: bounded(repetitions, 0.0), ..self }
    }

    /// What a second adds; at least one repetition in an hour.
    ///
    /// # One in ten seconds
    /// ```
    /// let budget = bowline_client::RetryBudget::new(10).per_second(0.1);
    /// ```
    pub fn per_second(self, repetitions: f64) -> Self {
        Self { per_second: bounded(repetitions, 1.0 / 3600.0), ..self }
    }
}

fn bounded(number: f64, least: f64) -> f64 {
    // NaN becomes the least.
    number.max(least).min(1e6)
}

/// What is left of it.
#[derive(Debug)]
pub(super) struct Budget {
    rules: RetryBudget,
    tokens: f64,
    at: Duration,
}

impl Budget {
    pub(super) fn new(rules: RetryBudget) -> Self {
        Self { rules, tokens: rules.capacity, at: Duration::ZERO }
    }

    fn tokens(&self, now: Duration) -> f64 {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        (self.tokens + passed * self.rules.per_second).min(self.rules.capacity)
    }

    fn add(&mut self, tokens: f64, now: Duration) {
        self.tokens = (self.tokens(now) + tokens).min(self.rules.capacity);
        self.at = now;
    }

    pub(super) fn room(&self, now: Duration) -> u32 {
        whole(self.tokens(now))
    }

    /// When the nth repetition from now is paid for, by time alone.
    pub(super) fn time_of(&self, nth: u32, now: Duration) -> Duration {
        let short = (f64::from(nth) - self.tokens(now)).max(0.0);
        now + Duration::from_secs_f64(short / self.rules.per_second)
    }

    /// One repetition is paid for.
    pub(super) fn take(&mut self, now: Duration) {
        self.add(-1.0, now);
    }

    pub(super) fn good(&mut self, now: Duration) {
        self.add(self.rules.per_success, now);
    }

    /// A remote that asks to be called later has its limit to protect it: its next call is free.
    pub(super) fn limited(&mut self, now: Duration) {
        self.add(1.0, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn repetitions_are_paid_by_successes_and_slowly_by_time() {
        let mut budget = Budget::new(RetryBudget::new(10).per_success(0.5).per_second(0.1));
        assert_eq!(budget.room(s(0)), 10);
        (0..10).for_each(|_| budget.take(s(0)));
        assert_eq!((budget.room(s(9)), budget.room(s(10))), (0, 1));
        assert_eq!((budget.time_of(1, s(0)), budget.time_of(3, s(0))), (s(10), s(30)));
        (0..6).for_each(|_| budget.good(s(0)));
        assert_eq!(budget.room(s(0)), 3);
        (0..1000).for_each(|_| budget.good(s(0)));
        assert_eq!(budget.room(s(0)), 10, "no more than it holds");
    }

    #[test]
    fn a_call_that_is_asked_to_come_later_pays_nothing() {
        let mut budget = Budget::new(RetryBudget::new(1));
        budget.take(s(0));
        budget.limited(s(0));
        assert_eq!(budget.room(s(0)), 1);
    }

    #[test]
    fn absurd_numbers_are_bounded() {
        let rules = RetryBudget::new(0).per_success(f64::NAN).per_second(-3.0);
        let mut budget = Budget::new(rules);
        budget.take(s(0));
        budget.good(s(0));
        assert_eq!(budget.time_of(1, s(0)), s(3600));
    }
}
