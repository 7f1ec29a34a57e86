//! Whether the engine makes progress: what a readiness check asks.

use std::time::Duration;

/// A look at the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Since the dispatcher last went round. It does so at least every 30 s, idle or not.
    pub dispatcher_beat_age: Duration,
    /// Whether the dispatcher's last claim failed.
    pub claims_fail: bool,
    /// Slots in all.
    pub slots: usize,
    /// Slots free.
    pub slots_free: usize,
    /// Waiting runs whose code is kept in memory.
    pub resting: usize,
    /// Whether the engine is shutting down and takes no more work.
    pub stopping: bool,
}
