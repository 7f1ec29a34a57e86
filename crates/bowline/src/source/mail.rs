//! SendGrid and Mailgun.

use bowline_ingress::providers;

use super::{Source, signed_as, signed_with};

/// SendGrid's Event Webhook, signed. A workflow receives each event; the types are `delivered`, `bounce`.
#[derive(Debug)]
pub struct SendGrid;

impl SendGrid {
    /// Signed with the key whose public half, the Event Webhook's verification key, is in that variable; several, separated
    /// by commas, are all accepted.
    pub fn public_key_env<S>(variable: &str) -> Source<S> {
        let purpose = "the verification key of the SendGrid Event Webhook, from its security features";
        signed_as(
            variable,
            purpose,
            || providers::sendgrid::TEST_KEY.to_owned(),
            |first, more| {
                let sendgrid = providers::SendGrid::new(first)?;
                more.iter().try_fold(sendgrid, |sendgrid, key| sendgrid.also_accept(key))
            },
        )
    }
}

/// Mailgun's webhooks. A workflow receives the `event-data`; the types are `delivered`, `failed`.
#[derive(Debug)]
pub struct Mailgun;

impl Mailgun {
    /// Signed with the account's HTTP webhook signing key in that variable; several, separated by commas, are all accepted.
    pub fn signing_key_env<S>(variable: &str) -> Source<S> {
        signed_with(variable, "the HTTP webhook signing key of the Mailgun account", |first, more| {
            let mailgun = providers::Mailgun::new(first)?;
            more.iter().try_fold(mailgun, |mailgun, key| mailgun.also_accept(key))
        })
    }
}
