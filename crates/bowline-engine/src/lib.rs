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
//! | `cancel` | ends an open run from outside |
//! | `activity` | whether anything goes on by itself |
//! | `board` | what the run's code asks for, and what it was given |
//! | `leaf` | one step that the code waits for |
//! | `journal`, `fit` | what is recorded, and whether the code still fits it |
//! | [`context`], [`step`] | what a workflow's author holds |

mod action;
mod activity;
mod board;
mod cancel;
pub mod context;
mod dispatch;
mod drive;
pub mod engine;
mod fit;
mod journal;
mod key;
mod leaf;
mod machine;
#[cfg(test)]
mod oracle;
mod settle;
mod slots;
pub mod step;
mod waker;
pub mod workflow;

pub use action::{Action, Asynchronous, Fallible, Runnable, ViaAttempt, ViaEffect, ViaFn};
pub use cancel::{Cancel, CancelAtRest, CancelledFamily};
pub use context::Context;
pub use engine::{Engine, EngineOptions};
pub use step::Step;
pub use workflow::{Input, Output, Workflow, Workflows};
