//! What people see of Bowline, and what they say to it.
//!
//! What comes in: an operator's requests, from a browser, over the admin API or a command line. What goes out: views of
//! runs and of the server's health, as pages and as data, and commands.
//!
//! What must never happen here: a write past [`commands`], a payload that nobody asked for, an answer to a page of
//! another origin.
//!
//! | Module | Story |
//! |---|---|
//! | [`commands`] | cancel, retry, settle, replay, discard, and messages to runs: decided purely, applied with a compare-and-set |
//! | [`view`] | rows and timelines, as data |
//! | [`approvals`] | questions to people that runs wait with |
//! | [`connections`] | Apis that get tokens: how they stand, and consents for them |
//! | [`triggers`] | schedules, polls and inboxes: when each acts next, and what goes wrong |
//! | [`health`] | whether the server makes progress |
//! | [`wording`] | the words for them, on pages and terminals alike |
//! | `pages` | runs and timelines in a browser |
//! | [`admin`] | pages and API together, behind one guard |
//! | [`alerts`] | dead letters told to a chat, many in one message |
//! | [`export`] | a run as a file, for tests to replay |

pub mod admin;
pub mod alerts;
pub mod approvals;
pub mod commands;
pub mod connections;
pub mod export;
pub mod health;
mod pages;
pub mod triggers;
pub mod view;
pub mod wording;

pub use admin::Admin;
pub use alerts::Alerts;
pub use commands::{Commands, Operator};
pub use view::{Payloads, RunView};
