//! Cron expressions: read or refused with a reason, and soon; each tick comes after the one before, and none between
//! two ticks; in UTC, each is a time that the expression names.
//!
//! Input, a line each: a time zone, or nothing; the second since 1970 from which ticks are asked for; the expression.
#![no_main]

use std::time::Duration;

use bowline_fuzz::lines;
use bowline_ingress::Schedule;
use jiff::{Timestamp, tz::TimeZone};
use libfuzzer_sys::fuzz_target;

const TICKS: usize = 5;
/// For all of it, on a processor. The slowest expression looks at all days of four centuries or more.
const TIME_MAX: Duration = Duration::from_secs(2);
const REASON_BYTES_MAX: usize = 2048;

fuzz_target!(|data: &[u8]| {
    let [zone, since, expression] = lines(data).map(std::str::from_utf8);
    let (Ok(zone), Ok(since), Ok(expression)) = (zone, since, expression) else { return };
    let since = since.parse().ok().and_then(|second| Timestamp::from_second(second).ok());
    let mut after = since.unwrap_or(Timestamp::UNIX_EPOCH);
    let began = worked();
    let schedule = Schedule::cron(expression);
    let schedule = if zone.is_empty() { schedule } else { schedule.zone(zone) };
    match schedule.plan() {
        Err(problems) => {
            let are_bounded =
                problems.iter().all(|text| !text.is_empty() && text.len() < REASON_BYTES_MAX + zone.len());
            assert!(!problems.is_empty() && are_bounded, "{problems:?}");
        }
        Ok(plan) => {
            for _ in 0..TICKS {
                let Some(tick) = plan.next(after) else { break };
                assert!(tick > after, "{tick} is not after {after}");
                // A moment earlier the answer is the same.
                if let Ok(moment) = tick.checked_sub(Duration::from_nanos(1))
                    && moment > after
                {
                    assert_eq!(plan.next(moment), Some(tick), "asked at {moment}");
                }
                if zone.is_empty() {
                    assert!(names(expression, tick), "{tick}");
                }
                after = tick;
            }
        }
    }
    let worked = worked().saturating_sub(began);
    assert!(worked < TIME_MAX, "{worked:?}");
});

/// For how long this thread had a processor; on Linux. Elsewhere there is libFuzzer's own limit.
fn worked() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// Whether plain fields, numbers and lists of them, name that time; others are taken at their word.
fn names(expression: &str, at: Timestamp) -> bool {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let time = at.to_zoned(TimeZone::UTC);
    let (second, fields) = match &fields[..] {
        [second, rest @ ..] if rest.len() == 5 => (*second, rest),
        rest => ("0", rest),
    };
    let [minute, hour, _, month, _] = fields else { return true };
    [(second, time.second()), (*minute, time.minute()), (*hour, time.hour()), (*month, time.month())]
        .into_iter()
        .all(|(field, is)| {
            let numbers: Result<Vec<i8>, _> = field.split(',').map(str::parse).collect();
            numbers.map_or(true, |numbers| numbers.contains(&is))
        })
}
