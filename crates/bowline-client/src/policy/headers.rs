//! What an answer's headers say about rate limits.
//!
//! | Headers | Source |
//! |---|---|
//! | `RateLimit: "day";r=50;t=30`, `RateLimit-Policy: "day";q=100;w=60` | draft-ietf-httpapi-ratelimit-headers-08 to -11; several policies at once |
//! | `RateLimit: limit=100, remaining=50, reset=30` | the same, -07 |
//! | `RateLimit-Limit: 100, 100;w=60`, `-Remaining`, `-Reset` | the same, up to -06 |
//! | `X-RateLimit-Limit`, `-Remaining`, `-Reset`, `X-Rate-Limit-…` | custom: GitHub, Okta, Zendesk … |
//! | the same with `-Second`, `-Minute`, `-Hour`, `-Day` | Kong |
//! | the same with `-Requests` | OpenAI |
//! | `X-Shopify-Shop-Api-Call-Limit: 32/40` | Shopify: a bucket that leaks |
//!
//! A reset is a span in seconds, a point in time in epoch seconds or milliseconds, an RFC 3339 time, an HTTP date, or a
//! length as `6m0s`. What is not understood is ignored.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::HeaderMap;

use crate::retry_after::RETRY_AFTER_MAX;

/// Most limits that are learned of one remote.
pub(super) const LIMITS_MAX: usize = 8;
/// Longest header that is looked at.
const HEADER_BYTES_MAX: usize = 1024;

/// A number from here on is a point in time in seconds, not a span: 2001-09-09.
const EPOCH_SECONDS_MIN: f64 = 1e9;
/// A number from here on is a point in time in milliseconds.
const EPOCH_MILLIS_MIN: f64 = 1e12;
/// How long a bucket of Shopify takes to run empty: 40 at 2/s, 80 at 4/s, 400 at 20/s.
const SHOPIFY_EMPTIES_IN: Duration = Duration::from_secs(20);

/// One limit, as an answer tells it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading {
    pub(super) name: String,
    /// How many calls it allows, if it says so.
    pub(super) limit: Option<f64>,
    pub(super) remaining: f64,
    pub(super) refill: Refill,
}

/// How more become available.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Refill {
    /// All at once, or nobody knows how.
    Window { reset: Option<Reset>, length: Option<Duration> },
    /// One by one.
    Steady { per_second: f64 },
}

/// When the window ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reset {
    pub(super) wait: Duration,
    /// How much later it may be, as the number was rounded.
    pub(super) rounded_by: Duration,
}

/// Reads all limits. `now`: by the remote's clock.
pub(super) fn read(headers: &HeaderMap, now: Timestamp) -> Vec<Reading> {
    if !headers.keys().any(|name| name.as_str().contains("limit")) {
        return vec![];
    }
    let read = Headers { headers, now };
    let mut readings = read.structured();
    if readings.is_empty() {
        readings.extend(read.triple("ratelimit", ""));
    }
    for prefix in ["x-ratelimit", "x-rate-limit"] {
        readings.extend(read.triple(prefix, ""));
        readings.extend(read.triple(prefix, "-requests"));
        for (suffix, seconds) in [("-second", 1), ("-minute", 60), ("-hour", 3600), ("-day", 86_400)] {
            readings.extend(read.triple(prefix, suffix).map(|mut reading| {
                if let Refill::Window { length, .. } = &mut reading.refill {
                    *length = Some(Duration::from_secs(seconds));
                }
                reading
            }));
        }
    }
    readings.extend(read.shopify());
    readings.truncate(LIMITS_MAX);
    readings
}

#[derive(Clone, Copy)]
struct Headers<'a> {
    headers: &'a HeaderMap,
    now: Timestamp,
}

impl<'a> Headers<'a> {
    fn text(self, name: &str) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok().map(str::trim).filter(|text| text.len() <= HEADER_BYTES_MAX)
    }

    /// All members of a list, that may be spread over several lines.
    fn list(self, name: &str) -> Vec<Member<'a>> {
        let lines = self.headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
        let lines = lines.filter(|line| line.len() <= HEADER_BYTES_MAX);
        lines.flat_map(|line| split(line, ',')).map(Member::read).take(2 * LIMITS_MAX).collect()
    }

    /// `RateLimit` and `RateLimit-Policy`.
    fn structured(self) -> Vec<Reading> {
        let limits = self.list("ratelimit");
        let policies = self.list("ratelimit-policy");
        if let Some(reading) = self.dictionary(&limits, &policies) {
            return vec![reading];
        }
        limits.iter().filter_map(|limit| self.service_limit(limit, &policies)).collect()
    }

    fn service_limit(self, limit: &Member<'_>, policies: &[Member<'_>]) -> Option<Reading> {
        let policy = policies.iter().find(|policy| policy.value == limit.value);
        let unit = policy.and_then(|policy| policy.text("qu")).unwrap_or("requests");
        let remaining = limit.number("r").filter(|_| unit == "requests")?;
        let reset = limit.number("t").map(|seconds| reset_in(seconds, 1.0));
        let length = policy.and_then(|policy| policy.number("w")).map(seconds);
        // One policy has a quota of its own for each of its partitions.
        let name = format!("{}{}", limit.value, limit.text("pk").unwrap_or_default());
        let limit = policy.and_then(|policy| policy.number("q"));
        Some(Reading { name, limit, remaining, refill: Refill::Window { reset, length } })
    }

    /// `RateLimit: limit=100, remaining=50, reset=30`.
    fn dictionary(self, members: &[Member<'_>], policies: &[Member<'_>]) -> Option<Reading> {
        let value = |key: &str| number(members.iter().find(|member| member.key == Some(key))?.value);
        let limit = value("limit");
        let reset = value("reset").map(|seconds| reset_in(seconds, 1.0));
        let refill = Refill::Window { reset, length: length_of(limit, policies) };
        Some(Reading { name: "ratelimit".into(), limit, remaining: value("remaining")?, refill })
    }

    /// `…-Limit`, `…-Remaining` and `…-Reset`.
    fn triple(self, prefix: &str, suffix: &str) -> Option<Reading> {
        let remaining = first_number(self.text(&format!("{prefix}-remaining{suffix}"))?)?;
        let limit = self.text(&format!("{prefix}-limit{suffix}"));
        let quotas: Vec<_> = limit.into_iter().flat_map(|text| split(text, ',')).map(Member::read).collect();
        let policies = self.list("ratelimit-policy");
        let limit = limit.and_then(first_number);
        let length = length_of(limit, &quotas).or_else(|| length_of(limit, &policies));
        let reset = self.text(&format!("{prefix}-reset{suffix}")).and_then(|text| self.reset(text));
        // GitHub counts some of its resources apart from the others.
        let resource = self.text(&format!("{prefix}-resource")).unwrap_or_default();
        let name = format!("{prefix}{suffix}{resource}");
        Some(Reading { name, limit, remaining, refill: Refill::Window { reset, length } })
    }

    fn shopify(self) -> Option<Reading> {
        let (used, limit) = self.text("x-shopify-shop-api-call-limit")?.split_once('/')?;
        let (used, limit) = (number(used)?, number(limit).filter(|limit| *limit >= 1.0)?);
        let per_second = limit / SHOPIFY_EMPTIES_IN.as_secs_f64();
        Some(Reading {
            name: "shopify".into(),
            limit: Some(limit),
            remaining: (limit - used).max(0.0),
            refill: Refill::Steady { per_second },
        })
    }

    fn reset(self, text: &str) -> Option<Reset> {
        if let Some(number) = number(text) {
            let rounded_by = if number.fract() == 0.0 { 1.0 } else { 0.0 };
            return Some(if number >= EPOCH_MILLIS_MIN {
                // A millisecond later costs nothing; one that was cut off costs a refusal.
                self.at((number + 1.0) / 1000.0, 0.0)
            } else if number >= EPOCH_SECONDS_MIN {
                self.at(number, rounded_by)
            } else {
                reset_in(number, rounded_by)
            });
        }
        if let Ok(at) = text.parse::<Timestamp>() {
            let rounded_by = if at.subsec_nanosecond() == 0 { 1.0 } else { 0.0 };
            return Some(self.at(at.as_duration().as_secs_f64(), rounded_by));
        }
        if let Ok(at) = httpdate::parse_http_date(text) {
            return Some(self.at(Timestamp::try_from(at).ok()?.as_duration().as_secs_f64(), 1.0));
        }
        let length: SignedDuration = text.parse().ok()?;
        Some(reset_in(length.as_secs_f64(), if length.subsec_nanos() == 0 { 1.0 } else { 0.0 }))
    }

    fn at(self, epoch_seconds: f64, rounded_by: f64) -> Reset {
        reset_in(epoch_seconds - self.now.as_duration().as_secs_f64(), rounded_by)
    }
}

fn reset_in(wait: f64, rounded_by: f64) -> Reset {
    Reset { wait: seconds(wait), rounded_by: seconds(rounded_by) }
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, RETRY_AFTER_MAX.as_secs_f64()))
}

/// The length of the window whose quota is that limit.
fn length_of(limit: Option<f64>, policies: &[Member<'_>]) -> Option<Duration> {
    let policy =
        policies.iter().find(|policy| number(policy.value) == limit && policy.text("w").is_some())?;
    policy.number("w").filter(|length| *length > 0.0).map(seconds)
}

/// A larger number is about no limit: beyond it, sums of such numbers lose their meaning.
pub(super) const NUMBER_MAX: f64 = 1e15;

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| (0.0..=NUMBER_MAX).contains(number))
}

/// The first number of `100, 100;w=60`.
fn first_number(text: &str) -> Option<f64> {
    number(text.split([',', ';']).next()?)
}

/// One member of a list of structured fields (RFC 9651 §3), read as far as rate limits need it.
struct Member<'a> {
    /// `limit` in `limit=100`.
    key: Option<&'a str>,
    value: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Member<'a> {
    fn read(text: &'a str) -> Self {
        let mut parts = split(text, ';');
        let head = parts.next().unwrap_or_default().trim();
        let (key, value) = match head.split_once('=') {
            Some((key, value)) if !head.starts_with('"') => (Some(key.trim()), value),
            Some(_) | None => (None, head),
        };
        let parameters = parts.filter_map(|part| {
            let (name, value) = part.split_once('=')?;
            Some((name.trim(), bare(value)))
        });
        Self { key, value: bare(value), parameters: parameters.collect() }
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    fn number(&self, name: &str) -> Option<f64> {
        number(self.text(name)?)
    }
}

fn bare(text: &str) -> &str {
    text.trim().trim_matches('"')
}

/// The parts of a text between separators that are in no string.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut in_string = false;
    text.split(move |c| {
        in_string ^= c == '"';
        c == separator && !in_string
    })
    .filter(|part| !part.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-22T10:00:00Z.
    const NOW: Timestamp = Timestamp::constant(1_795_341_600, 0);

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    /// Name, limit, remaining, seconds until the reset, seconds of the window.
    type Told<'a> = (&'a str, Option<f64>, f64, Option<f64>, Option<f64>);

    #[track_caller]
    fn check(pairs: &[(&'static str, &str)], expected: &[Told<'_>]) {
        let readings = read(&headers(pairs), NOW);
        let told: Vec<Told<'_>> = readings
            .iter()
            .map(|reading| match reading.refill {
                Refill::Window { reset, length } => (
                    reading.name.as_str(),
                    reading.limit,
                    reading.remaining,
                    reset.map(|reset| (reset.wait.as_secs_f64() * 1000.0).round() / 1000.0),
                    length.map(|length| length.as_secs_f64()),
                ),
                Refill::Steady { .. } => panic!("{pairs:?} is no window"),
            })
            .collect();
        assert_eq!(told, expected, "{pairs:?}");
    }

    #[test]
    fn the_current_draft_with_one_policy_and_several() {
        check(&[("ratelimit", "\"default\";r=50;t=30")], &[("default", None, 50.0, Some(30.0), None)]);
        check(
            &[
                ("ratelimit-policy", "\"permin\";q=50;w=60,\"perhr\";q=1000;w=3600"),
                ("ratelimit", "\"permin\";r=49;t=12, \"perhr\";r=7"),
            ],
            &[
                ("permin", Some(50.0), 49.0, Some(12.0), Some(60.0)),
                ("perhr", Some(1000.0), 7.0, None, Some(3600.0)),
            ],
        );
        check(
            &[
                ("ratelimit-policy", "\"a,b;c\";q=5;w=1"),
                ("ratelimit", "\"a,b;c\";r=3;t=1"),
                ("ratelimit", "\"x\";r=1;pk=:dHJ=:"),
            ],
            &[("a,b;c", Some(5.0), 3.0, Some(1.0), Some(1.0)), ("x:dHJ=:", None, 1.0, None, None)],
        );
        check(
            &[
                ("ratelimit-policy", "\"up\";q=65535;qu=\"content-bytes\";w=10"),
                ("ratelimit", "\"up\";r=5;t=1"),
            ],
            &[],
        );
    }

    #[test]
    fn the_older_drafts() {
        check(
            &[("ratelimit", "limit=100, remaining=50, reset=5"), ("ratelimit-policy", "100;w=60")],
            &[("ratelimit", Some(100.0), 50.0, Some(5.0), Some(60.0))],
        );
        check(
            &[
                ("ratelimit-limit", "100, 100;w=1, 5000;w=3600"),
                ("ratelimit-remaining", "7"),
                ("ratelimit-reset", "1"),
            ],
            &[("ratelimit", Some(100.0), 7.0, Some(1.0), Some(1.0))],
        );
        check(
            &[
                ("ratelimit-limit", "10"),
                ("ratelimit-remaining", "0"),
                ("ratelimit-policy", "10;w=1;burst=1000"),
            ],
            &[("ratelimit", Some(10.0), 0.0, None, Some(1.0))],
        );
    }

    #[test]
    fn the_custom_ones_with_every_form_of_reset() {
        for (reset, wait) in [
            ("1795341660", Some(60.0)),
            ("1795341660000", Some(60.001)),
            ("1795341660500", Some(60.501)),
            ("17", Some(17.0)),
            ("0.25", Some(0.25)),
            ("2026-11-22T10:00:05Z", Some(5.0)),
            ("2026-11-22T11:00:05.5+01:00", Some(5.5)),
            ("Sun, 22 Nov 2026 10:00:30 GMT", Some(30.0)),
            ("6m0s", Some(360.0)),
            ("20ms", Some(0.02)),
            ("1795341000", Some(0.0)),
            ("99999999", Some(RETRY_AFTER_MAX.as_secs_f64())),
            ("soon", None),
            ("-1", None),
        ] {
            check(
                &[("x-ratelimit-limit", "100"), ("x-ratelimit-remaining", "9"), ("x-ratelimit-reset", reset)],
                &[("x-ratelimit", Some(100.0), 9.0, wait, None)],
            );
        }
        check(
            &[
                ("x-rate-limit-remaining", "9"),
                ("x-ratelimit-remaining-minute", "3"),
                ("x-ratelimit-limit-minute", "60"),
                ("x-ratelimit-remaining-requests", "11"),
                ("x-ratelimit-reset-requests", "1s"),
            ],
            &[
                ("x-ratelimit-requests", None, 11.0, Some(1.0), None),
                ("x-ratelimit-minute", Some(60.0), 3.0, None, Some(60.0)),
                ("x-rate-limit", None, 9.0, None, None),
            ],
        );
    }

    #[test]
    fn the_bucket_that_leaks() {
        let readings = read(&headers(&[("x-shopify-shop-api-call-limit", "32/40")]), NOW);
        let refill = Refill::Steady { per_second: 2.0 };
        let expected = Reading { name: "shopify".into(), limit: Some(40.0), remaining: 8.0, refill };
        assert_eq!(readings, [expected]);
        assert_eq!(read(&headers(&[("x-shopify-shop-api-call-limit", "32/0")]), NOW), []);
        assert_eq!(read(&headers(&[("x-shopify-shop-api-call-limit", "32")]), NOW), []);
    }

    proptest! {
        #[test]
        fn nothing_that_a_remote_says_is_more_than_ignored(
            name in prop::sample::select(vec!["ratelimit", "ratelimit-policy", "x-ratelimit-reset", "x-ratelimit-remaining",
                "ratelimit-limit", "x-shopify-shop-api-call-limit"]),
            value in "[ -~]{0,60}", other in "[0-9a-z=;,\".:-]{0,40}",
        ) {
            let headers = headers(&[(name, &value), ("ratelimit", &other), ("x-ratelimit-remaining", "5")]);
            for reading in read(&headers, NOW) {
                prop_assert!(reading.remaining >= 0.0 && reading.limit.is_none_or(|limit| limit >= 0.0));
            }
        }
    }
}
