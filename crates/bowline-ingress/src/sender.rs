//! A provider whose requests a [`Scheme`] verifies: what is left to say is a line in the table, and what is special to it.
//!
//! One file each in [`providers`](crate::providers).

use std::{borrow::Cow, time::Duration};

use axum::http::{HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};
use bowline_signature::Scheme;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, value::RawValue};
use sha2::{Digest, Sha256};

use crate::{
    Answer, Arrived, Delivery, Envelope, Named, Provider, RawRequest, ReceiptForm, Rejection, SignError,
    SignedRequest, Unsigned, providers::json,
};

/// A provider that has a scheme, and a line in the table.
pub(crate) trait Sender: Send + Sync + 'static {
    /// Its line.
    const ROW: Row;

    /// How it shows that a request is its own.
    fn scheme(&self) -> &dyn Scheme;

    /// See [`Provider::delivery`].
    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        Self::ROW.delivery(request)
    }

    /// See [`Provider::body`].
    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        Self::ROW.body(event, input)
    }

    /// See [`Provider::greet`].
    fn greet(&self, _request: &RawRequest<'_>) -> Option<Result<Answer, Rejection>> {
        None
    }

    /// See [`Provider::refuses_with`].
    fn refuses_with(&self, status: StatusCode) -> StatusCode {
        status
    }

    /// See [`Provider::refuses_without_words`].
    fn refuses_without_words(&self) -> bool {
        false
    }

    /// See [`Provider::signs_url`].
    fn signs_url(&self) -> bool {
        false
    }

    /// See [`Provider::fetched`].
    fn fetched(&self, _url: &str, _bytes: &[u8], _now: Timestamp) -> Result<(), Rejection> {
        Err(Rejection::unauthentic("nothing is fetched for this provider"))
    }

    /// See [`Provider::struck`].
    fn struck(&self) -> &'static [&'static str] {
        &[]
    }

    /// Headers, beside those of the signature, that hold credentials.
    fn other_credentials(&self) -> &'static [&'static str] {
        &[]
    }

    /// The type of the body that [`body`](Self::body) makes, with its parameters.
    fn content_type(&self) -> &'static str {
        "application/json"
    }
}

impl<T: Sender> Provider for T {
    fn name(&self) -> &'static str {
        T::ROW.name
    }

    fn media_types(&self) -> &'static [&'static str] {
        T::ROW.media_types
    }

    fn dedupe_for(&self) -> Duration {
        T::ROW.dedupe_for
    }

    fn input_pointer(&self) -> &str {
        T::ROW.input_pointer
    }

    fn greet(&self, request: &RawRequest<'_>) -> Option<Result<Answer, Rejection>> {
        Sender::greet(self, request)
    }

    fn authenticate(&self, request: &RawRequest<'_>, now: Timestamp) -> Result<(), Rejection> {
        Ok(self.scheme().verify(&request.as_signed(), now)?)
    }

    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        Sender::delivery(self, request)
    }

    fn receipt(&self, _request: &RawRequest<'_>) -> ReceiptForm {
        T::ROW.receipt
    }

    fn refuses_with(&self, status: StatusCode) -> StatusCode {
        Sender::refuses_with(self, status)
    }

    fn refuses_without_words(&self) -> bool {
        Sender::refuses_without_words(self)
    }

    fn signs_url(&self) -> bool {
        Sender::signs_url(self)
    }

    fn fetched(&self, url: &str, bytes: &[u8], now: Timestamp) -> Result<(), Rejection> {
        Sender::fetched(self, url, bytes, now)
    }

    fn struck(&self) -> &'static [&'static str] {
        Sender::struck(self)
    }

    fn credential_headers(&self) -> Vec<HeaderName> {
        let others = self.other_credentials().iter().map(|name| HeaderName::from_static(name));
        self.scheme().headers().into_iter().chain(others).collect()
    }

    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<SignedRequest, SignError> {
        let name = T::ROW.name;
        let drawn = json::id_of(unsigned.body);
        let id = unsigned.id.unwrap_or(&drawn);
        let named = T::ROW.headers(unsigned.kind, id)?;
        let content_type = self.content_type();
        let signed = self.scheme().sign(
            &bowline_signature::Unsigned {
                method: "POST",
                url: unsigned.url,
                id,
                content_type,
                body: unsigned.body,
            },
            now,
        );
        let signed = signed.map_err(|cannot| SignError::new(name, cannot.to_string()))?;
        let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static(content_type))];
        // What the scheme signs is said once, by the scheme.
        let is_signed = |name: &HeaderName| signed.headers.iter().any(|(other, _)| other == name);
        headers.extend(named.into_iter().filter(|(name, _)| !is_signed(name)));
        headers.extend(signed.headers);
        Ok(SignedRequest { headers, body: signed.body.into() })
    }

    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        Sender::body(self, event, input)
    }
}

/// A provider's line in the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// What an event's record calls it. Never changes.
    pub(crate) name: &'static str,
    /// What its bodies are.
    pub(crate) media_types: &'static [&'static str],
    /// Where an event's type is. What is not there is [`UNKNOWN`].
    pub(crate) kind: Place,
    /// Where its id is. An event without one is never taken for another.
    pub(crate) id: Place,
    /// Which part of the body a workflow receives.
    pub(crate) input_pointer: &'static str,
    /// For how long a redelivery is recognised: longer than the provider retries.
    pub(crate) dedupe_for: Duration,
    /// How it wants to be told that its events are on disk.
    pub(crate) receipt: ReceiptForm,
}

/// The type of an event that does not say what it is: subscribe with `*` to see those.
pub(crate) const UNKNOWN: &str = "unknown";

/// JSON, and nothing else.
pub(crate) const JSON: &[&str] = &["application/json"];

/// Where a provider says something of an event.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// In that header.
    Header(&'static str),
    /// In the body, at that JSON pointer; of a batch, in the item.
    Pointer(&'static str),
    /// In several places of the body, together: all that are there, and the first must be.
    Composite(&'static [&'static str]),
    /// In the first of these that has it.
    FirstOf(&'static [Place]),
    /// The body itself, digested: the same bytes are the same event. Only where no two genuine events are equal.
    Digest,
    /// Nowhere.
    Nowhere,
}

/// Between the parts of an id: no provider's ids have it.
pub(crate) const COMPOSITE_SEPARATOR: &str = "|";

impl Place {
    /// What stands there; `None` if nothing does.
    pub(crate) fn read(self, request: &RawRequest<'_>, body: &[u8]) -> Result<Option<String>, Rejection> {
        match self {
            Self::Header(name) => {
                let value = request.header(name).map_err(|twice| Rejection::unroutable(twice.to_string()))?;
                let Some(value) = value.map(<[u8]>::trim_ascii).filter(|value| !value.is_empty()) else {
                    return Ok(None);
                };
                let not_utf8 = |_| Rejection::unroutable(format!("{name} header is not UTF-8"));
                std::str::from_utf8(value).map(|text| Some(text.to_owned())).map_err(not_utf8)
            }
            Self::Pointer(pointer) => Ok(json::text_at(body, pointer)?.filter(|text| !text.is_empty())),
            Self::Composite(pointers) => {
                let parts = pointers.iter().map(|pointer| json::text_at(body, pointer));
                let parts: Vec<_> = parts.collect::<Result<_, _>>()?;
                if parts.first().is_none_or(|first| first.as_ref().is_none_or(String::is_empty)) {
                    return Ok(None);
                }
                let parts: Vec<String> = parts.into_iter().map(Option::unwrap_or_default).collect();
                Ok(Some(parts.join(COMPOSITE_SEPARATOR)))
            }
            Self::FirstOf(places) => {
                for place in places {
                    if let Some(found) = place.read(request, body)? {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            }
            Self::Digest => Ok(Some(hex(&Sha256::digest(body)))),
            Self::Nowhere => Ok(None),
        }
    }

    fn put(self, into: &mut Value, value: &str) {
        match self {
            Self::Pointer(pointer) => json::put(into, pointer, value.into()),
            Self::Composite(pointers) => {
                for (pointer, part) in pointers.iter().zip(value.split(COMPOSITE_SEPARATOR)) {
                    json::put(into, pointer, part.into());
                }
            }
            Self::FirstOf([first, ..]) => first.put(into, value),
            Self::FirstOf([]) | Self::Header(_) | Self::Digest | Self::Nowhere => {}
        }
    }

    fn header(self) -> Option<&'static str> {
        match self {
            Self::Header(name) => Some(name),
            Self::FirstOf([first, ..]) => first.header(),
            Self::FirstOf([]) | Self::Pointer(_) | Self::Composite(_) | Self::Digest | Self::Nowhere => None,
        }
    }
}

impl Row {
    /// One event: the whole body, which is JSON.
    pub(crate) fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        json::check(request.body)?;
        Ok(Delivery::Events(vec![self.arrived(request, request.body.clone())?]))
    }

    /// One event for each item of the array that `pointer` leads to. An item that does not say what it is is an event all
    /// the same, of the type [`UNKNOWN`]: it must not keep its neighbours from being accepted.
    pub(crate) fn batch(&self, request: &RawRequest<'_>, pointer: &str) -> Result<Delivery, Rejection> {
        let items = json::items_at(request.body, pointer)?;
        Ok(Delivery::Events(items.into_iter().map(|item| self.item(request, item)).collect()))
    }

    fn item(&self, request: &RawRequest<'_>, item: &RawValue) -> Arrived {
        let body = request.body.slice_ref(item.get().as_bytes());
        self.arrived(request, body.clone()).unwrap_or_else(|_unnamed| Arrived {
            envelope: Envelope::without_id(UNKNOWN),
            body,
            input_pointer: Cow::Borrowed(self.input_pointer),
        })
    }

    /// The event that `body` is, named as this line says.
    pub(crate) fn arrived(&self, request: &RawRequest<'_>, body: Bytes) -> Result<Arrived, Rejection> {
        let kind = self.kind.read(request, &body)?.unwrap_or_else(|| UNKNOWN.to_owned());
        let envelope = match self.id.read(request, &body)? {
            Some(id) => Envelope::new(id, kind),
            None => Envelope::without_id(kind),
        };
        Ok(Arrived { envelope, body, input_pointer: Cow::Borrowed(self.input_pointer) })
    }

    /// The body with which an event of these names comes, so that a workflow receives `input`.
    pub(crate) fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        let mut body = Value::Null;
        json::put(&mut body, self.input_pointer, input.clone());
        for (place, value) in [(self.id, event.id), (self.kind, event.kind)] {
            // Into an object only: what a workflow receives may be anything.
            if body.is_object() || body.is_null() {
                place.put(&mut body, value);
            }
        }
        body
    }

    /// The headers that name an event.
    fn headers(&self, kind: Option<&str>, id: &str) -> Result<Vec<(HeaderName, HeaderValue)>, SignError> {
        let mut headers = vec![];
        if let Some(name) = self.kind.header() {
            let kind = kind.ok_or_else(|| {
                let reason =
                    format!("its events are named in the {name} header and not in the body; say the type");
                SignError::new(self.name, reason)
            })?;
            headers.push(json::header(self.name, name, kind)?);
        }
        if let Some(name) = self.id.header() {
            headers.push(json::header(self.name, name, id)?);
        }
        Ok(headers)
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all that is written");
        text
    })
}
