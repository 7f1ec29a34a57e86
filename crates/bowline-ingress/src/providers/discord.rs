//! Discord: webhook events, and interactions.
//!
//! Of a webhook event ([`Discord`]) a workflow receives [`event`](INPUT_POINTER): its `type`, which is the event's type,
//! such as `APPLICATION_AUTHORIZED`, its `timestamp` and its `data`. It has no id: the same bytes are the same event.
//! Discord wants 204 within 3 seconds, and retries for 10 minutes
//! (<https://discord.com/developers/docs/events/webhook-events>).
//!
//! Of an interaction ([`DiscordInteractions`]) a workflow receives the whole body. Its `token`, with which it can be
//! responded to for 15 minutes, is part of it. The type is what it is: `APPLICATION_COMMAND`, `MESSAGE_COMPONENT` or
//! `MODAL_SUBMIT`; its id is its `id`. Discord is told that a message will follow, `{"type":5}`; requests for
//! autocompletion are answered with no choices, and start nothing
//! (<https://discord.com/developers/docs/interactions/receiving-and-responding>).
//!
//! The PING of either is answered, and nothing is stored. Requests with bad signatures, which Discord sends on purpose, are
//! answered 401.

use std::time::Duration;

use axum::http::StatusCode;
use bowline_model::Secret;
use bowline_signature::{BadKey, Scheme};
use serde_json::{Value, json};

use super::json;
use crate::{
    Answer, Delivery, Envelope, Handshake, Named, RawRequest, ReceiptForm, Rejection,
    sender::{JSON, Place, Row, Sender, UNKNOWN},
};

/// For how long a redelivery is recognised: longer than Discord retries.
pub const DEDUPE_FOR: Duration = Duration::from_hours(7 * 24);

/// Which part of a webhook event's body a workflow receives.
pub const INPUT_POINTER: &str = "/event";

/// A key pair that everybody knows: for tests only.
pub const TEST_KEY: &str = "daf7d9d4d3301e7b9f86895b46df1ab3ceac13056d1c86e9e3e40534219b0dfe898762edafdf4976ed6dde00bce8d55e2af6c7a7aa6ed62670d433e25972788b";

const TYPE_POINTER: &str = "/type";
/// Of webhook events: <https://discord.com/developers/docs/events/webhook-events#webhook-types>.
const EVENT_PING: &str = "0";
/// Of interactions:
/// <https://discord.com/developers/docs/interactions/receiving-and-responding#interaction-object-interaction-type>.
const INTERACTION_PING: &str = "1";
const AUTOCOMPLETE: &str = "4";
const INTERACTIONS: [(&str, &str); 3] =
    [("2", "APPLICATION_COMMAND"), ("3", "MESSAGE_COMPONENT"), ("5", "MODAL_SUBMIT")];

/// Discord's webhook events, with the public key of one application.
#[derive(Debug, Clone)]
pub struct Discord {
    scheme: bowline_signature::Discord,
}

/// Discord's interactions, with the public key of one application.
#[derive(Debug, Clone)]
pub struct DiscordInteractions {
    scheme: bowline_signature::Discord,
}

impl Discord {
    /// With the application's public key, 64 hex digits.
    ///
    /// # Errors
    /// If it is none.
    pub fn new(key: &Secret) -> Result<Self, BadKey> {
        Ok(Self { scheme: bowline_signature::Discord::new(key.expose())? })
    }

    /// Also accepts what belongs to this key: for an address that two applications use.
    ///
    /// # Errors
    /// If it is none.
    pub fn also_accept(self, key: &Secret) -> Result<Self, BadKey> {
        Ok(Self { scheme: self.scheme.also_accept(key.expose())? })
    }
}

impl DiscordInteractions {
    /// With the application's public key, 64 hex digits.
    ///
    /// # Errors
    /// If it is none.
    pub fn new(key: &Secret) -> Result<Self, BadKey> {
        Ok(Self { scheme: bowline_signature::Discord::new(key.expose())? })
    }

    /// Also accepts what belongs to this key: for an address that two applications use.
    ///
    /// # Errors
    /// If it is none.
    pub fn also_accept(self, key: &Secret) -> Result<Self, BadKey> {
        Ok(Self { scheme: self.scheme.also_accept(key.expose())? })
    }
}

impl Sender for Discord {
    const ROW: Row = Row {
        name: "discord",
        media_types: JSON,
        kind: Place::Pointer("/event/type"),
        id: Place::Digest,
        input_pointer: INPUT_POINTER,
        dedupe_for: DEDUPE_FOR,
        receipt: ReceiptForm::Empty(StatusCode::NO_CONTENT),
    };

    fn scheme(&self) -> &dyn Scheme {
        &self.scheme
    }

    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        if json::text_at(request.body, TYPE_POINTER)?.as_deref() == Some(EVENT_PING) {
            return Ok(Delivery::Handshake(Handshake::Answer(Answer::empty(StatusCode::NO_CONTENT))));
        }
        Self::ROW.delivery(request)
    }

    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        let mut body = Self::ROW.body(event, input);
        json::put(&mut body, TYPE_POINTER, 1.into());
        // Without an id, two that are sent in a test are told apart by this only.
        json::put(&mut body, "/test_event_id", event.id.into());
        body
    }
}

impl Sender for DiscordInteractions {
    const ROW: Row = Row {
        name: "discord-interactions",
        media_types: JSON,
        kind: Place::Pointer(TYPE_POINTER),
        id: Place::Pointer("/id"),
        input_pointer: "",
        dedupe_for: DEDUPE_FOR,
        receipt: ReceiptForm::Text { body: r#"{"type":5}"#, media_type: "application/json" },
    };

    fn scheme(&self) -> &dyn Scheme {
        &self.scheme
    }

    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        let answer = |answer| Ok(Delivery::Handshake(Handshake::Answer(Answer::json(&answer))));
        let number = json::text_at(request.body, TYPE_POINTER)?.unwrap_or_default();
        match number.as_str() {
            INTERACTION_PING => return answer(json!({"type": 1})),
            AUTOCOMPLETE => return answer(json!({"type": 8, "data": {"choices": []}})),
            _an_event => {}
        }
        let mut arrived = Self::ROW.arrived(request, request.body.clone())?;
        let kind = INTERACTIONS.iter().find(|(known, _)| *known == number).map_or(UNKNOWN, |(_, kind)| kind);
        arrived.envelope = Envelope { kind: kind.to_owned(), ..arrived.envelope };
        Ok(Delivery::Events(vec![arrived]))
    }

    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        let mut body = Self::ROW.body(event, input);
        let number =
            INTERACTIONS.iter().find(|(_, kind)| *kind == event.kind).map_or("2", |(number, _)| number);
        if body.is_object() {
            json::put(&mut body, TYPE_POINTER, number.parse::<u8>().map_or(Value::Null, Value::from));
        }
        body
    }
}
