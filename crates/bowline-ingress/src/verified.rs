//! An event whose origin is known: the proof that somebody was asked before anything is stored.

use std::time::Duration;

use axum::http::HeaderMap;
use bowline_model::event::DEDUPE_KEY_BYTES_MAX;
use bytes::Bytes;
use jiff::Timestamp;

use crate::{Envelope, Provider, RawRequest, Rejection, Repeat, scrub::scrub};

/// Longest type of an event.
pub const KIND_BYTES_MAX: usize = 256;

/// What the record of an event calls the program itself.
pub const PROGRAM: &str = "program";

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
}

impl VerifiedEvent {
    /// Asks the provider whether the request is genuine and what it is. `source` is the route's path, `received_at`
    /// the time at which the body's last byte was read.
    ///
    /// ```compile_fail
    /// // There is no other way for what comes from outside:
    /// let event = bowline_ingress::VerifiedEvent { source: "/webhooks/stripe".into() };
    /// ```
    ///
    /// # Errors
    /// [`Rejection`] if the request is not genuine, its body is not valid, or its id or type is missing, empty, too
    /// long, or has control characters.
    pub fn verify(
        provider: &dyn Provider,
        source: &str,
        headers: &HeaderMap,
        body: Bytes,
        received_at: Timestamp,
    ) -> Result<Self, Rejection> {
        let request = RawRequest { headers, body: &body };
        provider.authenticate(&request, received_at)?;
        let envelope = provider.envelope(&request)?;
        check(&envelope)?;
        Ok(Self {
            source: source.to_owned(),
            provider: provider.name(),
            envelope,
            dedupe_for: provider.dedupe_for(),
            received_at,
            headers: scrub(headers, &provider.credential_headers()),
            input_pointer: provider.input_pointer().to_owned(),
            body,
            runs_not_before: None,
        })
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
        })
    }

    /// Its runs begin no sooner than that. They are on disk before, and wait there.
    pub fn runs_not_before(mut self, begin: Timestamp) -> Self {
        self.runs_not_before = Some(begin);
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
