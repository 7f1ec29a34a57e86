//! Paddle Billing's notifications.
//!
//! A workflow receives `data`: the entity as it was when the event occurred
//! (<https://developer.paddle.com/webhooks/about/how-webhooks-work>). The event's type is its `event_type`:
//! `transaction.completed`.
//!
//! Paddle waits 5 s, and retries 60 times in 3 days; in its sandbox 3 times in 15 min
//! (<https://developer.paddle.com/webhooks/respond-to-webhooks>). It says to know an event again by its `event_id`; what
//! is sent to two destinations has one `event_id`, and two `notification_id`s.

use std::time::Duration;

use bowline_model::Secret;
use bowline_signature::{EmptySecret, Scheme, SigningSecret};

use crate::{
    ReceiptForm,
    sender::{JSON, Place, Row, Sender},
};

/// For how long a redelivery is recognised: longer than the 3 days for which Paddle retries.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

/// Which part of the body a workflow receives.
pub const INPUT_POINTER: &str = "/data";

/// Paddle, with the secrets of one notification destination.
#[derive(Debug, Clone)]
pub struct Paddle {
    scheme: bowline_signature::Paddle,
}

impl Paddle {
    /// With the destination's secret: the whole `pdl_ntfset_…` string.
    ///
    /// # Errors
    /// If the secret is empty.
    pub fn new(secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { scheme: bowline_signature::Paddle::new(SigningSecret::new(secret.expose())?) })
    }

    /// Also accepts what this secret signed: for the time in which one secret replaces another.
    ///
    /// # Errors
    /// If the secret is empty.
    pub fn also_accept(self, secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { scheme: self.scheme.also_accept(SigningSecret::new(secret.expose())?) })
    }

    /// How far from now a notification may be signed; [`TOLERANCE`](bowline_signature::paddle::TOLERANCE), which is 5 s,
    /// unless set.
    pub fn tolerance(self, tolerance: Duration) -> Self {
        Self { scheme: self.scheme.tolerance(tolerance) }
    }
}

impl Sender for Paddle {
    const ROW: Row = Row {
        name: "paddle",
        media_types: JSON,
        kind: Place::Pointer("/event_type"),
        id: Place::Pointer("/event_id"),
        input_pointer: INPUT_POINTER,
        dedupe_for: DEDUPE_FOR,
        receipt: ReceiptForm::Json,
    };

    fn scheme(&self) -> &dyn Scheme {
        &self.scheme
    }
}
