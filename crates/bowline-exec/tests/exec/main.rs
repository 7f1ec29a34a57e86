//! Programs as they are: real processes, and real kills.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod computing;
mod ends;
mod fifo;
mod groups;
mod limits;
mod node;
mod python;
mod runs;
mod talk;

use std::time::Duration;

use bowline_exec::Exec;
use bowline_model::{Attempt, Effect, Failure, Verdict};

/// Longer than anything here takes.
const WITHIN: Duration = Duration::from_secs(240);

/// An attempt with all the time it wants. All tests share the lane of this process.
async fn attempt<E: Effect>(effect: &E) -> Verdict<E::Output> {
    loop {
        match one(effect, Attempt::new("key-17", 1, WITHIN)).await {
            Verdict::Wait { .. } => {}
            verdict => return verdict,
        }
    }
}

/// One attempt, which ends.
async fn one<E: Effect>(effect: &E, attempt: Attempt) -> Verdict<E::Output> {
    tokio::time::timeout(WITHIN, effect.attempt(attempt)).await.expect("the attempt ends")
}

/// What is done.
async fn done<E: Effect>(effect: &E) -> E::Output {
    match attempt(effect).await {
        Verdict::Done(output) => output,
        verdict => panic!("{:?}", verdict.map(drop)),
    }
}

/// Why what may have been done failed.
async fn unknown<E: Effect>(effect: &E) -> Failure {
    match attempt(effect).await {
        Verdict::Unknown(failure) => failure,
        verdict => panic!("{:?}", verdict.map(drop)),
    }
}

/// A script.
fn sh(script: &str) -> Exec {
    Exec::new("sh").arg("-c").arg(script)
}
