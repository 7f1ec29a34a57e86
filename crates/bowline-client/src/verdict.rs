//! What was observed, judged purely.
//!
//! | Observed | Verdict |
//! |---|---|
//! | 2xx | done |
//! | 2xx that cannot be read: not JSON, another shape, too large | unknown, permanent: it happened, and the same answer would come again |
//! | no connection: DNS, TCP, TLS and its certificates | retry: nothing reached the remote. A certificate too: it gets renewed, and the run then goes on by itself |
//! | timeout, reset, broken answer after sending | unknown, retryable |
//! | 408, 425, 429, 503, 529 | retry, at the time the remote asks for |
//! | 403 with `Retry-After`, or with `X-RateLimit-Remaining: 0` (GitHub) | retry, likewise |
//! | 409 that speaks of idempotency or has `Retry-After`, where a key was sent | unknown, retryable: an earlier attempt is still being worked on |
//! | 409 after the first attempt; 404 or 410 to a DELETE after the first | unknown, permanent: an earlier attempt may have done it |
//! | 501, 505 | refused |
//! | any other 5xx | unknown, retryable |
//! | 3xx that was not followed | refused |
//! | any other 4xx: plain 409 ("exists already") included | refused |
//!
//! `x-should-retry` and `stripe-should-retry` overrule the table on whether to retry, both ways.

use std::time::Duration;

use bowline_model::{Failure, Verdict, error::BODY_EXCERPT_BYTES_MAX};
use bytes::Bytes;
use jiff::Timestamp;
use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderMap, LOCATION},
};
use url::Url;

use crate::{
    retry_after::{limit_reset, retry_after},
    scrub::Scrub,
};

/// What came of one attempt, as seen from here.
#[derive(Debug)]
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
    /// The remote answered.
    Answered(Answer),
}

/// An answer.
#[derive(Debug)]
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
#[derive(Debug)]
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
    /// Time was up first.
    TimedOut,
}

/// What was asked.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) api: &'a str,
    pub(crate) method: &'a Method,
    /// Empty where the URL is a secret.
    pub(crate) path: &'a str,
    /// With the port, if it is not the scheme's own.
    pub(crate) host: String,
    /// Whether an idempotency key went with it.
    pub(crate) keyed: bool,
    /// Which attempt it was, from 1.
    pub(crate) attempt: u32,
    pub(crate) timeout: Duration,
    /// Where its credentials come from, for people; `None` if it has none.
    pub(crate) credentials: Option<String>,
    pub(crate) scrub: &'a Scrub,
    pub(crate) now: Timestamp,
}

/// Judges one attempt. `read` makes the value of a good answer, or says what is wrong with it.
pub(crate) fn judge<T>(
    asked: &Asked<'_>,
    observed: Observed,
    read: impl FnOnce(&Answer) -> Result<T, String>,
) -> Verdict<T> {
    match observed {
        Observed::NotReached { causes } => Verdict::RetryAfter(asked.not_reached(causes)),
        Observed::Lost { causes } => Verdict::Unknown(
            asked
                .with_causes(Failure::unknown(format!("{}: sent, but no answer came", asked.what())), causes),
        ),
        Observed::TimedOut => {
            let failure =
                Failure::unknown(format!("{}: no answer within {}", asked.what(), seconds(asked.timeout)));
            Verdict::Unknown(failure.call(asked.call()))
        }
        Observed::Answered(answer) if (200..300).contains(&answer.status) => good(asked, &answer, read),
        Observed::Answered(answer) => bad(asked, &answer),
    }
}

fn good<T>(
    asked: &Asked<'_>,
    answer: &Answer,
    read: impl FnOnce(&Answer) -> Result<T, String>,
) -> Verdict<T> {
    let answered = asked.answered(answer);
    let unknown = |message: String| asked.with_answer(Failure::unknown(message), answer);
    match &answer.end {
        BodyEnd::Complete => match read(answer) {
            Ok(value) => Verdict::Done(value),
            Err(what) => Verdict::Unknown(
                unknown(asked.scrub.text(&format!("{answered}, but its body {what}"))).permanent(),
            ),
        },
        BodyEnd::TooLarge { bytes_max } => Verdict::Unknown(
            unknown(format!(
                "{answered}, but its body is larger than {bytes_max} bytes: ask for less, or raise .response_bytes_max"
            ))
            .permanent(),
        ),
        BodyEnd::Broken { causes } => {
            let failure = unknown(format!("{answered}, but the connection broke before its body ended"));
            Verdict::Unknown(asked.with_causes_only(failure, causes))
        }
        BodyEnd::TimedOut => Verdict::Unknown(unknown(format!(
            "{answered}, but its body did not end within {}",
            seconds(asked.timeout)
        ))),
    }
}

/// What a status that is not 2xx means, before the remote's own wish on retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
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
    let message = format!("{}{}", asked.answered(answer), hint(asked, answer, meaning));
    let failure = |failure: fn(String) -> Failure| asked.with_answer(failure(message), answer);
    let wait = || wait(answer, asked.now);
    match meaning {
        Meaning::Later => Verdict::RetryAfter(failure(|m| Failure::refused(m)).retry_after(wait())),
        Meaning::Unclear => Verdict::Unknown(failure(|m| Failure::unknown(m)).retry_after(wait())),
        Meaning::UnclearForGood => Verdict::Unknown(failure(|m| Failure::unknown(m)).permanent()),
        Meaning::No => Verdict::Refused(failure(|m| Failure::refused(m)).permanent()),
    }
}

fn meaning(asked: &Asked<'_>, answer: &Answer) -> Meaning {
    let again = asked.attempt > 1;
    match answer.status {
        408 | 425 | 429 | 503 | 529 => Meaning::Later,
        403 if is_limit(answer) => Meaning::Later,
        409 if asked.keyed && is_in_flight(answer) => Meaning::Unclear,
        409 if again && *asked.method != Method::GET => Meaning::UnclearForGood,
        404 | 410 if again && *asked.method == Method::DELETE => Meaning::UnclearForGood,
        501 | 505 => Meaning::No,
        500..=599 => Meaning::Unclear,
        // An unknown status outside of 100–599 is no answer that HTTP knows.
        600.. => Meaning::Unclear,
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

/// Whether a 409 says that the same key is being worked on (IETF draft-ietf-httpapi-idempotency-key-header, §2.6).
fn is_in_flight(answer: &Answer) -> bool {
    let start = &answer.body[..answer.body.len().min(BODY_EXCERPT_BYTES_MAX)];
    answer.headers.contains_key("retry-after")
        || String::from_utf8_lossy(start).to_ascii_lowercase().contains("idempoten")
}

fn wait(answer: &Answer, now: Timestamp) -> Option<Duration> {
    let limited = matches!(answer.status, 403 | 429);
    retry_after(&answer.headers, now).or_else(|| limited.then(|| limit_reset(&answer.headers, now)).flatten())
}

/// What a person could do about it.
fn hint(asked: &Asked<'_>, answer: &Answer, meaning: Meaning) -> String {
    match (answer.status, meaning) {
        (300..=399, _) => redirect_hint(asked, answer),
        (401 | 403, Meaning::No) => match &asked.credentials {
            Some(credentials) => format!(": check the credential ({credentials}) and what it may do"),
            None => ": this Api has no credential; set one, as .bearer_env(\"TOKEN\")".into(),
        },
        (404, Meaning::No) => format!(": there is no such path at {}", asked.host),
        (404 | 409 | 410, Meaning::UnclearForGood) => ": an earlier attempt may have done it".into(),
        (409, Meaning::Unclear) => ": an earlier attempt is still being worked on".into(),
        _ => String::new(),
    }
}

fn redirect_hint(asked: &Asked<'_>, answer: &Answer) -> String {
    let location = answer.headers.get(LOCATION).and_then(|location| location.to_str().ok());
    let Some(target) = location.and_then(|location| answer.url.join(location).ok()) else {
        return ": a redirect that says not where to".into();
    };
    let host = target.host_str().unwrap_or("nowhere");
    if target.origin() != answer.url.origin() {
        let scheme = target.scheme();
        return format!(
            ": a redirect to {scheme}://{host}, which is not followed, so that credentials stay here; if that is the \
             right place, make it the base URL"
        );
    }
    if matches!(*asked.method, Method::GET | Method::HEAD) {
        return format!(": more than {REDIRECTS_MAX} redirects, on {host}");
    }
    format!(": a redirect on {host}, which only GET and HEAD follow; call the new path itself")
}

/// Most redirects that one attempt follows.
pub(crate) const REDIRECTS_MAX: usize = 5;

impl Asked<'_> {
    /// As people read it: `POST crm /contacts`; the host where the path is a secret.
    fn what(&self) -> String {
        let place = if self.path.is_empty() { format!("({})", self.host) } else { self.place() };
        format!("{} {} {place}", self.method, self.api)
    }

    /// The path, or the host where the path is a secret.
    pub(crate) fn place(&self) -> String {
        if self.path.is_empty() { self.host.clone() } else { self.scrub.text(self.path) }
    }

    /// A call that cannot be sent as it is described, or as its Api is set up.
    pub(crate) fn not_sent(&self, what: &str) -> Failure {
        let message = format!("{} was not sent: {}", self.what(), self.scrub.text(what));
        Failure::refused(message).permanent().call(self.call())
    }

    fn answered(&self, answer: &Answer) -> String {
        format!("{} answered {}", self.what(), answer.status)
    }

    fn not_reached(&self, causes: Vec<String>) -> Failure {
        let certificate = causes.iter().any(|cause| cause.to_ascii_lowercase().contains("certificate"));
        let hint = if certificate { ": its certificate is not accepted" } else { "" };
        let message = format!("{}: no connection to {}{hint}", self.what(), self.host);
        self.with_causes(Failure::refused(message), causes)
    }

    fn call(&self) -> bowline_model::CallFailure {
        bowline_model::CallFailure {
            api: self.api.to_owned(),
            method: self.method.to_string(),
            path: self.scrub.text(self.path),
            status: None,
            request_id: None,
            body: None,
        }
    }

    fn with_causes(&self, failure: Failure, causes: Vec<String>) -> Failure {
        self.with_causes_only(failure, &causes).call(self.call())
    }

    fn with_causes_only(&self, mut failure: Failure, causes: &[String]) -> Failure {
        failure.causes = causes.iter().map(|cause| self.scrub.text(cause)).collect();
        failure
    }

    fn with_answer(&self, failure: Failure, answer: &Answer) -> Failure {
        let mut call = self.call();
        call.status = Some(answer.status);
        call.request_id = request_id(&answer.headers).map(|id| self.scrub.text(&id));
        call.body = excerpt(&answer.body, self.scrub);
        failure.call(call)
    }
}

/// The remote's id of the request, under its usual names.
fn request_id(headers: &HeaderMap) -> Option<String> {
    const NAMES: [&str; 11] = [
        "x-request-id",
        "request-id",
        "x-amzn-requestid",
        "x-amz-request-id",
        "x-ms-request-id",
        "x-github-request-id",
        "x-hubspot-correlation-id",
        "x-correlation-id",
        "x-trace-id",
        "traceparent",
        "cf-ray",
    ];
    const REQUEST_ID_BYTES_MAX: usize = 200;
    NAMES.iter().find_map(|name| {
        let id = headers.get(*name)?.to_str().ok()?.trim();
        (!id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX).then(|| id.to_owned())
    })
}

/// The start of a body, as text. Scrubbed before it is cut, so that no half of a secret stays behind.
fn excerpt(body: &[u8], scrub: &Scrub) -> Option<String> {
    if body.is_empty() {
        return None;
    }
    // Twice the size is looked at: a secret that begins within the excerpt ends there too.
    let start = &body[..body.len().min(2 * BODY_EXCERPT_BYTES_MAX)];
    let mut text = scrub.text(&String::from_utf8_lossy(start));
    let mut end = text.len().min(BODY_EXCERPT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    Some(text)
}

/// What is wrong with a body that is not JSON at all, if that is what it is.
pub(crate) fn not_json(answer: &Answer) -> Option<String> {
    let content_type =
        answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let start = answer.body.trim_ascii_start();
    if !content_type.contains("html") && !start.starts_with(b"<") {
        return None;
    }
    let kind = if content_type.contains("html") || start.to_ascii_lowercase().starts_with(b"<!doctype html") {
        "HTML"
    } else {
        "XML or HTML"
    };
    const SHOWN_BYTES_MAX: usize = 80;
    let shown = String::from_utf8_lossy(&start[..start.len().min(SHOWN_BYTES_MAX)]).into_owned();
    Some(format!("is {kind} where JSON was expected ({shown:?}…): does the base URL lead to the API?"))
}

fn seconds(span: Duration) -> String {
    format!("{} s", span.as_secs_f64())
}
