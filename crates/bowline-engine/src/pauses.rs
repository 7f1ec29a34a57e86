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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bowline_model::{BuildId, Epoch, Event, EventId, KeySeed, Run, RunId, RunState, SystemClock};
    use jiff::Timestamp;

    use super::*;
    use crate::board::Board;

    fn run(workflow: &WorkflowName) -> Run {
        Run {
            id: RunId(1),
            event: EventId(1),
            workflow: workflow.clone(),
            key: None,
            priority: 0,
            parent: None,
            replay_of: None,
            build: BuildId::from("1"),
            state: RunState::Running,
            due: None,
            owner: None,
            epoch: Epoch(2),
            key_seed: KeySeed(1),
            crashes: 1,
            crashes_alone: 0,
            journal_len: 0,
            created_at: Timestamp::UNIX_EPOCH,
            claimed_at: None,
            unsure_since: None,
            changed_at: Timestamp::UNIX_EPOCH,
            dead_reason: None,
            summary: None,
        }
    }

    fn event() -> Event {
        Event {
            id: EventId(1),
            source: "/loops".into(),
            provider: "loops".into(),
            kind: "loops".into(),
            dedupe_key: "1".into(),
            received_at: Timestamp::UNIX_EPOCH,
            headers: vec![],
            body: "{}".into(),
            input_pointer: String::new(),
        }
    }

    /// What is recorded of its items must be asked for, or the code would seem to have changed.
    #[test]
    fn a_pause_holds_no_loop_back_that_is_found_again_after_a_crash() {
        let (pauses, workflow) = (Pauses::default(), WorkflowName::new("loops"));
        let clock = Arc::new(SystemClock);
        let board = Board::new(run(&workflow), Arc::new(event()), vec![], BuildId::from("1"), clock);
        let board = board.paused_by(pauses.of(&workflow));
        pauses.paused.send_replace(HashSet::from([workflow]));
        assert!(board.is_paused() && !board.holds_back(), "it is found again first");
        board.lock().is_live = true;
        assert!(board.holds_back());
        pauses.paused.send_replace(HashSet::from([WorkflowName::new("another")]));
        assert!(!board.holds_back());
    }
}
