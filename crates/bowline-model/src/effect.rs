//! The port between engine and client: one attempt, one verdict.
//!
//! Inside a run nobody but the engine decides when to try again; an [`Effect`] makes one attempt and says what came
//! of it. A client used alone asks [`RetryPolicy`](crate::RetryPolicy) the same question the engine asks.

use std::{future::Future, time::Duration};

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Certainty, Failure, Fingerprint, Result};

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<T> {
    /// It happened; this is the answer.
    Done(T),
    /// It did not happen, and may later: too many requests, the remote is down for a while, nothing reached it.
    /// [`Failure::retry_after`] holds the time the remote asked for.
    RetryAfter(Failure),
    /// Nothing was sent, and nothing is wrong: a rate limit, an open breaker or a token on its way says to wait.
    /// Does not count as an attempt.
    Wait {
        /// How long.
        wait: Duration,
        /// For what, in a few words for people.
        why: String,
    },
    /// It did not happen, and will not: the remote said no.
    Refused(Failure),
    /// It may have happened: the answer is lost, or cannot be read. Tried again under the same key where
    /// [`Failure::retryable`] says so.
    Unknown(Failure),
}

impl<T> Verdict<T> {
    /// The same verdict about another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Verdict<U> {
        match self {
            Self::Done(value) => Verdict::Done(f(value)),
            Self::RetryAfter(failure) => Verdict::RetryAfter(failure),
            Self::Wait { wait, why } => Verdict::Wait { wait, why },
            Self::Refused(failure) => Verdict::Refused(failure),
            Self::Unknown(failure) => Verdict::Unknown(failure),
        }
    }
}

/// A closure's error says itself whether it is definite, and whether to try again.
impl<T> From<Result<T>> for Verdict<T> {
    fn from(result: Result<T>) -> Self {
        let failure = match result {
            Ok(value) => return Self::Done(value),
            Err(error) => error.into_failure(),
        };
        match (failure.certainty, failure.retryable) {
            (Certainty::Refused, true) => Self::RetryAfter(failure),
            (Certainty::Refused, false) => Self::Refused(failure),
            (Certainty::Unknown, _) => Self::Unknown(failure),
        }
    }
}

/// One attempt: what an effect may know of it.
#[derive(Debug, Clone)]
pub struct Attempt {
    key: String,
    number: u32,
    timeout: Duration,
}

impl Attempt {
    /// The attempt with that idempotency key, counted from 1, given up after `timeout`.
    pub fn new(key: impl Into<String>, number: u32, timeout: Duration) -> Self {
        Self { key: key.into(), number, timeout }
    }

    /// The idempotency key: the same on every attempt of the step, before and after a crash. Looks like a UUID.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Which attempt it is, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// When the engine will give this attempt up, counted from its start.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// Whether an effect can be repeated when nobody knows if it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// At any time: it changes nothing (a GET), or the author did not ask for a key.
    Safe,
    /// While the remote remembers the key: this long after it was first sent.
    Keyed {
        /// How long the remote remembers a key.
        lifetime: Duration,
    },
}

/// What an effect is, as far as the journal is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// What is called; `None` for closures.
    pub fingerprint: Option<Fingerprint>,
    /// Whether it can be repeated.
    pub repeat: Repeat,
}

/// What a step can yield: it is recorded in the run's journal, and read back after a crash. Every type that has both
/// directions of serde is.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be recorded",
    label = "what this yields cannot be recorded",
    note = "what a step yields is written to the journal, and read back after a crash: derive both, as in \
            `#[derive(Serialize, Deserialize)] struct Contact {{ .. }}`; a step that yields nothing yields `()`",
    note = "if this names the type `!`, nobody said what to read the answer as: `.decode::<Contact>()`, or `let contact: Contact = ..`"
)]
pub trait Recorded: Serialize + DeserializeOwned + Send {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send> Recorded for T {}

/// Something outside that a step can do: described by a plain value, sent only when a step runs it.
///
/// `attempt` may be called several times, and again after a crash.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an effect that a step can run",
    note = "a step takes a `Call` (as `self.crm.post(\"/contacts\").json(&contact).decode()`) or a closure (as `async || Ok(1)`)"
)]
pub trait Effect: Send + Sync {
    /// What it yields.
    type Output: Recorded;

    /// Describes the effect. Pure and cheap; called once per step.
    fn shape(&self) -> Shape;

    /// How long one attempt may take unless the step says otherwise; `None`: as long as a call, 10 s.
    fn attempt_timeout(&self) -> Option<Duration> {
        None
    }

    /// Makes one attempt. Dropping the future gives the attempt up.
    fn attempt(&self, attempt: Attempt) -> impl Future<Output = Verdict<Self::Output>> + Send;
}

/// When an effect was first sent, and how often it was tried: what the retry schedule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// Attempts made so far.
    pub attempts: u32,
    /// When the first of them started.
    pub since: Timestamp,
}
