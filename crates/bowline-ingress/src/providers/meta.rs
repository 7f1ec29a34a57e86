//! Meta's webhooks: of Facebook's pages, Instagram, Messenger, WhatsApp.
//!
//! A request holds up to 1,000 notifications, as `entry[].changes[]` or `entry[].messaging[]`
//! (<https://developers.facebook.com/docs/graph-api/webhooks/getting-started#event-notifications>). Each item of these is
//! one event here, deduplicated by itself. A workflow receives it in Meta's own form, with one entry that has one item:
//! `{"object": "page", "entry": [{"id": "…", "time": 1, "changes": [{"field": "feed", "value": {…}}]}]}`; so types made
//! for whole requests fit. An item can still hold several messages, as those of WhatsApp do (`value.messages[]`).
//!
//! The event's type is `object` and the item's `field`: `page.feed`, `whatsapp_business_account.messages`; or
//! `page.messaging`, `instagram.messaging`. An entry with neither list is one event, with `object` as its type.
//!
//! Events have no id; theirs is a digest here. Of messages, which have ids and times of their own, it is that of the item
//! (`messaging[]`, and `changes[]` with `value.messages` or `value.statuses`); of all else it is that of the item with its
//! entry's `id` and `time`, since equal changes may happen again: what Meta sends again with another `time` counts as
//! another event. Meta retries for 36 hours.
//!
//! Before it sends anything Meta asks with GET whether the address is yours, and wants `hub.challenge` back from whoever
//! knows the `hub.verify_token`.

use std::{collections::BTreeMap, time::Duration};

use axum::http::Method;
use bowline_model::{Secret, event::part};
use bowline_signature::{ApiKey, EmptySecret, Scheme, SigningSecret};
use serde_json::{Value, json as value, value::RawValue};
use sha2::{Digest, Sha256};

use crate::{
    Answer, Arrived, Delivery, Envelope, Named, RawRequest, ReceiptForm, Rejection,
    delivery::EVENTS_MAX,
    providers::json,
    sender::{JSON, Place, Row, Sender, UNKNOWN},
};

/// For how long a redelivery is recognised. Meta retries for 36 hours.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

/// Longest challenge that is echoed. Meta's are numbers of ten digits.
const CHALLENGE_BYTES_MAX: usize = 256;
/// The lists of an entry, and what stands for the item's `field` where it has none.
const LISTS: [&str; 3] = ["changes", "messaging", "standby"];
/// What of an entry comes with each of its items.
const COMMON: [&str; 3] = ["id", "time", "uid"];
/// Longest of these that comes with them: it is repeated for each.
const COMMON_BYTES_MAX: usize = 256;
const ENTRY_POINTER: &str = "/entry";

/// Meta, with the secrets of one app.
#[derive(Debug, Clone)]
pub struct Meta {
    signature: bowline_signature::Meta,
    verify_token: ApiKey,
}

impl Meta {
    /// With the app secret, which signs, and the verify token that was typed beside the address.
    ///
    /// # Errors
    /// If either is empty.
    pub fn new(app_secret: &Secret, verify_token: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self {
            signature: bowline_signature::Meta::new(SigningSecret::new(app_secret.expose())?),
            verify_token: ApiKey::new("hub.verify_token", SigningSecret::new(verify_token.expose())?),
        })
    }

    /// Also accepts what this app secret signed: for the time in which one replaces another.
    ///
    /// # Errors
    /// If it is empty.
    pub fn also_accept(self, app_secret: &Secret) -> Result<Self, EmptySecret> {
        let secret = SigningSecret::new(app_secret.expose())?;
        Ok(Self { signature: self.signature.also_accept(secret), ..self })
    }
}

impl Sender for Meta {
    const ROW: Row = Row {
        name: "meta",
        media_types: JSON,
        kind: Place::Pointer("/object"),
        id: Place::Nowhere,
        input_pointer: "",
        dedupe_for: DEDUPE_FOR,
        receipt: ReceiptForm::Json,
    };

    fn scheme(&self) -> &dyn Scheme {
        &self.signature
    }

    fn greet(&self, request: &RawRequest<'_>) -> Option<Result<Answer, Rejection>> {
        if request.method != Method::GET || request.parameter("hub.mode")? != "subscribe" {
            return None;
        }
        let token = request.parameter("hub.verify_token").unwrap_or_default();
        if self.verify_token.verify(Some(token.as_bytes())).is_err() {
            let reason = "hub.verify_token is another one than is known here; type the same on both sides";
            return Some(Err(Rejection::unauthentic(reason)));
        }
        let challenge = request.parameter("hub.challenge");
        let fits = challenge.filter(|text| !text.is_empty() && text.len() <= CHALLENGE_BYTES_MAX);
        let missing = "hub.challenge is missing or too long; Meta's is a number";
        Some(fits.map(Answer::text).ok_or_else(|| Rejection::unroutable(missing)))
    }

    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        let object = json::text_at(request.body, "/object")?.unwrap_or_else(|| UNKNOWN.to_owned());
        let mut events = vec![];
        for entry in json::items_at(request.body, ENTRY_POINTER)? {
            split(&object, entry, &mut events);
        }
        match events.len() {
            events if events > EVENTS_MAX => Err(Rejection::TooMany { events, events_max: EVENTS_MAX }),
            _few => Ok(Delivery::Events(events)),
        }
    }

    /// What a workflow receives has Meta's form already; else it is taken for the value of a change.
    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        if input.get("entry").is_some() {
            return input.clone();
        }
        let (object, field) = event.kind.split_once('.').unwrap_or((event.kind, "test"));
        value!({"object": object, "entry": [{"id": event.id, "changes": [{"field": field, "value": input}]}]})
    }
}

type Fields<'a> = BTreeMap<&'a str, &'a RawValue>;

/// The items of one entry, each as an event.
fn split(object: &str, entry: &RawValue, events: &mut Vec<Arrived>) {
    let fields: Fields<'_> = serde_json::from_str(entry.get()).unwrap_or_default();
    let common = common(&fields);
    let before = events.len();
    for list in LISTS {
        let items: Option<Vec<&RawValue>> =
            fields.get(list).and_then(|items| serde_json::from_str(items.get()).ok());
        for item in items.unwrap_or_default() {
            let field = json::text_at(item.get().as_bytes(), "/field").ok().flatten();
            let kind = format!("{object}.{}", field.as_deref().unwrap_or(list));
            let body = whole(object, &format!(r#"{{{common}"{list}":[{}]}}"#, item.get()));
            let id = if says_when_and_what(list, item) { digest(item.get()) } else { digest(&body) };
            events.push(arrived(kind, id, body));
        }
    }
    if events.len() == before {
        let body = whole(object, entry.get());
        events.push(arrived(object.to_owned(), digest(&body), body));
    }
}

/// What of an entry stands before each of its items, as the text of an object's fields.
fn common(fields: &Fields<'_>) -> String {
    let field = |name: &&str| {
        let text = fields.get(name)?.get();
        (text.len() <= COMMON_BYTES_MAX).then(|| format!("\"{name}\":{text},"))
    };
    COMMON.iter().filter_map(field).collect()
}

fn whole(object: &str, entry: &str) -> String {
    format!(r#"{{"object":{},"entry":[{entry}]}}"#, Value::from(object))
}

/// Whether no two genuine items are equal, also without their entries: messages have ids or times of their own.
fn says_when_and_what(list: &str, item: &RawValue) -> bool {
    let has = |pointer| part(item.get().as_bytes(), pointer).is_ok();
    list != "changes" || has("/value/messages") || has("/value/statuses")
}

fn arrived(kind: String, id: String, body: String) -> Arrived {
    let input_pointer = Meta::ROW.input_pointer.into();
    Arrived { envelope: Envelope::new(id, kind), body: body.into(), input_pointer }
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
