//! Which workflows an operator has paused, for runs that are driven here: their loops begin no further item.
//!
//! Runs that are not driven need none of this: the store lets nobody claim them.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
};

use bowline_model::WorkflowName;
use bowline_store::{Store, StoreError};
use tokio::sync::watch;

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Pauses {
    /// Whether a pause began or ended since the store was asked.
    told: AtomicBool,
    paused: watch::Sender<HashSet<WorkflowName>>,
}

impl Pauses {
    /// A pause began or ended.
    pub(crate) fn tell(&self) {
        self.told.store(true, Ordering::Release);
    }

    /// Asks the store, if there is news.
    pub(crate) async fn learn(&self, store: &dyn Store) -> Result<(), StoreError> {
        if !self.told.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        match store.paused().await {
            Ok(paused) => {
                self.paused.send_replace(paused.into_iter().map(|paused| paused.workflow).collect());
                Ok(())
            }
            Err(error) => {
                self.tell();
                Err(error)
            }
        }
    }

    /// Whether that workflow is paused, from now on.
    pub(crate) fn of(&self, workflow: &WorkflowName) -> Paused {
        Paused { workflow: workflow.clone(), paused: self.paused.subscribe() }
    }
}

/// Whether one workflow is paused.
#[derive(Clone)]
pub(crate) struct Paused {
    workflow: WorkflowName,
    paused: watch::Receiver<HashSet<WorkflowName>>,
}

impl Paused {
    pub(crate) fn is_so(&self) -> bool {
        self.paused.borrow().contains(&self.workflow)
    }

    /// Ends when it is not.
    pub(crate) async fn until_resumed(mut self) {
        // An error: the node is gone, and with it whoever waits.
        let _ = self.paused.wait_for(|paused| !paused.contains(&self.workflow)).await;
    }
}
