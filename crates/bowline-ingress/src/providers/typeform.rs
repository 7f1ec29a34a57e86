//! Typeform's webhooks.
//!
//! A workflow receives `form_response` (<https://www.typeform.com/developers/webhooks/example-payload/>). The event's type
//! is the body's `event_type`: `form_response`, `form_response_partial`; its id is the body's `event_id`. Both are signed.
//!
//! Typeform waits 30 s. What was answered 408, 423, 429 or 503 it sends again every 2 to 3 minutes for 10 hours, what was
//! answered otherwise five times within hours; and **404 or 410 switch the webhook off at once**
//! (<https://www.typeform.com/developers/webhooks/#delivery-retries>): mind the path. Where this server failed, it is told
//! 503 and nothing else.

use std::time::Duration;

use axum::http::StatusCode;
use bowline_model::Secret;
use bowline_signature::{EmptySecret, Scheme, SigningSecret};

use crate::{
    ReceiptForm,
    sender::{JSON, Place, Row, Sender},
};

/// For how long a redelivery is recognised. Typeform retries for 10 hours.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

/// Which part of the body a workflow receives.
pub const INPUT_POINTER: &str = "/form_response";

/// Typeform, with the secrets of one webhook.
#[derive(Debug, Clone)]
pub struct Typeform {
    signature: bowline_signature::Typeform,
}

impl Typeform {
    /// With the webhook's secret.
    ///
    /// # Errors
    /// If it is empty.
    pub fn new(secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { signature: bowline_signature::Typeform::new(SigningSecret::new(secret.expose())?) })
    }

    /// Also accepts what this secret signed: for the time in which one replaces another.
    ///
    /// # Errors
    /// If it is empty.
    pub fn also_accept(self, secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { signature: self.signature.also_accept(SigningSecret::new(secret.expose())?) })
    }
}

impl Sender for Typeform {
    const ROW: Row = Row {
        name: "typeform",
        media_types: JSON,
        kind: Place::Pointer("/event_type"),
        id: Place::Pointer("/event_id"),
        input_pointer: INPUT_POINTER,
        dedupe_for: DEDUPE_FOR,
        receipt: ReceiptForm::Json,
    };

    fn scheme(&self) -> &dyn Scheme {
        &self.signature
    }

    /// The status after which it retries longest, for all that is this server's fault.
    fn refuses_with(&self, status: StatusCode) -> StatusCode {
        if status.is_server_error() { StatusCode::SERVICE_UNAVAILABLE } else { status }
    }
}
