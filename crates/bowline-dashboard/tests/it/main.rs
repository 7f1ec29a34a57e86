//! What operators rely on: decisions on literal journals, the API over a real socket and a real
//! store, and the pages, the same way and in a real browser; what people are told, by a clock that moves when told.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod admin;
mod alerts;
mod approvals;
mod browser;
mod chromium;
mod connections;
mod consent;
mod decide;
mod event;
mod hostile;
mod journal;
mod pages;
mod pausing;
mod server;
mod standing;
mod tell;
mod timeline;
mod triggers;
