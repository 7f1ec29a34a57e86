//! When the remote asked to be called again.
//!
//! | Header | Forms |
//! |---|---|
//! | `retry-after-ms` | milliseconds, fractions allowed (OpenAI, Azure) |
//! | `Retry-After` | seconds, fractions allowed; an HTTP date (RFC 9110 §10.2.3), read against the answer's own `Date` |
//! | `X-RateLimit-Reset`, `X-Rate-Limit-Reset`, `RateLimit-Reset` | where the answer is about a rate limit: seconds from now, epoch seconds or milliseconds, RFC 3339 |
//!
//! What is not understood is ignored: the schedule's own delay holds then.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;

/// No remote makes us wait longer than this before we ask again. Shorter than the time after which the default
/// schedule gives up: a remote that says "next year" by mistake costs a few more questions, not the run.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(6 * 3600);

/// A number from here on is a point in time in seconds, not a span: 2001-09-09.
const EPOCH_SECONDS_MIN: f64 = 1e9;
/// A number from here on is a point in time in milliseconds.
const EPOCH_MILLIS_MIN: f64 = 1e12;

/// The wait that `Retry-After` and its relatives ask for.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(wait) = text("retry-after-ms").and_then(number) {
        return Some(bounded(wait / 1000.0));
    }
    let asked = text("retry-after")?;
    if let Some(seconds) = number(asked) {
        return Some(bounded(seconds));
    }
    // The remote's clock may be wrong by minutes; the difference between two of its own dates is not.
    let theirs = text("date").and_then(http_date).unwrap_or(now);
    Some(until(http_date(asked)?, theirs))
}

/// The wait until the rate limit's window opens again.
pub(crate) fn limit_reset(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    ["x-ratelimit-reset", "x-rate-limit-reset", "ratelimit-reset"].iter().find_map(|name| {
        let text = headers.get(*name)?.to_str().ok()?.trim();
        match number(text) {
            Some(number) if number >= EPOCH_MILLIS_MIN => Some(until_epoch(number / 1000.0, now)),
            Some(number) if number >= EPOCH_SECONDS_MIN => Some(until_epoch(number, now)),
            Some(seconds) => Some(bounded(seconds)),
            None => text.parse().ok().map(|at| until(at, now)),
        }
    })
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn http_date(text: &str) -> Option<Timestamp> {
    Timestamp::try_from(httpdate::parse_http_date(text).ok()?).ok()
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    bounded(at.duration_since(now).as_secs_f64())
}

fn until_epoch(seconds: f64, now: Timestamp) -> Duration {
    bounded(seconds - now.as_duration().as_secs_f64())
}

fn bounded(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, RETRY_AFTER_MAX.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22T10:00:00Z.
    const NOW: Timestamp = Timestamp::constant(1_795_341_600, 0);

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn asked(pairs: &[(&'static str, &str)]) -> Option<f64> {
        retry_after(&headers(pairs), NOW).map(|wait| wait.as_secs_f64())
    }

    #[test]
    fn reads_every_form_of_retry_after() {
        assert_eq!(asked(&[("retry-after", "120")]), Some(120.0));
        assert_eq!(asked(&[("retry-after", " 0.25 ")]), Some(0.25));
        assert_eq!(asked(&[("retry-after", "0")]), Some(0.0));
        assert_eq!(asked(&[("retry-after-ms", "1500")]), Some(1.5));
        assert_eq!(asked(&[("retry-after-ms", "20.5"), ("retry-after", "9")]), Some(0.0205));
        assert_eq!(asked(&[("retry-after", "Sun, 22 Nov 2026 10:00:30 GMT")]), Some(30.0));
        assert_eq!(asked(&[("retry-after", "Sunday, 22-Nov-26 10:00:30 GMT")]), Some(30.0));
        assert_eq!(asked(&[("retry-after", "Sun Nov 22 10:00:30 2026")]), Some(30.0));
    }

    #[test]
    fn reads_a_date_against_the_remotes_own_clock() {
        let wrong_clock =
            [("date", "Sun, 22 Nov 2026 09:00:00 GMT"), ("retry-after", "Sun, 22 Nov 2026 09:00:10 GMT")];
        assert_eq!(asked(&wrong_clock), Some(10.0));
    }

    #[test]
    fn bounds_the_absurd_and_ignores_the_unreadable() {
        let longest = RETRY_AFTER_MAX.as_secs_f64();
        for absurd in ["99999999999", "1e300", "Sun, 22 Nov 2099 10:00:00 GMT"] {
            assert_eq!(asked(&[("retry-after", absurd)]), Some(longest), "{absurd}");
        }
        for past in ["-5", "Sun, 22 Nov 2020 10:00:00 GMT"] {
            assert_eq!(asked(&[("retry-after", past)]), Some(0.0), "{past}");
        }
        for nonsense in ["soon", "", "NaN", "inf", "12 s", "2026-13-41"] {
            assert_eq!(asked(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
        assert_eq!(asked(&[]), None);
        assert_eq!(asked(&[("retry-after-ms", "soon"), ("retry-after", "3")]), Some(3.0));
    }

    #[test]
    fn reads_the_reset_of_a_rate_limit() {
        for (name, value, wait) in [
            ("x-ratelimit-reset", "1795341660", 60.0),
            ("x-ratelimit-reset", "1795341660000", 60.0),
            ("ratelimit-reset", "17", 17.0),
            ("x-rate-limit-reset", "2026-11-22T10:00:05Z", 5.0),
            ("x-ratelimit-reset", "1795341000", 0.0),
        ] {
            let reset = limit_reset(&headers(&[(name, value)]), NOW);
            assert_eq!(reset.map(|wait| wait.as_secs_f64()), Some(wait), "{name}: {value}");
        }
        assert_eq!(limit_reset(&headers(&[("x-ratelimit-reset", "later")]), NOW), None);
    }
}
