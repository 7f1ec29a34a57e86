//! The port of undoing: a call as data, and data as a call again.
//!
//! What undoes a step is said when the step succeeded, and kept in the run's journal. It may run days later, in another
//! process: so it is data, and no closure.

use std::{fmt, time::Duration};

use crate::{Attempt, BoxFuture, Effect, Payload, Result, Shape, Verdict};

/// An effect that can be kept as data: what [`Step::undo`](https://docs.rs/bowline-engine) takes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept as an undo",
    note = "an undo is a `Call`, as `self.crm.delete(&contact_path)`: it is written to the journal when \
            the step succeeded, and may be sent days later by another process, which no closure outlives"
)]
pub trait Reversible: Effect {
    /// The effect as data, that [`Recall::effect`] reads back: without credentials.
    ///
    /// # Errors
    /// If it cannot be kept: it holds a secret, or a body that is no data.
    fn as_data(&self) -> Result<Payload>;
}

/// Makes effects of what [`Reversible::as_data`] wrote.
pub trait Recall: fmt::Debug + Send + Sync {
    /// The effect.
    ///
    /// # Errors
    /// If this build has nothing of that name to call, or cannot read the data.
    fn effect(&self, data: &Payload) -> Result<Box<dyn Recalled>>;
}

/// An effect that was data. Its answer is not looked at: that it was done is what counts.
pub trait Recalled: Send + Sync {
    /// See [`Effect::shape`].
    fn shape(&self) -> Shape;

    /// See [`Effect::attempt_timeout`].
    fn attempt_timeout(&self) -> Option<Duration>;

    /// See [`Effect::attempt`].
    fn attempt(&self, attempt: Attempt) -> BoxFuture<'_, Verdict<()>>;
}

impl<E: Effect> Recalled for E {
    fn shape(&self) -> Shape {
        Effect::shape(self)
    }

    fn attempt_timeout(&self) -> Option<Duration> {
        Effect::attempt_timeout(self)
    }

    fn attempt(&self, attempt: Attempt) -> BoxFuture<'_, Verdict<()>> {
        Box::pin(async move { Effect::attempt(self, attempt).await.map(|_| ()) })
    }
}
