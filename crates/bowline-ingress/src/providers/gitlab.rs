//! GitLab's webhooks, of projects, groups and the whole instance.
//!
//! A workflow receives the whole body
//! (<https://docs.gitlab.com/user/project/integrations/webhook_events/>). The event's type is the body's `object_kind` (of
//! system hooks `event_name`) and, after a dot, `object_attributes.action` if it has one: `push`, `merge_request.open`; so
//! `merge_request.*` is all that happens to merge requests. Bodies have up to 25 MB: allow more than this server does
//! unless told where events are large.
//!
//! Its id is the `webhook-id` header, which is signed, if the webhook has a *signing token*; else the `idempotency-key`
//! header, which has the same value and is sent since GitLab 17.4: what older ones send is never taken for a redelivery.
//! GitLab retries nothing by itself; what people resend comes under the same id. Webhooks that fail again and again it
//! disables.

use std::time::Duration;

use bowline_model::Secret;
use bowline_signature::{EmptySecret, Scheme, SigningSecret, gitlab, standard_webhooks::InvalidSecret};
use serde_json::Value;

use crate::{
    Delivery, Named, RawRequest, ReceiptForm, Rejection,
    providers::json,
    sender::{JSON, Place, Row, Sender},
};

/// For how long a redelivery is recognised: longer than GitLab keeps what people can resend.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

const ID: &str = gitlab::HEADERS[0];
const IDEMPOTENCY_KEY: &str = "idempotency-key";
const ACTION_POINTER: &str = "/object_attributes/action";

/// GitLab, with the tokens of one webhook.
#[derive(Debug, Clone)]
pub struct GitLab {
    signature: bowline_signature::GitLab,
}

impl GitLab {
    /// With the webhook's signing token: `whsec_…`.
    ///
    /// # Errors
    /// If it is none.
    pub fn signing_token(token: &Secret) -> Result<Self, InvalidSecret> {
        let token =
            SigningSecret::new(token.expose()).map_err(|_empty| InvalidSecret::TooShort { bytes: 0 })?;
        Ok(Self { signature: bowline_signature::GitLab::signing_token(&token)? })
    }

    /// With the webhook's secret token, which it sends as it stands: it shows who sends, not that nothing was changed.
    ///
    /// # Errors
    /// If it is empty.
    pub fn secret_token(token: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { signature: bowline_signature::GitLab::secret_token(SigningSecret::new(token.expose())?) })
    }

    /// Also accepts this token, of the same sort: for the time in which one replaces another.
    ///
    /// # Errors
    /// If it is none.
    pub fn also_accept(self, token: &Secret) -> Result<Self, InvalidSecret> {
        let token =
            SigningSecret::new(token.expose()).map_err(|_empty| InvalidSecret::TooShort { bytes: 0 })?;
        Ok(Self { signature: self.signature.also_accept(&token)? })
    }

    /// How far from now a webhook may be signed; [`TOLERANCE`](gitlab::TOLERANCE) unless set.
    pub fn tolerance(self, tolerance: Duration) -> Self {
        Self { signature: self.signature.tolerance(tolerance) }
    }
}

impl Sender for GitLab {
    const ROW: Row = Row {
        name: "gitlab",
        media_types: JSON,
        kind: Place::FirstOf(&[Place::Pointer("/object_kind"), Place::Pointer("/event_name")]),
        id: Place::Header(IDEMPOTENCY_KEY),
        input_pointer: "",
        dedupe_for: DEDUPE_FOR,
        receipt: ReceiptForm::Json,
    };

    fn scheme(&self) -> &dyn Scheme {
        &self.signature
    }

    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        let mut delivery = json::with_action(Self::ROW.delivery(request)?, ACTION_POINTER);
        // What is signed counts, and not what anybody could have written beside it.
        if let (Delivery::Events(events), true) = (&mut delivery, self.signature.is_signed()) {
            let id = request.header(ID).map_err(|twice| Rejection::unroutable(twice.to_string()))?;
            for event in events {
                event.envelope.id = id.map(|id| String::from_utf8_lossy(id.trim_ascii()).into_owned());
            }
        }
        Ok(delivery)
    }

    /// Secret and signing token may both be set: then the former comes with every webhook.
    fn other_credentials(&self) -> &'static [&'static str] {
        &[gitlab::TOKEN_HEADER]
    }

    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        json::body_with_action(event, ACTION_POINTER, |event| Self::ROW.body(event, input))
    }
}
