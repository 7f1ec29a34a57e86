//! The engine over a real store: recovery, waits, slots, shutdown, dead letters, an operator's retry.
//!
//! Time stands still until a test moves it; a process's death is its runtime dropped without a word.

#![allow(clippy::unwrap_used, reason = "what a test sets up is there")]

mod barrier;
mod broken_store;
mod cancelling;
mod changed_code;
mod combined;
mod crashes;
mod doubt;
mod families;
mod in_flight;
mod limits;
mod loops;
mod messages;
mod node;
mod operator;
mod quiet;
mod remote;
mod shutdown;
mod sleeping;
mod steps;
mod strangers;
mod streams;
mod timers;
mod undoing;
mod waits;
mod whirl;
