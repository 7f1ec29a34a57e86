//! Customers who write, answer and book, and the books: Intercom, Zendesk, Typeform, Calendly, Meta, Xero.

use std::sync::Arc;

use bowline_ingress::{Provider, providers};
use bowline_model::Secret;
use bowline_signature::EmptySecret;

use super::{secrets, signed_with};
use crate::Source;

/// Intercom's webhooks. A workflow receives `data.item`; the types are the topics: `conversation.user.created`
/// (<https://developers.intercom.com/docs/references/webhooks/webhook-models>).
#[derive(Debug)]
pub struct Intercom;

impl Intercom {
    /// Signed with the app's client secret in that variable; several, separated by commas, are all accepted.
    pub fn secret_env<S>(variable: &str) -> Source<S> {
        signed_with(variable, "the client secret of the Intercom app", |first, more| {
            let intercom = providers::Intercom::new(first)?;
            more.iter().try_fold(intercom, |intercom, secret| intercom.also_accept(secret))
        })
    }
}

/// Zendesk's webhooks, of events and of triggers. A workflow receives the whole body; the types are those of events
/// without `zen:event-type:`, such as `user.active_changed`
/// (<https://developer.zendesk.com/api-reference/webhooks/event-types/webhook-event-types/>), and of what a trigger sends
/// its `type`, or `unknown`.
#[derive(Debug)]
pub struct Zendesk;

impl Zendesk {
    /// Signed with the webhook's signing secret in that variable; several, separated by commas, are all
    /// accepted.
    pub fn secret_env<S>(variable: &str) -> Source<S> {
        signed_with(variable, "the signing secret of the Zendesk webhook", |first, more| {
            let zendesk = providers::Zendesk::new(first)?;
            more.iter().try_fold(zendesk, |zendesk, secret| zendesk.also_accept(secret))
        })
    }
}

/// Typeform's webhooks. A workflow receives `form_response`; the type is `form_response`
/// (<https://www.typeform.com/developers/webhooks/example-payload/>).
///
/// Mind the path: a 404 makes Typeform switch the webhook off.
#[derive(Debug)]
pub struct Typeform;

impl Typeform {
    /// Signed with the webhook's secret in that variable; several, separated by commas, are all accepted.
    pub fn secret_env<S>(variable: &str) -> Source<S> {
        signed_with(variable, "the secret of the Typeform webhook", |first, more| {
            let typeform = providers::Typeform::new(first)?;
            more.iter().try_fold(typeform, |typeform, secret| typeform.also_accept(secret))
        })
    }
}

/// Calendly's webhooks. A workflow receives `payload`; the types are `invitee.created`, `invitee.canceled`
/// (<https://developer.calendly.com/api-docs/overview/webhooks/webhook-payload>).
#[derive(Debug)]
pub struct Calendly;

impl Calendly {
    /// Signed with the subscription's signing key in that variable; several, separated by commas, are all
    /// accepted.
    pub fn secret_env<S>(variable: &str) -> Source<S> {
        signed_with(variable, "the signing key of the Calendly webhook subscription", |first, more| {
            let calendly = providers::Calendly::new(first)?;
            more.iter().try_fold(calendly, |calendly, key| calendly.also_accept(key))
        })
    }
}

/// Xero's webhooks, which come in batches: each of `events` is an event, and what a workflow receives. The types are
/// `INVOICE.UPDATE`, `CONTACT.CREATE` (<https://developer.xero.com/documentation/guides/webhooks/overview/>).
#[derive(Debug)]
pub struct Xero;

impl Xero {
    /// Signed with the app's webhook key in that variable; several, separated by commas, are all accepted.
    pub fn secret_env<S>(variable: &str) -> Source<S> {
        signed_with(variable, "the webhook key of the Xero app", |first, more| {
            let xero = providers::Xero::new(first)?;
            more.iter().try_fold(xero, |xero, key| xero.also_accept(key))
        })
    }
}

/// Meta's webhooks: Facebook, Instagram, Messenger, WhatsApp. They come in batches: each item of each entry is an event. A
/// workflow receives it in Meta's form, with one entry that has one item; the types are `page.feed`, `page.messaging`,
/// `whatsapp_business_account.messages` (<https://developers.facebook.com/docs/graph-api/webhooks/>).
///
/// ```
/// use bowline::prelude::*;
///
/// struct Desk;
/// impl Desk {
///     async fn answer(self: Arc<Self>, cx: Context, message: serde_json::Value) -> Result { Ok(()) }
/// }
///
/// let app = App::new("desk", |_| Desk).webhook(
///     "/webhooks/whatsapp",
///     Meta::secret_env("META_APP_SECRET")
///         .verify_token_env("META_VERIFY_TOKEN")
///         .on("whatsapp_business_account.messages", workflow("answer", Desk::answer)),
/// );
/// ```
#[derive(Debug)]
pub struct Meta {
    variable: String,
}

impl Meta {
    /// Signed with the app secret in that variable; several, separated by commas, are all accepted.
    pub fn secret_env(variable: &str) -> Self {
        Self { variable: variable.to_owned() }
    }

    /// With the verify token in that variable: the one that is typed beside the address in Meta's dashboard, with which
    /// Meta asks whether the address is yours.
    pub fn verify_token_env<S>(self, variable: &str) -> Source<S> {
        let (secret_variable, token_variable) = (self.variable, variable.to_owned());
        Source::new(move |variables| {
            let stand_in = |variable: &str| format!("test-{variable}");
            // Both, so that both are named if they are missing.
            let purpose = "the app secret of the Meta app";
            let known = secrets(variables, &secret_variable, purpose, || stand_in(&secret_variable));
            let purpose = "the verify token, as it is typed in Meta's dashboard";
            let token = variables.require_or(&token_variable, purpose, || stand_in(&token_variable));
            let (known, token) = (known?, Secret::new(token?));
            let made = |(first, more): (&Secret, &[Secret])| -> Result<_, EmptySecret> {
                let meta = providers::Meta::new(first, &token)?;
                more.iter().try_fold(meta, |meta, secret| meta.also_accept(secret))
            };
            match made(known.split_first().expect("there is at least one")) {
                Ok(meta) => Some(Arc::new(meta) as Arc<dyn Provider>),
                Err(empty) => {
                    variables.problem(&token_variable, empty.to_string());
                    None
                }
            }
        })
    }
}
