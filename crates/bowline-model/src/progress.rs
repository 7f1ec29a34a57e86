//! Whether the engine makes progress: what a readiness check asks.

use std::time::Duration;

/// A look at the engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
    /// Attempts under way: calls that were sent and not yet answered, and closures of steps that have not ended.
    pub attempts: usize,
    /// Parts of the engine that are at work: being polled, about to be, or waiting for the store.
    ///
    /// Exact, and of the same moment as `attempts`: with both 0, nothing goes on until a [`Clock`](crate::Clock) wakes a
    /// sleeper, an event is accepted or an operator acts. With attempts under way and nobody busy, it is also they that
    /// something can come from. Whoever is woken (by a poke, a clock, an answer) is busy before the call that woke it
    /// returns. A run that rests, or waits out its retry, is not busy. Not seen: what a workflow awaits besides its
    /// steps (a channel, a task of its own), until that wakes it; and what is on its way elsewhere (a request at the
    /// door, bytes between a client's connection and its remote).
    pub busy: usize,
    /// Whether the engine is shutting down and takes no more work.
    pub stopping: bool,
}
