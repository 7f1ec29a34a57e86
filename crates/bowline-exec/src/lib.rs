//! Steps that are not HTTP: [`Exec`] runs a program, [`cpu`](fn@cpu) runs a closure that computes.
//!
//! What comes in: what to run, described as a plain value, and one attempt at a time. What goes out: a verdict. What must
//! never happen here: a program (or anything it started in its process group) that outlives its attempt, its step or the
//! process that runs the workflow; text that passes through a shell; more at once than the [`Lane`] has room for.
//!
//! | Module | Story |
//! |---|---|
//! | [`exec`](mod@exec) | a program, described; `attempt`: one run of it on one screen |
//! | `find` | where a program is, and why not |
//! | `launch` | the process and its group: begun within its limits, waited for, killed whole |
//! | `guard` | what kills the groups when this process is killed itself |
//! | `stream` | what a program reads and writes, bounded |
//! | `exit` | exit codes as verdicts |
//! | `report` | what is told of a failure |
//! | `secrets` | live secrets, taken out of what is recorded |
//! | [`lane`] | so many at once |
//! | [`cpu`](mod@cpu) | closures that compute, on threads of their own |

pub mod cpu;
pub mod exec;
mod exit;
mod find;
mod guard;
pub mod lane;
mod launch;
mod report;
mod secrets;
mod stream;

pub use cpu::{Cpu, cpu};
pub use exec::{Exec, Printed};
pub use exit::ExitMeans;
pub use lane::Lane;
