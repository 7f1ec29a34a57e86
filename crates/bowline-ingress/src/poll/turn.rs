//! The loop of one poll, and one turn of it.

use std::{any::Any, panic::AssertUnwindSafe, time::Duration};

use bowline_model::Failure;
use bowline_store::{Accepted, StoreError, StoreErrorKind};
use futures_util::FutureExt;
use tokio::sync::watch;

use super::{
    Poll, PollSpec,
    erased::NoAnswer,
    pace::{Outcome, Pace},
    page::{Page, page},
    place::Row,
};
use crate::{
    Intake, Receipt, TriggerKind,
    trigger::{Busy, TriggerLine, panic_text},
};

/// When a poll begins, counted from the start of its process: those of a program that starts again and again are not
/// asked each time, and a test can say what its remotes answer.
const FIRST_AFTER: Duration = Duration::from_secs(1);

/// What one turn came to.
enum Turn {
    /// What was found is on disk.
    Found { started: u64, more: bool, waited: Duration },
    /// Another node was there first.
    Overtaken,
    /// It failed, and is tried again.
    Failed { why: String, outcome: Outcome },
    /// It cannot be tried again by this build.
    Broken(String),
}

/// Asks again and again, until the app stops. What it found is accepted by `intake`, how it does is written to `line`.
///
/// # Durability
/// Items and the cursor behind them are on disk in one transaction. A crash before it: the next process asks again from
/// the old cursor, and nothing was started. A crash after it: the next process asks from the new one. Keys and steps tell
/// items that are found again even where a remote gives them twice.
pub async fn run(spec: PollSpec, intake: Intake, line: TriggerLine, mut stopped: watch::Receiver<bool>) {
    let clock = intake.clock().clone();
    let mut pace = Pace::new(spec.every.every);
    let mut wait = FIRST_AFTER.min(spec.every.every);
    loop {
        let next = clock.now().checked_add(wait).unwrap_or(jiff::Timestamp::MAX);
        line.next(Some(next));
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = clock.sleep_until(next) => {}
        }
        let mut busy = line.at_work();
        let begun = clock.monotonic();
        let Some(turn) = take_turn(&spec, &intake, &line, &mut busy, &pace, &mut stopped).await else {
            return;
        };
        let outcome = match turn {
            Turn::Found { started, more, waited } => {
                line.acted(clock.now(), started, 0);
                Outcome::Found { more, waited }
            }
            Turn::Overtaken => Outcome::Overtaken,
            Turn::Failed { why, outcome } => {
                let failures_in_a_row = line.failed(clock.now(), &why);
                tracing::warn!(
                    poll = spec.name,
                    failures_in_a_row,
                    error = why,
                    "a poll failed; it is tried again"
                );
                outcome
            }
            Turn::Broken(why) => {
                line.stopped(clock.now(), &why);
                drop(busy);
                tracing::error!(poll = spec.name, error = why, "a poll has stopped");
                let _ = stopped.wait_for(|stopped| *stopped).await;
                return;
            }
        };
        let took = clock.monotonic().saturating_sub(begun);
        wait = pace.wait_after(outcome, took, clock.random());
        drop(busy);
    }
}

/// One turn; `None`: the app stops, and nothing was written.
async fn take_turn(
    spec: &PollSpec,
    intake: &Intake,
    line: &TriggerLine,
    busy: &mut Busy,
    pace: &Pace,
    stopped: &mut watch::Receiver<bool>,
) -> Option<Turn> {
    let name = TriggerKind::Poll.source(&spec.name);
    let row = match intake.cursor(&name).await {
        Ok(text) => match Row::read(text) {
            Ok(row) => row,
            Err(what) => return Some(Turn::Broken(broken_cursor(&name, &what))),
        },
        Err(error) => return Some(store_failed(&error)),
    };
    let clock = intake.clock();
    let poll = Poll::new(&spec.name, clock.clone(), spec.every.within, pace.failures_in_a_row());
    let asking = AssertUnwindSafe(spec.asking.ask(poll.clone(), row.cursor())).catch_unwind();
    *busy = line.asking();
    let answer = tokio::select! {
        biased;
        // It only read: nothing is lost.
        _ = stopped.wait_for(|stopped| *stopped) => return None,
        answer = asking => answer,
        () = clock.sleep(spec.every.within) => return Some(too_late(spec.every.within)),
    };
    *busy = line.at_work();
    let answer = match answer {
        Ok(Ok(answer)) => answer,
        Ok(Err(NoAnswer::Cursor(what))) => return Some(Turn::Broken(broken_cursor(&name, &what))),
        Ok(Err(NoAnswer::Failed(error))) => return Some(failed(&error.into_failure())),
        Err(panic) => return Some(panicked(&*panic)),
    };
    Some(match page(spec, row, answer, clock.now()) {
        // Not raced with the stop: what was found is put on disk or refused.
        Ok(page) => accept(intake, page, poll.waited()).await,
        Err(why) => Turn::Failed { why, outcome: Outcome::Failed { after: None } },
    })
}

async fn accept(intake: &Intake, Page { events, cursor, more }: Page, waited: Duration) -> Turn {
    if events.is_empty() && cursor.is_none() {
        return Turn::Found { started: 0, more, waited };
    }
    match intake.accept_all(events, cursor).await {
        Ok(receipts) => {
            let is_new = |receipt: &&Receipt| matches!(receipt.accepted, Accepted::New { .. });
            let started = receipts.iter().filter(is_new).count();
            Turn::Found { started: u64::try_from(started).unwrap_or(u64::MAX), more, waited }
        }
        Err(error) if error.kind() == StoreErrorKind::Conflict => Turn::Overtaken,
        Err(error) => store_failed(&error),
    }
}

fn broken_cursor(name: &str, what: &str) -> String {
    format!(
        "stopped: the cursor {name:?} on disk {what}; let the type read it (serde's default and alias help), or give the \
         poll another name to begin anew"
    )
}

fn store_failed(error: &StoreError) -> Turn {
    Turn::Failed { why: error.to_string(), outcome: Outcome::Failed { after: error.retry_after() } }
}

fn failed(failure: &Failure) -> Turn {
    const TOO_MANY_REQUESTS: u16 = 429;
    let status = failure.call.as_ref().and_then(|call| call.status);
    let is_limited = failure.retry_after.is_some() || status == Some(TOO_MANY_REQUESTS);
    let after = failure.retry_after;
    let outcome = if is_limited { Outcome::Limited { after } } else { Outcome::Failed { after } };
    Turn::Failed { why: failure.to_string(), outcome }
}

fn too_late(within: Duration) -> Turn {
    let why =
        format!("was not done within {within:?}; ask for less at once, or give it more time: .within(..)");
    Turn::Failed { why, outcome: Outcome::Failed { after: None } }
}

fn panicked(panic: &(dyn Any + Send)) -> Turn {
    let why = format!("the poll's function panicked: {}", panic_text(panic));
    Turn::Failed { why, outcome: Outcome::Failed { after: None } }
}
