//! What a mock keeps of a request.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

/// One request, as it came over the socket.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Recorded {
    /// Its place in the order of arrival, from 1.
    pub nth: usize,
    /// When it came.
    pub at: Timestamp,
    /// When it came, counted from the start of the mock.
    pub elapsed: Duration,
    /// Its method.
    pub method: Method,
    /// Its path, without the query.
    pub path: String,
    /// Its query, without the `?`.
    pub query: Option<String>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// The status it was answered with; `None` if the connection was closed or left hanging instead.
    pub answered: Option<u16>,
}

impl Recorded {
    pub(super) fn new(nth: usize, at: Timestamp, elapsed: Duration, request: Request<Bytes>) -> Self {
        let (head, body) = request.into_parts();
        Self {
            nth,
            at,
            elapsed,
            method: head.method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().map(str::to_owned),
            headers: head.headers,
            body,
            answered: None,
        }
    }

    /// The value of `Idempotency-Key`.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.header("idempotency-key")
    }

    /// The key by which a remote would know this request again: a header that speaks of idempotency, else another
    /// header or a top-level field of the body that holds a key as steps make them.
    pub(crate) fn effect_key(&self) -> Option<String> {
        let headers =
            || self.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let spoken = headers().find(|(name, _)| name.contains("idempotency"));
        let shaped = || headers().find(|(_, value)| Uuid::try_parse(value).is_ok());
        let header = spoken.or_else(shaped).map(|(_, value)| value.to_owned());
        header.or_else(|| {
            let body = self.json();
            let mut fields = body.as_object()?.iter();
            let field = fields.find(|(name, _)| name.to_lowercase().contains("idempotency"));
            field.and_then(|(_, value)| value.as_str()).map(str::to_owned)
        })
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
    /// If it does not fit, with the reason.
    pub fn decode<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{} {}: the body does not fit: {error}", self.method, self.path))
    }

    /// What a JSON pointer (`/customer/email`) finds in the body.
    pub fn pointer(&self, pointer: &str) -> Option<Value> {
        self.json().pointer(pointer).cloned()
    }
}
