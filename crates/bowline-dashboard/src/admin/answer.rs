//! How the admin address says no: a status, and an error with a hint; as JSON, unless a page is made of it.

use std::time::Duration;

use axum::{
    Json,
    extract::rejection::BytesRejection,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bowline_model::{Run, RunId, approval::WrongValue};
use bowline_store::{StoreError, StoreErrorKind};
use serde::{Deserialize, Serialize};

use crate::commands;

/// What a handler returns.
pub(super) type Answer<T> = Result<Json<T>, Refusal>;

/// The body of every answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// Fact and value.
    pub error: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Which fields of a decision do not fit, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<WrongField>,
}

/// A field of a decision that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrongField {
    /// Its name.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl From<&WrongValue> for WrongField {
    fn from(wrong: &WrongValue) -> Self {
        Self { field: wrong.field.clone(), message: wrong.message.clone() }
    }
}

/// A request that is not carried out.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    status: StatusCode,
    body: ErrorBody,
    retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl Into<String>, hint: impl Into<String>) -> Self {
        let hint = Some(hint.into()).filter(|hint| !hint.is_empty());
        Self { status, body: ErrorBody { error: error.into(), hint, errors: vec![] }, retry_after: None }
    }

    pub(crate) fn bad_request(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, "")
    }

    pub(super) fn no_such_page() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is nothing at this path", "GET /api/status shows the server")
    }

    pub(super) fn method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this path does not take that method",
            "reads are GET, commands are POST",
        )
    }

    pub(super) fn no_such_run(run: RunId) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("there is no run {run}"),
            "`runs` lists them (GET /api/runs)",
        )
    }

    pub(super) fn no_such_event(run: &Run) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("the event {} of run {} is no longer stored", run.event, run.id),
            "events leave the store after their retention",
        )
    }

    /// What was asked for may work later.
    pub(crate) fn not_now(error: impl Into<String>, hint: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error, hint)
    }

    /// A consent that came to nothing.
    pub(crate) fn not_connected(error: impl Into<String>, hint: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, hint)
    }

    pub(crate) fn broken_page() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the page could not be made",
            "the log says why; `runs` and `show` on the command line tell the same",
        )
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn body(&self) -> &ErrorBody {
        &self.body
    }

    pub(super) fn unreadable(rejection: &BytesRejection) -> Self {
        let hint = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => "the body is larger than what this path takes",
            _ => "send it again",
        };
        Self::new(rejection.status(), rejection.body_text(), hint)
    }
}

impl From<commands::Error> for Refusal {
    fn from(error: commands::Error) -> Self {
        let status = match error.kind() {
            commands::ErrorKind::NotFound => StatusCode::NOT_FOUND,
            commands::ErrorKind::WrongState | commands::ErrorKind::Answered => StatusCode::CONFLICT,
            commands::ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            commands::ErrorKind::Gone => StatusCode::GONE,
            commands::ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            commands::ErrorKind::TooMany => StatusCode::TOO_MANY_REQUESTS,
            commands::ErrorKind::Store(kind) => status(kind),
        };
        let errors = error.wrong().iter().map(WrongField::from).collect();
        let body = ErrorBody { error: error.to_string(), hint: error.hint().map(str::to_owned), errors };
        Self { status, body, retry_after: error.retry_after() }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        commands::Error::from(error).into()
    }
}

fn status(kind: StoreErrorKind) -> StatusCode {
    match kind {
        StoreErrorKind::Full | StoreErrorKind::Busy | StoreErrorKind::Unavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        StoreErrorKind::Stale | StoreErrorKind::Conflict | StoreErrorKind::Overtaken => StatusCode::CONFLICT,
        StoreErrorKind::NotFound => StatusCode::NOT_FOUND,
        StoreErrorKind::Limit => StatusCode::BAD_REQUEST,
        StoreErrorKind::Locked | StoreErrorKind::Incompatible => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(&self.body)).into_response();
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        // Where a browser asks, a page is made of it.
        response.extensions_mut().insert(self);
        response
    }
}
