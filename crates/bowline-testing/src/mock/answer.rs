//! What a mock answers.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use serde_json::Value;

/// One answer of a mock: a status with a body, or worse.
#[derive(Debug, Clone)]
pub struct Answer {
    pub(super) kind: Kind,
    pub(super) delay: Duration,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Respond { status: StatusCode, headers: HeaderMap, body: Bytes },
    Close,
    Hang,
}

impl Answer {
    /// 200 with that JSON.
    pub fn ok(body: Value) -> Self {
        Self::json(200, body)
    }

    /// That status and an empty JSON object.
    ///
    /// # Panics
    /// If it is not a status (100 to 999).
    pub fn status(status: u16) -> Self {
        Self::raw(status, "application/json", "{}")
    }

    /// That status with that JSON.
    ///
    /// # Panics
    /// If it is not a status (100 to 999).
    pub fn json(status: u16, body: Value) -> Self {
        Self::raw(status, "application/json", body.to_string())
    }

    /// That status with those bytes, whatever they are.
    ///
    /// # Panics
    /// If it is not a status (100 to 999), or the content type cannot be sent.
    pub fn raw(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let status = StatusCode::from_u16(status).expect("a status between 100 and 999");
        let content_type = HeaderValue::from_str(content_type).expect("a content type of visible ASCII");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type)]);
        Self { kind: Kind::Respond { status, headers, body: body.into() }, delay: Duration::ZERO }
    }

    /// Reads the whole request, then closes the connection without an answer.
    pub fn close() -> Self {
        Self { kind: Kind::Close, delay: Duration::ZERO }
    }

    /// Reads the whole request, then never answers.
    pub fn hang() -> Self {
        Self { kind: Kind::Hang, delay: Duration::ZERO }
    }

    /// The same, that much later.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The same with a header more.
    ///
    /// # Panics
    /// If it cannot be sent as a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Kind::Respond { headers, .. } = &mut self.kind {
            let name: HeaderName = name.parse().expect("a header name");
            headers.insert(name, HeaderValue::from_str(value).expect("a header value of visible ASCII"));
        }
        self
    }

    pub(super) fn status_sent(&self) -> Option<u16> {
        match &self.kind {
            Kind::Respond { status, .. } => Some(status.as_u16()),
            Kind::Close | Kind::Hang => None,
        }
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        if let Kind::Respond { status, headers, body } = self.kind {
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            *response.body_mut() = Full::new(body);
        }
        response
    }
}
