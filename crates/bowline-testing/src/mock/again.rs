//! Answers that nobody recorded: the process died before. They are given again, once.

use bowline_model::Fingerprint;
use bytes::Bytes;
use http::Method;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{Answer, Recorded, State};

/// By what a request is known again.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Identity {
    Key(String),
    Content(Method, String, Option<String>, Bytes),
}

/// An answer, to what, and when it is ready.
pub(super) struct Given {
    identity: Identity,
    request: Recorded,
    answer: Answer,
    ready: Timestamp,
}

impl Identity {
    fn of(request: &Recorded) -> Self {
        match request.effect_key() {
            Some(key) => Self::Key(key),
            None => Self::Content(
                request.method.clone(),
                request.path.clone(),
                request.query.clone(),
                request.body.clone(),
            ),
        }
    }
}

impl Given {
    pub(super) fn new(request: &Recorded, answer: &Answer, ready: Timestamp) -> Self {
        Self { identity: Identity::of(request), request: request.clone(), answer: answer.clone(), ready }
    }

    fn is_to(&self, call: &Fingerprint) -> bool {
        let body = if self.request.body.is_empty() {
            String::new()
        } else {
            hex::encode(Sha256::digest(&self.request.body))
        };
        self.request.method.as_str() == call.method
            && self.request.path.ends_with(call.path.trim_end_matches('/'))
            && body.starts_with(&call.body)
    }

    /// A question that was answered may be answered otherwise the next time.
    fn is_given_again(&self) -> bool {
        let asks = matches!(self.request.method, Method::GET | Method::HEAD);
        !asks || !self.answer.status_sent().is_some_and(|status| (200..300).contains(&status))
    }
}

impl State {
    /// The answer that is to be given to that request again.
    pub(super) fn take_again(&mut self, request: &Recorded) -> Option<(Answer, Timestamp)> {
        let identity = Identity::of(request);
        let found = self.again.iter().position(|given| given.identity == identity)?;
        let given = self.again.remove(found);
        Some((given.answer, given.ready))
    }

    /// What came of that call is on disk; of which call, is not known for a closure's.
    pub(super) fn was_recorded(&mut self, call: Option<&Fingerprint>) {
        match call {
            Some(call) if self.unrecorded.iter().any(|given| given.is_to(call)) => {
                self.unrecorded.retain(|given| !given.is_to(call));
            }
            Some(_) | None => self.unrecorded.clear(),
        }
    }

    /// The process died: what it was answered and did not record, it is answered again.
    pub(super) fn process_died(&mut self) {
        for given in std::mem::take(&mut self.unrecorded) {
            self.again.retain(|earlier| earlier.identity != given.identity);
            if given.is_given_again() {
                self.again.push(given);
            }
        }
    }
}
