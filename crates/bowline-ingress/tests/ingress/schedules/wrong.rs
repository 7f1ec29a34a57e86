//! Schedules that cannot be: each problem is told, with what to do.

use std::time::Duration;

use bowline_ingress::schedule::{Schedule, name_problem};

fn problem(schedule: Schedule) -> String {
    schedule.plan().unwrap_err().join("\n")
}

#[test]
fn a_wrong_expression_is_told_with_its_value_and_a_hint() {
    for expression in [
        "",
        "* * *",
        "* * * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "a * * * *",
        "JAN * * * *",
        "* * MON * *",
        "*/0 * * * *",
        "5-1 * * * *",
        "@reboot",
        "@",
        "1,,2 * * * *",
        "* * * * MON#6",
    ] {
        let problem = problem(Schedule::cron(expression));
        assert!(problem.starts_with(&format!("has the expression {expression:?}: ")), "{problem}");
        assert!(problem.contains("write five fields"), "{problem}");
    }
    assert!(problem(Schedule::cron("1,".repeat(200))).contains("400 bytes (limit 256)"));
}

#[test]
fn an_expression_that_names_no_day_is_told() {
    for never in ["0 0 30 2 *", "0 0 31 4,6,9,11 *"] {
        assert!(problem(Schedule::cron(never)).contains("names no day of any year"), "{never}");
    }
    assert!(Schedule::cron("0 0 29 2 *").plan().is_ok());
}

#[test]
fn an_unknown_zone_is_told_beside_a_wrong_expression() {
    let problems = Schedule::cron("nonsense").zone("Europe/Atlantis").plan().unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems.iter().any(|problem| problem.contains("\"Europe/Atlantis\", which nobody knows")));
}

#[test]
fn intervals_and_jitters_have_bounds() {
    let day = Duration::from_secs(86_400);
    assert!(problem(Schedule::every(Duration::ZERO)).contains("from 1 s to"));
    assert!(problem(Schedule::every(day * 400)).contains("from 1 s to"));
    assert!(problem(Schedule::every(day).jitter(day * 400)).contains("jitter"));
    assert!(problem(Schedule::every(day).zone("UTC")).contains("no time of day"));
}

#[test]
fn names_are_short_and_printable() {
    assert_eq!(name_problem("nightly report"), None);
    for name in ["", "a\nb", &"x".repeat(129)] {
        assert!(name_problem(name).is_some(), "{name:?}");
    }
}

#[test]
fn zones_are_built_in_where_the_machine_has_none() {
    let bundled = jiff::tz::TimeZoneDatabase::bundled();
    for zone in ["Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo"] {
        assert!(bundled.get(zone).is_ok(), "{zone}");
    }
}
