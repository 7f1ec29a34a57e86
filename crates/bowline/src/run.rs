//! A run, as the program around the app sees it.

use std::{fmt, future::IntoFuture, marker::PhantomData, sync::Arc};

use bowline_model::{BoxFuture, DeadReason, Run, RunId, RunState};
use bowline_store::{Store, StoreError, StoreErrorKind};
use serde::de::DeserializeOwned;

/// A run that was started; awaiting it waits for its end and yields its output.
///
/// Dropping it changes nothing: the run goes on.
///
/// # Durability
/// The output is on disk before it is seen here. A run is forgotten after the app's retention: then its handle says
/// [`RunError::NotFound`].
#[must_use = "awaiting it yields the run's output; the run goes on without it"]
pub struct RunHandle<O> {
    id: RunId,
    store: Arc<dyn Store>,
    output: PhantomData<fn() -> O>,
}

impl<O> Clone for RunHandle<O> {
    fn clone(&self) -> Self {
        Self::new(self.id, self.store.clone())
    }
}

impl<O> fmt::Debug for RunHandle<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunHandle").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why there is no output.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// It needs a person. `retry` lets it go on; wait again after that.
    #[error("run {run} is a dead letter ({reason}): {summary}")]
    DeadLettered {
        /// Which.
        run: RunId,
        /// Why.
        reason: DeadReason,
        /// Why, in one line.
        summary: String,
    },
    /// It was ended by an operator or a policy.
    #[error("run {0} was cancelled")]
    Cancelled(RunId),
    /// It is not in the store (any more).
    #[error("there is no run {0}; ended runs leave the store after the app's retention")]
    NotFound(RunId),
    /// What it yielded does not fit the type that was asked for.
    #[error("run {run} yielded something else than {expected}: {problem}")]
    Output {
        /// Which.
        run: RunId,
        /// The type that was asked for.
        expected: &'static str,
        /// What did not fit.
        problem: String,
    },
    /// The store cannot be read now.
    #[error("{0}")]
    Store(StoreError),
}

impl<O> RunHandle<O> {
    pub(crate) fn new(id: RunId, store: Arc<dyn Store>) -> Self {
        Self { id, store, output: PhantomData }
    }

    /// Its id: what `show` and the pages call it.
    pub fn id(&self) -> RunId {
        self.id
    }

    /// Where it stands now.
    ///
    /// # Errors
    /// [`RunError::NotFound`], [`RunError::Store`].
    pub async fn status(&self) -> Result<RunState, RunError> {
        let run = self.store.run(self.id).await.map_err(RunError::Store)?;
        run.map(|run| run.state).ok_or(RunError::NotFound(self.id))
    }

    async fn end(&self) -> Result<Run, RunError> {
        self.store.ended(self.id).await.map_err(|error| match error.kind() {
            StoreErrorKind::NotFound => RunError::NotFound(self.id),
            StoreErrorKind::Full
            | StoreErrorKind::Busy
            | StoreErrorKind::Unavailable
            | StoreErrorKind::Stale
            | StoreErrorKind::Conflict
            | StoreErrorKind::Overtaken
            | StoreErrorKind::Limit
            | StoreErrorKind::Locked
            | StoreErrorKind::Incompatible => RunError::Store(error),
        })
    }
}

impl<O: DeserializeOwned> RunHandle<O> {
    async fn output(self) -> Result<O, RunError> {
        let (id, run) = (self.id, self.end().await?);
        match run.state {
            RunState::Completed => {}
            RunState::Cancelled => return Err(RunError::Cancelled(id)),
            RunState::DeadLettered => {
                let reason = run.dead_reason.unwrap_or(DeadReason::Failed);
                return Err(RunError::DeadLettered {
                    run: id,
                    reason,
                    summary: run.summary.unwrap_or_default(),
                });
            }
            RunState::Queued | RunState::Running | RunState::Waiting => {
                unreachable!("the store answers when the run is not open")
            }
        }
        let output = self.store.output(id).await.map_err(RunError::Store)?.ok_or(RunError::NotFound(id))?;
        output.decode().map_err(|error| RunError::Output {
            run: id,
            expected: std::any::type_name::<O>(),
            problem: error.to_string(),
        })
    }
}

impl<O: DeserializeOwned + 'static> IntoFuture for RunHandle<O> {
    type Output = Result<O, RunError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.output())
    }
}
