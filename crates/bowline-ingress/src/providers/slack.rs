//! Slack: events, slash commands and interactions, at one URL or at several.
//!
//! | Body | Event's type | A workflow receives |
//! |---|---|---|
//! | an event (`event_callback`) | the inner event's `type`: `message`, `app_mention` | `/event`: the inner event (<https://docs.slack.dev/reference/events>) |
//! | a slash command (a form) | `command.` and its name: `command.todo` | the form's fields (<https://docs.slack.dev/interactivity/implementing-slash-commands>) |
//! | an interaction (a form with a `payload`) | `interaction.` and its `type`: `interaction.block_actions` | the payload (<https://docs.slack.dev/reference/interaction-payloads>) |
//! | other JSON, as `app_rate_limited` | its `type` | the whole body |
//!
//! A form is kept as a JSON object of its fields. The `url_verification` with which Slack makes sure of a new URL is
//! answered once its signature is checked. The answer to all else is an empty 200: Slack would show what is in it to the
//! person who typed a command, and takes it for a message. Answer through the `response_url`.
//!
//! Slack waits 3 s, and sends an event again at once, after 1 min and after 5 min, or hourly for a day where delayed
//! events are turned on (<https://docs.slack.dev/apis/events-api/#retries>): under the same `event_id`. Commands and
//! interactions are not sent again; the same one twice is known by its bytes, which have an id of their own in them.
//!
//! The body's `token` is the verification token of old: it is not kept.

use std::{borrow::Cow, time::Duration};

use axum::http::{HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};
use bowline_model::Secret;
use bowline_signature::{EmptySecret, Scheme, SigningSecret, form::MEDIA_TYPE as FORM};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::json;
use crate::{
    Answer, Arrived, Delivery, Envelope, Handshake, Named, Provider, RawRequest, ReceiptForm, Rejection,
    SignError, SignedRequest, Unsigned, form, sender::UNKNOWN,
};

/// For how long a redelivery is recognised: longer than the day for which Slack may retry.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

/// Which part of an event a workflow receives; of commands and interactions it is all.
pub const INPUT_POINTER: &str = "/event";

/// What the types of slash commands begin with.
pub const COMMAND_PREFIX: &str = "command.";

/// What the types of interactions begin with.
pub const INTERACTION_PREFIX: &str = "interaction.";

const NAME: &str = "slack";
const JSON: &str = "application/json";

/// Slack, with the signing secrets of one app.
#[derive(Debug, Clone)]
pub struct Slack {
    scheme: bowline_signature::Slack,
}

impl Slack {
    /// With the app's signing secret.
    ///
    /// # Errors
    /// If the secret is empty.
    pub fn new(secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { scheme: bowline_signature::Slack::new(SigningSecret::new(secret.expose())?) })
    }

    /// Also accepts what this secret signed: for the time in which one secret replaces another.
    ///
    /// # Errors
    /// If the secret is empty.
    pub fn also_accept(self, secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { scheme: self.scheme.also_accept(SigningSecret::new(secret.expose())?) })
    }

    /// How far from now a request may be signed; [`TOLERANCE`](bowline_signature::slack::TOLERANCE) unless set.
    pub fn tolerance(self, tolerance: Duration) -> Self {
        Self { scheme: self.scheme.tolerance(tolerance) }
    }
}

impl Provider for Slack {
    fn name(&self) -> &'static str {
        NAME
    }

    fn media_types(&self) -> &'static [&'static str] {
        &[JSON, FORM]
    }

    fn dedupe_for(&self) -> Duration {
        DEDUPE_FOR
    }

    fn input_pointer(&self) -> &str {
        INPUT_POINTER
    }

    fn authenticate(&self, request: &RawRequest<'_>, now: Timestamp) -> Result<(), Rejection> {
        Ok(self.scheme.verify(&request.as_signed(), now)?)
    }

    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        let arrived = if form::is_form(request) {
            action(request.body)?
        } else {
            json::check(request.body)?;
            match json::text_at(request.body, "/type")?.as_deref() {
                Some("url_verification") => return challenged(request.body),
                Some("event_callback") => event(request.body)?,
                Some(kind) => whole(request.body.clone(), kind.to_owned(), request.body),
                None => whole(request.body.clone(), UNKNOWN.to_owned(), request.body),
            }
        };
        Ok(Delivery::Events(vec![arrived]))
    }

    fn receipt(&self, _request: &RawRequest<'_>) -> ReceiptForm {
        ReceiptForm::Empty(StatusCode::OK)
    }

    fn struck(&self) -> &'static [&'static str] {
        &["/token"]
    }

    fn credential_headers(&self) -> Vec<HeaderName> {
        self.scheme.headers()
    }

    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<SignedRequest, SignError> {
        let kind = unsigned.kind.unwrap_or_default();
        let (content_type, body) = if kind.starts_with(COMMAND_PREFIX) {
            (FORM, form::from_json(unsigned.body).ok_or_else(no_form)?)
        } else if kind.starts_with(INTERACTION_PREFIX) {
            let payload = std::str::from_utf8(unsigned.body).map_err(|_| no_form())?;
            (FORM, form::from_json(json!({"payload": payload}).to_string().as_bytes()).ok_or_else(no_form)?)
        } else {
            (JSON, Bytes::copy_from_slice(unsigned.body))
        };
        let signed = self
            .scheme
            .sign(&bowline_signature::Unsigned::json("", &body), now)
            .map_err(|cannot| SignError::new(NAME, cannot.to_string()))?;
        let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static(content_type))];
        headers.extend(signed.headers);
        Ok(SignedRequest { headers, body })
    }

    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        let mut body = input.clone();
        let named = if let Some(command) = event.kind.strip_prefix(COMMAND_PREFIX) {
            [("command", format!("/{command}")), ("trigger_id", event.id.to_owned())]
        } else if let Some(kind) = event.kind.strip_prefix(INTERACTION_PREFIX) {
            [("type", kind.to_owned()), ("trigger_id", event.id.to_owned())]
        } else {
            let mut inner = input.clone();
            if let Value::Object(inner) = &mut inner {
                inner.insert("type".to_owned(), event.kind.into());
            }
            return json!({"type": "event_callback", "event_id": event.id, "event": inner});
        };
        if let Value::Object(object) = &mut body {
            for (name, value) in named {
                object.entry(name).or_insert_with(|| value.into());
            }
        }
        body
    }
}

/// What the `url_verification` wants to be told.
fn challenged(body: &Bytes) -> Result<Delivery, Rejection> {
    let challenge = json::text_at(body, "/challenge")?
        .ok_or_else(|| Rejection::unroutable("Slack's url_verification has no challenge"))?;
    Ok(Delivery::Handshake(Handshake::Answer(Answer::json(&json!({"challenge": challenge})))))
}

fn event(body: &Bytes) -> Result<Arrived, Rejection> {
    let kind = json::text_at(body, "/event/type")?.unwrap_or_else(|| UNKNOWN.to_owned());
    let envelope = match json::text_at(body, "/event_id")? {
        Some(id) => Envelope::new(id, kind),
        None => Envelope::without_id(kind),
    };
    Ok(Arrived { envelope, body: body.clone(), input_pointer: Cow::Borrowed(INPUT_POINTER) })
}

/// A slash command or an interaction.
fn action(form: &Bytes) -> Result<Arrived, Rejection> {
    let fields = form::to_json(form)?;
    if let Some(payload) = json::text_at(&fields, "/payload")? {
        let payload = Bytes::from(payload);
        json::check(&payload)?;
        let kind = json::text_at(&payload, "/type")?.unwrap_or_else(|| UNKNOWN.to_owned());
        return Ok(whole(payload, format!("{INTERACTION_PREFIX}{kind}"), form));
    }
    let kind = match json::text_at(&fields, "/command")? {
        Some(command) => format!("{COMMAND_PREFIX}{}", command.trim_start_matches('/')),
        None => UNKNOWN.to_owned(),
    };
    Ok(whole(fields, kind, form))
}

/// All of it; known again by the bytes that were sent.
fn whole(body: Bytes, kind: String, sent: &Bytes) -> Arrived {
    Arrived { envelope: Envelope::new(json::id_of(sent), kind), body, input_pointer: Cow::Borrowed("") }
}

fn no_form() -> SignError {
    SignError::new(NAME, "commands and interactions come as forms, and this body is no object of texts")
}
