//! Who sent a request, and is it genuine: the port that every provider fills, and the proof that it was asked.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bowline_model::event::DEDUPE_KEY_BYTES_MAX;
use bytes::Bytes;
use jiff::Timestamp;

use crate::scrub::scrub;

/// Longest type of an event.
pub const KIND_BYTES_MAX: usize = 256;

/// A sender of webhooks: how it signs, and how it names its events.
///
/// [`VerifiedEvent::verify`] asks [`authenticate`](Self::authenticate) first, and [`envelope`](Self::envelope) only of
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
    fn input_pointer(&self) -> &'static str;

    /// Whether this provider sent exactly these bytes, and not too long ago.
    ///
    /// # Errors
    /// [`Rejection::unauthentic`], with a reason that names no secret.
    fn authenticate(&self, request: &RawRequest<'_>, now: Timestamp) -> Result<(), Rejection>;

    /// What the provider calls the event.
    ///
    /// # Errors
    /// [`Rejection::unroutable`] if the request does not say.
    fn envelope(&self, request: &RawRequest<'_>) -> Result<Envelope, Rejection>;

    /// The headers with which the provider would send this body now.
    ///
    /// # Errors
    /// [`SignError`] if what is known here is not enough to sign.
    fn sign(&self, body: &[u8], now: Timestamp) -> Result<Vec<(HeaderName, HeaderValue)>, SignError>;
}

/// A request as it came. Nothing in it is trusted.
#[derive(Clone, Copy)]
pub struct RawRequest<'a> {
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The body's bytes exactly as received.
    pub body: &'a [u8],
}

/// What the provider calls an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Its id: the same on every redelivery.
    pub id: String,
    /// Its type, e.g. `payment_intent.succeeded`.
    pub kind: String,
}

/// Why a request was not taken for an event. Its text may be logged and sent back.
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

/// An event that its provider vouches for. [`verify`](Self::verify) is the only way to one: whoever holds it knows that
/// the signature was checked.
#[derive(Debug, Clone)]
pub struct VerifiedEvent {
    pub(crate) source: String,
    pub(crate) provider: &'static str,
    pub(crate) envelope: Envelope,
    pub(crate) dedupe_for: Duration,
    pub(crate) received_at: Timestamp,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    pub(crate) input_pointer: &'static str,
}

impl VerifiedEvent {
    /// Asks the provider whether the request is genuine and what it is. `source` is the route's path, `received_at`
    /// the time at which the body's last byte was read.
    ///
    /// ```compile_fail
    /// // There is no other way:
    /// let event = bowline_ingress::VerifiedEvent { source: "/webhooks/stripe".into() };
    /// ```
    ///
    /// # Errors
    /// [`Rejection`] if the request is not genuine, or its id or type is missing, empty, too long, or has control
    /// characters.
    pub fn verify(
        provider: &dyn Provider,
        source: &str,
        headers: &HeaderMap,
        body: Bytes,
        received_at: Timestamp,
    ) -> Result<Self, Rejection> {
        let request = RawRequest { headers, body: &body };
        provider.authenticate(&request, received_at)?;
        let envelope = provider.envelope(&request)?;
        check_text("id", &envelope.id, DEDUPE_KEY_BYTES_MAX)?;
        check_text("type", &envelope.kind, KIND_BYTES_MAX)?;
        Ok(Self {
            source: source.to_owned(),
            provider: provider.name(),
            envelope,
            dedupe_for: provider.dedupe_for(),
            received_at,
            headers: scrub(headers),
            input_pointer: provider.input_pointer(),
            body,
        })
    }

    /// The provider's id of the event.
    pub fn id(&self) -> &str {
        &self.envelope.id
    }

    /// The provider's type of the event.
    pub fn kind(&self) -> &str {
        &self.envelope.kind
    }
}

/// Ids and types are shown on terminals and pages: no control characters, and no novels.
fn check_text(what: &str, text: &str, bytes_max: usize) -> Result<(), Rejection> {
    if text.is_empty() {
        return Err(Rejection::unroutable(format!("the event's {what} is empty")));
    }
    if text.len() > bytes_max {
        let bytes = text.len();
        return Err(Rejection::unroutable(format!(
            "the event's {what} has {bytes} bytes (limit {bytes_max})"
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(Rejection::unroutable(format!("the event's {what} has control characters")));
    }
    Ok(())
}
