//! Who sent a request, and is it genuine: the port that every provider fills.

use std::{cell::Cell, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A sender of webhooks: how it signs, and how it names its events.
///
/// [`VerifiedEvent::verify`](crate::VerifiedEvent::verify) asks [`authenticate`](Self::authenticate) first, and [`envelope`](Self::envelope) only of
/// what is genuine.
pub trait Provider: Send + Sync + 'static {
    /// What the event's record calls it, e.g. `stripe`. Never changes.
    fn name(&self) -> &'static str;

    /// The media type of its bodies; others are answered 415.
    fn media_type(&self) -> &'static str {
        "application/json"
    }

    /// For how long a redelivery is recognised: longer than the provider retries.
    fn dedupe_for(&self) -> Duration;

    /// Which part of the body a workflow receives, as a JSON pointer (RFC 6901).
    fn input_pointer(&self) -> &str;

    /// Whether this provider sent exactly these bytes, and not too long ago.
    ///
    /// # Errors
    /// [`Rejection::unauthentic`], with a reason that names no secret.
    fn authenticate(&self, request: &RawRequest<'_>, now: Timestamp) -> Result<(), Rejection>;

    /// What the provider calls the event.
    ///
    /// # Errors
    /// [`Rejection::unroutable`] if the request does not say; [`Rejection::Invalid`] if the body is not what it must be.
    fn envelope(&self, request: &RawRequest<'_>) -> Result<Envelope, Rejection>;

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

    /// The headers with which the provider would send this body now, credentials included. Where a header names the
    /// event, the id is the same for the same body.
    ///
    /// # Errors
    /// [`SignError`] if what is known here is not enough to sign.
    fn sign(&self, body: &[u8], now: Timestamp) -> Result<Vec<(HeaderName, HeaderValue)>, SignError>;

    /// As [`sign`](Self::sign), under that id and as that type of event, where the provider says these in headers.
    ///
    /// # Errors
    /// As [`sign`](Self::sign).
    fn sign_as(
        &self,
        event: &Named<'_>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, SignError> {
        let Named { id: _, kind: _ } = event;
        self.sign(body, now)
    }

    /// The body with which the provider would send this event, so that a workflow receives `input`: for tests.
    fn body(&self, event: &Named<'_>, input: &Value) -> Value;
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
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The body's bytes exactly as received.
    pub body: &'a [u8],
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
