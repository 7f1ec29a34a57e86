//! What operators rely on: decisions on literal journals, and the API over a real socket and a real store.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod admin;
mod decide;
mod journal;
mod server;
mod timeline;
