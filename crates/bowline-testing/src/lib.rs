//! Tests of automations: an app in memory with mock systems, time that skips, and crashes at every point; and instruments
//! for whole programs, with real processes and real kills.
//!
//! What comes in: a script of answers, a program to start, a folder to guard. What goes out: what really happened
//! (every request, every line of output, every sync). What must never happen here: a mock of one of our own types.
//!
//! | Module | Story |
//! |---|---|
//! | [`test_app`] | an app under test: its senders, its mock systems, its clock, its processes |
//! | [`crash_points`] | a scenario at every moment at which the process could die |
//! | [`fixture`] | runs of production, replayed against today's code |
//! | [`mock`] | a remote system on loopback that records every request and answers from a script |
//! | [`crm`] | a CRM that never deduplicates and logs each request to disk before it answers; the binary `mock-crm` |
//! | [`process`] | a whole program: started, watched, killed, started again; never left behind |
//! | [`lost_writes`] | what a crash of the machine leaves of a folder: only what was synced, or any mixture |
//! | [`mod@skip`] | tests whose peer is missing, by name; in CI that is a failure |
//! | [`peer`] | interpreters that tests need, as the official library of a provider |

pub mod crash_points;
pub mod crm;
pub mod fixture;
#[cfg(doctest)]
mod guide;
pub mod lost_writes;
pub mod mock;
pub mod peer;
pub mod process;
mod pulse;
mod server;
pub mod skip;
pub mod test_app;

pub use crash_points::{CrashPoints, every_crash_point};
pub use crm::{CrmChanging, CrmMode, MockCrm, MockCrmOptions};
pub use fixture::replay_fixture;
pub use lost_writes::{LostWrites, LostWritesError};
pub use mock::{Answer, Match, MockSystem, Recorded};
pub use process::{Process, ProcessError, Program};
pub use test_app::{Reply, TestApp, TestAppBuilder, TestRun};
