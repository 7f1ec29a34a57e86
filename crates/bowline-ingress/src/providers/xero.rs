//! Xero's webhooks.
//!
//! A request holds several events: each is one here, deduplicated by itself. A workflow receives one item of `events`:
//! `resourceUrl`, `resourceId`, `tenantId`, `eventCategory`, `eventType`, `eventDateUtc`
//! (<https://github.com/XeroAPI/Xero-OpenAPI/blob/master/xero-webhooks.yaml>), and asks Xero for the rest. The event's type
//! is `eventCategory` and `eventType`, `INVOICE.UPDATE`; so `INVOICE.*` is all that happens to invoices. Events have no id:
//! what tells them apart is tenant, resource, category, type and the time to the millisecond, together.
//!
//! Xero wants 200 within 5 s, for a wrong signature 401, both without body or cookies
//! (<https://developer.xero.com/documentation/guides/webhooks/configuring-your-server/>). With *intent to receive* it tries
//! both, with bodies without events, before it sends any. It retries for 24 hours, and then disables the webhook.

use std::time::Duration;

use axum::http::StatusCode;
use bowline_model::Secret;
use bowline_signature::{EmptySecret, Scheme, SigningSecret};
use serde_json::{Value, json as value};

use crate::{
    Delivery, Named, RawRequest, ReceiptForm, Rejection,
    providers::json,
    sender::{COMPOSITE_SEPARATOR, JSON, Place, Row, Sender},
};

/// For how long a redelivery is recognised. Xero retries for a day.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

const EVENTS_POINTER: &str = "/events";

/// Xero, with the webhook keys of one app.
#[derive(Debug, Clone)]
pub struct Xero {
    signature: bowline_signature::Xero,
}

impl Xero {
    /// With the app's webhook key.
    ///
    /// # Errors
    /// If it is empty.
    pub fn new(secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { signature: bowline_signature::Xero::new(SigningSecret::new(secret.expose())?) })
    }

    /// Also accepts what this key signed: for the time in which one replaces another.
    ///
    /// # Errors
    /// If it is empty.
    pub fn also_accept(self, secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { signature: self.signature.also_accept(SigningSecret::new(secret.expose())?) })
    }
}

impl Sender for Xero {
    const ROW: Row = Row {
        name: "xero",
        media_types: JSON,
        kind: Place::Composite(&["/eventCategory", "/eventType"]),
        id: Place::Composite(&["/tenantId", "/resourceId", "/eventCategory", "/eventType", "/eventDateUtc"]),
        input_pointer: "",
        dedupe_for: DEDUPE_FOR,
        receipt: ReceiptForm::Empty(StatusCode::OK),
    };

    fn scheme(&self) -> &dyn Scheme {
        &self.signature
    }

    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        let mut delivery = Self::ROW.batch(request, EVENTS_POINTER)?;
        if let Delivery::Events(events) = &mut delivery {
            for event in events {
                event.envelope.kind = event.envelope.kind.replace(COMPOSITE_SEPARATOR, ".");
            }
        }
        Ok(delivery)
    }

    fn refuses_without_words(&self) -> bool {
        true
    }

    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        let mut item = input.clone();
        if item.is_object() {
            let (category, kind) = event.kind.split_once('.').unwrap_or((event.kind, ""));
            json::put(&mut item, "/eventCategory", category.into());
            json::put(&mut item, "/eventType", kind.into());
            if item.get("tenantId").is_none() {
                json::put(&mut item, "/tenantId", event.id.into());
            }
        }
        value!({"events": [item], "firstEventSequence": 1, "lastEventSequence": 1, "entropy": "TEST"})
    }
}
