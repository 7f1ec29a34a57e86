//! What a step can run: a call, or a closure.

use std::{future::Future, time::Duration};

use bowline_model::{Attempt, Certainty, Effect, Repeat, Result, Shape, Verdict};
use serde::{Serialize, de::DeserializeOwned};

/// Marks an [`Effect`] such as a call.
pub struct ViaEffect;
/// Marks a closure without arguments.
pub struct ViaFn;
/// Marks a closure that takes its [`Attempt`].
pub struct ViaAttempt;

/// How long one attempt of a call may take.
pub(crate) const EFFECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one attempt of a closure may take: it may do several things.
pub(crate) const CLOSURE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a remote is taken to remember the key of a closure that asked for one.
const CLOSURE_KEY_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// What [`Context::step`](crate::Context::step) takes: any [`Effect`] (a call), or a closure `async || Ok(value)` or
/// `async |attempt: Attempt| Ok(value)`.
///
/// `Via` tells the three apart for the compiler; it is always inferred. A closure is `Fn`: it may run several times,
/// and again after a crash.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not something that a step can run",
    label = "neither a `Call` nor an async closure that returns `bowline::Result<T>`",
    note = "a step takes a `Call`, as in `self.crm.post(\"/contacts\").json(&contact).decode()`,",
    note = "or a closure that may run several times, as in `async || Ok(1)`; its value must be Serialize + DeserializeOwned"
)]
pub trait Action<Via>: Send + Sync {
    /// What it yields.
    type Output: Serialize + DeserializeOwned + Send;

    /// See [`Effect::shape`].
    fn shape(&self) -> Shape;

    /// How long one attempt may take, unless the step says otherwise.
    fn attempt_timeout(&self) -> Duration;

    /// Makes one attempt.
    fn attempt(&self, attempt: Attempt) -> impl Future<Output = Verdict<Self::Output>> + Send;
}

impl<E: Effect> Action<ViaEffect> for E {
    type Output = E::Output;

    fn shape(&self) -> Shape {
        Effect::shape(self)
    }

    fn attempt_timeout(&self) -> Duration {
        EFFECT_TIMEOUT
    }

    fn attempt(&self, attempt: Attempt) -> impl Future<Output = Verdict<Self::Output>> + Send {
        Effect::attempt(self, attempt)
    }
}

impl<F, Fut, T> Action<(ViaFn, Fut, T)> for F
where
    F: Fn() -> Fut + Send + Sync,
    Fut: Future<Output = Result<T>> + Send,
    T: Serialize + DeserializeOwned + Send,
{
    type Output = T;

    fn shape(&self) -> Shape {
        Shape { fingerprint: None, repeat: Repeat::Safe }
    }

    fn attempt_timeout(&self) -> Duration {
        CLOSURE_TIMEOUT
    }

    async fn attempt(&self, _: Attempt) -> Verdict<T> {
        verdict(self().await)
    }
}

impl<F, Fut, T> Action<(ViaAttempt, Fut, T)> for F
where
    F: Fn(Attempt) -> Fut + Send + Sync,
    Fut: Future<Output = Result<T>> + Send,
    T: Serialize + DeserializeOwned + Send,
{
    type Output = T;

    fn shape(&self) -> Shape {
        Shape { fingerprint: None, repeat: Repeat::Keyed { lifetime: CLOSURE_KEY_LIFETIME } }
    }

    fn attempt_timeout(&self) -> Duration {
        CLOSURE_TIMEOUT
    }

    async fn attempt(&self, attempt: Attempt) -> Verdict<T> {
        verdict(self(attempt).await)
    }
}

/// A closure's error says itself whether it is definite and whether to try again.
fn verdict<T>(result: Result<T>) -> Verdict<T> {
    let failure = match result {
        Ok(value) => return Verdict::Done(value),
        Err(error) => error.into_failure(),
    };
    match (failure.certainty, failure.retryable) {
        (Certainty::Refused, true) => Verdict::RetryAfter(failure),
        (Certainty::Refused, false) => Verdict::Refused(failure),
        (Certainty::Unknown, _) => Verdict::Unknown(failure),
    }
}
