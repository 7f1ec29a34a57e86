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
    /// Repetitions that cost nothing.
    free: u32,
}

/// Most free repetitions.
const FREE_MAX: u32 = 100_000;
/// Nobody waits longer for the budget before it asks again: successes fill it at any moment, and nobody tells.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// Spreads those who wait the longest: multiples of the golden ratio are evenly spread.
const SPREAD: f64 = 0.618_034;

impl Budget {
    pub(super) fn new(rules: RetryBudget) -> Self {
        Self { rules, tokens: rules.capacity, at: Duration::ZERO, free: 0 }
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
        whole(self.tokens(now)).saturating_add(self.free)
    }

    /// When the nth repetition from now is paid for, by time alone.
    pub(super) fn time_of(&self, nth: u32, now: Duration) -> Duration {
        let short = (f64::from(nth) - f64::from(self.free) - self.tokens(now)).max(0.0);
        let wait = Duration::from_secs_f64(short / self.rules.per_second);
        let longest = WAIT_MAX.mul_f64(0.5 + 0.5 * (f64::from(nth) * SPREAD).fract());
        now + if wait > WAIT_MAX { longest } else { wait }
    }

    /// One repetition is paid for.
    pub(super) fn take(&mut self, now: Duration) {
        match self.free.checked_sub(1) {
            Some(free) => self.free = free,
            None => self.add(-1.0, now),
        }
    }

    /// A call succeeded. A repetition that does gives back what it cost.
    pub(super) fn good(&mut self, was_repetition: bool, now: Duration) {
        let back = if was_repetition { 1.0 } else { 0.0 };
        self.add(self.rules.per_success + back, now);
    }

    /// A remote that asks to be called later has its limit to protect it: its next call is free.
    pub(super) fn limited(&mut self) {
        self.free = (self.free + 1).min(FREE_MAX);
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
        assert_eq!(budget.time_of(1, s(0)), s(10));
        assert!((s(10)..=s(20)).contains(&budget.time_of(3, s(0))), "asked again before it is full");
        (0..6).for_each(|_| budget.good(false, s(0)));
        assert_eq!(budget.room(s(0)), 3);
        budget.good(true, s(0));
        assert_eq!(budget.room(s(0)), 4, "a repetition that succeeds costs nothing");
        (0..1000).for_each(|_| budget.good(false, s(0)));
        assert_eq!(budget.room(s(0)), 10, "no more than it holds");
    }

    #[test]
    fn a_call_that_is_asked_to_come_later_pays_nothing() {
        let mut budget = Budget::new(RetryBudget::new(1));
        budget.take(s(0));
        budget.limited();
        assert_eq!(budget.room(s(0)), 1);
    }

    #[test]
    fn absurd_numbers_are_bounded() {
        let rules = RetryBudget::new(0).per_success(f64::NAN).per_second(-3.0);
        let mut budget = Budget::new(rules);
        budget.take(s(0));
        budget.good(false, s(0));
        assert!((s(10)..=s(20)).contains(&budget.time_of(1, s(0))), "asked again before it is full");
        assert_eq!((budget.room(s(3599)), budget.room(s(3600))), (0, 1));
    }
}
