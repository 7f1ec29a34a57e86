//! HubSpot's webhooks, signed with version 3. The public URL of this server must be known: it is signed.
//!
//! HubSpot sends its events in batches of up to 100, each of which is an event of its own here. A workflow receives one
//! item (<https://developers.hubspot.com/docs/api-reference/webhooks-webhooks-v3/guide>); its type is the
//! `subscriptionType`: `contact.creation`, `deal.propertyChange`. A body that is an object is one event.
//!
//! HubSpot says that an `eventId` is not unique, and that a notification may come several times: an event is known again
//! if all of it is the same but its `attemptNumber`, which is the only field that is documented to change.
//!
//! HubSpot waits 5 s, and retries 10 times within 24 h; but not after 400, 401, 403, 404 and 405. What cannot be accepted
//! now is answered 503.

use std::{borrow::Cow, time::Duration};

use bowline_model::Secret;
use bowline_signature::{EmptySecret, Scheme, SigningSecret};
use bytes::Bytes;
use serde_json::Value;

use super::json;
use crate::{
    Arrived, Delivery, Envelope, Named, RawRequest, ReceiptForm, Rejection,
    sender::{JSON, Place, Row, Sender, UNKNOWN},
};

/// For how long a redelivery is recognised: longer than the day for which HubSpot retries.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

const KIND_POINTER: &str = "/subscriptionType";
/// Starts at 0, and counts the deliveries of one event.
const ATTEMPT_POINTER: &str = "/attemptNumber";

/// HubSpot, with the client secrets of one app.
#[derive(Debug, Clone)]
pub struct HubSpot {
    scheme: bowline_signature::HubSpot,
}

impl HubSpot {
    /// With the app's client secret.
    ///
    /// # Errors
    /// If the secret is empty.
    pub fn new(secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { scheme: bowline_signature::HubSpot::new(SigningSecret::new(secret.expose())?) })
    }

    /// Also accepts what this secret signed: for the time in which one secret replaces another.
    ///
    /// # Errors
    /// If the secret is empty.
    pub fn also_accept(self, secret: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { scheme: self.scheme.also_accept(SigningSecret::new(secret.expose())?) })
    }

    /// How old a request may be; [`TOLERANCE`](bowline_signature::hubspot::TOLERANCE) unless set.
    pub fn tolerance(self, tolerance: Duration) -> Self {
        Self { scheme: self.scheme.tolerance(tolerance) }
    }
}

impl Sender for HubSpot {
    const ROW: Row = Row {
        name: "hubspot",
        media_types: JSON,
        kind: Place::Pointer(KIND_POINTER),
        id: Place::Nowhere,
        input_pointer: "",
        dedupe_for: DEDUPE_FOR,
        receipt: ReceiptForm::Json,
    };

    fn scheme(&self) -> &dyn Scheme {
        &self.scheme
    }

    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        let items = json::items_at(request.body, "")?.into_iter();
        let items = items.map(|item| arrived(request.body.slice_ref(item.get().as_bytes())));
        Ok(Delivery::Events(items.collect()))
    }

    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        let mut item = Self::ROW.body(event, input);
        if let Value::Object(item) = &mut item {
            // What tells two events apart that are equal else.
            item.entry("eventId").or_insert_with(|| event.id.into());
        }
        Value::Array(vec![item])
    }

    fn signs_url(&self) -> bool {
        true
    }
}

/// An item without a type is an event all the same: it must not keep its neighbours from being accepted.
fn arrived(item: Bytes) -> Arrived {
    let kind = json::text_at(&item, KIND_POINTER).ok().flatten().filter(|kind| !kind.is_empty());
    let id = json::id_of(&json::without(&item, &[ATTEMPT_POINTER]));
    let envelope = Envelope::new(id, kind.unwrap_or_else(|| UNKNOWN.to_owned()));
    Arrived { envelope, body: item, input_pointer: Cow::Borrowed("") }
}
