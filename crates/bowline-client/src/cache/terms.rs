//! For how long an answer holds: by the author's word, or by the remote's (RFC 9111 §4.2, §5.2.2).

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{AGE, CACHE_CONTROL, DATE, EXPIRES, HeaderMap, HeaderName, VARY, VIA};

/// Longest time that is told apart from "for ever": 2³¹ s, as RFC 9111 §1.2.2 wants it.
const LONGEST: Duration = Duration::from_secs(1 << 31);

/// Who says for how long answers hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caching {
    /// The author of the program does.
    For(Duration),
    /// The remote does.
    AsTold,
}

/// When an answer came, and what can be done with it until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) since: Timestamp,
    /// So long after `since` it is as good as a new one.
    fresh: Duration,
    /// So long after `since` it is better than an error.
    stands_in: Duration,
}

impl Terms {
    /// The terms of an answer with those headers, asked for at `asked_at`; `None` if it must not be kept.
    pub(crate) fn of(
        caching: Caching,
        headers: &HeaderMap,
        asked_at: Timestamp,
        now: Timestamp,
    ) -> Option<Self> {
        let said = Said::in_headers(headers);
        if said.no_store || varies_always(headers) {
            return None;
        }
        let (holds, age) = match caching {
            Caching::For(ttl) => (ttl, Duration::ZERO),
            Caching::AsTold => (said.lifetime(headers, now), age(headers, asked_at, now)),
        };
        let holds = if said.no_cache { Duration::ZERO } else { holds.min(LONGEST) };
        // §5.2.2.2, §5.2.2.4: these forbid any use without the remote's consent.
        let errors = if said.no_cache || said.must_revalidate { None } else { said.stale_if_error };
        Some(Self {
            since: now,
            fresh: holds.saturating_sub(age),
            stands_in: (holds + errors.unwrap_or_default()).saturating_sub(age),
        })
    }

    /// Whether it can be given as it is.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        self.is_within(self.fresh, now)
    }

    /// Whether it can be given when the remote fails (RFC 5861 §4).
    pub(crate) fn stands_in(&self, now: Timestamp) -> bool {
        self.is_within(self.stands_in, now)
    }

    /// An answer from the future is one from before the clock was set back.
    fn is_within(&self, span: Duration, now: Timestamp) -> bool {
        self.since <= now && self.since.checked_add(span).is_ok_and(|end| now < end)
    }
}

/// Whether no answer with those headers may be given again without asking.
pub(super) fn forbid_reuse(headers: &HeaderMap) -> bool {
    let said = Said::in_headers(headers);
    said.no_store || said.no_cache || varies_always(headers)
}

/// What varies with anything is never the answer to the next call.
fn varies_always(headers: &HeaderMap) -> bool {
    items(headers, &VARY).any(|name| name == "*")
}

/// What `Cache-Control` says, as far as it is about caches that serve one user.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    no_store: bool,
    no_cache: bool,
    must_revalidate: bool,
    max_age: Option<Duration>,
    stale_if_error: Option<Duration>,
}

impl Said {
    fn in_headers(headers: &HeaderMap) -> Self {
        let mut said = Self::default();
        for directive in items(headers, &CACHE_CONTROL) {
            let (name, value) = directive.split_once('=').unwrap_or((&directive, ""));
            let time = || seconds(value);
            match name.trim_end() {
                "no-store" => said.no_store = true,
                // With the names of headers or without: to keep the rest would be allowed, and is nobody's intention.
                "no-cache" => said.no_cache = true,
                "must-revalidate" => said.must_revalidate = true,
                // Said twice, or not to be read: the shorter time holds (§4.2.1).
                "max-age" => {
                    said.max_age = said.max_age.unwrap_or(LONGEST).min(time().unwrap_or_default()).into();
                }
                "stale-if-error" => said.stale_if_error = time(),
                _ => {}
            }
        }
        said
    }

    /// How long the answer holds from when the remote made it. What it does not say is not guessed.
    fn lifetime(&self, headers: &HeaderMap, now: Timestamp) -> Duration {
        if let Some(max_age) = self.max_age {
            return max_age;
        }
        let date = date(headers, &DATE).unwrap_or(now);
        // A date that cannot be read, as `0`, is in the past (§5.3).
        date_of_all(headers, &EXPIRES).map_or(Duration::ZERO, |end| between(date, end))
    }
}

/// How old the answer was when it came (§4.2.3). The remote's clock is compared with ours only where a cache on the way
/// speaks HTTP/1.0 and knows no `Age`: clocks that differ are far more usual.
fn age(headers: &HeaderMap, asked_at: Timestamp, now: Timestamp) -> Duration {
    let said = items(headers, &AGE).next().and_then(|age| seconds(&age)).unwrap_or_default();
    let old_hop = items(headers, &VIA).any(|hop| hop.starts_with("1.0 ") || hop.starts_with("http/1.0 "));
    let apparent = date(headers, &DATE).filter(|_| old_hop).map(|date| between(date, now));
    (said + between(asked_at, now)).max(apparent.unwrap_or_default())
}

/// The earliest of the dates in headers of that name; `None` if there is none or one is no date.
fn date_of_all(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    let dates: Option<Vec<_>> =
        headers.get_all(name).iter().map(|value| parsed(value.to_str().ok()?)).collect();
    dates?.into_iter().min()
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    parsed(headers.get(name)?.to_str().ok()?)
}

fn parsed(text: &str) -> Option<Timestamp> {
    Timestamp::try_from(httpdate::parse_http_date(text.trim()).ok()?).ok()
}

fn between(start: Timestamp, end: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(start)).unwrap_or_default()
}

/// Whole seconds, as a token or (wrongly, §5.2) in quotes.
fn seconds(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than a number holds are a long time, too.
    is_number.then(|| digits.parse().map_or(LONGEST, Duration::from_secs).min(LONGEST))
}

/// The items of all lists under that name, in lower case, split at the commas that are not within quotes.
pub(super) fn items(headers: &HeaderMap, name: &HeaderName) -> impl Iterator<Item = String> {
    let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    values.flat_map(|value| {
        let (mut quoted, mut escaped) = (false, false);
        let parts = value.split(|letter| {
            let ends = letter == ',' && !quoted;
            match letter {
                '"' if !escaped => quoted = !quoted,
                _ => {}
            }
            escaped = quoted && letter == '\\' && !escaped;
            ends
        });
        let parts: Vec<_> = parts.map(|part| part.trim().to_ascii_lowercase()).collect();
        parts.into_iter().filter(|part| !part.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "Sun, 22 Nov 2026 10:00:00 GMT";

    fn now() -> Timestamp {
        parsed(NOW).unwrap()
    }

    fn headers(lines: &str) -> HeaderMap {
        let lines = lines.lines().filter_map(|line| line.split_once(':'));
        lines.map(|(name, value)| (name.trim().parse().unwrap(), value.trim().parse().unwrap())).collect()
    }

    /// For how many seconds an answer is fresh, and for how many it stands in for an error; `None`: not kept.
    fn told(caching: Caching, lines: &str) -> Option<(u64, u64)> {
        let terms = Terms::of(caching, &headers(lines), now(), now())?;
        Some((terms.fresh.as_secs(), terms.stands_in.as_secs()))
    }

    #[test]
    fn the_remotes_word_says_how_long() {
        let cases = [
            ("", Some(0)),
            ("cache-control: max-age=60", Some(60)),
            ("cache-control: MAX-AGE = 60", Some(60)),
            ("cache-control: public, max-age=\"60\" , immutable", Some(60)),
            ("cache-control: max-age=60\ncache-control: max-age=90", Some(60)),
            ("cache-control: max-age=90, max-age=60", Some(60)),
            ("cache-control: max-age=-1", Some(0)),
            ("cache-control: max-age=60.5", Some(0)),
            ("cache-control: max-age='60'", Some(0)),
            ("cache-control: max-age", Some(0)),
            ("cache-control: max-age=99999999999999999999", Some(1 << 31)),
            ("cache-control: x=\"max-age=60, no-store, \\\", y\", max-age=90", Some(90)),
            ("cache-control: max-ages=60", Some(0)),
            ("cache-control: s-maxage=60", Some(0)),
            ("cache-control: max-age=60, s-maxage=5, private", Some(60)),
            ("cache-control: max-age=60, no-cache", Some(0)),
            ("cache-control: max-age=60, no-cache=\"set-cookie\"", Some(0)),
            ("cache-control: max-age=60, no-store", None),
            ("cache-control: max-age=60\ncache-control: No-Store", None),
            ("cache-control: max-age=60\nvary: accept, *", None),
            ("cache-control: max-age=60\nvary: accept", Some(60)),
            ("cache-control: max-age=60\nage: 50", Some(10)),
            ("cache-control: max-age=60\nage: 70", Some(0)),
            ("cache-control: max-age=60\nage: 50, 0", Some(10)),
            ("cache-control: max-age=60\nage: old", Some(60)),
            ("expires: Sun, 22 Nov 2026 10:01:00 GMT", Some(60)),
            ("expires: Sunday, 22-Nov-26 10:01:00 GMT", Some(60)),
            ("expires: Sun Nov 22 10:01:00 2026", Some(60)),
            ("expires: 0", Some(0)),
            ("expires: Sun, 22 Nov 2026 10:01:00 GMT\nexpires: 0", Some(0)),
            ("expires: Sun, 22 Nov 2026 09:59:00 GMT", Some(0)),
            ("expires: Sun, 22 Nov 2026 10:01:00 GMT\ncache-control: max-age=5", Some(5)),
            ("expires: Sun, 22 Nov 2026 10:01:00 GMT\ncache-control: s-maxage=5", Some(60)),
        ];
        for (lines, fresh) in cases {
            assert_eq!(told(Caching::AsTold, lines).map(|(fresh, _)| fresh), fresh, "{lines}");
        }
    }

    #[test]
    fn a_remote_whose_clock_differs_is_not_misunderstood() {
        let fast = "date: Sun, 22 Nov 2026 11:00:00 GMT\nexpires: Sun, 22 Nov 2026 11:01:00 GMT";
        let slow = "date: Sun, 22 Nov 2026 09:00:00 GMT\nexpires: Sun, 22 Nov 2026 09:01:00 GMT";
        assert_eq!([told(Caching::AsTold, fast), told(Caching::AsTold, slow)], [Some((60, 60)); 2]);
        let slow = "date: Sun, 22 Nov 2026 09:59:20 GMT\ncache-control: max-age=60";
        assert_eq!(told(Caching::AsTold, slow), Some((60, 60)));
        for (via, fresh) in [("1.1 a, 1.0 b", 20), ("HTTP/1.0 b", 20), ("1.1 a, 2 b (1.0 c)", 60)] {
            let lines = format!("{slow}\nvia: {via}");
            assert_eq!(told(Caching::AsTold, &lines), Some((fresh, fresh)), "{via}: no Age to be expected");
        }
    }

    #[test]
    fn the_way_of_an_answer_is_part_of_its_age() {
        let asked_at = now().checked_sub(Duration::from_secs(20)).unwrap();
        let headers = headers("cache-control: max-age=60\nage: 30");
        let terms = Terms::of(Caching::AsTold, &headers, asked_at, now()).unwrap();
        assert_eq!(terms.fresh.as_secs(), 10);
    }

    #[test]
    fn the_authors_word_goes_before_the_remotes_on_time_and_not_on_leave() {
        let hour = Caching::For(Duration::from_secs(3600));
        let cases = [
            ("", Some(3600)),
            ("cache-control: max-age=0, private, must-revalidate", Some(3600)),
            ("cache-control: max-age=86400\nage: 100", Some(3600)),
            ("expires: 0", Some(3600)),
            ("cache-control: no-cache", Some(0)),
            ("cache-control: no-store", None),
            ("vary: *", None),
        ];
        for (lines, fresh) in cases {
            assert_eq!(told(hour, lines).map(|(fresh, _)| fresh), fresh, "{lines}");
        }
        assert_eq!(told(Caching::For(Duration::MAX), ""), Some((1 << 31, 1 << 31)));
    }

    #[test]
    fn an_old_answer_stands_in_for_an_error_only_with_leave() {
        let cases = [
            ("cache-control: max-age=60", (60, 60)),
            ("cache-control: max-age=60, stale-if-error=100", (60, 160)),
            ("cache-control: stale-if-error=100\nage: 30", (0, 70)),
            ("cache-control: max-age=60, stale-if-error=100, must-revalidate", (60, 60)),
            ("cache-control: max-age=60, stale-if-error=100, no-cache", (0, 0)),
            ("cache-control: max-age=60, stale-if-error=soon", (60, 60)),
        ];
        for (lines, expected) in cases {
            assert_eq!(told(Caching::AsTold, lines), Some(expected), "{lines}");
        }
    }
}
