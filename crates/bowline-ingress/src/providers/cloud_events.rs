//! CloudEvents 1.0 over HTTP: structured, batched, and binary (<https://github.com/cloudevents/spec>).
//!
//! A workflow receives the event's `data`. What is kept is the event in the JSON format, whatever form it came in: the
//! attributes, and `data`, or `data_base64` where it is neither JSON nor text. Two events are the same if they have the
//! same `source` and `id`, as the specification says.
//!
//! | Form | Content type | Where the attributes are |
//! |---|---|---|
//! | structured | `application/cloudevents+json` | in the body, beside `data` |
//! | batched | `application/cloudevents-batch+json` | in the items of the body, which is an array |
//! | binary | any other: that of the data | in `ce-…` headers |
//!
//! CloudEvents are not signed: whoever may send shows a key or a token, as for first-party routes. A sender that asks
//! first whether it may (`OPTIONS` with `WebHook-Request-Origin`) is answered yes if it is one of
//! [`allow_sender`](CloudEvents::allow_sender).

mod binary;

use std::{borrow::Cow, time::Duration};

use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header::CONTENT_TYPE};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Auth, json as bodies};
use crate::{
    Answer, Arrived, Delivery, Envelope, Named, Provider, RawRequest, Rejection, Repeat, SignError,
    SignedRequest, Unsigned, sender::UNKNOWN,
};
use bowline_model::event::DEDUPE_KEY_BYTES_MAX;

/// For how long a redelivery is recognised.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

/// The only version there is.
pub const VERSION: &str = "1.0";

const NAME: &str = "cloudevents";
const STRUCTURED: &str = "application/cloudevents+json";
const BATCHED: &str = "application/cloudevents-batch+json";
const DATA: &str = "/data";
const DATA_BASE64: &str = "/data_base64";

/// Asks whether it may send: <https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md#4-abuse-protection>.
const REQUEST_ORIGIN: &str = "webhook-request-origin";
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");

/// Whoever sends CloudEvents, and is let in.
#[derive(Debug, Clone)]
pub struct CloudEvents {
    auth: Auth,
    senders: Vec<String>,
}

impl CloudEvents {
    /// From whoever `auth` lets in.
    pub fn new(auth: Auth) -> Self {
        Self { auth, senders: vec![] }
    }

    /// Tells this sender, if it asks first, that it may send: `eventgrid.azure.net`. Call it once for each.
    pub fn allow_sender(mut self, origin: impl Into<String>) -> Self {
        self.senders.push(origin.into());
        self
    }

    /// The event that the JSON text is.
    fn arrived(&self, body: Bytes) -> Result<Arrived, Rejection> {
        let required = |name: &str| {
            let found = bodies::text_at(&body, &format!("/{name}"))?.filter(|text| !text.is_empty());
            found.ok_or_else(|| Rejection::unroutable(format!("the event has no {name}; CloudEvents must")))
        };
        let version = required("specversion")?;
        if version != VERSION {
            return Err(Rejection::unroutable(format!(
                "the event is not of version {VERSION}; set specversion, or ask its sender for that version"
            )));
        }
        let (id, source, kind) = (required("id")?, required("source")?, required("type")?);
        let repeat = if self.auth.is_open() { Repeat::ByAnyone } else { Repeat::Redelivery };
        let envelope = Envelope { repeat, ..Envelope::new(key(&source, &id), kind) };
        let has = |pointer| bowline_model::event::part(&body, pointer).is_ok();
        let (body, input_pointer) = match (has(DATA), has(DATA_BASE64)) {
            (true, _) => (body, DATA),
            (false, true) => (body, DATA_BASE64),
            (false, false) => (with_null(&body), DATA),
        };
        Ok(Arrived { envelope, body, input_pointer: Cow::Borrowed(input_pointer) })
    }

    fn batch(&self, body: &Bytes) -> Result<Delivery, Rejection> {
        let items = bodies::items_at(body, "")?;
        let event = |item: &serde_json::value::RawValue| {
            let item = body.slice_ref(item.get().as_bytes());
            self.arrived(item.clone()).unwrap_or_else(|_unnamed| Arrived {
                envelope: Envelope::without_id(UNKNOWN),
                body: item,
                input_pointer: Cow::Borrowed(""),
            })
        };
        Ok(Delivery::Events(items.into_iter().map(event).collect()))
    }
}

/// Source and id together name an event.
fn key(source: &str, id: &str) -> String {
    let key = format!("{source} {id}");
    if key.len() <= DEDUPE_KEY_BYTES_MAX {
        return key;
    }
    let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
    digest.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// An event without data: a workflow receives nothing, and not an error.
fn with_null(body: &[u8]) -> Bytes {
    let mut event: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    bodies::put(&mut event, DATA, Value::Null);
    event.to_string().into()
}

/// The media type, without its parameters.
fn media_type<'a>(request: &RawRequest<'a>) -> Result<&'a str, Rejection> {
    let value = request.header(CONTENT_TYPE.as_str());
    let value = value.map_err(|twice| Rejection::unroutable(twice.to_string()))?.unwrap_or_default();
    let text = std::str::from_utf8(value).unwrap_or_default();
    Ok(text.split(';').next().unwrap_or_default().trim())
}

impl Provider for CloudEvents {
    fn name(&self) -> &'static str {
        NAME
    }

    fn media_types(&self) -> &'static [&'static str] {
        &["*/*"]
    }

    fn dedupe_for(&self) -> Duration {
        DEDUPE_FOR
    }

    fn input_pointer(&self) -> &str {
        DATA
    }

    fn greet(&self, request: &RawRequest<'_>) -> Option<Result<Answer, Rejection>> {
        if request.method != Method::OPTIONS {
            return None;
        }
        let origin = request.headers.get(REQUEST_ORIGIN)?;
        if !self.senders.iter().any(|known| known.as_bytes() == origin.as_bytes()) {
            return None;
        }
        let mut answer = Answer::empty(StatusCode::OK);
        answer.headers = vec![
            (ALLOWED_ORIGIN, origin.clone()),
            // As fast as it likes: what is too fast is answered 429 or 503.
            (ALLOWED_RATE, HeaderValue::from_static("*")),
        ];
        Some(Ok(answer))
    }

    fn authenticate(&self, request: &RawRequest<'_>, _now: Timestamp) -> Result<(), Rejection> {
        self.auth.check(request)
    }

    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        let media_type = media_type(request)?;
        if media_type.eq_ignore_ascii_case(BATCHED) {
            return self.batch(request.body);
        }
        let body = if media_type.eq_ignore_ascii_case(STRUCTURED) {
            bodies::check(request.body)?;
            request.body.clone()
        } else {
            binary::to_json(request, media_type)?
        };
        Ok(Delivery::Events(vec![self.arrived(body)?]))
    }

    fn credential_headers(&self) -> Vec<HeaderName> {
        self.auth.header().into_iter().collect()
    }

    fn challenge(&self) -> Option<HeaderValue> {
        self.auth.challenge().map(HeaderValue::from_static)
    }

    fn sign(&self, unsigned: &Unsigned<'_>, _now: Timestamp) -> Result<SignedRequest, SignError> {
        let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static(STRUCTURED))];
        if let (Some(name), Some(value)) = (self.auth.header(), self.auth.present()) {
            headers.push(bodies::header(NAME, name.as_str(), value)?);
        }
        Ok(SignedRequest { headers, body: Bytes::copy_from_slice(unsigned.body) })
    }

    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        json!({
            "specversion": VERSION,
            "id": event.id,
            "source": "/test",
            "type": event.kind,
            "datacontenttype": "application/json",
            "data": input,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_same_only_within_its_source() {
        assert_ne!(key("/a", "1"), key("/b", "1"));
        assert_eq!(key("/a", "1"), key("/a", "1"));
        let long = "x".repeat(DEDUPE_KEY_BYTES_MAX);
        assert_ne!(key(&long, "1"), key(&long, "2"));
        assert!(key(&long, "1").len() <= DEDUPE_KEY_BYTES_MAX);
    }
}
