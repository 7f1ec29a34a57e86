//! Another wall clock for the process that follows a crash.

use std::time::Duration;

pub(super) use crate::test_app::WALL_MOVES as MOVES;

const MINUTE_S: u64 = 60;
const HOUR_S: u64 = 3600;
const DAY_S: u64 = 24 * HOUR_S;

/// How far the next process's wall clock is ahead, in turn: days, hours and seconds, from noon of Monday 2026-09-21 on.
/// Each four in a row are a night, an early morning, an evening and a morning; each is an odd number of seconds.
const AHEAD: [(u64, u64, u64); 12] = [
    (5, 11, MINUTE_S + 1),   // Saturday, 23 h
    (131, 17, 1),            // the last of January, a Sunday, 5 h
    (9, 5, MINUTE_S + 1),    // the last of September, a Wednesday, 17 h
    (3, 20, 1),              // Friday, 8 h
    (0, 11, MINUTE_S + 1),   // the same Monday, 23 h
    (0, 17, MINUTE_S + 1),   // Tuesday, 5 h
    (3, 5, 1),               // Thursday, 17 h
    (45, 20, MINUTE_S + 1),  // November, 8 h
    (101, 11, MINUTE_S + 1), // the last of the year, 23 h
    (5, 17, 1),              // Sunday, 5 h
    (400, 5, MINUTE_S + 1),  // October of the next year, 17 h
    (1, 20, MINUTE_S + 1),   // Wednesday, 8 h
];

/// How far the wall clock of the process after the nth crash is ahead.
pub(super) fn ahead(nth: usize) -> Duration {
    let (days, hours, seconds) = AHEAD[nth % AHEAD.len()];
    Duration::from_secs(days * DAY_S + hours * HOUR_S + seconds)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::{Timestamp, civil::Weekday, tz::TimeZone};

    use super::*;

    #[test]
    fn every_part_of_the_day_every_weekday_and_the_ends_of_months_come_up() {
        let start: Timestamp = "2026-09-21T12:00:00Z".parse().unwrap();
        let times: Vec<_> =
            (0..AHEAD.len()).map(|nth| (start + ahead(nth)).to_zoned(TimeZone::UTC)).collect();
        for four in times.windows(4) {
            let parts: BTreeSet<_> = four.iter().map(|time| time.hour() / 6).collect();
            assert_eq!(parts.len(), 4, "{four:?}");
        }
        let weekdays: BTreeSet<_> = times.iter().map(|time| time.weekday().to_monday_zero_offset()).collect();
        assert_eq!(weekdays.len(), 7);
        assert!(times[..3].iter().any(|time| time.weekday() == Weekday::Saturday));
        assert!(times.iter().filter(|time| time.day() == time.days_in_month()).count() >= 3);
        assert!(times.iter().any(|time| time.year() == 2027 && time.month() == 10));
        assert!(times.iter().all(|time| time.second() % 2 == 1), "an odd number of seconds ahead");
    }
}
