//! Adyen's webhooks: the standard ones, and those of platforms and of the Management API.
//!
//! Of a standard webhook, each item is an event: a workflow receives its `NotificationRequestItem`, the type is its
//! `eventCode`, such as `AUTHORISATION`, and its id is made of `pspReference`, `eventCode` and `success`: an item of the
//! same reference that says the opposite is another event. Of the others a workflow receives the whole body; the type is
//! its `type`, such as `balancePlatform.accountHolder.created`, and its id is its `eventId`, or else the body itself.
//!
//! Adyen is answered `[accepted]`, which its older accounts want to read
//! (<https://www.adyen.com/knowledge-hub/webhooks-accept-2xx>). It retries for up to 30 days, the oldest first: one event
//! that is refused holds up the others
//! (<https://docs.adyen.com/development-resources/webhooks/handle-webhook-events>).

use std::time::Duration;

use bowline_model::Secret;
use bowline_signature::{BadKey, Scheme, SigningSecret, adyen::HEADER};
use serde_json::{Value, json};

use crate::{
    Delivery, Named, RawRequest, ReceiptForm, Rejection,
    sender::{JSON, Place, Row, Sender},
};

/// For how long a redelivery is recognised: longer than Adyen retries.
pub const DEDUPE_FOR: Duration = Duration::from_hours(40 * 24);

/// Which part of a standard webhook's item a workflow receives.
pub const INPUT_POINTER: &str = "/NotificationRequestItem";

const NAME: &str = "adyen";
const RECEIPT: ReceiptForm =
    ReceiptForm::Text { body: "[accepted]", media_type: "text/plain; charset=utf-8" };
const ITEMS_POINTER: &str = "/notificationItems";

/// Adyen, with the HMAC keys of one webhook.
#[derive(Debug, Clone)]
pub struct Adyen {
    scheme: bowline_signature::Adyen,
}

impl Adyen {
    /// With the webhook's HMAC key, hex digits.
    ///
    /// # Errors
    /// If it is none.
    pub fn new(key: &Secret) -> Result<Self, BadKey> {
        Ok(Self { scheme: bowline_signature::Adyen::new(&SigningSecret::new(key.expose())?)? })
    }

    /// Also accepts what this key signed: a new key takes time until all of Adyen has it.
    ///
    /// # Errors
    /// If it is none.
    pub fn also_accept(self, key: &Secret) -> Result<Self, BadKey> {
        Ok(Self { scheme: self.scheme.also_accept(&SigningSecret::new(key.expose())?)? })
    }
}

/// Of what is signed as a whole.
const WHOLE: Row = Row {
    name: NAME,
    media_types: JSON,
    kind: Place::Pointer("/type"),
    id: Place::FirstOf(&[Place::Pointer("/eventId"), Place::Digest]),
    input_pointer: "",
    dedupe_for: DEDUPE_FOR,
    receipt: RECEIPT,
};

impl Sender for Adyen {
    const ROW: Row = Row {
        name: NAME,
        media_types: JSON,
        kind: Place::Pointer("/NotificationRequestItem/eventCode"),
        id: Place::Composite(&[
            "/NotificationRequestItem/pspReference",
            "/NotificationRequestItem/eventCode",
            "/NotificationRequestItem/success",
        ]),
        input_pointer: INPUT_POINTER,
        dedupe_for: DEDUPE_FOR,
        receipt: RECEIPT,
    };

    fn scheme(&self) -> &dyn Scheme {
        &self.scheme
    }

    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        if request.headers.contains_key(HEADER) {
            return WHOLE.delivery(request);
        }
        Self::ROW.batch(request, ITEMS_POINTER)
    }

    fn struck(&self) -> &'static [&'static str] {
        &["/NotificationRequestItem/additionalData/hmacSignature"]
    }

    /// A type with a full stop is one of a platform's.
    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        if event.kind.contains('.') {
            return WHOLE.body(event, input);
        }
        let mut item = Self::ROW.body(event, input);
        if let Some(Value::Object(fields)) = item.pointer_mut(INPUT_POINTER) {
            let defaults = [
                ("amount", json!({"currency": "EUR", "value": 0})),
                ("merchantAccountCode", "TestMerchant".into()),
                ("success", "true".into()),
            ];
            for (name, value) in defaults {
                fields.entry(name).or_insert(value);
            }
        }
        json!({"live": "false", "notificationItems": [item]})
    }
}
