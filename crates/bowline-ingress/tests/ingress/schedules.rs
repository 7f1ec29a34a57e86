//! Schedules: their times, and what they start.

mod changes;
mod peer_times;
