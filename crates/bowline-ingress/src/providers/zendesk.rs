//! Zendesk's webhooks: those that subscribe to events, and those that a trigger or an automation sends.
//!
//! A workflow receives the whole body. Of events that is `type`, `id`, `subject`, `detail`, `event`
//! (<https://developer.zendesk.com/api-reference/webhooks/event-types/webhook-event-types/>); the event's type is `type`
//! without its `zen:event-type:`, such as `user.active_changed`, and its id is `id`.
//!
//! What a trigger sends is what its owner wrote, in JSON and with POST. The event's type is its `type` if it has one, else
//! `unknown`. Whatever it calls `id` is not the event's, but the ticket's perhaps: the event's id is the
//! `x-zendesk-webhook-invocation-id` header, which is not signed; without one the event is never taken for another.
//!
//! Zendesk waits about 10 s, and retries little, within minutes, and only after some statuses
//! (<https://developer.zendesk.com/api-reference/webhooks/introduction/#webhook-retries>).

use std::time::Duration;

use bowline_model::Secret;
use bowline_signature::{EmptySecret, Scheme, SigningSecret};
use serde_json::Value;

use crate::{
    Delivery, Envelope, Named, RawRequest, ReceiptForm, Rejection,
    providers::json,
    sender::{JSON, Place, Row, Sender, UNKNOWN},
};

/// For how long a redelivery is recognised. Zendesk retries for minutes.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

const INVOCATION: &str = "x-zendesk-webhook-invocation-id";
/// Stands before the types of events, and of nothing else.
const EVENT_TYPE: &str = "zen:event-type:";

/// Zendesk, with the signing secrets of one webhook.
#[derive(Debug, Clone)]
pub struct Zendesk {
    signature: bowline_signature::Zendesk,
}

impl Zendesk {
    /// With the webhook's signing secret.
    ///
    /// # Errors
    /// If it is empty.
    pub fn new(secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { signature: bowline_signature::Zendesk::new(SigningSecret::new(secret.expose())?) })
    }

    /// Also accepts what this secret signed: for the time in which one replaces another.
    ///
    /// # Errors
    /// If it is empty.
    pub fn also_accept(self, secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { signature: self.signature.also_accept(SigningSecret::new(secret.expose())?) })
    }

    /// How far from now a webhook may be; [`TOLERANCE`](bowline_signature::zendesk::TOLERANCE) unless set.
    pub fn tolerance(self, tolerance: Duration) -> Self {
        Self { signature: self.signature.tolerance(tolerance) }
    }
}

impl Sender for Zendesk {
    const ROW: Row = Row {
        name: "zendesk",
        media_types: JSON,
        kind: Place::Pointer("/type"),
        id: Place::Header(INVOCATION),
        input_pointer: "",
        dedupe_for: DEDUPE_FOR,
        receipt: ReceiptForm::Json,
    };

    fn scheme(&self) -> &dyn Scheme {
        &self.signature
    }

    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        json::check(request.body)?;
        // What a trigger sends may have anything there.
        let text = |pointer| json::text_at(request.body, pointer).ok().flatten();
        let kind = text("/type").unwrap_or_else(|| UNKNOWN.to_owned());
        let invocation = Place::Header(INVOCATION).read(request, request.body)?;
        let envelope = match kind.strip_prefix(EVENT_TYPE) {
            Some(kind) => Envelope { id: text("/id").or(invocation), ..Envelope::without_id(kind) },
            None => Envelope { id: invocation, ..Envelope::without_id(kind) },
        };
        Ok(Delivery::one(self, request, envelope))
    }

    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        let mut body = input.clone();
        if body.is_object() {
            json::put(&mut body, "/type", format!("{EVENT_TYPE}{}", event.kind).into());
            json::put(&mut body, "/id", event.id.into());
        }
        body
    }
}
