//! A remote that said "too many": nobody goes before its time; then calls rise gently, at a pace inferred from what it
//! took before, if it tells no limits.

use std::{collections::VecDeque, time::Duration};

use super::{declared::whole, ramp::Ramp};

/// How long to wait after a refusal that names no time. Doubles with each in a row.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);
/// With fewer good calls before it, a refusal says nothing of how many are allowed.
const GOOD_MIN: usize = 10;
/// Times of good calls that are remembered.
const TIMES_MAX: usize = 4096;
/// Share of what was seen to be allowed that is used, and of a pace that was refused.
const USED_SHARE: f64 = 0.92;
/// A pace that is not refused for that many of its windows rises by that share; beyond that multiple it is none.
const RISES_AFTER_WINDOWS: f64 = 30.0;
const RISES_BY: f64 = 1.05;
const RISEN_MAX: f64 = 4.0;

/// What refusals taught.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    until: Duration,
    /// Calls sent before this were told the same already.
    told_at: Option<Duration>,
    in_a_row: u32,
    ramp: Option<Ramp>,
    pace: Option<Pace>,
    good: VecDeque<Duration>,
}

/// Calls at even intervals.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Calls that the remote took within a window.
    good: f64,
    /// Calls sent before this belong to that window, whenever they are answered.
    counted_until: Duration,
    window: Duration,
    since: Duration,
    next: Duration,
}

impl Pace {
    fn per_second(&self, now: Duration) -> f64 {
        let windows = now.saturating_sub(self.since).as_secs_f64() / self.window.as_secs_f64();
        let risen = RISES_BY.powi((windows / RISES_AFTER_WINDOWS) as i32);
        self.good / self.window.as_secs_f64() * USED_SHARE * risen
    }

    fn is_over(&self, now: Duration) -> bool {
        self.per_second(now) > self.per_second(self.since) * RISEN_MAX
    }

    fn interval(&self, now: Duration) -> Duration {
        Duration::from_secs_f64(1.0 / self.per_second(now))
    }

    /// How many calls that were not on time may be made up for at once: 50 ms worth.
    fn catch_up(&self, now: Duration) -> Duration {
        self.interval(now).max(Duration::from_millis(50))
    }

    fn room(&self, now: Duration) -> u32 {
        let next = self.next.max(now.saturating_sub(self.catch_up(now)));
        match now.checked_sub(next) {
            Some(late) => whole(late.as_secs_f64() * self.per_second(now)) + 1,
            None => 0,
        }
    }
}

impl Throttle {
    pub(super) fn room(&self, now: Duration) -> u32 {
        if now < self.until {
            return 0;
        }
        let paced = self.pace.filter(|pace| !pace.is_over(now)).map_or(u32::MAX, |pace| pace.room(now));
        paced.min(self.ramp.map_or(u32::MAX, |ramp| ramp.room(now)))
    }

    pub(super) fn time_of(&self, nth: u32, now: Duration) -> Duration {
        let from = self.until.max(now);
        let paced = self.pace.filter(|pace| !pace.is_over(now)).map_or(from, |pace| {
            let short = nth.saturating_sub(pace.room(from).max(1));
            pace.next.max(from) + pace.interval(now) * short
        });
        paced.max(self.ramp.map_or(from, |ramp| ramp.time_of(nth, from)))
    }

    pub(super) fn take(&mut self, now: Duration) {
        if let Some(ramp) = &mut self.ramp {
            ramp.take(now);
        }
        self.ramp = self.ramp.filter(|ramp| !ramp.is_over(now));
        self.pace = self.pace.filter(|pace| !pace.is_over(now));
        if let Some(pace) = &mut self.pace {
            pace.next = pace.next.max(now.saturating_sub(pace.catch_up(now))) + pace.interval(now);
        }
    }

    /// A call that was sent then was taken.
    pub(super) fn good(&mut self, sent: Duration, now: Duration) {
        self.in_a_row = 0;
        if let Some(pace) = &mut self.pace
            && sent < pace.counted_until
        {
            // It was under way when the first was refused: it was allowed, too.
            pace.good += 1.0;
        }
        self.good.push_back(now);
        if self.good.len() > TIMES_MAX {
            self.good.pop_front();
        }
    }

    /// A call that was sent then was refused. `wait`: as the remote asks. `infers`: it tells no limits.
    pub(super) fn limited(&mut self, wait: Option<Duration>, infers: bool, sent: Duration, now: Duration) {
        let told_before = self.told_at.is_some_and(|told| sent < told);
        if !told_before {
            self.in_a_row += 1;
        }
        let doubled = WAIT_MIN.saturating_mul(1 << (self.in_a_row.max(1) - 1).min(16)).min(WAIT_MAX);
        let wait = wait.unwrap_or(doubled);
        let window_began = self.until;
        self.until = self.until.max(now + wait);
        if told_before {
            return;
        }
        self.told_at = Some(now);
        let refused = self.pace.filter(|pace| (now + wait).saturating_sub(window_began) < pace.window / 2);
        if let Some(pace) = refused {
            // Told again within the same window: it was too much.
            let good = pace.good * USED_SHARE;
            self.pace = Some(Pace { good, counted_until: Duration::ZERO, since: self.until, ..pace });
        } else if infers && let Some((good, window)) = self.allowed(wait, window_began, now) {
            self.pace = Some(Pace { good, counted_until: now, window, since: self.until, next: self.until });
            self.ramp = None;
        } else {
            self.ramp = Some(Ramp::new(self.until));
        }
    }

    /// How many calls the remote took, and in which time, as far as can be seen.
    fn allowed(&self, wait: Duration, window_began: Duration, now: Duration) -> Option<(f64, Duration)> {
        let shortest = wait.max(WAIT_MIN);
        let whole_window = (now + wait).saturating_sub(window_began);
        // After a wait that the remote asked for, a new window had begun.
        let follows_one = window_began > Duration::ZERO && whole_window < shortest * 4;
        if let Some(pace) = self.pace.filter(|_| !follows_one) {
            let risen = pace.per_second(now) / pace.per_second(pace.since);
            return Some((pace.good * risen * USED_SHARE, pace.window));
        }
        let (since, window) = match follows_one {
            true => (window_began, whole_window.max(WAIT_MIN)),
            false => (now.saturating_sub(shortest), shortest),
        };
        let good = self.good.iter().rev().take_while(|at| **at >= since).count();
        (good >= GOOD_MIN).then_some((good as f64, window))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn nobody_goes_before_its_time_and_not_all_at_it() {
        let mut throttle = Throttle::default();
        assert_eq!(throttle.room(ms(1000)), u32::MAX);
        throttle.limited(Some(ms(30_000)), true, ms(900), ms(1000));
        assert_eq!((throttle.room(ms(30_999)), throttle.room(ms(31_000))), (0, 1));
        assert_eq!(throttle.time_of(1, ms(2000)), ms(31_000));
        assert!(throttle.time_of(5, ms(2000)) > ms(31_100));
    }

    #[test]
    fn a_refusal_without_a_time_doubles_and_those_of_one_burst_are_one() {
        let mut throttle = Throttle::default();
        for _ in 0..50 {
            throttle.limited(None, true, ms(0), ms(10));
        }
        assert_eq!(throttle.time_of(1, ms(10)), ms(1010));
        throttle.limited(None, true, ms(1010), ms(1020));
        assert_eq!(throttle.time_of(1, ms(1020)), ms(3020));
        throttle.good(ms(3025), ms(3030));
        throttle.limited(None, true, ms(3020), ms(3040));
        assert_eq!(throttle.time_of(1, ms(3040)), ms(4040));
    }

    #[test]
    fn a_pace_is_inferred_from_what_was_allowed() {
        let mut throttle = Throttle::default();
        (0..100).for_each(|_| throttle.good(ms(10), ms(50)));
        throttle.limited(Some(ms(1000)), true, ms(40), ms(60));
        let at: Vec<_> = (1..=96).map(|nth| throttle.time_of(nth, ms(60))).collect();
        assert_eq!(at[0], ms(1060));
        assert!((ms(2000)..=ms(2150)).contains(&at[95]), "{:?}", at[95]);
        (0..30).for_each(|_| throttle.good(ms(55), ms(70)));
        assert!(throttle.time_of(96, ms(80)) < ms(1900), "those under way were allowed, too");
        // Sixty allowed in a minute, of which the second half was left.
        let mut throttle = Throttle::default();
        (0..60).for_each(|_| throttle.good(ms(900), ms(1000)));
        throttle.limited(Some(ms(29_000)), true, ms(1000), ms(1000));
        (0..60).for_each(|nth| throttle.good(ms(30_000 + nth * 500), ms(30_001 + nth * 500)));
        throttle.limited(Some(ms(30_000)), true, ms(59_999), ms(60_000));
        let per_second = throttle.pace.unwrap().per_second(ms(60_000));
        assert!((0.85..=1.0).contains(&per_second), "{per_second}");
    }
}
