//! Schedules: their times, and what they start.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bench;
mod changes;
mod peer_times;
mod ticking;
mod wrong;
