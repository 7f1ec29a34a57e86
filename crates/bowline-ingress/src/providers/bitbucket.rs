//! Bitbucket's webhooks, of Cloud and of Data Center.
//!
//! A workflow receives the whole body
//! (<https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/>). The event's type is the `x-event-key` header:
//! `repo:push`, `pullrequest:created`; so `repo:*` is all that happens to repositories. Its id is the `x-request-uuid`
//! header (Data Center: `x-request-id`). Of these only the body is signed: the signature cannot tell whether type and id
//! were changed on the way.
//!
//! Cloud sends again what was answered 5xx, up to two times and at once
//! (<https://support.atlassian.com/bitbucket-cloud/docs/troubleshoot-webhooks/>). It documents `x-request-uuid` as the
//! request's; if its attempts had different ones, a webhook whose answer was lost would be taken for two events.

use std::time::Duration;

use bowline_model::Secret;
use bowline_signature::{EmptySecret, Scheme, SigningSecret};

use crate::{
    ReceiptForm,
    sender::{JSON, Place, Row, Sender},
};

/// For how long a redelivery is recognised. Bitbucket retries at once, and people resend from its log of requests.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

/// Bitbucket, with the secrets of one webhook.
#[derive(Debug, Clone)]
pub struct Bitbucket {
    signature: bowline_signature::Bitbucket,
}

impl Bitbucket {
    /// With the webhook's secret.
    ///
    /// # Errors
    /// If it is empty.
    pub fn new(secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { signature: bowline_signature::Bitbucket::new(SigningSecret::new(secret.expose())?) })
    }

    /// Also accepts what this secret signed: for the time in which one replaces another.
    ///
    /// # Errors
    /// If it is empty.
    pub fn also_accept(self, secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { signature: self.signature.also_accept(SigningSecret::new(secret.expose())?) })
    }
}

impl Sender for Bitbucket {
    const ROW: Row = Row {
        name: "bitbucket",
        media_types: JSON,
        kind: Place::Header("x-event-key"),
        id: Place::FirstOf(&[Place::Header("x-request-uuid"), Place::Header("x-request-id")]),
        input_pointer: "",
        dedupe_for: DEDUPE_FOR,
        receipt: ReceiptForm::Json,
    };

    fn scheme(&self) -> &dyn Scheme {
        &self.signature
    }
}
