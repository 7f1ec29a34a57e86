//! What was observed, judged purely.
//!
//! | Observed | Verdict |
//! |---|---|
//! | 2xx | done |
//! | 2xx that cannot be used: not JSON, another shape, too large | unknown, permanent: it happened, and the same answer would come again |
//! | no connection: DNS, TCP, TLS and its certificates | retry: nothing reached the remote. A certificate too: it gets renewed, and the run then goes on by itself |
//! | timeout, reset, broken answer after sending | unknown, retryable |
//! | 408, 425, 429, 503, 529 | retry, at the time the remote asks for |
//! | 403 with `Retry-After`, or with `X-RateLimit-Remaining: 0` (GitHub) | retry, likewise |
//! | 409 that speaks of idempotency or has `Retry-After`, where a key was sent | unknown, retryable: an earlier attempt is still being worked on |
//! | 409 or 412 after the first attempt; 404 or 410 to a DELETE after the first | unknown, permanent: an earlier attempt may have done it |
//! | 501, 505 | refused |
//! | any other 5xx | unknown, retryable |
//! | 3xx that was not followed | refused |
//! | any other 4xx: plain 409 ("exists already") included | refused |
//!
//! `x-should-retry` and `stripe-should-retry` overrule the table on whether to retry, both ways.

use std::{convert::Infallible, time::Duration};

use bowline_model::{Failure, Verdict, error::BODY_EXCERPT_BYTES_MAX};
use bytes::Bytes;
use jiff::Timestamp;
use reqwest::{Method, header::HeaderMap};
use serde_json::Value;
use url::Url;

use crate::{
    decode::Undecodable,
    read::{Read, Said, Unread},
    report::{Asked, credential_alert},
    retry_after::{limit_reset, retry_after},
};

/// What was seen instead of an answer.
pub(crate) enum Observed {
    /// There was no connection: nothing reached the remote.
    NotReached {
        /// The errors, outermost first.
        causes: Vec<String>,
    },
    /// The request, or a part of it, was sent, and no answer came.
    Lost {
        /// The errors, outermost first.
        causes: Vec<String>,
    },
    /// No answer came in time.
    TimedOut,
    /// It must not be sent: it cannot be signed, or leads where nothing may go.
    NotSent {
        /// Why.
        what: String,
    },
}

/// An answer. Not `Debug`: its URL may hold a key.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// What was read of the body.
    pub(crate) body: Bytes,
    pub(crate) end: BodyEnd,
    /// Where it came from: the call's own URL, or where a redirect led.
    pub(crate) url: Url,
}

/// How reading the body ended.
#[derive(Debug, Clone)]
pub(crate) enum BodyEnd {
    /// All of it is there.
    Complete,
    /// It was larger than allowed; the rest was not read.
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// The connection ended first.
    Broken {
        /// The errors, outermost first.
        causes: Vec<String>,
    },
    /// It is not what its head says it is encoded as.
    Undecodable(Undecodable),
    /// Time was up first.
    TimedOut,
}

/// Judges an attempt that no answer came to.
pub(crate) fn judge_unanswered(asked: &Asked<'_>, observed: &Observed) -> Verdict<Infallible> {
    match observed {
        Observed::NotReached { causes } => Verdict::RetryAfter(asked.not_reached(causes)),
        Observed::Lost { causes } => Verdict::Unknown(asked.lost(causes)),
        Observed::TimedOut => Verdict::Unknown(asked.timed_out()),
        Observed::NotSent { what } => Verdict::Refused(asked.not_sent(what)),
    }
}

/// Judges an answer. `good` makes the value of a good one; `read` knows more of this kind of call than its status says.
pub(crate) fn judge<T>(
    asked: &Asked<'_>,
    answer: &Answer,
    read: &dyn Read<T>,
    good: impl FnOnce(&Answer) -> Result<T, Unread>,
) -> Verdict<T> {
    let mut verdict = judge_answered(asked, answer, read, good);
    if read.is_secret()
        && let Verdict::RetryAfter(failure) | Verdict::Refused(failure) | Verdict::Unknown(failure) =
            &mut verdict
        && let Some(call) = &mut failure.call
    {
        call.body = None;
    }
    verdict
}

fn judge_answered<T>(
    asked: &Asked<'_>,
    answer: &Answer,
    read: &dyn Read<T>,
    good: impl FnOnce(&Answer) -> Result<T, Unread>,
) -> Verdict<T> {
    if !(200..300).contains(&answer.status) {
        return match read.bad(answer) {
            Some(said) => by_its_word(asked, answer, &said, read.detail(answer)),
            None => bad(asked, answer),
        };
    }
    let failure = |what: &str| asked.about(answer, Failure::unknown, what);
    match &answer.end {
        BodyEnd::Complete => match good(answer) {
            Ok(value) => Verdict::Done(value),
            Err(Unread::Unfit(what)) => {
                Verdict::Unknown(failure(&format!(", but its body {what}")).permanent())
            }
            Err(Unread::Said(said)) => by_its_word(asked, answer, &said, read.detail(answer)),
        },
        BodyEnd::TooLarge { bytes_max } => {
            let hint = "ask for less, or raise .response_bytes_max";
            let what = format!(", but its body is larger than {bytes_max} bytes: {hint}");
            Verdict::Unknown(failure(&what).permanent())
        }
        BodyEnd::Broken { causes } => {
            let failure = failure(", but the connection broke before its body ended");
            Verdict::Unknown(asked.with_causes(failure, causes))
        }
        BodyEnd::Undecodable(what) => {
            let failure = failure(&format!(", but its body {what}"));
            Verdict::Unknown(if what.is_truncated() { failure } else { failure.permanent() })
        }
        BodyEnd::TimedOut => {
            Verdict::Unknown(failure(&format!(", but its body did not end {}", asked.in_time())))
        }
    }
}

/// What a status that is not 2xx means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Not now.
    Later,
    /// It may have happened; ask again.
    Unclear,
    /// It may have happened, and asking again will not tell.
    UnclearForGood,
    /// No.
    No,
}

fn bad<T>(asked: &Asked<'_>, answer: &Answer) -> Verdict<T> {
    let meaning = overruled(meaning(asked, answer), answer);
    let hint = asked.hint(answer, meaning);
    let failure = |certainty: fn(String) -> Failure| asked.about_bad(answer, certainty, &hint);
    failed(meaning, failure, wait(answer, asked.now))
}

/// What the remote said in its body goes before its status.
fn by_its_word<T>(asked: &Asked<'_>, answer: &Answer, said: &Said, detail: Option<Value>) -> Verdict<T> {
    let about_credential =
        said.meaning == Meaning::No && credential_alert(answer.status, said.code.as_deref()).is_some();
    let hint = if about_credential { asked.credential_hint() } else { String::new() };
    let failure = |certainty: fn(String) -> Failure| {
        let what = format!("{}{hint}", said.what);
        let failure = asked.with_code(asked.about(answer, certainty, &what), said.code.clone());
        asked.with_detail(failure, detail)
    };
    failed(said.meaning, failure, said.wait.or_else(|| wait(answer, asked.now)))
}

fn failed<T>(
    meaning: Meaning,
    failure: impl FnOnce(fn(String) -> Failure) -> Failure,
    wait: Option<Duration>,
) -> Verdict<T> {
    match meaning {
        Meaning::Later => Verdict::RetryAfter(failure(Failure::refused).retry_after(wait)),
        Meaning::Unclear => Verdict::Unknown(failure(Failure::unknown).retry_after(wait)),
        Meaning::UnclearForGood => Verdict::Unknown(failure(Failure::unknown).permanent()),
        Meaning::No => Verdict::Refused(failure(Failure::refused).permanent()),
    }
}

fn meaning(asked: &Asked<'_>, answer: &Answer) -> Meaning {
    let again = asked.attempt > 1;
    let reads = matches!(*asked.method, Method::GET | Method::HEAD);
    match answer.status {
        408 | 425 | 429 | 503 | 529 => Meaning::Later,
        403 if is_limit(answer) => Meaning::Later,
        409 if asked.keyed && is_in_flight(answer) => Meaning::Unclear,
        409 | 412 if again && !reads => Meaning::UnclearForGood,
        404 | 410 if again && *asked.method == Method::DELETE => Meaning::UnclearForGood,
        501 | 505 => Meaning::No,
        // 600 and above is nothing that HTTP knows; who sends it may have done anything.
        500.. => Meaning::Unclear,
        0..=499 => Meaning::No,
    }
}

/// The vendors' own word on whether to retry.
fn overruled(meaning: Meaning, answer: &Answer) -> Meaning {
    let said = ["x-should-retry", "stripe-should-retry"].iter().find_map(|name| {
        let text = answer.headers.get(*name)?.to_str().ok()?;
        text.trim().to_ascii_lowercase().parse::<bool>().ok()
    });
    match (said, meaning) {
        (Some(true), Meaning::No) => Meaning::Later,
        (Some(true), Meaning::UnclearForGood) => Meaning::Unclear,
        (Some(false), Meaning::Later) => Meaning::No,
        (Some(false), Meaning::Unclear) => Meaning::UnclearForGood,
        (Some(_) | None, meaning) => meaning,
    }
}

/// Whether a 403 is about a rate limit.
fn is_limit(answer: &Answer) -> bool {
    let remaining = answer.headers.get("x-ratelimit-remaining").and_then(|value| value.to_str().ok());
    answer.headers.contains_key("retry-after") || remaining.is_some_and(|left| left.trim() == "0")
}

/// Whether a 409 says that the same key is being worked on (draft-ietf-httpapi-idempotency-key-header).
fn is_in_flight(answer: &Answer) -> bool {
    let start = &answer.body[..answer.body.len().min(BODY_EXCERPT_BYTES_MAX)];
    answer.headers.contains_key("retry-after")
        || String::from_utf8_lossy(start).to_ascii_lowercase().contains("idempoten")
}

fn wait(answer: &Answer, now: Timestamp) -> Option<Duration> {
    let limited = matches!(answer.status, 403 | 429);
    retry_after(&answer.headers, now).or_else(|| limited.then(|| limit_reset(&answer.headers, now)).flatten())
}

#[cfg(test)]
mod tests;
