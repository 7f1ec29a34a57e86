//! What a clock change does to the ticks: the rules that `bowline_ingress::schedule` documents.

use std::time::Duration;

use bowline_ingress::schedule::Schedule;
use jiff::Timestamp;

/// The ticks after `from` and not after `until`, as local times with their offsets.
fn check(expression: &str, zone: &str, from: &str, until: &str, expected: &[&str]) {
    let plan = Schedule::cron(expression).zone(zone).plan().unwrap();
    let (from, until): (Timestamp, Timestamp) = (from.parse().unwrap(), until.parse().unwrap());
    let zone = jiff::tz::TimeZone::get(zone).unwrap();
    let ticks =
        std::iter::successors(plan.next(from), |tick| plan.next(*tick)).take_while(|tick| *tick <= until);
    let local: Vec<String> =
        ticks.map(|tick| tick.to_zoned(zone.clone()).strftime("%m-%d %H:%M%:z").to_string()).collect();
    assert_eq!(local, expected, "{expression}");
}

#[test]
fn a_time_of_day_that_does_not_exist_ticks_once_when_the_clock_jumps() {
    // Berlin: 02:00 → 03:00 on 2026-03-29.
    let (from, until) = ("2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z");
    let nights = ["03-28 02:30+01:00", "03-29 03:00+02:00", "03-30 02:30+02:00"];
    check("30 2 * * *", "Europe/Berlin", from, until, &nights);
    check("0 30 2 * * *", "Europe/Berlin", from, until, &nights);
    // New York: 02:00 → 03:00 on 2026-03-08.
    let (from, until) = ("2026-03-08T00:00:00Z", "2026-03-09T12:00:00Z");
    check("15 2 * * *", "America/New_York", from, until, &["03-08 03:00-04:00", "03-09 02:15-04:00"]);
    // Lord Howe: 02:00 → 02:30 on 2026-10-04.
    let (from, until) = ("2026-10-03T00:00:00Z", "2026-10-05T00:00:00Z");
    check("15 2 * * *", "Australia/Lord_Howe", from, until, &["10-04 02:30+11:00", "10-05 02:15+11:00"]);
    check("45 2 * * *", "Australia/Lord_Howe", from, until, &["10-04 02:45+11:00", "10-05 02:45+11:00"]);
    // São Paulo, when it still had summer time: midnight did not exist on 2018-11-04.
    let (from, until) = ("2018-11-03T12:00:00Z", "2018-11-05T12:00:00Z");
    check("0 0 * * *", "America/Sao_Paulo", from, until, &["11-04 01:00-02:00", "11-05 00:00-02:00"]);
}

#[test]
fn times_that_one_jump_skips_tick_there_together_and_with_a_time_that_is_there() {
    let (from, until) = ("2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z");
    check("0,20,40 2 * * *", "Europe/Berlin", from, until, &["03-29 03:00+02:00"]);
    check("30 2,3 * * *", "Europe/Berlin", from, until, &["03-29 03:00+02:00", "03-29 03:30+02:00"]);
    check("0 2,3 * * *", "Europe/Berlin", from, until, &["03-29 03:00+02:00"]);
}

#[test]
fn a_time_of_day_that_comes_twice_ticks_the_first_time() {
    // Berlin: 03:00 → 02:00 on 2026-10-25.
    let (from, until) = ("2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z");
    check("30 2 * * *", "Europe/Berlin", from, until, &["10-25 02:30+02:00", "10-26 02:30+01:00"]);
    // From between the two: the second is not a tick.
    check("30 2 * * *", "Europe/Berlin", "2026-10-25T00:45:00Z", until, &["10-26 02:30+01:00"]);
    check("30 2 * * *", "Europe/Berlin", "2026-10-25T01:15:00Z", until, &["10-26 02:30+01:00"]);
    check(
        "0,30 1-3 * * *",
        "Europe/Berlin",
        "2026-10-24T23:00:00Z",
        "2026-10-25T03:00:00Z",
        &[
            "10-25 01:30+02:00",
            "10-25 02:00+02:00",
            "10-25 02:30+02:00",
            "10-25 03:00+01:00",
            "10-25 03:30+01:00",
        ],
    );
    // New York: 02:00 → 01:00 on 2026-11-01.
    let (from, until) = ("2026-11-01T00:00:00Z", "2026-11-02T12:00:00Z");
    check("30 1 * * *", "America/New_York", from, until, &["11-01 01:30-04:00", "11-02 01:30-05:00"]);
    // Lord Howe: 02:00 → 01:30 on 2026-04-05.
    let (from, until) = ("2026-04-04T00:00:00Z", "2026-04-06T00:00:00Z");
    check("45 1 * * *", "Australia/Lord_Howe", from, until, &["04-05 01:45+11:00", "04-06 01:45+10:30"]);
    check("15 1 * * *", "Australia/Lord_Howe", from, until, &["04-05 01:15+11:00", "04-06 01:15+10:30"]);
    // São Paulo: midnight came twice on 2018-02-17/18.
    let (from, until) = ("2018-02-17T12:00:00Z", "2018-02-18T12:00:00Z");
    check("30 23 * * *", "America/Sao_Paulo", from, until, &["02-17 23:30-02:00"]);
}

#[test]
fn what_comes_every_so_often_goes_on_in_real_time() {
    check(
        "*/30 * * * *",
        "Europe/Berlin",
        "2026-03-29T00:00:00Z",
        "2026-03-29T02:00:00Z",
        &["03-29 01:30+01:00", "03-29 03:00+02:00", "03-29 03:30+02:00", "03-29 04:00+02:00"],
    );
    check(
        "*/30 * * * *",
        "America/New_York",
        "2026-11-01T05:00:00Z",
        "2026-11-01T07:00:00Z",
        &["11-01 01:30-04:00", "11-01 01:00-05:00", "11-01 01:30-05:00", "11-01 02:00-05:00"],
    );
    check(
        "*/15 * * * *",
        "Australia/Lord_Howe",
        "2026-04-04T14:30:00Z",
        "2026-04-04T15:45:00Z",
        &[
            "04-05 01:45+11:00",
            "04-05 01:30+10:30",
            "04-05 01:45+10:30",
            "04-05 02:00+10:30",
            "04-05 02:15+10:30",
        ],
    );
    // Quarters of an hour are quarters of an hour everywhere, whatever the offset.
    let plan = Schedule::cron("*/15 * * * *").zone("Asia/Kolkata").plan().unwrap();
    let noon: Timestamp = "2026-06-01T12:00:00Z".parse().unwrap();
    assert_eq!(plan.next(noon), Some("2026-06-01T12:15:00Z".parse().unwrap()));
}

#[test]
fn a_zone_without_changes_has_none() {
    let (from, until) = ("2026-06-01T00:00:00Z", "2026-06-02T12:00:00Z");
    check("30 9 * * *", "Asia/Kolkata", from, until, &["06-01 09:30+05:30", "06-02 09:30+05:30"]);
    check("30 2 * * *", "UTC", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z", &["03-29 02:30+00:00"]);
}

/// Around every change of a year, in zones with odd rules: the next tick is the same from wherever it is looked for.
#[test]
fn ticks_are_the_same_from_wherever_they_are_looked_for() {
    const HALF_AN_HOUR: Duration = Duration::from_secs(1800);
    const TWO_DAYS: Duration = Duration::from_secs(2 * 24 * 3600);
    for (zone, year) in [
        ("Pacific/Apia", 2011),
        ("America/Sao_Paulo", 2018),
        ("Africa/Casablanca", 2026),
        ("Australia/Lord_Howe", 2026),
        ("America/New_York", 2007),
    ] {
        let begin: Timestamp = format!("{year}-01-01T00:00:00Z").parse().unwrap();
        let changes = jiff::tz::TimeZone::get(zone).unwrap();
        let changes: Vec<Timestamp> =
            changes.following(begin).map(|change| change.timestamp()).take(3).collect();
        for expression in ["30 2 * * *", "0,30 0-3 * * *", "15 * * * *", "*/20 * * * SUN"] {
            let plan = Schedule::cron(expression).zone(zone).plan().unwrap();
            for change in &changes {
                let (mut now, end) = (*change - TWO_DAYS, *change + TWO_DAYS);
                let mut tick = plan.next(now).unwrap();
                while now < end {
                    while tick <= now {
                        tick = plan.next(tick).unwrap();
                    }
                    assert_eq!(plan.next(now), Some(tick), "{expression} in {zone} from {now}");
                    now += HALF_AN_HOUR;
                }
            }
        }
    }
}
