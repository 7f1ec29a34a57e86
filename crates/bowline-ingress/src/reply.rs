//! What senders are answered: a status and a small JSON.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bowline_model::RunId;
use bowline_store::StoreError;
use serde::Serialize;

use crate::Rejection;

/// What became of an event: answered 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// It is on disk, with its runs.
    Accepted,
    /// It was on disk already.
    Duplicate,
    /// Nobody subscribes to its type; nothing was stored.
    Ignored,
}

impl Status {
    /// As the answer has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
        }
    }
}

/// `{"status":"accepted","event":"evt_1","runs":[17]}`
pub(crate) fn answer(status: Status, event: &str, runs: &[RunId]) -> Response {
    #[derive(Serialize)]
    struct Answer<'a> {
        status: Status,
        event: &'a str,
        runs: &'a [RunId],
    }
    Json(Answer { status, event, runs }).into_response()
}

/// Why a request was not answered 200.
#[derive(Debug)]
pub(crate) enum Refusal {
    NoSuchRoute,
    Method,
    MediaType {
        expected: &'static str,
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
    /// Too many bodies in memory.
    Crowded,
    Store(StoreError),
    /// The accepting task panicked, or the runtime ends.
    Lost,
}

/// When to come back if only memory is short.
const CROWDED_RETRY_AFTER: Duration = Duration::from_secs(1);

impl Refusal {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchRoute => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType { .. } | Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::BodyBroken | Self::Rejected(Rejection::Unroutable { .. }) => StatusCode::BAD_REQUEST,
            Self::Rejected(Rejection::Unauthentic { .. }) => StatusCode::UNAUTHORIZED,
            Self::Crowded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(error) if error.retry_after().is_some() => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(_) | Self::Lost => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Crowded => Some(CROWDED_RETRY_AFTER),
            Self::Store(error) => error.retry_after(),
            Self::NoSuchRoute
            | Self::Method
            | Self::MediaType { .. }
            | Self::Encoded
            | Self::BodyTooLarge { .. }
            | Self::BodyTooSlow { .. }
            | Self::BodyBroken
            | Self::Rejected(_)
            | Self::Lost => None,
        }
    }

    /// Whether the sender may still be busy sending the body.
    pub(crate) fn leaves_body(&self) -> bool {
        match self {
            Self::NoSuchRoute
            | Self::Method
            | Self::MediaType { .. }
            | Self::Encoded
            | Self::BodyTooLarge { .. }
            | Self::Crowded => true,
            Self::BodyTooSlow { .. } | Self::BodyBroken | Self::Rejected(_) | Self::Store(_) | Self::Lost => {
                false
            }
        }
    }

    /// For the log: the whole reason. Holds nothing of the body.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Store(error) => error.to_string(),
            Self::NoSuchRoute
            | Self::Method
            | Self::MediaType { .. }
            | Self::Encoded
            | Self::BodyTooLarge { .. }
            | Self::BodyTooSlow { .. }
            | Self::BodyBroken
            | Self::Rejected(_)
            | Self::Crowded
            | Self::Lost => self.words().0,
        }
    }

    /// Fact and hint for the sender. A store's own words stay here: they may name files.
    fn words(&self) -> (String, &'static str) {
        match self {
            Self::NoSuchRoute => ("no webhook route at this path".into(), "check the URL's path"),
            Self::Method => ("webhooks are sent with POST".into(), "use POST"),
            Self::MediaType { expected } => {
                (format!("the content type is not {expected}"), "set the Content-Type header")
            }
            Self::Encoded => ("the body is compressed".into(), "send it without Content-Encoding"),
            Self::BodyTooLarge { bytes_max } => (
                format!("the body is larger than {bytes_max} bytes"),
                "raise the route's limit if it is genuine",
            ),
            Self::BodyTooSlow { limit } => {
                (format!("the body did not arrive within {} s", limit.as_secs()), "send it again")
            }
            Self::BodyBroken => ("the body ended too early".into(), "send it again"),
            Self::Rejected(rejection @ Rejection::Unauthentic { .. }) => {
                (rejection.to_string(), "nothing was stored; the provider will send it again")
            }
            Self::Rejected(rejection @ Rejection::Unroutable { .. }) => {
                (rejection.to_string(), "nothing was stored; check what the provider sends to this path")
            }
            Self::Crowded => ("too many large requests at once".into(), "send it again later"),
            Self::Store(_) | Self::Lost => ("the event could not be stored".into(), "send it again later"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Problem<'a> {
            error: &'a str,
            hint: &'a str,
        }
        let (error, hint) = self.words();
        let mut response = (self.status(), Json(Problem { error: &error, hint })).into_response();
        let headers = response.headers_mut();
        if matches!(self, Self::Method) {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        if let Some(wait) = self.retry_after() {
            // Rounded up: coming back too early helps nobody.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
