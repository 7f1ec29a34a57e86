//! When something was signed, and whether that is too long ago or yet to come.

use std::time::Duration;

use jiff::Timestamp;

use crate::Error;

/// What a header's number counts since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
}

impl Unit {
    /// The time that the text means. Digits only: no sign, no fraction, no space.
    pub(crate) fn parse(self, text: &[u8]) -> Option<Timestamp> {
        // `parse` would also take a sign.
        let digits =
            std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
        let number = digits.parse().ok()?;
        match self {
            Self::Seconds => Timestamp::from_second(number).ok(),
            Self::Milliseconds => Timestamp::from_millisecond(number).ok(),
        }
    }

    /// The text that means this time.
    pub(crate) fn text(self, at: Timestamp) -> String {
        match self {
            Self::Seconds => at.as_second().to_string(),
            Self::Milliseconds => at.as_millisecond().to_string(),
        }
    }

    /// What is wrong with a text that means no time.
    pub(crate) fn problem(self) -> &'static str {
        match self {
            Self::Seconds => "has a timestamp that is not a number of seconds",
            Self::Milliseconds => "has a timestamp that is not a number of milliseconds",
        }
    }
}

/// Compared in whole seconds, as senders stamp.
pub(crate) fn not_too_old(signed_at: Timestamp, now: Timestamp, age_max: Duration) -> Result<(), Error> {
    let age = seconds_between(signed_at, now);
    if age.as_secs() > age_max.as_secs() { Err(Error::TooOld { age, age_max }) } else { Ok(()) }
}

/// Compared in whole seconds, as senders stamp.
pub(crate) fn not_too_new(signed_at: Timestamp, now: Timestamp, ahead_max: Duration) -> Result<(), Error> {
    let ahead = seconds_between(now, signed_at);
    if ahead.as_secs() > ahead_max.as_secs() { Err(Error::TooNew { ahead, ahead_max }) } else { Ok(()) }
}

/// Within that time, to the past and to the future; any time if none is set. Only the docs of some senders leave it open.
pub(crate) fn within(signed_at: Timestamp, now: Timestamp, tolerance: Option<Duration>) -> Result<(), Error> {
    match tolerance {
        Some(tolerance) => {
            not_too_old(signed_at, now, tolerance)?;
            not_too_new(signed_at, now, tolerance)
        }
        None => Ok(()),
    }
}

/// None at all if `to` comes first.
fn seconds_between(from: Timestamp, to: Timestamp) -> Duration {
    let seconds = to.as_second().saturating_sub(from.as_second());
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}
