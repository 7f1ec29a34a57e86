//! A cron expression, and the times of a calendar that it names. No zones here.

use std::fmt;

use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;

use super::CRON_BYTES_MAX;

const HINT: &str = "write five fields as `30 3 * * MON-FRI`, or six with seconds first";

/// What `@` names stand for.
const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// An expression.
#[derive(Clone)]
pub(super) struct Cron {
    cron: croner::Cron,
    /// Whether it means every so often, and not times of day.
    pub(super) is_wildcard: bool,
}

impl Cron {
    pub(super) fn parse(expression: &str) -> Result<Self, String> {
        if expression.len() > CRON_BYTES_MAX {
            let bytes = expression.len();
            return Err(format!("has an expression of {bytes} bytes (limit {CRON_BYTES_MAX}); {HINT}"));
        }
        // Before it is quoted: what cannot be seen is long when it is.
        if expression.chars().any(|char| char.is_control() && !char.is_whitespace()) {
            return Err(format!("has an expression with control characters; {HINT}"));
        }
        let wrong =
            |problem: &dyn std::fmt::Display| format!("has the expression {expression:?}: {problem}; {HINT}");
        let known = NICKNAMES.iter().find(|(name, _)| expression.trim().eq_ignore_ascii_case(name));
        let plain = known.map_or(expression, |(_, stands_for)| stands_for);
        let fields: Vec<&str> = plain.split_whitespace().collect();
        let (clock, days) = match fields.as_slice() {
            [clock @ .., day, month, weekday] if (2..=3).contains(&clock.len()) => {
                (clock, [*day, *month, *weekday])
            }
            other => return Err(wrong(&format!("it has {} fields", other.len()))),
        };
        // What the parser lets pass: gaps in lists, names wherever they stand, and a sign of its own in weekdays.
        if let Some(field) = fields.iter().find(|field| field.split(',').any(str::is_empty)) {
            return Err(wrong(&format!("{field:?} has a gap in its list")));
        }
        if let Some(field) = clock.iter().chain(&days[..1]).find(|field| has_name(field)) {
            return Err(wrong(&format!("{field:?} names a month or weekday in another field")));
        }
        let [day, _, weekday] = days;
        if weekday.contains('+') {
            return Err(wrong(&format!("{weekday:?} has a +, which means nothing in a weekday")));
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            .dom_and_dow(day.starts_with(['*', '?']) || weekday.starts_with(['*', '?']))
            .build();
        let cron = parser.parse(plain).map_err(|error| wrong(&error))?;
        let is_wildcard = clock.iter().any(|field| field.contains('*'));
        Ok(Self { cron, is_wildcard })
    }

    /// The first time after that one. Fractions of a second do not count.
    pub(super) fn after(&self, time: DateTime) -> Option<DateTime> {
        self.cron.find_next_occurrence(&time, false).ok()
    }

    /// That time, or the first after it.
    pub(super) fn from(&self, time: DateTime) -> Option<DateTime> {
        self.cron.find_next_occurrence(&time, true).ok()
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cron").field(&self.cron.as_str()).finish()
    }
}

/// Whether it has letters beyond those of days (`L`, `W`).
fn has_name(field: &str) -> bool {
    field.chars().any(|letter| letter.is_alphabetic() && !matches!(letter.to_ascii_uppercase(), 'L' | 'W'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_refused_and_not_quoted() {
        let error = Cron::parse(&"\u{18}".repeat(217)).unwrap_err();
        assert!(error.contains("control characters") && error.len() < 300, "{error}");
        assert!(Cron::parse("0\t3 * * *\n").is_ok());
    }

    #[test]
    fn a_sign_of_the_parsers_own_is_refused() {
        for expression in ["0 0 29 2 +", "0 0 1 * +MON", "0 0 0 1 * MON,+TUE"] {
            let refused = Cron::parse(expression).unwrap_err();
            assert!(refused.contains("has a +") && refused.contains(HINT), "{refused}");
        }
        assert!(Cron::parse("0 0 1 * MON").is_ok());
    }
}
