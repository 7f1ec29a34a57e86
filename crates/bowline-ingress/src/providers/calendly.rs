//! Calendly's webhooks.
//!
//! A workflow receives `payload`
//! (<https://developer.calendly.com/api-docs/overview/webhooks/webhook-payload>). The event's type is the body's `event`:
//! `invitee.created`, `routing_form_submission.created`. Events have no id: what tells them apart is the `uri` of what
//! they are about, the type, and when they were made (`created_at`), together. All of that is signed.
//!
//! Calendly retries for 24 hours, ever less often, and then disables the webhook
//! (<https://developer.calendly.com/api-docs/overview/webhooks/webhook-errors>).

use std::time::Duration;

use bowline_model::Secret;
use bowline_signature::{EmptySecret, Scheme, SigningSecret};
use serde_json::Value;

use crate::{
    Named, ReceiptForm,
    providers::json,
    sender::{JSON, Place, Row, Sender},
};

/// For how long a redelivery is recognised. Calendly retries for a day.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

/// Which part of the body a workflow receives.
pub const INPUT_POINTER: &str = "/payload";

/// Calendly, with the signing keys of one webhook.
#[derive(Debug, Clone)]
pub struct Calendly {
    signature: bowline_signature::Calendly,
}

impl Calendly {
    /// With the webhook's signing key.
    ///
    /// # Errors
    /// If it is empty.
    pub fn new(secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { signature: bowline_signature::Calendly::new(SigningSecret::new(secret.expose())?) })
    }

    /// Also accepts what this key signed: for the time in which one replaces another.
    ///
    /// # Errors
    /// If it is empty.
    pub fn also_accept(self, secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { signature: self.signature.also_accept(SigningSecret::new(secret.expose())?) })
    }

    /// How old a webhook may be; [`TOLERANCE`](bowline_signature::calendly::TOLERANCE) unless set.
    pub fn tolerance(self, tolerance: Duration) -> Self {
        Self { signature: self.signature.tolerance(tolerance) }
    }
}

impl Sender for Calendly {
    const ROW: Row = Row {
        name: "calendly",
        media_types: JSON,
        kind: Place::Pointer("/event"),
        id: Place::Composite(&["/payload/uri", "/event", "/created_at"]),
        input_pointer: INPUT_POINTER,
        dedupe_for: DEDUPE_FOR,
        receipt: ReceiptForm::Json,
    };

    fn scheme(&self) -> &dyn Scheme {
        &self.signature
    }

    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        // The id is made of three places, of which one is the workflow's: what is said stands in another one.
        let mut body = Value::Null;
        json::put(&mut body, INPUT_POINTER, input.clone());
        json::put(&mut body, "/event", event.kind.into());
        json::put(&mut body, "/created_at", event.id.into());
        body
    }
}
