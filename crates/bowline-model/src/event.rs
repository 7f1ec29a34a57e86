//! One immutable accepted input.

mod input;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{EventId, NewRun};

/// An event on its way in: verified, not yet on disk.
///
/// Its pair of [`source`](Self::source) and [`dedupe_key`](Self::dedupe_key) names it: the store accepts a pair once
/// until [`dedupe_until`](Self::dedupe_until).
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Where it came in: a webhook's path, a schedule's or a poll's name.
    pub source: String,
    /// Who sent it, e.g. `stripe`. Decides how `send` signs it again.
    pub provider: String,
    /// The provider's type, e.g. `payment_intent.succeeded`.
    pub kind: String,
    /// The provider's id of the event; the same on every redelivery. At most [`DEDUPE_KEY_BYTES_MAX`].
    pub dedupe_key: String,
    /// Until when a redelivery is recognised: longer than the provider retries.
    pub dedupe_until: Timestamp,
    /// When its last byte was read.
    pub received_at: Timestamp,
    /// Header names (lower case) and values, with signatures and credentials left out.
    pub headers: Vec<(String, String)>,
    /// The body's bytes exactly as received.
    pub body: Bytes,
    /// Which part of the JSON body a workflow receives, as a JSON pointer (RFC 6901): `/data/object` for Stripe,
    /// empty for the whole body.
    pub input_pointer: String,
    /// The runs it starts. An event may start several, never two of one workflow.
    pub runs: Vec<NewRun>,
}

/// Longest accepted dedupe key.
pub const DEDUPE_KEY_BYTES_MAX: usize = 512;

/// An accepted event, as the store gives it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The store's id.
    pub id: EventId,
    /// See [`NewEvent::source`].
    pub source: String,
    /// See [`NewEvent::provider`].
    pub provider: String,
    /// See [`NewEvent::kind`].
    pub kind: String,
    /// See [`NewEvent::dedupe_key`].
    pub dedupe_key: String,
    /// See [`NewEvent::received_at`].
    pub received_at: Timestamp,
    /// See [`NewEvent::headers`].
    pub headers: Vec<(String, String)>,
    /// See [`NewEvent::body`].
    #[serde(with = "body_text")]
    pub body: Bytes,
    /// See [`NewEvent::input_pointer`].
    pub input_pointer: String,
}

impl Event {
    /// The whole body as JSON.
    ///
    /// # Errors
    /// If the body is not JSON.
    pub fn json(&self) -> Result<serde_json::Value, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// The part of the body that a workflow receives: the body at [`input_pointer`](Self::input_pointer).
    ///
    /// # Errors
    /// [`InputError`] if the body is not JSON, or has nothing at the pointer.
    pub fn input(&self) -> Result<serde_json::Value, InputError> {
        Ok(serde_json::from_str(self.input_text()?.get())?)
    }

    /// As [`input`](Self::input), as the text that it is in the body.
    ///
    /// # Errors
    /// As [`input`](Self::input).
    pub fn input_text(&self) -> Result<&RawValue, InputError> {
        input::find(&self.body, &self.input_pointer)
    }
}

/// The part of a JSON body that `pointer` (RFC 6901) leads to, as its text; nothing else of the body is built, however
/// large or deeply nested it is. Of a name that an object has twice the last counts.
///
/// ```
/// let body = br#"{"data": {"object": {"id": "pi_1"}}, "type": "payment_intent.succeeded"}"#;
/// assert_eq!(bowline_model::event::part(body, "/data/object")?.get(), r#"{"id": "pi_1"}"#);
/// # Ok::<(), bowline_model::event::InputError>(())
/// ```
///
/// # Errors
/// [`InputError`] if the body is not JSON, or has nothing there.
pub fn part<'a>(body: &'a [u8], pointer: &str) -> Result<&'a RawValue, InputError> {
    input::find(body, pointer)
}

/// Why an event's body holds no input for a workflow.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The body is not JSON.
    #[error("the event's body is not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// The body has nothing at the pointer.
    #[error("the event's body has nothing at {pointer}")]
    Missing {
        /// Where it was looked for.
        pointer: String,
    },
}

/// A body as text where it is UTF-8, else as an array of bytes: what people read in an export.
mod body_text {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Body {
        Text(String),
        Bytes(Vec<u8>),
    }

    pub(super) fn serialize<S: Serializer>(body: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(body) {
            Ok(text) => to.serialize_str(text),
            Err(_) => Body::Bytes(body.to_vec()).serialize(to),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        Ok(match Body::deserialize(from)? {
            Body::Text(text) => Bytes::from(text),
            Body::Bytes(bytes) => Bytes::from(bytes),
        })
    }
}
