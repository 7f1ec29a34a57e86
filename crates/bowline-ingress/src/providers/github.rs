//! GitHub's webhooks, of the content type `application/json` (the webhook's settings offer another one, which is
//! answered 415).
//!
//! A workflow receives the whole body. The event's type is the `x-github-event` header, and after a dot the body's
//! `action` if it has one: `push`, `issues.opened`; so `issues.*` is all that happens to issues. The `ping` of a new
//! webhook is answered 200, and starts something only if a workflow subscribes to `ping`.
//!
//! Of these only the body is signed: the signature cannot tell whether type and delivery id were changed on the way.
//! GitHub retries nothing by itself; what people redeliver comes under the same id
//! (<https://docs.github.com/en/webhooks/using-webhooks/handling-failed-webhook-deliveries>).

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, header::CONTENT_TYPE};
use bowline_model::Secret;
use bowline_signature::{EmptySecret, SigningSecret, github::HEADER};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::json;
use crate::{
    CameTwice, Delivery, Envelope, Named, Provider, RawRequest, Rejection, SignError, SignedRequest, Unsigned,
};

/// For how long a redelivery is recognised: longer than GitHub keeps deliveries.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

const NAME: &str = "github";
/// Signed with SHA-1: sent as well, and not looked at.
const OLD_HEADER: &str = "x-hub-signature";
const EVENT: &str = "x-github-event";
const DELIVERY: &str = "x-github-delivery";
const ACTION_POINTER: &str = "/action";

/// GitHub, with the secrets of one webhook.
#[derive(Debug, Clone)]
pub struct GitHub {
    signature: bowline_signature::GitHub,
}

impl GitHub {
    /// With the webhook's secret.
    ///
    /// # Errors
    /// If the secret is empty.
    pub fn new(secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { signature: bowline_signature::GitHub::new(SigningSecret::new(secret.expose())?) })
    }

    /// Also accepts what this secret signed: for the time in which one secret replaces another.
    ///
    /// # Errors
    /// If the secret is empty.
    pub fn also_accept(self, secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { signature: self.signature.also_accept(SigningSecret::new(secret.expose())?) })
    }
}

impl Provider for GitHub {
    fn name(&self) -> &'static str {
        NAME
    }

    fn dedupe_for(&self) -> Duration {
        DEDUPE_FOR
    }

    fn input_pointer(&self) -> &str {
        ""
    }

    fn authenticate(&self, request: &RawRequest<'_>, _now: Timestamp) -> Result<(), Rejection> {
        request.verified(|header| self.signature.verify(header(HEADER), request.body))
    }

    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        let (event, id) = (required(request, EVENT)?, required(request, DELIVERY)?);
        let kind = match json::text_at(request.body, ACTION_POINTER)? {
            Some(action) => format!("{event}.{action}"),
            None => event.to_owned(),
        };
        Ok(Delivery::one(self, request, Envelope::new(id, kind)))
    }

    fn credential_headers(&self) -> Vec<HeaderName> {
        [HEADER, OLD_HEADER].map(HeaderName::from_static).to_vec()
    }

    fn sign(&self, unsigned: &Unsigned<'_>, _now: Timestamp) -> Result<SignedRequest, SignError> {
        let kind = unsigned.kind.ok_or_else(|| {
            let reason =
                "its events are named in a header and not in the body; say the type, such as issues.opened";
            SignError::new(NAME, reason)
        })?;
        let (of, _action) = split(kind);
        let drawn = json::id_of(unsigned.body);
        let headers = vec![
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            json::header(NAME, EVENT, of)?,
            json::header(NAME, DELIVERY, unsigned.id.unwrap_or(&drawn))?,
            json::header(NAME, HEADER, self.signature.sign(unsigned.body))?,
        ];
        Ok(SignedRequest { headers, body: Bytes::copy_from_slice(unsigned.body) })
    }

    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        let mut body = input.clone();
        if let (Some(action), true) = (split(event.kind).1, body.is_object()) {
            json::put(&mut body, ACTION_POINTER, action.into());
        }
        body
    }
}

/// `issues.opened` is `issues`, `opened`.
fn split(kind: &str) -> (&str, Option<&str>) {
    kind.split_once('.').map_or((kind, None), |(event, action)| (event, Some(action)))
}

fn required<'a>(request: &RawRequest<'a>, name: &str) -> Result<&'a str, Rejection> {
    let value = request.header(name).map_err(|twice: CameTwice| Rejection::unroutable(twice.to_string()))?;
    let value = value
        .ok_or_else(|| Rejection::unroutable(format!("{name} header is missing; GitHub always sends it")))?;
    std::str::from_utf8(value).map_err(|_| Rejection::unroutable(format!("{name} header is not UTF-8")))
}
