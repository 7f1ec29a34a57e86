//! What a mock's requests wait for.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::pulse::Pulse;

/// Counts the requests that mocks keep waiting by the clock, or for ever.
#[derive(Debug)]
pub(crate) struct Gauge {
    held: AtomicUsize,
    pulse: Arc<Pulse>,
}

impl Gauge {
    pub(crate) fn new(pulse: Arc<Pulse>) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), pulse })
    }

    /// How many requests wait.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    /// A request came, or was answered.
    pub(crate) fn beat(&self) {
        self.pulse.beat();
    }

    /// A request waits until this is dropped.
    pub(crate) fn hold(self: &Arc<Self>) -> Held {
        self.held.fetch_add(1, Ordering::SeqCst);
        self.pulse.beat();
        Held(self.clone())
    }
}

/// A request that waits.
pub(crate) struct Held(Arc<Gauge>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::SeqCst);
        self.0.pulse.beat();
    }
}
