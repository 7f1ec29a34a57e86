//! Intercom's webhooks.
//!
//! A workflow receives `data.item`, which is what the topic is about
//! (<https://developers.intercom.com/docs/references/webhooks/webhook-models>). The event's type is the body's `topic`:
//! `conversation.user.created`, `contact.created`; its id is the body's `id` (`notif_…`). Both are signed.
//!
//! Before it takes an address, Intercom asks it with HEAD
//! (<https://developers.intercom.com/docs/webhooks/setting-up-webhooks>): answered 200. Endpoints that answer with errors
//! for a week are suspended.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use bowline_model::Secret;
use bowline_signature::{EmptySecret, Scheme, SigningSecret};

use crate::{
    Answer, RawRequest, ReceiptForm, Rejection,
    sender::{JSON, Place, Row, Sender},
};

/// For how long a redelivery is recognised.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

/// Which part of the body a workflow receives.
pub const INPUT_POINTER: &str = "/data/item";

/// Intercom, with the client secrets of one app.
#[derive(Debug, Clone)]
pub struct Intercom {
    signature: bowline_signature::Intercom,
}

impl Intercom {
    /// With the app's client secret.
    ///
    /// # Errors
    /// If it is empty.
    pub fn new(secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { signature: bowline_signature::Intercom::new(SigningSecret::new(secret.expose())?) })
    }

    /// Also accepts what this secret signed: for the time in which one replaces another.
    ///
    /// # Errors
    /// If it is empty.
    pub fn also_accept(self, secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { signature: self.signature.also_accept(SigningSecret::new(secret.expose())?) })
    }
}

impl Sender for Intercom {
    const ROW: Row = Row {
        name: "intercom",
        media_types: JSON,
        kind: Place::Pointer("/topic"),
        id: Place::Pointer("/id"),
        input_pointer: INPUT_POINTER,
        dedupe_for: DEDUPE_FOR,
        receipt: ReceiptForm::Json,
    };

    fn scheme(&self) -> &dyn Scheme {
        &self.signature
    }

    fn greet(&self, request: &RawRequest<'_>) -> Option<Result<Answer, Rejection>> {
        (request.method == Method::HEAD).then(|| Ok(Answer::empty(StatusCode::OK)))
    }
}
