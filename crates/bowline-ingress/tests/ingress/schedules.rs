//! Schedules: their times, and what they start.

mod bench;
mod changes;
mod peer_times;
mod ticking;
mod wrong;
