//! Drives runs.
//!
//! What comes in: runs from the store, workflows from the app. What goes out: journal entries, and effects, each
//! started only when everything the run's code has seen is on disk.
//!
//! What must never happen here: SQL, HTTP, the wall clock, or an outcome handed to user code out of its order.
//!
//! From the outside in:
//!
//! | Module | Story |
//! |---|---|
//! | [`engine`] | one node: its start, its shutdown, what its parts share |
//! | `dispatch` | claims runs and hands them to kept code or a new driver |
//! | `drive` | one run: does what the machine says, in the store and in time |
//! | `machine` | one run, decided: polls its code, delivers one outcome, starts effects; no IO |
//! | `undo` | undoes what a run did |
//! | `cancel` | ends an open run from outside |
//! | `pauses` | which workflows are paused, for loops under way |
//! | `activity` | whether anything goes on by itself |
//! | `board` | what the run's code asks for, and what it was given |
//! | `leaf` | something that the code waits for: a step (`sending`), a time or a message (`wait`) |
//! | `asking` | the code's side of a leaf |
//! | `journal`, `fit` | what is recorded, and whether the code still fits it |
//! | `fitting` | the same, asked before a build takes work |
//! | [`context`], [`step`], [`waiting`], [`branches`], [`state`], [`transaction`] | what a workflow's author holds |

mod action;
mod activity;
mod approval;
mod asking;
mod board;
pub mod branches;
mod cancel;
mod child;
pub mod context;
mod dispatch;
mod drive;
pub mod engine;
mod fit;
mod fitting;
mod journal;
mod key;
mod leaf;
pub mod loops;
mod machine;
mod mail;
#[cfg(test)]
mod oracle;
mod pauses;
mod sending;
mod settle;
mod slots;
pub mod state;
pub mod step;
pub mod transaction;
mod undo;
mod wait;
pub mod waiting;
mod waker;
pub mod workflow;

pub use action::{Action, Asynchronous, Fallible, Runnable, ViaAttempt, ViaEffect, ViaFn};
pub use approval::Approval;
pub use branches::{Branches, Raced, Racing};
pub use cancel::{Cancel, CancelAtRest, CancelledFamily};
pub use child::{Child, Startable};
pub use context::Context;
pub use engine::{Engine, EngineOptions};
pub use fitting::{Fit, Rehearsal};
pub use state::{State, Versioned};
pub use step::Step;
pub use transaction::{Transaction, Tx};
pub use waiting::{Callback, Signal, WaitUntil};
pub use workflow::{Input, Output, Workflow, Workflows};
