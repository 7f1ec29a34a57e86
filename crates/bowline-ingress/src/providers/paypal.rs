//! PayPal's webhooks.
//!
//! A workflow receives [`resource`](INPUT_POINTER); the type is the `event_type`, such as `PAYMENT.CAPTURE.COMPLETED`, and
//! the id is the event's `id`. PayPal retries 25 times in three days
//! (<https://developer.paypal.com/api/rest/webhooks/rest/>).
//!
//! What is signed of the body is its CRC-32: see [`bowline_signature::paypal`].

use std::time::Duration;

use bowline_model::Secret;
use bowline_signature::{BadKey, Scheme};
use jiff::Timestamp;

use super::test_key;
use crate::{
    ReceiptForm, Rejection,
    sender::{JSON, Place, Row, Sender},
};

/// For how long a redelivery is recognised: longer than PayPal retries; people resend by hand as well.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

/// Which part of the body a workflow receives.
pub const INPUT_POINTER: &str = "/resource";

const TEST_URL: &str = "https://api.paypal.com/v1/notifications/certs/CERT-of-tests";
const SANDBOX_TEST_URL: &str = "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-of-tests";

/// PayPal, with the ids of webhooks.
#[derive(Debug, Clone)]
pub struct PayPal {
    scheme: bowline_signature::PayPal,
    test_url: &'static str,
}

impl PayPal {
    /// With the webhook's id, from the developer dashboard.
    ///
    /// # Errors
    /// If it is none.
    pub fn new(webhook_id: &Secret) -> Result<Self, BadKey> {
        Ok(Self { scheme: bowline_signature::PayPal::new(webhook_id.expose())?, test_url: TEST_URL })
    }

    /// Also accepts what was sent for this webhook: while one replaces another.
    ///
    /// # Errors
    /// If it is none.
    pub fn also_accept(self, webhook_id: &Secret) -> Result<Self, BadKey> {
        Ok(Self { scheme: self.scheme.also_accept(webhook_id.expose())?, ..self })
    }

    /// Of the sandbox, and not of the live system.
    pub fn sandbox(self) -> Self {
        Self { scheme: self.scheme.sandbox(), test_url: SANDBOX_TEST_URL }
    }

    /// Signs with a key that everybody knows, and takes what it signed: for tests only.
    pub fn with_test_key(self) -> Self {
        Self { scheme: self.scheme.signing_with(test_key::at(self.test_url)), ..self }
    }
}

impl Sender for PayPal {
    const ROW: Row = Row {
        name: "paypal",
        media_types: JSON,
        kind: Place::Pointer("/event_type"),
        id: Place::Pointer("/id"),
        input_pointer: INPUT_POINTER,
        dedupe_for: DEDUPE_FOR,
        receipt: ReceiptForm::Json,
    };

    fn scheme(&self) -> &dyn Scheme {
        &self.scheme
    }

    fn fetched(&self, url: &str, bytes: &[u8], now: Timestamp) -> Result<(), Rejection> {
        Ok(self.scheme.learn(url, bytes, now)?)
    }
}
