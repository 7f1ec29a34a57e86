//! Shopify's webhooks over HTTPS, and its Events.
//!
//! A workflow receives the whole body: the resource, as the topic's reference shows it
//! (<https://shopify.dev/docs/api/webhooks>). The event's type is the topic as Shopify writes it: `orders/create`.
//!
//! An event is known again by its `x-shopify-webhook-id`, which Shopify's libraries call the idempotency key
//! (<https://shopify.dev/docs/api/shopify-app-remix/latest/authenticate/webhook>). The `x-shopify-event-id` beside it is
//! not taken: one event in a shop may cause webhooks of several topics, all under that id, and each of them counts. Two
//! subscriptions of one topic are therefore two events.
//!
//! Shopify waits 5 s, and retries 8 times in 4 h; then it gives the webhook up, and after that the subscription
//! (<https://shopify.dev/docs/apps/build/webhooks/troubleshooting-webhooks>). What is signed is the body alone: the
//! signature cannot tell whether topic and ids were changed on the way.

use std::time::Duration;

use bowline_model::Secret;
use bowline_signature::{EmptySecret, Scheme, SigningSecret};

use crate::{
    ReceiptForm,
    sender::{JSON, Place, Row, Sender},
};

/// For how long a redelivery is recognised: longer than the 4 hours for which Shopify retries.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

/// Shopify, with the client secrets of one app.
#[derive(Debug, Clone)]
pub struct Shopify {
    scheme: bowline_signature::Shopify,
}

impl Shopify {
    /// With the app's client secret; or, for webhooks that were made in a shop's settings, with the secret shown there.
    ///
    /// # Errors
    /// If the secret is empty.
    pub fn new(secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { scheme: bowline_signature::Shopify::new(SigningSecret::new(secret.expose())?) })
    }

    /// Also accepts what this secret signed: for the time in which one secret replaces another.
    ///
    /// # Errors
    /// If the secret is empty.
    pub fn also_accept(self, secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { scheme: self.scheme.also_accept(SigningSecret::new(secret.expose())?) })
    }
}

impl Sender for Shopify {
    const ROW: Row = Row {
        name: "shopify",
        media_types: JSON,
        kind: Place::FirstOf(&[Place::Header("x-shopify-topic"), Place::Header("shopify-topic")]),
        id: Place::FirstOf(&[Place::Header("x-shopify-webhook-id"), Place::Header("shopify-webhook-id")]),
        input_pointer: "",
        dedupe_for: DEDUPE_FOR,
        receipt: ReceiptForm::Json,
    };

    fn scheme(&self) -> &dyn Scheme {
        &self.scheme
    }
}
