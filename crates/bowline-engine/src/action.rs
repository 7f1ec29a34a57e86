//! What a step can run: a call, or a closure.
//!
//! The traits here say in stages what a closure must be, each with words of its own: something to call ([`Action`]), that
//! is async ([`Asynchronous`]), that can fail ([`Fallible`]), whose value can be recorded ([`Recorded`]). What one trait
//! asks for is no condition of the one before: only so does the compiler tell an author which stage it was.

use std::{future::Future, marker::PhantomData, time::Duration};

use bowline_model::{Attempt, Effect, Error, Recorded, Repeat, Result, Shape, Verdict};

/// How long one attempt of an effect may take that does not say so itself: of a call.
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
    label = "neither a call nor an async closure",
    note = "a step takes a `Call`, as in `self.crm.post(\"/contacts\").json(&contact).decode()`,",
    note = "or a closure that may run several times, as in `async || Ok(1)` or `async |attempt: Attempt| Ok(1)`"
)]
pub trait Action<Via> {
    /// How a step runs it.
    type Kind;

    /// Makes it what a step runs.
    fn into_kind(self) -> Self::Kind;
}

/// Marks an [`Effect`] such as a call.
pub struct ViaEffect;
/// Marks a closure without arguments that yields an `R`.
pub struct ViaFn<R>(PhantomData<fn() -> R>);
/// Marks a closure that takes its [`Attempt`] and yields an `R`.
pub struct ViaAttempt<R>(PhantomData<fn() -> R>);

/// An [`Effect`] as a step runs it.
pub struct OfEffect<E>(E);
/// A closure without arguments as a step runs it.
pub struct OfFn<F, R>(F, PhantomData<fn() -> R>);
/// A closure that takes its [`Attempt`] as a step runs it.
pub struct OfAttempt<F, R>(F, PhantomData<fn() -> R>);

impl<E: Effect> Action<ViaEffect> for E {
    type Kind = OfEffect<E>;

    fn into_kind(self) -> Self::Kind {
        OfEffect(self)
    }
}

impl<F: Fn() -> R, R> Action<ViaFn<R>> for F {
    type Kind = OfFn<F, R>;

    fn into_kind(self) -> Self::Kind {
        OfFn(self, PhantomData)
    }
}

impl<F: Fn(Attempt) -> R, R> Action<ViaAttempt<R>> for F {
    type Kind = OfAttempt<F, R>;

    fn into_kind(self) -> Self::Kind {
        OfAttempt(self, PhantomData)
    }
}

/// What can be awaited: every future.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be awaited: an `async` is missing",
    label = "expected something async",
    note = "a workflow is an `async fn`, and the closure of a step begins with `async`: `async || Ok(1)`"
)]
pub trait Asynchronous: Future<Output = Self::Yields> {
    /// What awaiting it yields.
    type Yields;
}

#[diagnostic::do_not_recommend]
impl<F: Future> Asynchronous for F {
    type Yields = F::Output;
}

/// What can fail as a step can: [`Result`].
#[diagnostic::on_unimplemented(
    message = "a workflow or a step returns a `bowline::Result`, and this returns `{Self}`",
    label = "expected a `bowline::Result`",
    note = "wrap a value in `Ok(..)`; turn another error into `bowline::Error` with `?`, as in `Ok(std::fs::read(path)?)`"
)]
pub trait Fallible {
    /// What it yields if it did not fail.
    type Value;

    /// The result.
    fn into_result(self) -> Result<Self::Value>;
}

#[diagnostic::do_not_recommend]
impl<T> Fallible for Result<T, Error> {
    type Value = T;

    fn into_result(self) -> Result<T> {
        self
    }
}

/// What attempts are made of: an [`Action`] that is all that it must be.
pub trait Runnable: Send + Sync {
    /// What it yields.
    type Output: Recorded;

    /// See [`Effect::shape`].
    fn shape(&self) -> Shape;

    /// How long one attempt may take, unless the step says otherwise.
    fn attempt_timeout(&self) -> Duration;

    /// Makes one attempt.
    fn attempt(&self, attempt: Attempt) -> impl Future<Output = Verdict<Self::Output>> + Send;
}

impl<E: Effect> Runnable for OfEffect<E> {
    type Output = E::Output;

    fn shape(&self) -> Shape {
        self.0.shape()
    }

    fn attempt_timeout(&self) -> Duration {
        self.0.attempt_timeout().unwrap_or(EFFECT_TIMEOUT)
    }

    fn attempt(&self, attempt: Attempt) -> impl Future<Output = Verdict<Self::Output>> + Send {
        self.0.attempt(attempt)
    }
}

impl<F, R> Runnable for OfFn<F, R>
where
    F: Fn() -> R + Send + Sync,
    R: Asynchronous<Yields: Fallible<Value: Recorded>> + Send,
{
    type Output = <R::Yields as Fallible>::Value;

    fn shape(&self) -> Shape {
        Shape { fingerprint: None, repeat: Repeat::Safe }
    }

    fn attempt_timeout(&self) -> Duration {
        CLOSURE_TIMEOUT
    }

    async fn attempt(&self, _: Attempt) -> Verdict<Self::Output> {
        (self.0)().await.into_result().into()
    }
}

impl<F, R> Runnable for OfAttempt<F, R>
where
    F: Fn(Attempt) -> R + Send + Sync,
    R: Asynchronous<Yields: Fallible<Value: Recorded>> + Send,
{
    type Output = <R::Yields as Fallible>::Value;

    fn shape(&self) -> Shape {
        Shape { fingerprint: None, repeat: Repeat::Keyed { lifetime: CLOSURE_KEY_LIFETIME } }
    }

    fn attempt_timeout(&self) -> Duration {
        CLOSURE_TIMEOUT
    }

    async fn attempt(&self, attempt: Attempt) -> Verdict<Self::Output> {
        (self.0)(attempt).await.into_result().into()
    }
}
