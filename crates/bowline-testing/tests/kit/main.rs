//! The kit for tests of automations, as a test's author meets it.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod correct;
mod crashes;
mod doors;
mod exports;
mod families;
mod fixtures;
mod flow;
mod forks;
mod inboxes;
mod language;
mod loops;
mod misuse;
mod mocks;
mod offices;
mod paced;
mod paged;
mod planted;
mod polls;
mod providers;
mod said;
mod schedules;
mod shop;
mod states;
mod talk;
mod time;
mod undos;
mod waits;

/// The message with which it panics.
#[track_caller]
fn panic_of<T>(run: impl FnOnce() -> T) -> String {
    let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) else {
        panic!("it does not panic");
    };
    match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(text), _) => text.clone(),
        (None, Some(text)) => (*text).to_owned(),
        (None, None) => panic!("a panic without a message"),
    }
}
