//! What a mock's requests wait for.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::pulse::Pulse;

/// Counts the requests that mocks keep waiting by the clock, or for ever.
pub(crate) struct Gauge {
    held: AtomicUsize,
    pulse: Arc<Pulse>,
    on_arrival: Box<dyn Fn() + Send + Sync>,
}

impl Gauge {
    /// `on_arrival` is told of every request before it is answered.
    pub(crate) fn new(pulse: Arc<Pulse>, on_arrival: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), pulse, on_arrival: Box::new(on_arrival) })
    }

    /// How many requests wait.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    /// A request came.
    pub(crate) fn arrived(&self) {
        (self.on_arrival)();
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
