//! What a sender is answered.

use std::fmt;

use bowline_model::RunId;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{TestApp, TestRun};

/// The app's answer to one request. A refusal is an answer like any other.
pub struct Reply<'a, S: Send + Sync + 'static> {
    app: &'a TestApp<S>,
    request: Request<Bytes>,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    runs: Vec<RunId>,
}

impl<'a, S: Send + Sync + 'static> Reply<'a, S> {
    pub(super) fn new(
        app: &'a TestApp<S>,
        request: Request<Bytes>,
        (status, headers, body): (StatusCode, HeaderMap, Bytes),
        runs: Vec<RunId>,
    ) -> Self {
        Self { app, request, status, headers, body, runs }
    }

    /// Its status: 200, 202, 401, 422…
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// A header's first value, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON; `Null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as a value of a type.
    ///
    /// # Panics
    /// If it does not fit, with the reason and the body.
    #[track_caller]
    pub fn decode<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{self:?} does not fit: {error}"))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The runs of the event: those it started, or, of a redelivery, those that the first one started.
    pub fn runs(&self) -> Vec<TestRun<'a, S>> {
        self.runs.iter().map(|run| self.app.run(*run)).collect()
    }

    /// Sends the same request once more, byte by byte: a redelivery.
    pub fn again(&self) -> Reply<'a, S> {
        self.app.request(self.request.clone())
    }

    /// The run of the event.
    ///
    /// # Panics
    /// If it started none, or several; shows the answer.
    #[track_caller]
    pub fn run(&self) -> TestRun<'a, S> {
        match self.runs[..] {
            [run] => self.app.run(run),
            [] => panic!("no run was started: {self:?}"),
            [..] => panic!("{} runs were started, use .runs(): {self:?}", self.runs.len()),
        }
    }
}

impl<S: Send + Sync + 'static> fmt::Debug for Reply<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.text())
    }
}
