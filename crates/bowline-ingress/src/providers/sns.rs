//! Amazon SNS over HTTPS.
//!
//! A workflow receives the whole message; its text, which is often JSON, is `Message`. The type is its `Type` and, after a
//! full stop, the name of its topic: `Notification.orders`, or `UnsubscribeConfirmation.orders` when somebody ends the
//! subscription; so `Notification.*` is all that is published. Its id is its `MessageId`.
//!
//! A `SubscriptionConfirmation` for a topic that is named is confirmed, by a GET of its `SubscribeURL`, once its signature is
//! known to be genuine. Messages of other topics are refused. So is what is delivered raw: it has no signature.
//!
//! SNS takes 4xx for delivered and does not send again; so every refusal here is 500 or above. It retries for an hour at
//! most (<https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html>), and says `text/plain` of its JSON
//! (<https://docs.aws.amazon.com/sns/latest/dg/http-header.html>).

use std::time::Duration;

use axum::http::StatusCode;
use bowline_signature::{BadKey, Scheme, sns::NOTIFICATION};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{json, test_key};
use crate::{
    Delivery, Envelope, Handshake, Named, RawRequest, ReceiptForm, Rejection,
    sender::{Place, Row, Sender},
};

/// For how long a redelivery is recognised: longer than SNS retries.
pub const DEDUPE_FOR: Duration = Duration::from_hours(7 * 24);

const TEST_URL: &str =
    "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-00000000000000000000000000000000.pem";

/// SNS, with the topics whose messages are taken.
#[derive(Debug, Clone)]
pub struct Sns {
    scheme: bowline_signature::Sns,
    /// Of which messages in tests are.
    topic: String,
}

impl Sns {
    /// With the ARNs of the topics whose messages are taken.
    ///
    /// # Errors
    /// If there is none, or one is not that of a topic.
    pub fn new<T: Into<String>>(topics: impl IntoIterator<Item = T>) -> Result<Self, BadKey> {
        let topics: Vec<String> = topics.into_iter().map(Into::into).collect();
        let scheme = bowline_signature::Sns::new(topics.clone())?;
        let topic = topics.into_iter().next().expect("there is one, else it was refused above");
        Ok(Self { scheme, topic })
    }

    /// Signs with a key that everybody knows, and takes what it signed: for tests only.
    pub fn with_test_key(self) -> Self {
        Self { scheme: self.scheme.signing_with(test_key::at(TEST_URL)), ..self }
    }
}

impl Sender for Sns {
    const ROW: Row = Row {
        name: "sns",
        media_types: &["text/plain", "application/json"],
        kind: Place::Pointer("/Type"),
        id: Place::Pointer("/MessageId"),
        input_pointer: "",
        dedupe_for: DEDUPE_FOR,
        receipt: ReceiptForm::Json,
    };

    fn scheme(&self) -> &dyn Scheme {
        &self.scheme
    }

    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        if let Some(url) = self.scheme.subscribe_url(request.body)? {
            return Ok(Delivery::Handshake(Handshake::Fetch { url }));
        }
        let mut arrived = Self::ROW.arrived(request, request.body.clone())?;
        let topic = json::text_at(request.body, "/TopicArn")?.unwrap_or_default();
        let name = topic.rsplit(':').next().unwrap_or_default();
        arrived.envelope = Envelope { kind: format!("{}.{name}", arrived.envelope.kind), ..arrived.envelope };
        Ok(Delivery::Events(vec![arrived]))
    }

    fn refuses_with(&self, status: StatusCode) -> StatusCode {
        if status.is_server_error() { status } else { StatusCode::INTERNAL_SERVER_ERROR }
    }

    fn fetched(&self, url: &str, bytes: &[u8], now: Timestamp) -> Result<(), Rejection> {
        Ok(self.scheme.learn(url, bytes, now)?)
    }

    fn content_type(&self) -> &'static str {
        "text/plain; charset=UTF-8"
    }

    /// Whoever has the first three subscribes to the topic or ends the subscription, without any other credential.
    fn struck(&self) -> &'static [&'static str] {
        &["/Token", "/SubscribeURL", "/UnsubscribeURL", "/Signature"]
    }

    /// What is no object is the text of a message. Without a topic's name in the type, the message is of the first one.
    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        let mut body = match input {
            Value::Object(_) => input.clone(),
            Value::String(text) => json!({"Message": text}),
            other => json!({"Message": other.to_string()}),
        };
        let kind = event.kind.split_once('.').map_or(NOTIFICATION, |(kind, _topic)| kind);
        let defaults = [
            ("Type", kind),
            ("MessageId", event.id),
            ("TopicArn", self.topic.as_str()),
            ("Message", ""),
            ("Timestamp", "2026-01-01T00:00:00.000Z"),
        ];
        let confirms = [
            ("Token", "token-of-tests"),
            ("SubscribeURL", "https://sns.us-east-1.amazonaws.com/?Action=Confirm"),
        ];
        let confirms = confirms.into_iter().filter(|_| kind != NOTIFICATION);
        if let Value::Object(fields) = &mut body {
            for (name, value) in defaults.into_iter().chain(confirms) {
                fields.entry(name).or_insert_with(|| value.into());
            }
        }
        body
    }
}
