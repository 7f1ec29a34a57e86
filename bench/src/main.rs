//! How much of a hand-written receiver's throughput Bowline keeps.
//!
//! What comes in: how many events, connections and rounds. What goes out: one table. What must never happen here:
//! a contender that does less than it is said to do, or the bench's own work counted as a contender's.
//!
//! The same binary is the load generator, the mock CRM and the three servers, each server a process of its own.

mod args;
mod contender;
mod crm;
mod events;
mod flood;
mod floor;
mod keys;
mod load;
mod machine;
mod overload;
mod records;
mod round;
mod run;
mod server;
mod sleepers;
mod table;
mod usage;
mod wire;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Role};

/// Why the bench could not go on, for people.
type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T = (), E = Error> = std::result::Result<T, E>;

fn main() -> ExitCode {
    if contender::BOWLINE.is_ours() {
        return stripe_to_crm::app().main();
    }
    if sleepers::SERVER.is_ours() {
        return sleepers::app().main();
    }
    if records::app::SERVER.is_ours() {
        return records::app::app().main();
    }
    let args = Args::parse();
    let outcome = match &args.role {
        None => run::all(&args),
        Some(Role::Overload(overload)) => overload::run(&args, overload),
        Some(Role::Sleepers(sleepers)) => sleepers::run(&args, sleepers),
        Some(Role::SleepersServer) => Err(sleepers::SERVER.become_it()),
        Some(Role::Keys(keys)) => keys::run(&args, keys),
        Some(Role::KeysApp(keys)) => keys::app::serve(keys),
        Some(Role::Records(records)) => records::run(&args, records),
        Some(Role::RecordsServer) => Err(records::app::SERVER.become_it()),
        Some(Role::Bare) => floor::serve(floor::bare::router),
        Some(Role::Durable) => floor::serve(floor::durable::router),
        Some(Role::Bowline) => Err(contender::BOWLINE.become_it()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&*error);
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr, reason = "a command's failure is told on the terminal")]
fn report(error: &(dyn std::error::Error + Send + Sync)) {
    eprintln!("bench: {error}");
}
