//! Why a request is refused, and how its sender is told: problem+json (RFC 9457).

mod words;

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bowline_model::RunId;
use bowline_store::StoreError;
use serde::Serialize;

use crate::{FetchError, FieldError, Rejection, proxies::Client, reply};

/// Most errors of one body that are told.
pub(crate) const ERRORS_MAX: usize = 100;
/// Longest pointer or text of one error that is told.
pub(crate) const ERROR_TEXT_BYTES_MAX: usize = 512;

/// The media type of every refusal.
pub(crate) const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");
/// When to come back if only memory is short.
const CROWDED_RETRY_AFTER: Duration = Duration::from_secs(1);
/// When to come back if more comes than the store takes.
pub(crate) const OVERLOADED_RETRY_AFTER: Duration = Duration::from_secs(5);

/// When to come back if a certificate could not be had.
const FETCH_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Why a request was not answered 2xx.
#[derive(Debug)]
pub(crate) enum Refusal {
    NoSuchRoute,
    /// Not an address of a run, or not one of this route, or nobody was given it.
    NoSuchRun,
    /// No run gave that callback's address.
    NoSuchCallback,
    /// A callback had its one message.
    AnsweredBefore,
    /// No run waits for that callback any more.
    NoLongerAwaited,
    /// What is allowed.
    Method(&'static str),
    /// A page of that origin asks whether it may.
    Origin,
    MediaType {
        expected: &'static [&'static str],
    },
    Encoded,
    BodyTooLarge {
        bytes_max: usize,
    },
    BodyTooSlow {
        limit: Duration,
    },
    BodyBroken,
    Rejected(Rejection),
    /// A known idempotency key with another body.
    KeyReused,
    /// Too many bodies in memory.
    Crowded,
    /// The route has a list of addresses, and this is none of them.
    Address {
        client: Client,
    },
    /// The client sends more than it may.
    TooMany {
        wait: Duration,
    },
    /// More comes than the store takes.
    Overloaded,
    /// The run ended, and not well. Where it will be told if that changes.
    RunFailed {
        run: RunId,
        location: Option<HeaderValue>,
    },
    /// The run ended long ago.
    RunGone(RunId),
    Store(StoreError),
    /// A run cannot be read.
    Unread(StoreError),
    /// What is needed to judge or to confirm it cannot be fetched.
    Fetch(FetchError),
    /// The accepting task panicked, or the runtime ends.
    Lost,
}

impl Refusal {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchRoute | Self::NoSuchRun | Self::NoSuchCallback => StatusCode::NOT_FOUND,
            Self::AnsweredBefore => StatusCode::CONFLICT,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Origin | Self::Address { .. } => StatusCode::FORBIDDEN,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::MediaType { .. } | Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge { .. } | Self::Rejected(Rejection::TooMany { .. }) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::BodyTooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::BodyBroken | Self::Rejected(Rejection::Unroutable { .. }) => StatusCode::BAD_REQUEST,
            Self::Rejected(Rejection::Unauthentic { .. }) => StatusCode::UNAUTHORIZED,
            Self::Rejected(Rejection::Invalid { .. }) | Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RunGone(_) | Self::NoLongerAwaited => StatusCode::GONE,
            Self::Crowded | Self::Overloaded | Self::Fetch(_) | Self::Rejected(Rejection::Fetch { .. }) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Store(error) | Self::Unread(error) if error.retry_after().is_some() => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Store(_) | Self::Unread(_) | Self::Lost | Self::RunFailed { .. } => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// Whether the sender should be told how to authenticate.
    pub(crate) fn is_unauthentic(&self) -> bool {
        matches!(self, Self::Rejected(Rejection::Unauthentic { .. }))
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Crowded => Some(CROWDED_RETRY_AFTER),
            Self::TooMany { wait } => Some(*wait),
            Self::Overloaded => Some(OVERLOADED_RETRY_AFTER),
            Self::Fetch(_) | Self::Rejected(Rejection::Fetch { .. }) => Some(FETCH_RETRY_AFTER),
            Self::Store(error) | Self::Unread(error) => error.retry_after(),
            Self::NoSuchRoute
            | Self::NoSuchRun
            | Self::NoSuchCallback
            | Self::Method(_)
            | Self::Address { .. }
            | Self::Origin
            | Self::MediaType { .. }
            | Self::Encoded
            | Self::BodyTooLarge { .. }
            | Self::BodyTooSlow { .. }
            | Self::BodyBroken
            | Self::Rejected(_)
            | Self::KeyReused
            | Self::AnsweredBefore
            | Self::NoLongerAwaited
            | Self::RunFailed { .. }
            | Self::RunGone(_)
            | Self::Lost => None,
        }
    }

    /// Whether the sender may still be busy sending the body.
    pub(crate) fn leaves_body(&self) -> bool {
        match self {
            Self::NoSuchRoute
            | Self::NoSuchRun
            | Self::NoSuchCallback
            | Self::Method(_)
            | Self::Address { .. }
            | Self::TooMany { .. }
            | Self::Overloaded
            | Self::Origin
            | Self::MediaType { .. }
            | Self::Encoded
            | Self::BodyTooLarge { .. }
            | Self::Crowded => true,
            Self::BodyTooSlow { .. }
            | Self::BodyBroken
            | Self::Rejected(_)
            | Self::KeyReused
            | Self::AnsweredBefore
            | Self::NoLongerAwaited
            | Self::RunFailed { .. }
            | Self::RunGone(_)
            | Self::Store(_)
            | Self::Unread(_)
            | Self::Fetch(_)
            | Self::Lost => false,
        }
    }

    /// Writes it into the log: the whole reason, and nothing of the body.
    pub(crate) fn log(&self, route: &str) {
        let (status, reason) = (self.status().as_u16(), self.reason());
        match self {
            Self::NoSuchRoute
            | Self::NoSuchRun
            | Self::NoSuchCallback
            | Self::AnsweredBefore
            | Self::NoLongerAwaited
            | Self::Method(_)
            | Self::RunGone(_) => {
                tracing::debug!(route, status, reason, "refused");
            }
            // How many they are is told every few seconds.
            Self::TooMany { .. } | Self::Overloaded => {
                tracing::debug!(route, status, reason, "refused");
            }
            // The run's own end is in the log already.
            Self::RunFailed { .. } => tracing::debug!(route, status, reason, "answered"),
            Self::Store(_) | Self::Unread(_) | Self::Lost => {
                tracing::error!(route, status, reason, "refused")
            }
            Self::Origin
            | Self::Address { .. }
            | Self::MediaType { .. }
            | Self::Encoded
            | Self::BodyTooLarge { .. }
            | Self::BodyTooSlow { .. }
            | Self::BodyBroken
            | Self::Rejected(_)
            | Self::KeyReused
            | Self::Fetch(_)
            | Self::Crowded => tracing::warn!(route, status, reason, "refused"),
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::Store(error) | Self::Unread(error) => error.to_string(),
            Self::Fetch(error) => format!("what the sender's signature needs cannot be fetched: {error}"),
            Self::Address { client } => client.why_not(),
            Self::NoSuchRoute
            | Self::NoSuchRun
            | Self::NoSuchCallback
            | Self::Method(_)
            | Self::Origin
            | Self::MediaType { .. }
            | Self::Encoded
            | Self::BodyTooLarge { .. }
            | Self::BodyTooSlow { .. }
            | Self::BodyBroken
            | Self::Rejected(_)
            | Self::KeyReused
            | Self::Crowded
            | Self::TooMany { .. }
            | Self::Overloaded
            | Self::AnsweredBefore
            | Self::NoLongerAwaited
            | Self::RunFailed { .. }
            | Self::RunGone(_)
            | Self::Lost => self.fact(),
        }
    }
}

/// The body of every refusal.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    hint: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Told<'a>>,
}

/// A [`FieldError`] within its bounds.
#[derive(Serialize)]
pub(crate) struct Told<'a> {
    pointer: &'a str,
    detail: &'a str,
}

/// The problem as JSON.
pub(crate) fn body(status: StatusCode, detail: &str, hint: &str, errors: Vec<Told<'_>>) -> Vec<u8> {
    let title = title(status);
    let problem = Problem { r#type: "about:blank", title, status: status.as_u16(), detail, hint, errors };
    serde_json::to_vec(&problem).expect("text and numbers encode as JSON")
}

impl Refusal {
    /// As an answer of that status: its own, or the one that the provider understands.
    pub(crate) fn into_response_with(self, status: StatusCode) -> Response {
        let (detail, hint) = (self.fact(), self.hint());
        let errors = match &self {
            Self::Rejected(Rejection::Invalid { errors }) => told(errors),
            _refused_as_a_whole => vec![],
        };
        let body = body(status, &detail, hint, errors);
        let wait = self.retry_after();
        let mut response = (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
        let headers = response.headers_mut();
        if let Self::Method(allowed) = &self {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        if let Self::RunFailed { run, .. } | Self::RunGone(run) = &self {
            reply::about(*run, headers);
        }
        if let Self::RunFailed { location: Some(location), .. } = self {
            headers.insert(header::LOCATION, location);
        }
        if let Some(wait) = wait {
            // Rounded up: coming back too early helps nobody.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

fn told(errors: &[FieldError]) -> Vec<Told<'_>> {
    let errors = errors.iter().take(ERRORS_MAX);
    errors.map(|error| Told { pointer: cut(&error.pointer), detail: cut(&error.detail) }).collect()
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(ERROR_TEXT_BYTES_MAX)]
}

/// As RFC 9110 § 15 names them.
fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "Content Too Large",
        StatusCode::UNPROCESSABLE_ENTITY => "Unprocessable Content",
        status => status.canonical_reason().unwrap_or("Error"),
    }
}
