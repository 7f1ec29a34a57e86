//! Messages, calls and meetings: Slack, Twilio, Zoom.

use bowline_ingress::providers;

use super::signed_with;
use crate::Source;

/// Slack's events, slash commands and interactions.
///
/// | Type | A workflow receives |
/// |---|---|
/// | `message`, `app_mention` and the like | the inner event (<https://docs.slack.dev/reference/events>) |
/// | `command.todo` | the fields of `/todo` (<https://docs.slack.dev/interactivity/implementing-slash-commands>) |
/// | `interaction.block_actions` and the like | the payload (<https://docs.slack.dev/reference/interaction-payloads>) |
///
/// Slack is answered with an empty 200 once the event is on disk: answer people through the `response_url`.
#[derive(Debug)]
pub struct Slack;

impl Slack {
    /// Signed with the app's signing secret in that variable; several, separated by commas, are all accepted.
    pub fn secret_env<S>(variable: &str) -> Source<S> {
        signed_with(variable, "the signing secret of the Slack app", |first, more| {
            let slack = providers::Slack::new(first)?;
            more.iter().try_fold(slack, |slack, secret| slack.also_accept(secret))
        })
    }
}

/// Twilio's messages, calls and their status, by POST. A workflow receives the form's fields as texts; the types are
/// `message.received`, `message.delivered`, `call.ringing`, `callback`
/// (<https://www.twilio.com/docs/messaging/guides/webhook-request>).
///
/// Twilio is answered with empty TwiML once the event is on disk. It signs the URL: set `BOWLINE_PUBLIC_URL`.
#[derive(Debug)]
pub struct Twilio;

impl Twilio {
    /// Signed with the account's auth token in that variable; several, separated by commas, are all accepted.
    pub fn secret_env<S>(variable: &str) -> Source<S> {
        signed_with(variable, "the auth token of the Twilio account", |first, more| {
            let twilio = providers::Twilio::new(first)?;
            more.iter().try_fold(twilio, |twilio, token| twilio.also_accept(token))
        })
    }
}

/// Zoom's webhooks. A workflow receives `payload`; the types are `meeting.started` and the like
/// (<https://developers.zoom.us/docs/api/webhooks/>).
#[derive(Debug)]
pub struct Zoom;

impl Zoom {
    /// Signed with the app's secret token in that variable; several, separated by commas, are all accepted.
    pub fn secret_env<S>(variable: &str) -> Source<S> {
        signed_with(variable, "the secret token of the Zoom app", |first, more| {
            let zoom = providers::Zoom::new(first)?;
            more.iter().try_fold(zoom, |zoom, token| zoom.also_accept(token))
        })
    }
}
