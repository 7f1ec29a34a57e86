//! What people see of Bowline, and what they say to it.
//!
//! What comes in: an operator's requests, over the admin API or a command line. What goes out: views of runs and of
//! the server's health, and commands.
//!
//! What must never happen here: a write past [`commands`], a payload that nobody asked for, an answer to a page of
//! another origin.
//!
//! | Module | Story |
//! |---|---|
//! | [`commands`] | retry, replay, discard: decided purely, applied with a compare-and-set |
//! | [`view`] | rows and timelines, as data |
//! | [`health`] | whether the server makes progress |
//! | [`admin`] | the API over both |
//! | [`alerts`] | dead letters told to a chat, many in one message |

pub mod admin;
pub mod alerts;
pub mod commands;
pub mod health;
pub mod view;

pub use admin::Admin;
pub use alerts::Alerts;
pub use commands::{Commands, Operator};
pub use view::{Payloads, RunView};
