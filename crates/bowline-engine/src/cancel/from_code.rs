//! A workflow cancels another run.

use std::sync::{Arc, Mutex};

use bowline_model::{BoxFuture, Error, NodeId, Result, RunId};
use bowline_store::{StoreError, StoreErrorKind};

use crate::{Context, Engine, engine::Shared};

/// Cancels a run and its children, for a reason.
pub(crate) type CancelFromCode =
    Arc<dyn Fn(RunId, String) -> BoxFuture<'static, std::result::Result<(), StoreError>> + Send + Sync>;

/// An engine that cancels: its tasks are the running one's.
pub(crate) fn engine_of(shared: &Arc<Shared>, node: NodeId) -> Engine {
    Engine { shared: shared.clone(), node, tasks: Mutex::new(None) }
}

/// What workflows on this node cancel with.
pub(crate) fn cancels_with(shared: Arc<Shared>, node: NodeId) -> CancelFromCode {
    Arc::new(move |run, reason| {
        let engine = engine_of(&shared, node);
        Box::pin(async move { engine.cancel_family(run, &reason).await.map(drop) })
    })
}

impl Context {
    /// Cancels a run, with the children that it waits for, as [`Engine::cancel`] does. One that has ended stays as it ended.
    ///
    /// It does not wait until what that run did is undone. A run that cancels itself goes no further.
    ///
    /// # Durability
    /// A step: recorded once; after a crash it is said again, which changes nothing.
    ///
    /// # Errors
    /// If there is no such run, or it is driven by another node.
    pub async fn cancel_run(&self, run: RunId, reason: impl Into<String>) -> Result<()> {
        let (cancel, reason) = (self.board().cancel.clone(), reason.into());
        let said = || {
            let said = cancel.as_ref().map(|cancel| cancel(run, reason.clone()));
            async move {
                let said = said.ok_or_else(|| Error::permanent("no engine runs here"))?;
                said.await.map_err(|error| match error.kind() {
                    StoreErrorKind::NotFound | StoreErrorKind::Conflict => Error::permanent(error),
                    _ => Error::retryable(error),
                })
            }
        };
        self.step(&format!("cancel run {run}"), said).await
    }
}
