//! Any sender that signs with an HMAC: say where it says what.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, header::CONTENT_TYPE};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::json;
use crate::{
    CameTwice, Delivery, Envelope, Named, Provider, RawRequest, Rejection, SignError, SignedRequest, Unsigned,
};

/// For how long a redelivery is recognised, unless set.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

/// The type of all events, unless it is said where theirs is.
pub const KIND: &str = "message";

const NAME: &str = "hmac";

/// A sender that signs with an HMAC.
///
/// Unless its id is said to be [somewhere](Self::id_at), each delivery is an event of its own, redeliveries included;
/// and without a timestamp in what is signed, so is whatever somebody recorded and sends again.
///
/// ```
/// use bowline_ingress::providers::Hmac;
/// use bowline_signature::SigningSecret;
///
/// let signature = bowline_signature::Hmac::sha256("X-Shopify-Hmac-SHA256", SigningSecret::new("hush")?).base64();
/// let shopify = Hmac::new(signature).kind_in_header("X-Shopify-Topic").id_in_header("X-Shopify-Event-Id");
/// # Ok::<(), bowline_signature::EmptySecret>(())
/// ```
#[derive(Debug, Clone)]
pub struct Hmac {
    signature: bowline_signature::Hmac,
    id: Option<Place>,
    kind: Option<Place>,
    input_pointer: String,
    dedupe_for: Duration,
}

/// Where a sender says something.
#[derive(Debug, Clone)]
enum Place {
    /// With that name, in lower case.
    Header(String),
    /// In the body, at that JSON pointer.
    Pointer(String),
}

impl Hmac {
    /// With how it signs, and the secrets.
    pub fn new(signature: bowline_signature::Hmac) -> Self {
        Self { signature, id: None, kind: None, input_pointer: String::new(), dedupe_for: DEDUPE_FOR }
    }

    /// The event's id is in that header.
    pub fn id_in_header(mut self, name: &str) -> Self {
        self.id = Some(Place::Header(name.to_ascii_lowercase()));
        self
    }

    /// The event's id is in the body, at that JSON pointer (RFC 6901): a text or a number.
    pub fn id_at(mut self, pointer: impl Into<String>) -> Self {
        self.id = Some(Place::Pointer(pointer.into()));
        self
    }

    /// The event's type is in that header; else it is [`KIND`].
    pub fn kind_in_header(mut self, name: &str) -> Self {
        self.kind = Some(Place::Header(name.to_ascii_lowercase()));
        self
    }

    /// The event's type is in the body, at that JSON pointer; else it is [`KIND`].
    pub fn kind_at(mut self, pointer: impl Into<String>) -> Self {
        self.kind = Some(Place::Pointer(pointer.into()));
        self
    }

    /// A workflow receives what the body has at that JSON pointer; the whole body unless set.
    pub fn input_at(mut self, pointer: impl Into<String>) -> Self {
        self.input_pointer = pointer.into();
        self
    }

    /// For how long a redelivery is recognised; [`DEDUPE_FOR`] unless set. Longer than the sender retries.
    pub fn dedupe_for(mut self, time: Duration) -> Self {
        self.dedupe_for = time;
        self
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        [&self.id, &self.kind].into_iter().flatten()
    }
}

impl Provider for Hmac {
    fn name(&self) -> &'static str {
        NAME
    }

    fn dedupe_for(&self) -> Duration {
        self.dedupe_for
    }

    fn input_pointer(&self) -> &str {
        &self.input_pointer
    }

    fn authenticate(&self, request: &RawRequest<'_>, now: Timestamp) -> Result<(), Rejection> {
        request.verified(|header| self.signature.verify(header, request.body, now)).map(|_signed_at| ())
    }

    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        let kind = match &self.kind {
            Some(place) => place.read("type", request)?,
            None => KIND.to_owned(),
        };
        // Whatever was signed: a body that is not JSON is of no use to a workflow.
        json::check(request.body)?;
        let envelope = match &self.id {
            Some(place) => Envelope::new(place.read("id", request)?, kind),
            None => Envelope::without_id(kind),
        };
        Ok(Delivery::one(self, request, envelope))
    }

    fn credential_headers(&self) -> Vec<HeaderName> {
        // The signature comes first; behind it is at most the time.
        let signed = self.signature.sign(b"", Timestamp::UNIX_EPOCH);
        signed.iter().take(1).filter_map(|(name, _)| HeaderName::try_from(name).ok()).collect()
    }

    fn problems(&self) -> Vec<String> {
        let signed = self.signature.sign(b"", Timestamp::UNIX_EPOCH);
        let mut names: Vec<&str> = signed.iter().map(|(name, _)| name.as_str()).collect();
        let mut pointers = vec![self.input_pointer.as_str()];
        for place in self.places() {
            match place {
                Place::Header(name) => names.push(name),
                Place::Pointer(pointer) => pointers.push(pointer),
            }
        }
        let names = names.into_iter().filter(|name| HeaderName::try_from(*name).is_err());
        let names = names.map(|name| format!("{name:?} is no header's name"));
        let pointers =
            pointers.into_iter().filter(|pointer| !pointer.is_empty() && !pointer.starts_with('/'));
        let pointers = pointers
            .map(|pointer| format!("{pointer:?} is no JSON pointer; write {:?}", format!("/{pointer}")));
        names.chain(pointers).collect()
    }

    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<SignedRequest, SignError> {
        if let (Some(Place::Header(name)), None) = (&self.kind, unsigned.kind) {
            let reason =
                format!("its events are named in the {name} header and not in the body; say the type");
            return Err(SignError::new(NAME, reason));
        }
        let drawn = json::id_of(unsigned.body);
        let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        for (name, value) in self.signature.sign(unsigned.body, now) {
            headers.push(json::header(NAME, &name, value)?);
        }
        let (id, kind) = (unsigned.id.unwrap_or(&drawn), unsigned.kind.unwrap_or(KIND));
        for (place, value) in [(&self.id, id), (&self.kind, kind)] {
            if let Some(Place::Header(name)) = place {
                headers.push(json::header(NAME, name, value)?);
            }
        }
        Ok(SignedRequest { headers, body: Bytes::copy_from_slice(unsigned.body) })
    }

    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        let mut body = Value::Null;
        json::put(&mut body, &self.input_pointer, input.clone());
        for (place, value) in [(&self.id, event.id), (&self.kind, event.kind)] {
            if let Some(Place::Pointer(pointer)) = place {
                json::put(&mut body, pointer, value.into());
            }
        }
        body
    }
}

impl Place {
    fn read(&self, what: &str, request: &RawRequest<'_>) -> Result<String, Rejection> {
        match self {
            Self::Header(name) => {
                let twice = |twice: CameTwice| Rejection::unroutable(twice.to_string());
                let missing =
                    || Rejection::unroutable(format!("{name} header with the event's {what} is missing"));
                let value = request.header(name).map_err(twice)?.ok_or_else(missing)?;
                let not_utf8 = |_| Rejection::unroutable(format!("{name} header is not UTF-8"));
                std::str::from_utf8(value).map(ToOwned::to_owned).map_err(not_utf8)
            }
            Self::Pointer(pointer) => json::text_at(request.body, pointer)?.ok_or_else(|| {
                Rejection::unroutable(format!(
                    "the body has nothing at {pointer}, where the event's {what} is"
                ))
            }),
        }
    }
}
