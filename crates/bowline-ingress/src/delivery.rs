//! What a genuine request holds: events, or a question that the provider wants answered.

use std::borrow::Cow;

use axum::http::{HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;

use crate::{Envelope, Provider, RawRequest};

/// Most events of one request. The largest genuine batches are those of SendGrid: 768 KB of a few hundred bytes each.
pub const EVENTS_MAX: usize = 10_000;

/// What a genuine request holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// Events: one, or the items of a batch. None at all is fine, and answered as ignored.
    Events(Vec<Arrived>),
    /// No event: the provider makes sure that somebody is here.
    Handshake(Handshake),
}

impl Delivery {
    /// One event: the whole body.
    pub fn one(provider: &(impl Provider + ?Sized), request: &RawRequest<'_>, envelope: Envelope) -> Self {
        let input_pointer = Cow::Owned(provider.input_pointer().to_owned());
        Self::Events(vec![Arrived { envelope, body: request.body.clone(), input_pointer }])
    }

    /// The envelope of the only event; `None` if it is another number of events, or a handshake.
    pub fn only(&self) -> Option<&Envelope> {
        match self {
            Self::Events(events) => match &events[..] {
                [one] => Some(&one.envelope),
                _none_or_several => None,
            },
            Self::Handshake(_) => None,
        }
    }
}

/// One event of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// What the provider calls it.
    pub envelope: Envelope,
    /// What is kept of it: JSON. The request's own bytes, or one item's; made of the fields where the request is a form.
    pub body: Bytes,
    /// Which part of that a workflow receives, as a JSON pointer (RFC 6901).
    pub input_pointer: Cow<'static, str>,
}

/// A provider makes sure that somebody is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handshake {
    /// It wants this answer.
    Answer(Answer),
    /// It wants this URL to be asked for (GET), and 200 once that is done. The URL's host was checked by the provider's
    /// verifier.
    Fetch {
        /// Where.
        url: String,
    },
}

/// An answer that a provider prescribes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// The body's media type.
    pub media_type: &'static str,
    /// The body.
    pub body: Bytes,
    /// Other headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    /// Status 200 with plain text.
    pub fn text(body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            media_type: "text/plain; charset=utf-8",
            body: body.into(),
            headers: vec![],
        }
    }

    /// Status 200 with JSON.
    pub fn json(body: &serde_json::Value) -> Self {
        Self {
            status: StatusCode::OK,
            media_type: "application/json",
            body: body.to_string().into(),
            headers: vec![],
        }
    }

    /// That status, and no body.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, media_type: "", body: Bytes::new(), headers: vec![] }
    }
}

/// How a provider wants to be told that its events are on disk. Some show the answer to people, or complain of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiptForm {
    /// 200 with `{"status":"accepted","event":"evt_1","runs":[17]}`.
    Json,
    /// That status, without a body.
    Empty(StatusCode),
    /// 200 with a fixed text of that media type.
    Text {
        /// The body.
        body: &'static str,
        /// Its media type.
        media_type: &'static str,
    },
    /// 303: a browser that sent a form goes there, and shows what is there.
    SeeOther(HeaderValue),
}
