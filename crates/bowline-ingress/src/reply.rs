//! What senders are told of an event and its run, if nothing is wrong.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bowline_model::{Payload, RunId};
use serde::Serialize;

/// Carries the run's id in every answer about one run.
pub(crate) const RUN: HeaderName = HeaderName::from_static("bowline-run");

/// When to ask again for a run that is under way.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// An answer about a run holds for the moment, and for whoever asked.
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

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
pub(crate) fn receipt(status: Status, event: Option<&str>, runs: &[RunId]) -> Response {
    #[derive(Serialize)]
    struct Receipt<'a> {
        status: Status,
        event: Option<&'a str>,
        runs: &'a [RunId],
    }
    Json(Receipt { status, event, runs }).into_response()
}

/// `{"status":"duplicate"}`: the event was on disk already, and nothing more is for this sender.
pub(crate) fn known() -> Response {
    #[derive(Serialize)]
    struct Known {
        status: Status,
    }
    Json(Known { status: Status::Duplicate }).into_response()
}

/// The run's output, as the journal has it.
pub(crate) fn result(run: RunId, output: &Payload) -> Response {
    let json = HeaderValue::from_static("application/json");
    let mut response = ([(header::CONTENT_TYPE, json)], output.as_bytes().clone()).into_response();
    about(run, response.headers_mut());
    response
}

/// The run is on disk, and under way: its result will be at `location`.
pub(crate) fn under_way(run: RunId, location: Option<HeaderValue>) -> Response {
    #[derive(Serialize)]
    struct UnderWay {
        status: Status,
        run: RunId,
    }
    let mut response =
        (StatusCode::ACCEPTED, Json(UnderWay { status: Status::Accepted, run })).into_response();
    let headers = response.headers_mut();
    about(run, headers);
    headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER.as_secs()));
    if let Some(location) = location {
        headers.insert(header::LOCATION, location);
    }
    response
}

/// The headers of every answer about one run.
pub(crate) fn about(run: RunId, headers: &mut HeaderMap) {
    headers.insert(RUN, HeaderValue::from(run.0));
    headers.insert(header::CACHE_CONTROL, NO_STORE);
}
