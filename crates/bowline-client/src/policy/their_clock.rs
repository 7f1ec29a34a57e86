//! The time by the remote's clock, which may be wrong by minutes.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::HeaderMap;

/// A remote whose dates differ by less has the same time as we have: they are whole seconds, and under way for a while.
const DIFFERENCE_MIN: Duration = Duration::from_secs(2);
/// An answer is not under way for longer: its date was set by another clock, or the clock was.
const UNDER_WAY_MAX: SignedDuration = SignedDuration::from_secs(10);

/// How far it is ahead of ours, as the dates of answers show.
#[derive(Debug, Default)]
pub(super) struct TheirClock {
    ahead: Option<SignedDuration>,
}

impl TheirClock {
    /// The remote's time when an answer comes, from its `Date`: up to a second behind at first, then nearer.
    pub(super) fn read(&mut self, headers: &HeaderMap, now: Timestamp) -> Timestamp {
        let date = headers.get("date").and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        let Some(date) = date.and_then(|date| Timestamp::try_from(date).ok()) else { return now };
        let seen = date.duration_since(now);
        // Dates are cut to the second: of all that were seen, the one that was cut least shows most.
        let known = self.ahead.filter(|known| *known >= seen && *known - seen <= UNDER_WAY_MAX);
        let ahead = known.unwrap_or(seen);
        self.ahead = Some(ahead);
        let theirs = now.checked_add(ahead).unwrap_or(now);
        if ahead.unsigned_abs() > DIFFERENCE_MIN { theirs } else { now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22T10:00:00Z.
    const NOW: Timestamp = Timestamp::constant(1_795_341_600, 0);

    /// The remote's time, by an answer with that date that comes so many milliseconds after ten.
    #[track_caller]
    fn check(clock: &mut TheirClock, date: &str, came_ms: i64, theirs: &str) {
        let headers = HeaderMap::from_iter([(reqwest::header::DATE, date.parse().unwrap())]);
        let read = clock.read(&headers, NOW + SignedDuration::from_millis(came_ms));
        assert_eq!(read, theirs.parse().unwrap(), "{date} {came_ms}");
    }

    #[test]
    fn a_clock_that_is_an_hour_ahead_is_known_the_better_the_more_answers_come() {
        let mut clock = TheirClock::default();
        check(&mut clock, "Sun, 22 Nov 2026 11:00:00 GMT", 900, "2026-11-22T11:00:00Z");
        check(&mut clock, "Sun, 22 Nov 2026 11:00:01 GMT", 1010, "2026-11-22T11:00:01Z");
        check(&mut clock, "Sun, 22 Nov 2026 11:00:01 GMT", 1900, "2026-11-22T11:00:01.89Z");
        check(&mut clock, "Sun, 22 Nov 2026 10:30:00 GMT", 1900, "2026-11-22T10:30:00Z");
    }

    #[test]
    fn the_same_time_but_for_the_rounding_is_our_own() {
        let mut clock = TheirClock::default();
        check(&mut clock, "Sun, 22 Nov 2026 10:00:00 GMT", 999, "2026-11-22T10:00:00.999Z");
        check(&mut clock, "soon", 999, "2026-11-22T10:00:00.999Z");
    }
}
