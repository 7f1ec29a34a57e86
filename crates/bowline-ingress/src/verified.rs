//! An event whose origin is known: the proof that somebody was asked before anything is stored.

use std::time::Duration;

use bowline_model::event::DEDUPE_KEY_BYTES_MAX;
use bytes::Bytes;
use jiff::Timestamp;

use crate::{
    Arrived, Delivery, Envelope, Handshake, Provider, RawRequest, Rejection, Repeat, delivery::EVENTS_MAX,
    providers::json, scrub::scrub, sender::UNKNOWN,
};

/// Longest type of an event.
pub const KIND_BYTES_MAX: usize = 256;

/// Headers that are kept with the events of one request, all together: each event of a batch has its own copy, and those
/// of a batch for which that would be more have none.
pub const BATCH_HEADERS_BYTES_MAX: usize = 1024 * 1024;

/// What the record of an event calls the program itself.
pub const PROGRAM: &str = "program";

/// What a genuine request was found to hold.
#[derive(Debug, Clone)]
pub enum Verified {
    /// Events, each to be accepted.
    Events(Vec<VerifiedEvent>),
    /// A question of the provider.
    Handshake(Handshake),
}

/// An event that its provider vouches for, or that the program itself made. [`verify`](Self::verify) and
/// [`from_program`](Self::from_program) are the only ways to one: whoever holds it knows where it came from.
#[derive(Debug, Clone)]
pub struct VerifiedEvent {
    pub(crate) source: String,
    pub(crate) provider: &'static str,
    pub(crate) envelope: Envelope,
    pub(crate) dedupe_for: Duration,
    pub(crate) received_at: Timestamp,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    pub(crate) input_pointer: String,
    pub(crate) runs_not_before: Option<Timestamp>,
    pub(crate) run_key: Option<String>,
}

impl VerifiedEvent {
    /// Asks the provider whether the request is genuine and what it holds. `source` is the route's path, `received_at`
    /// the time at which the body's last byte was read.
    ///
    /// ```compile_fail
    /// // There is no other way for what comes from outside:
    /// let event = bowline_ingress::VerifiedEvent { source: "/webhooks/stripe".into() };
    /// ```
    ///
    /// # Errors
    /// [`Rejection`] if the request is not genuine, its body is not valid, or an id or type is missing, empty, too
    /// long, or has control characters.
    pub fn verify(
        provider: &dyn Provider,
        source: &str,
        request: &RawRequest<'_>,
        received_at: Timestamp,
    ) -> Result<Verified, Rejection> {
        provider.authenticate(request, received_at)?;
        let arrived = match provider.delivery(request)? {
            Delivery::Handshake(handshake) => return Ok(Verified::Handshake(handshake)),
            Delivery::Events(events) => events,
        };
        if arrived.len() > EVENTS_MAX {
            return Err(Rejection::TooMany { events: arrived.len(), events_max: EVENTS_MAX });
        }
        let mut headers = scrub(request.headers, &provider.credential_headers());
        let header_bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if header_bytes.saturating_mul(arrived.len()) > BATCH_HEADERS_BYTES_MAX {
            headers.clear();
        }
        let is_batch = arrived.len() > 1;
        let event = |mut arrived: Arrived| {
            match check(&arrived.envelope) {
                Ok(()) => {}
                // One of many must not keep the others out for as long as its sender retries.
                Err(_) if is_batch => arrived.envelope = Envelope::without_id(UNKNOWN),
                Err(rejection) => return Err(rejection),
            }
            Ok(Self {
                source: source.to_owned(),
                provider: provider.name(),
                envelope: arrived.envelope,
                dedupe_for: provider.dedupe_for(),
                received_at,
                runs_not_before: None,
                run_key: None,
                headers: headers.clone(),
                input_pointer: arrived.input_pointer.into_owned(),
                body: json::without(&arrived.body, provider.struck()),
            })
        };
        arrived.into_iter().map(event).collect::<Result<_, Rejection>>().map(Verified::Events)
    }

    /// What the program itself starts. A `source` that does not begin with `/` never meets a route's. The workflow
    /// receives the whole `body`, which is JSON. With an `id`, the pair of source and id starts its workflows once
    /// within `dedupe_for`.
    ///
    /// # Errors
    /// [`Rejection::Unroutable`] if the id or kind is empty, too long, or has control characters.
    pub fn from_program(
        source: impl Into<String>,
        kind: &str,
        id: Option<String>,
        body: Bytes,
        now: Timestamp,
        dedupe_for: Duration,
    ) -> Result<Self, Rejection> {
        let envelope = Envelope { id, kind: kind.to_owned(), repeat: Repeat::Redelivery };
        check(&envelope)?;
        Ok(Self {
            source: source.into(),
            provider: PROGRAM,
            envelope,
            dedupe_for,
            received_at: now,
            headers: vec![],
            body,
            input_pointer: String::new(),
            runs_not_before: None,
            run_key: None,
        })
    }

    /// Its runs begin no sooner than that. They are on disk before, and wait there.
    pub fn runs_not_before(mut self, begin: Timestamp) -> Self {
        self.runs_not_before = Some(begin);
        self
    }

    /// Its runs share that key with others: they go one at a time, the older first.
    pub fn run_key(mut self, key: impl Into<String>) -> Self {
        self.run_key = Some(key.into());
        self
    }

    /// The sender's id of the event, if it names one.
    pub fn id(&self) -> Option<&str> {
        self.envelope.id.as_deref()
    }

    /// The sender's type of the event.
    pub fn kind(&self) -> &str {
        &self.envelope.kind
    }
}

/// Ids and types are shown on terminals and pages: no control characters, and no novels.
fn check(envelope: &Envelope) -> Result<(), Rejection> {
    if let Some(id) = &envelope.id {
        check_text("id", id, DEDUPE_KEY_BYTES_MAX)?;
    }
    check_text("type", &envelope.kind, KIND_BYTES_MAX)
}

fn check_text(what: &str, text: &str, bytes_max: usize) -> Result<(), Rejection> {
    if text.is_empty() {
        return Err(Rejection::unroutable(format!("the event's {what} is empty")));
    }
    if text.len() > bytes_max {
        let bytes = text.len();
        return Err(Rejection::unroutable(format!(
            "the event's {what} has {bytes} bytes (limit {bytes_max})"
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(Rejection::unroutable(format!("the event's {what} has control characters")));
    }
    Ok(())
}
