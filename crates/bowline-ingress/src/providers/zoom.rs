//! Zoom's webhooks.
//!
//! A workflow receives `payload` (<https://developers.zoom.us/docs/api/webhooks/>): `account_id`, and mostly the `object`
//! that the event is about. The event's type is its `event`: `meeting.started`. The `endpoint.url_validation` with which
//! Zoom makes sure of a URL, again every 72 hours, is answered once its signature is checked.
//!
//! Zoom waits 3 s, and retries after 5, 20 and 60 min. Its events have no id: one is known again by its bytes, in which
//! `event_ts` is the millisecond at which it occurred. Where Zoom writes a retry anew, as with another download token of
//! a recording, that is another event.

use std::time::Duration;

use bowline_model::Secret;
use bowline_signature::{EmptySecret, Scheme, SigningSecret};
use serde_json::{Value, json};

use super::json;
use crate::{
    Answer, Delivery, Handshake, Named, RawRequest, ReceiptForm, Rejection,
    sender::{JSON, Place, Row, Sender},
};

/// For how long a redelivery is recognised: longer than the 85 minutes for which Zoom retries.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

/// Which part of the body a workflow receives.
pub const INPUT_POINTER: &str = "/payload";

const KIND_POINTER: &str = "/event";
const VALIDATION: &str = "endpoint.url_validation";

/// Zoom, with the secret tokens of one app.
#[derive(Debug, Clone)]
pub struct Zoom {
    scheme: bowline_signature::Zoom,
}

impl Zoom {
    /// With the app's secret token.
    ///
    /// # Errors
    /// If the token is empty.
    pub fn new(token: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { scheme: bowline_signature::Zoom::new(SigningSecret::new(token.expose())?) })
    }

    /// Also accepts what this token signed: for the time in which one token replaces another. Validations are answered
    /// with the first one.
    ///
    /// # Errors
    /// If the token is empty.
    pub fn also_accept(self, token: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { scheme: self.scheme.also_accept(SigningSecret::new(token.expose())?) })
    }
}

impl Sender for Zoom {
    const ROW: Row = Row {
        name: "zoom",
        media_types: JSON,
        kind: Place::Pointer(KIND_POINTER),
        id: Place::Digest,
        input_pointer: INPUT_POINTER,
        dedupe_for: DEDUPE_FOR,
        receipt: ReceiptForm::Json,
    };

    fn scheme(&self) -> &dyn Scheme {
        &self.scheme
    }

    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        if json::text_at(request.body, KIND_POINTER)?.as_deref() != Some(VALIDATION) {
            return Self::ROW.delivery(request);
        }
        let plain = json::text_at(request.body, "/payload/plainToken")?
            .ok_or_else(|| Rejection::unroutable("Zoom's endpoint.url_validation has no plainToken"))?;
        let answer = json!({"encryptedToken": self.scheme.validate(&plain), "plainToken": plain});
        Ok(Delivery::Handshake(Handshake::Answer(Answer::json(&answer))))
    }

    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        let mut body = Self::ROW.body(event, input);
        // Its events differ in their time; here, in what stands for their id.
        json::put(&mut body, "/event_ts", json!(json::id_of(event.id.as_bytes())));
        body
    }
}
