//! Which ticks are to be started now, and which are left out: decided purely.

use jiff::Timestamp;

use super::{CATCH_UP_MAX, CatchUp, LATE_MAX, Plan};

/// Ticks that were left out are counted up to this many at a time.
const COUNTED_MAX: usize = 10_000;

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Ticks to start, the oldest first.
    pub ticks: Vec<Timestamp>,
    /// How many are left out; of more than 10,000 no more are counted.
    pub skipped: u64,
    /// The last tick that was dealt with.
    pub cursor: Timestamp,
}

/// Decides about the ticks after `last` and not after `now`. Those after `watched_since` came to a living process, and
/// are started; those before were missed, and the plan's [`CatchUp`] says what becomes of them.
pub fn due(plan: &Plan, last: Timestamp, watched_since: Timestamp, now: Timestamp) -> Due {
    let border = watched_since.clamp(last.min(now), now);
    let (mut ticks, skipped) = missed(plan, last, border, now);
    let (on_time, not_started) = newest(plan, last.max(border), now);
    ticks.extend(on_time);
    let cursor = ticks.last().copied().or_else(|| plan.latest(last, now)).unwrap_or(last);
    Due { ticks, skipped: skipped + not_started, cursor }
}

fn missed(plan: &Plan, last: Timestamp, until: Timestamp, now: Timestamp) -> (Vec<Timestamp>, u64) {
    match plan.catch_up() {
        CatchUp::All => newest(plan, last, until),
        CatchUp::Once => latest_of(plan, last, until),
        CatchUp::Skip => {
            let (latest, before) = latest_of(plan, last, until);
            let is_late = |tick: &Timestamp| now.duration_since(*tick).unsigned_abs() > LATE_MAX;
            match latest.iter().any(is_late) {
                true => (vec![], before + 1),
                false => (latest, before),
            }
        }
    }
}

/// The latest tick, and how many came before it.
fn latest_of(plan: &Plan, after: Timestamp, until: Timestamp) -> (Vec<Timestamp>, u64) {
    match plan.latest(after, until) {
        Some(latest) => (vec![latest], count(plan, after, until).saturating_sub(1)),
        None => (vec![], 0),
    }
}

/// The latest [`CATCH_UP_MAX`] ticks, the oldest first, and how many came before them.
fn newest(plan: &Plan, after: Timestamp, until: Timestamp) -> (Vec<Timestamp>, u64) {
    let ticks: Vec<Timestamp> = between(plan, after, until).take(CATCH_UP_MAX + 1).collect();
    if ticks.len() <= CATCH_UP_MAX {
        return (ticks, 0);
    }
    let before =
        |tick: &Timestamp| plan.latest(after, tick.checked_sub(jiff::SignedDuration::from_nanos(1)).ok()?);
    let mut newest: Vec<Timestamp> =
        std::iter::successors(plan.latest(after, until), before).take(CATCH_UP_MAX).collect();
    newest.reverse();
    let skipped = count(plan, after, until).saturating_sub(CATCH_UP_MAX as u64);
    (newest, skipped)
}

fn between(plan: &Plan, after: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> {
    std::iter::successors(plan.next(after), |tick| plan.next(*tick)).take_while(move |tick| *tick <= until)
}

fn count(plan: &Plan, after: Timestamp, until: Timestamp) -> u64 {
    between(plan, after, until).take(COUNTED_MAX).count() as u64
}
