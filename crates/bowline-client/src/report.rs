//! What is told of a failed call: fact, value, hint, and never a secret.

use std::{sync::Arc, time::Duration};

use bowline_model::{AlertKind, CallFailure, Failure, error::BODY_EXCERPT_BYTES_MAX};
use jiff::Timestamp;
use reqwest::{
    Method,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, LOCATION},
};
use serde_json::{Value, value::RawValue};

mod words;

pub(crate) use self::words::line;
use self::words::{Words, is_html};
use crate::{
    address::host_and_port,
    certificate,
    redirect::REDIRECTS_MAX,
    scrub::Scrub,
    verdict::{Answer, Meaning},
};

/// Headers that name a request at the remote: what its support asks for.
const REQUEST_ID_HEADERS: [&str; 11] = [
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
/// A longer one is not kept.
const REQUEST_ID_BYTES_MAX: usize = 200;

/// What was asked.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) api: &'a str,
    pub(crate) method: &'a Method,
    /// Empty where the URL is a secret.
    pub(crate) path: String,
    /// With the port, if it is not the scheme's own.
    pub(crate) host: String,
    /// Whether an idempotency key went with it.
    pub(crate) keyed: bool,
    /// Which attempt it was, from 1.
    pub(crate) attempt: u32,
    pub(crate) timeout: Duration,
    /// Where its credentials come from, for people; `None` if it has none.
    pub(crate) credentials: Option<String>,
    pub(crate) scrub: Arc<Scrub>,
    pub(crate) now: Timestamp,
}

impl Asked<'_> {
    /// As people read it: `POST crm /contacts`; the host where the path is a secret.
    fn what(&self) -> String {
        let place = if self.path.is_empty() { format!("({})", self.host) } else { self.place() };
        format!("{} {} {place}", self.method, self.api)
    }

    /// The path, or the host where the path is a secret.
    pub(crate) fn place(&self) -> String {
        if self.path.is_empty() { self.host.clone() } else { self.scrub.text(&self.path) }
    }

    pub(crate) fn in_time(&self) -> String {
        format!("within {} s", self.timeout.as_secs_f64())
    }

    /// A call that cannot be sent as it is described, or as its Api is set up.
    pub(crate) fn not_sent(&self, what: &str) -> Failure {
        let message = format!("{} was not sent: {}", self.what(), self.scrub.text(what));
        Failure::refused(message).permanent().call(self.call())
    }

    pub(crate) fn not_reached(&self, causes: &[String]) -> Failure {
        let any = |is: fn(&str) -> bool| causes.iter().any(|cause| is(&cause.to_ascii_lowercase()));
        // An alert is what the other side says; a certificate of theirs is refused here.
        let hint = if any(|cause| cause.starts_with("received fatal alert")) && any(certificate::is_about) {
            ": it does not accept the client certificate, or wants one: check what \
             .client_certificate_env(\"CERT_PEM\", \"KEY_PEM\") has, and whether it has expired"
        } else if any(|cause| cause.contains("certificate")) {
            ": its certificate is not accepted"
        } else {
            ""
        };
        let message = format!("{}: no connection to {}{hint}", self.what(), self.host);
        self.with_causes(Failure::refused(message).call(self.call()), causes)
    }

    pub(crate) fn lost(&self, causes: &[String]) -> Failure {
        let message = format!("{}: sent, but the connection ended before an answer came", self.what());
        self.with_causes(Failure::unknown(message).call(self.call()), causes)
    }

    pub(crate) fn timed_out(&self) -> Failure {
        Failure::unknown(format!("{}: no answer {}", self.what(), self.in_time())).call(self.call())
    }

    /// A failure about a bad answer, in the remote's own words: `POST crm /contacts answered 401 expired_key: …`.
    pub(crate) fn about_bad(&self, answer: &Answer, certainty: fn(String) -> Failure, what: &str) -> Failure {
        let words = Words::of(answer.status, &answer.headers, &answer.body);
        let failure = self.about(answer, certainty, &format!("{}{what}", words.told()));
        self.with_code(failure, words.code)
    }

    /// A failure about an answer: `POST crm /contacts answered 200, but …`.
    pub(crate) fn about(&self, answer: &Answer, certainty: fn(String) -> Failure, what: &str) -> Failure {
        let message = format!("{} answered {}{}", self.what(), answer.status, self.scrub.text(what));
        certainty(message).call(CallFailure {
            status: Some(answer.status),
            request_id: request_id(&answer.headers).map(|id| self.scrub.text(id)),
            body: excerpt(&answer.body, &self.scrub),
            ..self.call()
        })
    }

    /// The same failure, with the remote's own name for it.
    pub(crate) fn with_code(&self, mut failure: Failure, code: Option<String>) -> Failure {
        if let Some(call) = &mut failure.call {
            call.code = code.map(|code| self.scrub.text(&code));
        }
        failure
    }

    /// The same failure, with what the remote said beyond its code.
    pub(crate) fn with_detail(&self, mut failure: Failure, detail: Option<Value>) -> Failure {
        if let Some(call) = &mut failure.call {
            // As text, where a secret has the form that JSON gives it.
            let clean = detail.map(|detail| serde_json::from_str(&self.scrub.text(&detail.to_string())));
            call.detail = clean.and_then(Result::ok).map(Box::new);
        }
        failure
    }

    pub(crate) fn with_causes(&self, mut failure: Failure, causes: &[String]) -> Failure {
        failure.causes = causes.iter().map(|cause| self.scrub.text(cause)).collect();
        failure
    }

    fn call(&self) -> CallFailure {
        CallFailure {
            api: self.api.to_owned(),
            method: self.method.to_string(),
            path: self.scrub.text(&self.path),
            attempt: self.attempt,
            ..CallFailure::default()
        }
    }

    /// What a person could do about a status.
    pub(crate) fn hint(&self, answer: &Answer, meaning: Meaning) -> String {
        match (answer.status, meaning) {
            (301 | 302 | 303 | 307 | 308, _) => self.redirect_hint(answer),
            (401 | 403, Meaning::No) if !self.is_home(answer) => {
                let there = host_and_port(&answer.url);
                format!(": said by {there}, where a redirect led, and where no credential goes")
            }
            (401 | 403, Meaning::No) => self.credential_hint(),
            (404, Meaning::No) => ": there is no such thing, or the base URL leads elsewhere".into(),
            (404 | 409 | 410 | 412, Meaning::UnclearForGood) => {
                ": an earlier attempt may have done it".into()
            }
            (409, Meaning::Unclear) => ": an earlier attempt is still being worked on".into(),
            (_, Meaning::Later | Meaning::Unclear | Meaning::UnclearForGood | Meaning::No) => String::new(),
        }
    }

    /// What a person could do where the credential is not taken.
    /// Whether it is the Api's own host that answered, which was shown its credential.
    pub(crate) fn is_home(&self, answer: &Answer) -> bool {
        host_and_port(&answer.url) == self.host
    }

    pub(crate) fn credential_hint(&self) -> String {
        match &self.credentials {
            Some(source) => format!(": check the credential ({source}) and what it may do"),
            None => ": this Api has no credential; give it one, as .bearer_env(\"TOKEN\")".into(),
        }
    }

    /// What people are told of a credential that is not taken, whatever happens to the call: without the remote's own
    /// text, which may be about a person.
    pub(crate) fn alert(&self, status: u16, code: Option<&str>) -> String {
        let code = code.map(|code| format!(" {code}")).unwrap_or_default();
        format!("{} answered {status}{code}{}", self.what(), self.credential_hint())
    }

    fn redirect_hint(&self, answer: &Answer) -> String {
        let location = answer.headers.get(LOCATION).and_then(|location| location.to_str().ok());
        let Some(target) = location.and_then(|location| answer.url.join(location).ok()) else {
            return ": a redirect that does not say where to".into();
        };
        let origin = target.origin();
        if origin != answer.url.origin() {
            return format!(
                ": a redirect to {}, which is not followed, so that credentials stay where they belong; if it is the \
                 right place, make it the base URL, or, for downloads, allow it: .redirect_to(\"{}\")",
                origin.ascii_serialization(),
                target.host_str().unwrap_or_default()
            );
        }
        let host = target.host_str().unwrap_or_default();
        if matches!(*self.method, Method::GET | Method::HEAD) {
            return format!(": more than {REDIRECTS_MAX} redirects, on {host}");
        }
        format!(": a redirect on {host}, which only GET and HEAD follow; call the new path itself")
    }
}

/// What a refusal says of the credential, if it is about that.
pub(crate) fn credential_alert(status: u16, code: Option<&str>) -> Option<AlertKind> {
    let is =
        |names: &[&str]| code.is_some_and(|code| names.iter().any(|name| code.eq_ignore_ascii_case(name)));
    match status {
        401 => Some(AlertKind::Unauthorized),
        403 => Some(AlertKind::Forbidden),
        // GraphQL and SOAP say it within.
        _ if is(&["UNAUTHENTICATED", "wsse:FailedAuthentication"]) => Some(AlertKind::Unauthorized),
        _ if is(&["FORBIDDEN"]) => Some(AlertKind::Forbidden),
        _ => None,
    }
}

fn request_id(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &&str| headers.get(*name)?.to_str().ok().map(str::trim);
    REQUEST_ID_HEADERS.iter().filter_map(text).find(|id| (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()))
}

/// The start of a body, as text. Scrubbed before it is cut, so that no half of a secret stays behind.
fn excerpt(body: &[u8], scrub: &Scrub) -> Option<String> {
    if body.is_empty() {
        return None;
    }
    let start = &body[..body.len().min(BODY_EXCERPT_BYTES_MAX + scrub.longest_bytes())];
    let mut text = scrub.text(&String::from_utf8_lossy(start));
    text.truncate(text.floor_char_boundary(BODY_EXCERPT_BYTES_MAX));
    Some(text)
}

/// The whole body, as JSON whose parts are not read yet.
///
/// # Errors
/// Says what it is instead.
pub(crate) fn json(answer: &Answer) -> Result<&RawValue, String> {
    let body = answer.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&answer.body);
    serde_json::from_slice(body).map_err(|error| {
        let empty = body.trim_ascii().is_empty();
        let what = || if empty { "is empty".into() } else { format!("is not JSON: {error}") };
        not_json(answer).unwrap_or_else(what)
    })
}

/// What is wrong with a body that is not even meant to be JSON.
pub(crate) fn not_json(answer: &Answer) -> Option<String> {
    not_in_format(answer, "JSON")
}

/// What is wrong with a body that is not even meant to be what was asked for.
pub(crate) fn not_in_format(answer: &Answer, format: &str) -> Option<String> {
    const SHOWN_BYTES_MAX: usize = 80;
    let header = |name: HeaderName| answer.headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(encoding) = header(CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
        return Some(format!("is encoded as {encoding}, which was not asked for"));
    }
    let start = answer.body.trim_ascii_start();
    let is_html = is_html(header(CONTENT_TYPE).unwrap_or_default(), start);
    if !is_html && (!start.starts_with(b"<") || format == "XML") {
        return None;
    }
    let kind = if is_html { "HTML" } else { "XML or HTML" };
    let shown = String::from_utf8_lossy(&start[..start.len().min(SHOWN_BYTES_MAX)]);
    Some(format!("is {kind} where {format} was expected ({shown:?}): does the base URL lead to the API?"))
}
