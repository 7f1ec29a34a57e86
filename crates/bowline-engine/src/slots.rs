//! Slots: how many runs are driven at once, in all and per workflow.
//!
//! Only the dispatcher takes slots, after it claimed no more runs than were free; so taking never waits.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bowline_model::WorkflowName;
use tokio::sync::Notify;

use crate::Workflows;

/// The node's slots.
pub(crate) struct Slots {
    total: usize,
    state: Mutex<SlotsState>,
    freed: Notify,
}

struct SlotsState {
    taken: usize,
    per_workflow: HashMap<WorkflowName, usize>,
}

/// One taken slot; dropping it gives it back, however the run's task ends.
pub(crate) struct SlotGuard {
    slots: Arc<Slots>,
    workflow: WorkflowName,
}

impl Slots {
    pub(crate) fn new(total: usize) -> Arc<Self> {
        let state = Mutex::new(SlotsState { taken: 0, per_workflow: HashMap::new() });
        Arc::new(Self { total, state, freed: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, SlotsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Free slots in all.
    pub(crate) fn free(&self) -> usize {
        self.total.saturating_sub(self.lock().taken)
    }

    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Free slots of each workflow that has any, none above `free`.
    pub(crate) fn free_per_workflow(&self, workflows: &Workflows, free: usize) -> Vec<(WorkflowName, usize)> {
        let state = self.lock();
        workflows
            .iter()
            .map(|workflow| {
                let taken = state.per_workflow.get(workflow.name()).copied().unwrap_or(0);
                let own = workflow.concurrency_max().map_or(free, |max| max.saturating_sub(taken));
                (workflow.name().clone(), own.min(free))
            })
            .collect()
    }

    pub(crate) fn take(self: &Arc<Self>, workflow: &WorkflowName) -> SlotGuard {
        let mut state = self.lock();
        state.taken += 1;
        *state.per_workflow.entry(workflow.clone()).or_default() += 1;
        SlotGuard { slots: self.clone(), workflow: workflow.clone() }
    }

    /// Ends when a slot was given back since the last call.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        let mut state = self.slots.lock();
        state.taken -= 1;
        if let Some(taken) = state.per_workflow.get_mut(&self.workflow) {
            *taken -= 1;
        }
        drop(state);
        self.slots.freed.notify_one();
    }
}
