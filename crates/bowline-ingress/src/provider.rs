//! Who sent a request, and is it genuine: the port that every provider fills.

use std::{cell::Cell, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Answer, Delivery, ReceiptForm};

/// A sender of webhooks: how it signs, and how it names its events.
///
/// The [door](crate::Door) asks [`greet`](Self::greet) before it reads a body, then [`authenticate`](Self::authenticate),
/// and [`delivery`](Self::delivery) only of what is genuine.
pub trait Provider: Send + Sync + 'static {
    /// What the event's record calls it, e.g. `stripe`. Never changes.
    fn name(&self) -> &'static str;

    /// The media types of its bodies; others are answered 415.
    fn media_types(&self) -> &'static [&'static str] {
        &["application/json"]
    }

    /// For how long a redelivery is recognised: longer than the provider retries.
    fn dedupe_for(&self) -> Duration;

    /// Which part of the body a workflow receives, as a JSON pointer (RFC 6901).
    fn input_pointer(&self) -> &str;

    /// The answer to a question that comes without a signature, before there is anything to sign: a challenge in a GET,
    /// a token to be echoed. `None` if the request is none. Its body is not read; whatever its method and type are.
    fn greet(&self, request: &RawRequest<'_>) -> Option<Result<Answer, Rejection>> {
        let RawRequest { .. } = request;
        None
    }

    /// Whether this provider sent exactly these bytes, and not too long ago.
    ///
    /// # Errors
    /// [`Rejection::unauthentic`], with a reason that names no secret; [`Rejection::Fetch`] if that cannot be told before
    /// something is fetched.
    fn authenticate(&self, request: &RawRequest<'_>, now: Timestamp) -> Result<(), Rejection>;

    /// Learns what was fetched because [`authenticate`](Self::authenticate) asked for it; it is asked again then, once.
    ///
    /// # Errors
    /// If it is not what it must be.
    fn fetched(&self, url: &str, bytes: &[u8], now: Timestamp) -> Result<(), Rejection> {
        let (_, _, _) = (url, bytes, now);
        Err(Rejection::unauthentic("nothing is fetched for this provider"))
    }

    /// What a genuine request holds.
    ///
    /// # Errors
    /// [`Rejection::unroutable`] if the request does not say; [`Rejection::Invalid`] if the body is not what it must be.
    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection>;

    /// How it wants to be told that its events are on disk.
    fn receipt(&self, request: &RawRequest<'_>) -> ReceiptForm {
        let RawRequest { .. } = request;
        ReceiptForm::Json
    }

    /// The status with which it is told of a refusal, instead of that one: where a status means something to it that is
    /// not meant.
    fn refuses_with(&self, status: StatusCode) -> StatusCode {
        status
    }

    /// Whether refusals have no body.
    fn refuses_without_words(&self) -> bool {
        false
    }

    /// Whether it signs the URL as it knows it: then this server must know its own public URL.
    fn signs_url(&self) -> bool {
        false
    }

    /// JSON pointers to what is secret in its bodies: it is not kept.
    fn struck(&self) -> &'static [&'static str] {
        &[]
    }

    /// What a 401 tells the sender to authenticate with (RFC 9110 § 11.6.1), if the scheme has a name.
    fn challenge(&self) -> Option<HeaderValue> {
        None
    }

    /// Headers, besides the body's type, that a page in a browser sends here: what it is allowed to when it asks first
    /// (CORS).
    fn headers_of_pages(&self) -> Vec<HeaderName> {
        vec![]
    }

    /// The headers that hold a credential or a signature: never kept with an event, whatever their names are.
    fn credential_headers(&self) -> Vec<HeaderName>;

    /// Whether the ids of its events may stand in the log: not where they are made of what people typed.
    fn logs_ids(&self) -> bool {
        true
    }

    /// What is wrong with how it was set up, one problem each: fact, value, hint.
    fn problems(&self) -> Vec<String> {
        vec![]
    }

    /// What the provider would send now, credentials included. Where no id is said and the provider names one outside of
    /// the body, it is the same for the same body.
    ///
    /// # Errors
    /// [`SignError`] if what is known here is not enough to sign.
    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<SignedRequest, SignError>;

    /// The body with which the provider would send this event, so that a workflow receives `input`: for tests. Where it
    /// sends forms, [`sign`](Self::sign) takes this JSON all the same.
    fn body(&self, event: &Named<'_>, input: &Value) -> Value;
}

/// A request before its provider signs it.
#[derive(Debug, Clone, Copy)]
pub struct Unsigned<'a> {
    /// Where it goes, as the provider knows it; needed where the URL is signed.
    pub url: Option<&'a str>,
    /// The event's id, if it is said: for providers that name it in a header.
    pub id: Option<&'a str>,
    /// The event's type, as the id.
    pub kind: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

impl<'a> Unsigned<'a> {
    /// That body.
    pub fn new(body: &'a [u8]) -> Self {
        Self { url: None, id: None, kind: None, body }
    }

    /// As that event.
    pub fn named(self, event: &Named<'a>) -> Self {
        Self { id: Some(event.id), kind: Some(event.kind), ..self }
    }

    /// To that URL.
    pub fn to(self, url: Option<&'a str>) -> Self {
        Self { url, ..self }
    }
}

/// A request as its provider would send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRequest {
    /// All headers that matter, the body's type included.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body: another one than was given where the signature stands in it.
    pub body: Bytes,
}

/// An event's names, as [`Envelope`] has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its type.
    pub kind: &'a str,
}

/// A request as it came. Nothing in it is trusted.
#[derive(Clone, Copy)]
pub struct RawRequest<'a> {
    /// `POST`; another one only where a provider [greets](Provider::greet).
    pub method: &'a Method,
    /// The URL as the sender knows it, if this server's public URL is known.
    pub url: Option<&'a str>,
    /// What stands behind the `?`, as it came.
    pub query: Option<&'a str>,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The body's bytes exactly as received.
    pub body: &'a Bytes,
}

impl<'a> RawRequest<'a> {
    /// A POST of that body, sent to nobody knows where.
    pub fn post(headers: &'a HeaderMap, body: &'a Bytes) -> Self {
        Self { method: &Method::POST, url: None, query: None, headers, body }
    }

    /// As the verifiers of signatures take it.
    pub fn as_signed(&self) -> bowline_signature::Request<'a> {
        let method = self.method.as_str();
        bowline_signature::Request { method, url: self.url, headers: self.headers, body: self.body }
    }

    /// The first value of that name in the query, decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(self.query?.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

impl<'a> RawRequest<'a> {
    /// The value of the only header of that name; `None` if there is none.
    ///
    /// # Errors
    /// [`CameTwice`]: whoever reads the one and whoever reads the other would not agree on what was sent.
    pub fn header(&self, name: &str) -> Result<Option<&'a [u8]>, CameTwice> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (value, None) => Ok(value.map(HeaderValue::as_bytes)),
            (_, Some(_)) => Err(CameTwice { header: name.to_owned() }),
        }
    }

    /// Asks a verifier that looks headers up by their names. None that it looks at may come twice.
    ///
    /// # Errors
    /// [`Rejection::Unauthentic`].
    pub fn verified<T>(
        &self,
        verify: impl FnOnce(&dyn Fn(&str) -> Option<&'a [u8]>) -> Result<T, bowline_signature::Error>,
    ) -> Result<T, Rejection> {
        let twice = Cell::new(None);
        let header = |name: &str| match self.header(name) {
            Ok(value) => value,
            Err(came_twice) => {
                twice.set(Some(came_twice));
                None
            }
        };
        let verified = verify(&header);
        match twice.take() {
            Some(came_twice) => Err(Rejection::unauthentic(came_twice.to_string())),
            None => verified.map_err(|error| Rejection::unauthentic(error.to_string())),
        }
    }
}

/// A header that may come once came twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{header} header came twice; send it once")]
pub struct CameTwice {
    header: String,
}

/// What the provider calls an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Its id: the same on every redelivery. `None` if the sender names none: the event is never taken for another.
    pub id: Option<String>,
    /// Its type, e.g. `payment_intent.succeeded`.
    pub kind: String,
    /// What it means if the id comes again.
    pub repeat: Repeat,
}

impl Envelope {
    /// An event with that id, of which repetitions are redeliveries.
    pub fn new(id: impl Into<String>, kind: impl Into<String>) -> Self {
        Self { id: Some(id.into()), kind: kind.into(), repeat: Repeat::Redelivery }
    }

    /// An event to which its sender gives no id.
    pub fn without_id(kind: impl Into<String>) -> Self {
        Self { id: None, kind: kind.into(), repeat: Repeat::Redelivery }
    }
}

/// What it means if an id comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// A redelivery, whatever is in it: the first one counts.
    Redelivery,
    /// The same request again. With another body the sender has confused two requests: answered 422.
    SameBody,
    /// The same event, perhaps named by somebody who has nothing to do with the first sender. Whoever does not send the
    /// same body is told that the event is known, and nothing of its run.
    ByAnyone,
}

/// Why a request was not taken for an event. Its text may be logged and sent back; the errors of
/// [`Invalid`](Self::Invalid) are only sent back, because they may quote the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It cannot be shown to come from the provider: answered 401.
    #[error("{reason}")]
    Unauthentic {
        /// Fact, value, hint.
        reason: String,
    },
    /// It cannot be judged before this is fetched: see [`Provider::fetched`]. Answered 503 if it cannot be.
    #[error("the sender's certificate cannot be had now")]
    Fetch {
        /// Where it is: its host is the provider's.
        url: String,
    },
    /// It is genuine, and holds more events than are taken at once: answered 413.
    #[error("the request holds {events} events (limit {events_max})")]
    TooMany {
        /// How many.
        events: usize,
        /// The most that are taken.
        events_max: usize,
    },
    /// It is genuine, and does not say what it is: answered 400.
    #[error("{reason}")]
    Unroutable {
        /// Fact, value, hint.
        reason: String,
    },
    /// It is genuine, and its body is not what the route takes: answered 422.
    #[error("the body is not valid: {} error{}", .errors.len(), if .errors.len() == 1 { "" } else { "s" })]
    Invalid {
        /// What is wrong where.
        errors: Vec<FieldError>,
    },
}

impl Rejection {
    /// It cannot be shown to come from the provider.
    pub fn unauthentic(reason: impl Into<String>) -> Self {
        Self::Unauthentic { reason: reason.into() }
    }

    /// It is genuine, and does not say what it is.
    pub fn unroutable(reason: impl Into<String>) -> Self {
        Self::Unroutable { reason: reason.into() }
    }
}

impl From<bowline_signature::Error> for Rejection {
    fn from(error: bowline_signature::Error) -> Self {
        match error {
            bowline_signature::Error::CertificateUnknown { url } => Self::Fetch { url },
            error => Self::unauthentic(error.to_string()),
        }
    }
}

/// What is wrong with a part of a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Where, as a JSON pointer in a URI's fragment (RFC 6901 § 6): `#/email`; `#` is the whole body.
    pub pointer: String,
    /// What, for people.
    pub detail: String,
}

/// What is known of a provider here is not enough to sign as it would.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot sign as {provider}: {reason}")]
pub struct SignError {
    provider: &'static str,
    reason: String,
}

impl SignError {
    /// With the reason: fact, value, hint, and no secret.
    pub fn new(provider: &'static str, reason: impl Into<String>) -> Self {
        Self { provider, reason: reason.into() }
    }
}
