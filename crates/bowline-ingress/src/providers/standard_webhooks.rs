//! Standard Webhooks, and Svix, whose headers have other names.
//!
//! A workflow receives the whole body. The event's type is the body's `type`, which the specification recommends and
//! does not demand: [`KIND`] where there is none. Its id is the `webhook-id` (or `svix-id`), the same on every
//! redelivery. Svix retries for about 28 hours (<https://docs.svix.com/retries>).

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, header::CONTENT_TYPE};
use bowline_model::Secret;
use bowline_signature::{
    SigningSecret,
    standard_webhooks::{HEADERS, InvalidSecret, SVIX_HEADERS},
};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::json;
use crate::{Delivery, Envelope, Named, Provider, RawRequest, Rejection, SignError, SignedRequest, Unsigned};

/// For how long a redelivery is recognised: also of those that people ask for by hand.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

/// The type of an event whose body has no `type`.
pub const KIND: &str = "message";

const NAME: &str = "standard-webhooks";
const KIND_POINTER: &str = "/type";

/// A sender of Standard Webhooks, with the secrets of one endpoint.
#[derive(Debug, Clone)]
pub struct StandardWebhooks {
    signature: bowline_signature::StandardWebhooks,
}

impl StandardWebhooks {
    /// With the endpoint's signing secret, `whsec_…`; or the sender's public key, `whpk_…`, for webhooks of version 1a.
    ///
    /// # Errors
    /// If it is none; the error does not show it.
    pub fn new(secret: &Secret) -> Result<Self, InvalidSecret> {
        Ok(Self { signature: bowline_signature::StandardWebhooks::new(&signing(secret)?)? })
    }

    /// Also accepts what this secret signed: for the time in which one secret replaces another.
    ///
    /// # Errors
    /// If it is none; the error does not show it.
    pub fn also_accept(self, secret: &Secret) -> Result<Self, InvalidSecret> {
        Ok(Self { signature: self.signature.also_accept(&signing(secret)?)? })
    }

    /// How far from now a webhook may be signed, to the past and to the future;
    /// [`TOLERANCE`](bowline_signature::standard_webhooks::TOLERANCE) unless set.
    pub fn tolerance(self, tolerance: Duration) -> Self {
        Self { signature: self.signature.tolerance(tolerance) }
    }
}

fn signing(secret: &Secret) -> Result<SigningSecret, InvalidSecret> {
    SigningSecret::new(secret.expose()).map_err(|_empty| InvalidSecret::TooShort { bytes: 0 })
}

impl Provider for StandardWebhooks {
    fn name(&self) -> &'static str {
        NAME
    }

    fn dedupe_for(&self) -> Duration {
        DEDUPE_FOR
    }

    fn input_pointer(&self) -> &str {
        ""
    }

    fn authenticate(&self, request: &RawRequest<'_>, now: Timestamp) -> Result<(), Rejection> {
        request.verified(|header| self.signature.verify(header, request.body, now)).map(|_genuine| ())
    }

    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        // Those that were verified: whoever sends some of each has sent either all of the one or all of the other.
        let is_ours = HEADERS.iter().all(|name| request.headers.contains_key(*name));
        let [id, ..] = if is_ours { HEADERS } else { SVIX_HEADERS };
        let value = request.header(id).map_err(|error| Rejection::unauthentic(error.to_string()))?;
        let id = value.and_then(|id| std::str::from_utf8(id.trim_ascii()).ok()).unwrap_or_default();
        let kind = json::text_at(request.body, KIND_POINTER)?;
        let envelope = Envelope::new(id, kind.unwrap_or_else(|| KIND.to_owned()));
        Ok(Delivery::one(self, request, envelope))
    }

    fn credential_headers(&self) -> Vec<HeaderName> {
        let ([_, _, ours], [_, _, svix]) = (HEADERS, SVIX_HEADERS);
        [ours, svix].map(HeaderName::from_static).to_vec()
    }

    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<SignedRequest, SignError> {
        let drawn = format!("msg_{}", json::id_of(unsigned.body));
        let signed = self.signature.sign(unsigned.id.unwrap_or(&drawn), unsigned.body, now);
        let signed = signed.map_err(|error| SignError::new(NAME, error.to_string()))?;
        let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        for (name, value) in signed {
            headers.push(json::header(NAME, name, value)?);
        }
        Ok(SignedRequest { headers, body: Bytes::copy_from_slice(unsigned.body) })
    }

    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        let mut body = input.clone();
        if body.is_object() && event.kind != KIND {
            json::put(&mut body, KIND_POINTER, event.kind.into());
        }
        body
    }
}
