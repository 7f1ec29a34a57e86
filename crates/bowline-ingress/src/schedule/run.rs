//! All schedules of a process, asleep until the earliest tick.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bowline_model::{BoxFuture, Clock, RunId, WorkflowName};
use bowline_store::StoreError;
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use jiff::Timestamp;
use tokio::sync::watch;

use super::{LATE_MAX, Plan, ticker::Ticker};
use crate::{Intake, TriggerBoard};

/// Schedules that speak with the store at once: those beyond wait for their turn.
const ACTING_MAX: usize = 64;

/// A schedule and what it starts.
#[derive(Debug, Clone)]
pub struct Scheduled {
    /// Its name: of its cursor, its events, and its line on the board.
    pub name: String,
    /// When.
    pub plan: Plan,
    /// What runs then.
    pub workflow: WorkflowName,
}

/// Cancels a run, if it is still open; `Ok` when it is open no more. The text says why.
pub type CancelRun = Arc<dyn Fn(RunId, String) -> BoxFuture<'static, Result<(), StoreError>> + Send + Sync>;

/// Ticks until `stopped` says so. The board has its lines when this returns; the ticks need the future to be polled.
///
/// However many schedules there are, one sleep waits for the earliest; the store is not
/// asked before its time.
///
/// # Durability
/// A tick's event, its run and the schedule's cursor are one transaction: a crash leaves all of them or none, and the
/// next start goes on after the cursor. While the store takes nothing, ticks that came are kept and tried again, and the
/// board says so. Whatever ticks on several nodes, or twice on one, starts one run.
pub fn run_schedules(
    intake: Intake,
    board: &TriggerBoard,
    schedules: Vec<Scheduled>,
    cancel: CancelRun,
    stopped: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send + 'static {
    let now = intake.clock().now();
    let tickers = schedules.into_iter().map(|scheduled| Ticker::new(scheduled, board, now));
    let asleep = tickers.enumerate().map(|(no, ticker)| ((now, no), ticker)).collect();
    tick(intake, asleep, cancel, stopped)
}

/// Schedules by when they act next.
type Asleep = BTreeMap<(Timestamp, usize), Ticker>;

async fn tick(intake: Intake, mut asleep: Asleep, cancel: CancelRun, mut stopped: watch::Receiver<bool>) {
    let clock = intake.clock().clone();
    let mut acting = FuturesUnordered::new();
    loop {
        let now = clock.now();
        wake_astray(&mut asleep, now);
        while acting.len() < ACTING_MAX
            && let Some(((_, no), mut ticker)) = pop_due(&mut asleep, now)
        {
            let (intake, cancel) = (&intake, &cancel);
            acting.push(async move {
                // One that panics must not take the others with it.
                let acted = AssertUnwindSafe(ticker.act(intake, cancel)).catch_unwind().await;
                let next = acted.unwrap_or_else(|panic| ticker.panicked(&*panic, intake.clock().now()));
                (next, no, ticker)
            });
        }
        let next = asleep.keys().next().map(|(at, _)| *at).filter(|_| acting.len() < ACTING_MAX);
        let earliest = sleep_until(&*clock, next);
        tokio::select! {
            Some((next, no, ticker)) = acting.next(), if !acting.is_empty() => {
                asleep.insert((next, no), ticker);
            }
            () = earliest => {}
            _ = stopped.wait_for(|stopped| *stopped) => break,
        }
    }
    // What is on its way to the disk arrives there.
    while acting.next().await.is_some() {}
}

/// Until then; or, if the clock is set back meanwhile, until it would have been then by the machine's own time.
#[allow(clippy::disallowed_methods, reason = "a clock that is wrong cannot tell how long it has been wrong")]
async fn sleep_until(clock: &dyn Clock, next: Option<Timestamp>) {
    let Some(next) = next else { return std::future::pending().await };
    let wait = Duration::try_from(next.duration_since(clock.now())).unwrap_or_default();
    tokio::select! {
        () = clock.sleep_until(next) => {}
        () = tokio::time::sleep(wait.saturating_add(LATE_MAX)) => {}
    }
}

/// Lets those act at once that wait for a time which only a clock that was wrong could name.
fn wake_astray(asleep: &mut Asleep, now: Timestamp) {
    let astray: Vec<_> = asleep.extract_if(.., |_, ticker| ticker.is_astray(now)).collect();
    asleep.extend(astray.into_iter().map(|((_, no), ticker)| ((now, no), ticker)));
}

fn pop_due(
    asleep: &mut BTreeMap<(Timestamp, usize), Ticker>,
    now: Timestamp,
) -> Option<((Timestamp, usize), Ticker)> {
    let first = asleep.first_entry()?;
    (first.key().0 <= now).then(|| first.remove_entry())
}
