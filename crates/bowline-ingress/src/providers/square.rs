//! Square's webhooks. The public URL of this server must be known: Square signs the notification URL, to the letter.
//!
//! A workflow receives `data`: the `type` and `id` of what the event is about, and mostly the `object` itself
//! (<https://developer.squareup.com/docs/webhooks/overview>). The event's type is its `type`: `payment.updated`.
//!
//! Square waits 10 s, and has retried for up to 72 h; after three weeks without a 2xx it disables the subscription. It
//! says to know an event again by its `event_id` (<https://developer.squareup.com/docs/webhooks/step4manage>).

use std::time::Duration;

use bowline_model::Secret;
use bowline_signature::{EmptySecret, Scheme, SigningSecret};

use crate::{
    ReceiptForm,
    sender::{JSON, Place, Row, Sender},
};

/// For how long a redelivery is recognised: longer than the 3 days for which Square retries.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

/// Which part of the body a workflow receives.
pub const INPUT_POINTER: &str = "/data";

/// Square, with the signature keys of one webhook subscription.
#[derive(Debug, Clone)]
pub struct Square {
    scheme: bowline_signature::Square,
}

impl Square {
    /// With the subscription's signature key.
    ///
    /// # Errors
    /// If the key is empty.
    pub fn new(key: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { scheme: bowline_signature::Square::new(SigningSecret::new(key.expose())?) })
    }

    /// Also accepts what this key signed: for the time in which one key replaces another.
    ///
    /// # Errors
    /// If the key is empty.
    pub fn also_accept(self, key: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { scheme: self.scheme.also_accept(SigningSecret::new(key.expose())?) })
    }
}

impl Sender for Square {
    const ROW: Row = Row {
        name: "square",
        media_types: JSON,
        kind: Place::Pointer("/type"),
        id: Place::Pointer("/event_id"),
        input_pointer: INPUT_POINTER,
        dedupe_for: DEDUPE_FOR,
        receipt: ReceiptForm::Json,
    };

    fn scheme(&self) -> &dyn Scheme {
        &self.scheme
    }

    fn signs_url(&self) -> bool {
        true
    }
}
