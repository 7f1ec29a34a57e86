//! The engine over a real store: recovery, waits, slots, shutdown, dead letters, an operator's retry.
//!
//! Time stands still until a test moves it; a process's death is its runtime dropped without a word.

#![allow(clippy::unwrap_used, reason = "what a test sets up is there")]

mod changed_code;
mod crashes;
mod hooks;
mod keys;
mod node;
mod odd;
mod operator;
mod optional;
mod remote;
mod steps;
mod stop;
mod strangers;
mod suspects;
mod waits;
