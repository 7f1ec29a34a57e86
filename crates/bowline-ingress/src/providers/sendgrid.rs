//! SendGrid's Event Webhook, signed.
//!
//! Each item of a body is an event, of which a workflow receives all; the type is its `event`, such as `delivered`, and its
//! id is its `sg_event_id`, which SendGrid's docs name for deduplication
//! (<https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event>). It has been seen to change when SendGrid
//! sends again (<https://github.com/sendgrid/sendgrid-nodejs/issues/1435>): such a copy is another event. SendGrid retries
//! for a day.

use std::time::Duration;

use bowline_model::Secret;
use bowline_signature::{BadKey, Scheme};
use serde_json::Value;

use crate::{
    Delivery, Named, RawRequest, ReceiptForm, Rejection,
    sender::{JSON, Place, Row, Sender},
};

/// For how long a redelivery is recognised: longer than SendGrid retries.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

/// A private key that everybody knows: for tests only.
pub const TEST_KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgY0nEM3vYhlIsvl4PXs1gv9kqhQbbUdDqT7b4ou/D94uhRANCAARlFsrcX4CmyBWB2GTEfAwaUyIA6W9207q1xfJodVH7IN1mxKK0RRQGf+xQ6XovnJygrBz6OtiQRVOMj6UYS2Gp";

/// SendGrid, with the verification keys of one Event Webhook.
#[derive(Debug, Clone)]
pub struct SendGrid {
    scheme: bowline_signature::SendGrid,
}

impl SendGrid {
    /// With the verification key, as the Event Webhook's security features show it.
    ///
    /// # Errors
    /// If it is none.
    pub fn new(key: &Secret) -> Result<Self, BadKey> {
        Ok(Self { scheme: bowline_signature::SendGrid::new(key.expose())? })
    }

    /// Also accepts what belongs to this key: for the time in which one key replaces another.
    ///
    /// # Errors
    /// If it is none.
    pub fn also_accept(self, key: &Secret) -> Result<Self, BadKey> {
        Ok(Self { scheme: self.scheme.also_accept(key.expose())? })
    }

    /// How far from now a request may be signed; any time unless set.
    pub fn tolerance(self, tolerance: Duration) -> Self {
        Self { scheme: self.scheme.tolerance(tolerance) }
    }
}

impl Sender for SendGrid {
    const ROW: Row = Row {
        name: "sendgrid",
        media_types: JSON,
        kind: Place::Pointer("/event"),
        id: Place::Pointer("/sg_event_id"),
        input_pointer: "",
        dedupe_for: DEDUPE_FOR,
        receipt: ReceiptForm::Json,
    };

    fn scheme(&self) -> &dyn Scheme {
        &self.scheme
    }

    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        Self::ROW.batch(request, "")
    }

    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        Value::Array(vec![Self::ROW.body(event, input)])
    }
}
