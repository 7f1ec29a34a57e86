//! The example as its users run it: whole processes, real sockets, real kills, real disks.
//!
//! | Module | Story |
//! |---|---|
//! | [`kit`] | the same in memory, at every point where the process can die |
//! | [`stripe_library`] | what Stripe's own library signs is accepted, what it refuses is refused |
//! | [`kill`] | the process is killed, again and again, under load |
//! | [`lost_writes`] | the machine crashes, and the disk loses what was not synced |
//! | [`trace`] | the disk has the event before the sender has its 200 |
//! | [`crm_down`] | the CRM is away, or says no |
//! | [`full_disk`] | no room on the disk, and room again |
//! | [`shutdown`] | the process is asked to end, under load |
//! | [`operator`] | commands, a second server, missing settings |
//!
//! What they stand on: [`server`] (the program under test), [`stripe`] (who sends), [`crm`] (what the world saw),
//! [`disk`] (what is on disk).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what a round of kills met belongs into the output of the test")]

mod crm;
mod crm_down;
mod disk;
mod full_disk;
mod kill;
mod kit;
mod lost_writes;
mod operator;
mod server;
mod shutdown;
mod stripe;
mod stripe_library;
mod trace;
