//! A well-known library of another language reckons the same ticks.

use std::{
    collections::BTreeSet,
    io::Write,
    process::{Command, Stdio},
    thread,
};

use bowline_ingress::schedule::{Plan, Schedule};
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use serde_json::{Value, json};

use crate::{peer, skip};

/// Two years with every clock change in them.
const FROM: &str = "2025-01-01T00:00:00Z";
const UNTIL: &str = "2027-01-01T00:00:00Z";

const ZONES: [&str; 5] =
    ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kolkata"];

/// Ours and the peer's mean the same by them. `W` the peer does not know.
const EXPRESSIONS: [&str; 20] = [
    "0 * * * *",
    "*/15 6-20 * * SAT",
    "7,22,37 */4 * * *",
    "30 3 * * *",
    "15 2 * * *",
    "0 0 * * *",
    "0 9-17 * * MON-FRI",
    "0,30 2,14 * * *",
    "45 1 * * SUN",
    "0 12 1 * *",
    "0 6 L * *",
    "0 6 LW * *",
    "0 8 * * MON#1",
    "0 8 * * 5L",
    "0 0 29 2 *",
    "0 0 13 * FRI",
    "0 0 */2 * MON",
    "0 4 1,15 JAN,JUL *",
    "*/40 */5 * 3-5 *",
    "20 30 5 * * 1,3,5",
];

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn ours(plan: &Plan, from: Timestamp, until: Timestamp) -> Vec<i64> {
    let ticks = std::iter::successors(plan.next(from), |tick| plan.next(*tick));
    ticks.take_while(|tick| *tick <= until).map(|tick| tick.as_second()).collect()
}

/// The peer's ticks for each question, from one process.
fn theirs(python: &std::path::Path, questions: &[Value]) -> Vec<Vec<i64>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/cron.py");
    let mut peer = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: String = questions.iter().map(|question| format!("{question}\n")).collect();
    let mut stdin = peer.stdin.take().unwrap();
    let writer = thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let answer = peer.wait_with_output().unwrap();
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    writer.join().unwrap().unwrap();
    let answers = String::from_utf8(answer.stdout).unwrap();
    answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn two_years_of_ticks_are_those_of_cronsim() {
    let Some(python) = peer::python("cronsim") else {
        skip!(
            "two_years_of_ticks_are_those_of_cronsim",
            "needs Python with the package cronsim: scripts/python makes one"
        );
    };
    let (from, until) = (at(FROM), at(UNTIL));
    let pairs: Vec<(&str, &str)> = ZONES
        .iter()
        .flat_map(|zone| EXPRESSIONS.iter().map(move |expression| (*zone, *expression)))
        .collect();
    let question = |(zone, expression): &(&str, &str)| json!({"expression": expression, "zone": zone, "from": from.as_second(), "until": until.as_second()});
    let answers = theirs(&python, &pairs.iter().map(question).collect::<Vec<_>>());
    assert_eq!(answers.len(), 100);
    let mut compared = 0;
    for ((zone, expression), theirs) in pairs.iter().zip(&answers) {
        let plan = Schedule::cron(*expression).zone(*zone).plan().unwrap();
        let ours = ours(&plan, from, until);
        let changes = match is_comparable_at_changes(zone, expression) {
            true => BTreeSet::new(),
            false => days_of_changes(zone, from, until),
        };
        let is_usual = |second: &i64| !changes.contains(&day(zone, *second));
        let usual = |seconds: &[i64]| -> Vec<i64> { seconds.iter().copied().filter(is_usual).collect() };
        let (ours, theirs) = (usual(&ours), usual(theirs));
        let differs = ours.iter().zip(&theirs).find(|(ours, theirs)| ours != theirs);
        assert_eq!(differs, None, "{expression} in {zone}");
        assert_eq!(ours.len(), theirs.len(), "{expression} in {zone}");
        compared += ours.len();
    }
    assert!(compared > 200_000, "{compared} ticks were compared");
}

/// What a clock change means is a policy, and ours is tested by hand. The peer has the same one, but for six fields; and
/// where a clock changes by half an hour, it passes over times of what comes every so often.
fn is_comparable_at_changes(zone: &str, expression: &str) -> bool {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let is_wildcard = fields[..2].iter().any(|field| field.contains('*'));
    fields.len() == 5 && !(is_wildcard && zone == "Australia/Lord_Howe")
}

fn day(zone: &str, second: i64) -> jiff::civil::Date {
    let zone = TimeZone::get(zone).unwrap();
    zone.to_datetime(Timestamp::from_second(second).unwrap()).date()
}

/// Local days on which the zone's clock changes, and those beside them.
fn days_of_changes(zone: &str, from: Timestamp, until: Timestamp) -> BTreeSet<jiff::civil::Date> {
    let name = zone;
    let zone = TimeZone::get(zone).unwrap();
    zone.following(from)
        .map(|change| change.timestamp())
        .take_while(|change| *change < until)
        .flat_map(|change| {
            let day = day(name, change.as_second());
            [day - 1.day(), day, day + 1.day()]
        })
        .collect()
}
