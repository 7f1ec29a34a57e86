//! Mailgun's webhooks, of the type `application/json`. (Stored and forwarded messages of routes are other ones, and
//! answered 415.)
//!
//! A workflow receives [`event-data`](INPUT_POINTER); the type is its `event`, such as `delivered`. The event's id is the
//! `token` of its signature and not its own id: the event is not signed, and a token that counted twice would let whoever
//! has seen one request send any other. Mailgun's docs say to honour a token once
//! (<https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks>); they do not say whether a
//! retry has the token of the first attempt. The signature is not kept.
//!
//! Mailgun retries for 8 hours whatever is answered, but for 200 and 406, with which it stops: 406 is never answered
//! (<https://help.mailgun.com/hc/en-us/articles/202236504-Webhooks>).

use std::time::Duration;

use axum::http::StatusCode;
use bowline_model::Secret;
use bowline_signature::{EmptySecret, Scheme, SigningSecret};

use crate::{
    ReceiptForm,
    sender::{JSON, Place, Row, Sender},
};

/// For how long a redelivery is recognised: longer than Mailgun retries.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

/// Which part of the body a workflow receives.
pub const INPUT_POINTER: &str = "/event-data";

/// Mailgun, with the webhook signing keys of one account.
#[derive(Debug, Clone)]
pub struct Mailgun {
    scheme: bowline_signature::Mailgun,
}

impl Mailgun {
    /// With the account's HTTP webhook signing key.
    ///
    /// # Errors
    /// If it is empty.
    pub fn new(key: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { scheme: bowline_signature::Mailgun::new(SigningSecret::new(key.expose())?) })
    }

    /// Also accepts what this key signed: for the time in which one key replaces another.
    ///
    /// # Errors
    /// If it is empty.
    pub fn also_accept(self, key: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { scheme: self.scheme.also_accept(SigningSecret::new(key.expose())?) })
    }

    /// How far from now a request may be signed; any time unless set. Mailgun repeats for 8 hours.
    pub fn tolerance(self, tolerance: Duration) -> Self {
        Self { scheme: self.scheme.tolerance(tolerance) }
    }
}

impl Sender for Mailgun {
    const ROW: Row = Row {
        name: "mailgun",
        media_types: JSON,
        kind: Place::Pointer("/event-data/event"),
        id: Place::Pointer("/signature/token"),
        input_pointer: INPUT_POINTER,
        dedupe_for: DEDUPE_FOR,
        receipt: ReceiptForm::Json,
    };

    fn scheme(&self) -> &dyn Scheme {
        &self.scheme
    }

    fn refuses_with(&self, status: StatusCode) -> StatusCode {
        if status == StatusCode::NOT_ACCEPTABLE { StatusCode::BAD_REQUEST } else { status }
    }

    fn struck(&self) -> &'static [&'static str] {
        &["/signature"]
    }
}
