//! Events enter over real sockets, into a real store.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod answers;
mod callbacks;
mod clients;
mod clock;
mod cloud_events;
mod doors;
mod duplicates;
mod durable;
mod encrypted;
mod forms;
mod gate;
mod hand;
mod log;
mod pages;
mod polls;
mod posts;
mod program;
mod providers;
mod refusals;
mod replay;
mod schedules;
mod secrecy;
mod site;
mod slow;
mod sockets;
mod visit;
mod waiting;
mod wire;

// Two files of bowline-testing, and not the crate, which stands on this one.
#[path = "../../../bowline-testing/src/peer/python.rs"]
#[expect(unreachable_pub, reason = "public where it is at home")]
mod peer;
#[path = "../../../bowline-testing/src/skip.rs"]
#[expect(unreachable_pub, reason = "public where it is at home")]
mod skip;
