//! Linear's webhooks.
//!
//! A workflow receives the whole body: `action`, `type`, `data`, of updates `updatedFrom`
//! (<https://linear.app/developers/webhooks#webhook-payload>). The event's type is the body's `type` and, after a dot, its
//! `action`: `Issue.create`, `Comment.remove`; so `Issue.*` is all that happens to issues. Its id is the `linear-delivery`
//! header, which is not signed: within the [minute](bowline_signature::linear::TOLERANCE) in which a webhook is fresh, who
//! has recorded it can send it again under another one.
//!
//! Linear waits 5 s, takes nothing but 200 for an answer, and retries after 1 minute, 1 hour and 6 hours.

use std::time::Duration;

use bowline_model::Secret;
use bowline_signature::{EmptySecret, Scheme, SigningSecret};
use serde_json::Value;

use crate::{
    Delivery, Named, RawRequest, ReceiptForm, Rejection,
    providers::json,
    sender::{JSON, Place, Row, Sender},
};

/// For how long a redelivery is recognised. Linear retries for 7 hours.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

const ACTION_POINTER: &str = "/action";

/// Linear, with the secrets of one webhook.
#[derive(Debug, Clone)]
pub struct Linear {
    signature: bowline_signature::Linear,
}

impl Linear {
    /// With the webhook's signing secret.
    ///
    /// # Errors
    /// If it is empty.
    pub fn new(secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { signature: bowline_signature::Linear::new(SigningSecret::new(secret.expose())?) })
    }

    /// Also accepts what this secret signed: for the time in which one replaces another.
    ///
    /// # Errors
    /// If it is empty.
    pub fn also_accept(self, secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { signature: self.signature.also_accept(SigningSecret::new(secret.expose())?) })
    }

    /// How far from now a webhook may be; [`TOLERANCE`](bowline_signature::linear::TOLERANCE) unless set.
    pub fn tolerance(self, tolerance: Duration) -> Self {
        Self { signature: self.signature.tolerance(tolerance) }
    }
}

impl Sender for Linear {
    const ROW: Row = Row {
        name: "linear",
        media_types: JSON,
        kind: Place::Pointer("/type"),
        id: Place::Header("linear-delivery"),
        input_pointer: "",
        dedupe_for: DEDUPE_FOR,
        receipt: ReceiptForm::Json,
    };

    fn scheme(&self) -> &dyn Scheme {
        &self.signature
    }

    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        Ok(json::with_action(Self::ROW.delivery(request)?, ACTION_POINTER))
    }

    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        json::body_with_action(event, ACTION_POINTER, |event| Self::ROW.body(event, input))
    }
}
