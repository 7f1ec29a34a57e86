//! Failures as data: recorded, shown, and handed back to user code the same before and after a crash.

use std::{any::Any, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::EntryKey;

/// What a workflow and its steps return.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// What is known about whether a failed effect happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// It did not happen: the remote said no, or nothing reached it.
    Refused,
    /// It may have happened.
    Unknown,
}

/// A failure, as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Fact, value, hint, in one line.
    pub message: String,
    /// The errors beneath it, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// Whether the effect may have happened.
    pub certainty: Certainty,
    /// Whether another attempt may help.
    pub retryable: bool,
    /// When the remote asked to be called again, counted from the answer.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis")]
    pub retry_after: Option<Duration>,
    /// The call, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Box<CallFailure>>,
}

impl Failure {
    /// A failure that had no effect, and that another attempt may cure.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(message, Certainty::Refused)
    }

    /// A failure that may have had its effect.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(message, Certainty::Unknown)
    }

    fn new(message: impl Into<String>, certainty: Certainty) -> Self {
        Self {
            message: shortened(message.into(), MESSAGE_BYTES_MAX),
            causes: vec![],
            certainty,
            retryable: true,
            retry_after: None,
            call: None,
        }
    }

    /// The same, and no further attempt will help.
    pub fn permanent(mut self) -> Self {
        self.retryable = false;
        self
    }

    /// The same, with what the remote said of when to come back.
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// The same, with the call it was about.
    pub fn call(mut self, call: CallFailure) -> Self {
        self.call = Some(Box::new(call));
        self
    }

    /// The same, with the chain of errors beneath `error`.
    pub fn caused_by(mut self, error: &(dyn std::error::Error + '_)) -> Self {
        let mut source = error.source();
        while let Some(cause) = source.filter(|_| self.causes.len() < CAUSES_MAX) {
            self.causes.push(shortened(cause.to_string(), CAUSE_BYTES_MAX));
            source = cause.source();
        }
        self
    }
}

/// Longest chain of causes that is kept.
const CAUSES_MAX: usize = 16;
/// Longest message that is kept.
const MESSAGE_BYTES_MAX: usize = 4096;
/// Longest text of one cause that is kept.
const CAUSE_BYTES_MAX: usize = 1024;

/// The text, cut at a character with `…` if it is longer than `bytes_max`.
fn shortened(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push('…');
    }
    text
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for cause in &self.causes {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

/// What is known of a failed call. Holds no secret: no host or path of a secret URL, no credentials.
///
/// ```
/// use bowline_model::{CallFailure, Error, Failure};
///
/// let failure = Failure::refused("POST crm /contacts answered 422 email_taken").permanent();
/// let error = Error::from(failure.call(CallFailure {
///     api: "crm".into(),
///     method: "POST".into(),
///     path: "/contacts".into(),
///     status: Some(422),
///     code: Some("email_taken".into()),
///     attempt: 1,
///     ..CallFailure::default()
/// }));
/// let exists = matches!(error.call(), Some(call) if call.status == Some(422) && call.code.as_deref() == Some("email_taken"));
/// assert!(exists && !error.is_retryable());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallFailure {
    /// The Api's name.
    pub api: String,
    /// The HTTP method.
    pub method: String,
    /// The path; empty where the URL is a secret.
    pub path: String,
    /// The status, if there was an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The remote's own name for what is wrong, from its body: `card_declined`, `invalid_grant`, `THROTTLED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What the remote said beyond its code, as data, where a kind of call has a form for it: a SOAP fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Box<serde_json::Value>>,
    /// The remote's id of the request, from its headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The first bytes of the answer's body, as text, scrubbed. At most [`BODY_EXCERPT_BYTES_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Which attempt it was, from 1; 0 where nobody counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempt: u32,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// How much of a failed call's answer is kept.
pub const BODY_EXCERPT_BYTES_MAX: usize = 2048;

/// The error of workflows and steps.
///
/// Any [`std::error::Error`] becomes one with `?`. It is data: what a step failed with is recorded, and code that
/// runs again after a crash receives an equal error. It remembers which step it came from, so that an operator's
/// retry knows what to try again.
///
/// An error of another library counts as worth another attempt, but for those that can only repeat themselves
/// (a value that does not parse). Say it yourself with [`Error::permanent`] and [`Error::retryable`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    // Boxed: a Result that is mostly Ok stays small.
    inner: Box<Inner>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Inner {
    failure: Failure,
    entry: Option<EntryKey>,
}

impl Error {
    /// An error that no further attempt will cure. What was done before it stays possible: an operator's retry uses
    /// the same idempotency key.
    pub fn permanent(message: impl fmt::Display) -> Self {
        Failure::unknown(message.to_string()).permanent().into()
    }

    /// A definite no: nothing was done, and no further attempt will cure it. An operator's retry uses a new
    /// idempotency key, so say it only where it is certain.
    pub fn refused(message: impl fmt::Display) -> Self {
        Failure::refused(message.to_string()).permanent().into()
    }

    /// An error that another attempt may cure.
    pub fn retryable(message: impl fmt::Display) -> Self {
        Failure::unknown(message.to_string()).into()
    }

    /// Whether another attempt may help.
    pub fn is_retryable(&self) -> bool {
        self.inner.failure.retryable
    }

    /// Whether the effect may have happened all the same.
    pub fn is_unknown(&self) -> bool {
        self.inner.failure.certainty == Certainty::Unknown
    }

    /// The status of the call that failed, if a remote answered.
    pub fn status(&self) -> Option<u16> {
        self.inner.failure.call.as_ref()?.status
    }

    /// The remote's own name for what is wrong, if it gave one: `card_declined`, `THROTTLED`.
    ///
    /// ```
    /// use bowline_model::Error;
    ///
    /// fn declined(error: &Error) -> bool {
    ///     (error.status(), error.code()) == (Some(402), Some("card_declined"))
    /// }
    /// assert!(!declined(&Error::refused("out of stock")));
    /// ```
    pub fn code(&self) -> Option<&str> {
        self.inner.failure.call.as_ref()?.code.as_deref()
    }

    /// The call that failed, if it was one.
    pub fn call(&self) -> Option<&CallFailure> {
        self.inner.failure.call.as_deref()
    }

    /// The failure as data.
    pub fn failure(&self) -> &Failure {
        &self.inner.failure
    }

    /// The step it came from.
    pub fn entry(&self) -> Option<&EntryKey> {
        self.inner.entry.as_ref()
    }

    /// The same error, from that step. An error keeps the first step it came from.
    pub fn from_entry(mut self, key: EntryKey) -> Self {
        self.inner.entry.get_or_insert(key);
        self
    }

    /// The same error as a [`std::error::Error`], for error types that wrap it. Turned back by `?`, such a type keeps
    /// what this error knows.
    ///
    /// ```
    /// use bowline_model::{Error, error::AsStd};
    ///
    /// #[derive(Debug, thiserror::Error)]
    /// #[error("sync failed")]
    /// struct SyncFailed(#[from] AsStd);
    ///
    /// let wrapped = SyncFailed::from(Error::refused("no such customer").into_std());
    /// assert!(!Error::from(wrapped).is_retryable());
    /// ```
    pub fn into_std(self) -> AsStd {
        AsStd(self)
    }

    /// Takes the failure out.
    pub fn into_failure(self) -> Failure {
        self.inner.failure
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self { inner: Box::new(Inner { failure, entry: None }) }
    }
}

/// `?` on any error. The chain of causes is kept as text.
impl<E: std::error::Error + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        let failure = Failure::unknown(error.to_string()).caused_by(&error);
        if let Some(AsStd(inner)) = wrapped_error(&error) {
            let mut inner = inner.clone();
            let Failure { message, causes, .. } = failure;
            (inner.inner.failure.message, inner.inner.failure.causes) = (message, causes);
            return inner;
        }
        if repeats_itself(&error) { failure.permanent().into() } else { failure.into() }
    }
}

/// An [`Error`] that is a [`std::error::Error`]: see [`Error::into_std`].
#[derive(Debug, Clone)]
pub struct AsStd(Error);

impl fmt::Display for AsStd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for AsStd {}

/// The error of ours in a chain of causes.
fn wrapped_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e AsStd> {
    let mut link = Some(error);
    for _ in 0..CAUSES_MAX {
        let known = link?.downcast_ref::<AsStd>();
        if known.is_some() {
            return known;
        }
        link = link?.source();
    }
    None
}

/// Errors about a value at hand: the same value will give the same error.
fn repeats_itself(error: &dyn Any) -> bool {
    error.is::<serde_json::Error>()
        || error.is::<std::num::ParseIntError>()
        || error.is::<std::num::ParseFloatError>()
        || error.is::<std::num::TryFromIntError>()
        || error.is::<std::str::Utf8Error>()
        || error.is::<std::string::FromUtf8Error>()
        || error.is::<fmt::Error>()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(entry) = &self.inner.entry {
            write!(f, "step {entry}: ")?;
        }
        fmt::Display::fmt(&self.inner.failure, f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Durations as whole milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[allow(clippy::ref_option, reason = "the signature serde's `with` asks for")]
    pub(super) fn serialize<S: Serializer>(wait: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_older_journals_still_read() {
        let old = r#"{"inner":{"failure":{"message":"POST crm /contacts answered 503","certainty":"refused","retryable":true,
            "retry_after":7000,"call":{"api":"crm","method":"POST","path":"/contacts","status":503,"body":"busy"}},
            "entry":null}}"#;
        let error: Error = serde_json::from_str(old).unwrap();
        let call = error.call().unwrap();
        assert_eq!((call.status, call.attempt, call.code.as_deref()), (Some(503), 0, None));
        assert_eq!(call.body.as_deref(), Some("busy"));
        let again = serde_json::to_value(&error).unwrap();
        assert_eq!(
            again,
            serde_json::from_str::<serde_json::Value>(old).unwrap(),
            "and are written as they were"
        );
    }

    #[test]
    fn what_is_known_of_a_call_survives_the_journal() {
        let call = CallFailure {
            api: "crm".into(),
            method: "POST".into(),
            path: "/contacts".into(),
            status: Some(422),
            code: Some("email_taken".into()),
            request_id: Some("req_7".into()),
            body: Some("{}".into()),
            detail: Some(Box::new(serde_json::json!({"code": "Server"}))),
            attempt: 3,
        };
        let error = Error::from(Failure::refused("no").permanent().call(call));
        let read: Error = serde_json::from_str(&serde_json::to_string(&error).unwrap()).unwrap();
        assert_eq!(read, error);
        assert_eq!((read.status(), read.code()), (Some(422), Some("email_taken")));
    }
}
