//! Stripe's webhooks.
//!
//! A workflow receives `data.object`. Stripe delivers out of order and more than once, and retries for three days
//! (<https://docs.stripe.com/webhooks#retries>).

use std::{borrow::Cow, time::Duration};

use axum::http::{HeaderName, HeaderValue, header::CONTENT_TYPE};
use bowline_model::Secret;
use bowline_signature::{EmptySecret, SigningSecret, stripe::HEADER};
use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Delivery, Envelope, Named, Provider, RawRequest, Rejection, SignError, SignedRequest, Unsigned};

/// For how long a redelivery is recognised. Stripe retries for 3 days; it keeps events for 30, in which people resend
/// them by hand.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

/// Which part of the body a workflow receives.
pub const INPUT_POINTER: &str = "/data/object";

/// Stripe, with the secrets of one endpoint.
#[derive(Debug, Clone)]
pub struct Stripe {
    signature: bowline_signature::Stripe,
}

impl Stripe {
    /// With the endpoint's signing secret: the whole `whsec_…` string.
    ///
    /// # Errors
    /// If the secret is empty.
    pub fn new(secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { signature: bowline_signature::Stripe::new(signing(secret)?) })
    }

    /// Also accepts what this secret signed: for the time in which one secret replaces another.
    ///
    /// # Errors
    /// If the secret is empty.
    pub fn also_accept(self, secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { signature: self.signature.also_accept(signing(secret)?) })
    }

    /// How old a webhook may be; [`TOLERANCE`](bowline_signature::stripe::TOLERANCE) unless set.
    pub fn tolerance(self, tolerance: Duration) -> Self {
        Self { signature: self.signature.tolerance(tolerance) }
    }
}

fn signing(secret: &Secret) -> Result<SigningSecret, EmptySecret> {
    SigningSecret::new(secret.expose())
}

impl Provider for Stripe {
    fn name(&self) -> &'static str {
        "stripe"
    }

    fn dedupe_for(&self) -> Duration {
        DEDUPE_FOR
    }

    fn input_pointer(&self) -> &str {
        INPUT_POINTER
    }

    fn authenticate(&self, request: &RawRequest<'_>, now: Timestamp) -> Result<(), Rejection> {
        let mut headers = request.headers.get_all(HEADER).iter();
        let header = match (headers.next(), headers.next()) {
            (Some(header), None) => header,
            (None, _) => {
                return Err(Rejection::unauthentic(format!(
                    "{HEADER} header is missing; Stripe always sends it"
                )));
            }
            (Some(_), Some(_)) => {
                return Err(Rejection::unauthentic(format!("{HEADER} header came twice; Stripe sends one")));
            }
        };
        match self.signature.verify(header, request.body, now) {
            Ok(_signed_at) => Ok(()),
            Err(error) => Err(Rejection::unauthentic(error.to_string())),
        }
    }

    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        // serde also reads a struct from an array, field by field; an event is an object.
        if request.body.trim_ascii_start().first() != Some(&b'{') {
            return Err(Rejection::unroutable("the body is not a JSON object; Stripe's events are"));
        }
        let event: StripeEvent<'_> = serde_json::from_slice(request.body).map_err(|error| {
            Rejection::unroutable(format!(
                "the body is not a Stripe event with id and type: {}",
                place(&error)
            ))
        })?;
        Ok(Delivery::one(self, request, Envelope::new(event.id, event.kind)))
    }

    fn credential_headers(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static(HEADER)]
    }

    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<SignedRequest, SignError> {
        let signature = HeaderValue::try_from(self.signature.sign(unsigned.body, now))
            .map_err(|_| SignError::new("stripe", "the signature is not a header's value"))?;
        let headers = vec![
            (CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8")),
            (HeaderName::from_static(HEADER), signature),
        ];
        Ok(SignedRequest { headers, body: Bytes::copy_from_slice(unsigned.body) })
    }

    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        json!({"id": event.id, "object": "event", "type": event.kind, "data": {"object": input}})
    }
}

/// What routing needs of an event. Everything else is skipped without being built, however deep it is nested; a field
/// that comes twice is an error.
#[derive(Deserialize)]
struct StripeEvent<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

/// What is wrong and where. serde's own message may quote a value of the body, which must not reach a log.
fn place(error: &serde_json::Error) -> String {
    let problem = match error.classify() {
        serde_json::error::Category::Data => "id or type is missing, comes twice or is not text",
        serde_json::error::Category::Syntax => "it is not JSON",
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Io => "it cannot be read",
    };
    format!("{problem}, at line {} column {}", error.line(), error.column())
}
