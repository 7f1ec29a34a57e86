//! What senders are told of an event and its run, if nothing is wrong.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bowline_model::{Payload, RunId};
use serde::Serialize;

use crate::{Answer, Receipt, ReceiptForm};

/// Carries the run's id in every answer about one run, and those of all runs that a request started, separated by commas.
pub(crate) const RUN: HeaderName = HeaderName::from_static("bowline-run");
/// Says what became of a request's events, also where the body is one that the provider prescribes.
pub(crate) const STATUS: HeaderName = HeaderName::from_static("bowline-status");
/// Most runs that are told in a header.
const RUNS_TOLD_MAX: usize = 100;

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
    /// Of an event that was accepted, now or before.
    pub(crate) fn of(receipt: &Receipt) -> Self {
        if receipt.is_new() { Self::Accepted } else { Self::Duplicate }
    }

    /// As the answer has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
        }
    }
}

/// What is told of one event.
#[derive(Debug, Serialize)]
pub(crate) struct Item<'a> {
    status: Status,
    event: Option<&'a str>,
    runs: &'a [RunId],
}

impl<'a> Item<'a> {
    pub(crate) fn new(status: Status, event: Option<&'a str>, runs: &'a [RunId]) -> Self {
        Self { status, event, runs }
    }
}

/// `{"status":"accepted","event":"evt_1","runs":[17]}`; of a batch `{"status":"accepted","events":[…]}`, each as the
/// former. In a form that a provider prescribes, status and runs stand in headers only.
pub(crate) fn receipt(form: ReceiptForm, status: Status, items: &[Item<'_>]) -> Response {
    #[derive(Serialize)]
    struct Batch<'a> {
        status: Status,
        events: &'a [Item<'a>],
    }
    let mut response = match (form, items) {
        (ReceiptForm::Json, [one]) => Json(one).into_response(),
        (ReceiptForm::Json, events) => Json(Batch { status, events }).into_response(),
        (ReceiptForm::Empty(status), _) => status.into_response(),
        (ReceiptForm::SeeOther(page), _) => {
            (StatusCode::SEE_OTHER, [(header::LOCATION, page)]).into_response()
        }
        (ReceiptForm::Text { body, media_type }, _) => {
            ([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))], body).into_response()
        }
    };
    response.headers_mut().insert(STATUS, HeaderValue::from_static(status.as_str()));
    let runs = items.iter().flat_map(|item| item.runs).take(RUNS_TOLD_MAX).map(ToString::to_string);
    let runs = runs.collect::<Vec<_>>().join(",");
    if !runs.is_empty() {
        let runs = HeaderValue::try_from(runs).expect("numbers and commas are a header's value");
        response.headers_mut().insert(RUN, runs);
    }
    response
}

/// What a provider wants to hear.
pub(crate) fn prescribed(answer: Answer) -> Response {
    let mut response = (answer.status, answer.body).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    if !answer.media_type.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.media_type));
        // What is echoed is a stranger's text.
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    headers.extend(answer.headers);
    response
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
