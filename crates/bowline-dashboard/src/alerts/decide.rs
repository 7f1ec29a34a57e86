//! Whether a message goes now: decided purely.

use std::time::Duration;

use bowline_model::{Failure, RetryPolicy, effect::Tried};
use jiff::Timestamp;

/// How long the first dead letter waits for its neighbours.
pub const GROUP_WAIT: Duration = Duration::from_secs(10);
/// Shortest time between two messages.
pub const MESSAGE_EVERY_MIN: Duration = Duration::from_secs(5 * 60);
/// Bound of the first delay after a message that could not be delivered; it doubles from there.
pub const RETRY_BASE: Duration = Duration::from_secs(1);
/// Longest delay between two tries, unless the remote asks for a longer one. No failure ends them: a hook that says no
/// today may be mended tomorrow.
pub const RETRY_DELAY_MAX: Duration = Duration::from_secs(10 * 60);

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// There is nothing to tell.
    Rest,
    /// There is, and it waits until then.
    Wait(Timestamp),
    /// Tell it.
    Send,
}

/// What was done before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    /// When the last message was delivered.
    pub(super) sent_at: Option<Timestamp>,
    /// The tries since, all of which failed.
    pub(super) failed: Option<Failed>,
}

/// Tries that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) tried: Tried,
    /// When the last of them failed.
    pub(super) at: Timestamp,
    /// How long to wait from there.
    pub(super) wait: Duration,
}

/// How long what is new waits for its neighbours, and how long a message keeps the next one away.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) group_wait: Duration,
    pub(super) every_min: Duration,
}

impl Pace {
    /// That of dead letters.
    pub(super) const RUNS: Self = Self { group_wait: GROUP_WAIT, every_min: MESSAGE_EVERY_MIN };
}

/// Whether to tell of what is new, of which the oldest happened then.
///
/// Each wait holds from its beginning to its end only: a clock that was set back makes a message early, never late.
pub(super) fn decide(now: Timestamp, oldest_new: Option<Timestamp>, state: &State, pace: Pace) -> Action {
    let Some(oldest) = oldest_new else { return Action::Rest };
    let neighbours = (oldest, pace.group_wait);
    let spacing = state.sent_at.map(|at| (at, pace.every_min));
    let again = state.failed.map(|failed| (failed.at, failed.wait));
    let waits = [Some(neighbours), spacing, again].into_iter().flatten();
    let until = waits.filter(|(from, _)| *from <= now).map(|(from, wait)| end(from, wait)).max();
    match until.filter(|until| *until > now) {
        Some(until) => Action::Wait(until),
        None => Action::Send,
    }
}

/// What is known after a try that failed. `chance` is an even draw from all of `u64`.
pub(super) fn after_failure(state: &State, failure: &Failure, now: Timestamp, chance: u64) -> Failed {
    let before = state.failed.map_or(Tried { attempts: 0, since: now }, |failed| failed.tried);
    let tried = Tried { attempts: before.attempts.saturating_add(1), ..before };
    let policy =
        RetryPolicy::default().base(RETRY_BASE).delay_max(RETRY_DELAY_MAX).give_up_after(Duration::MAX);
    // The upper half of the jitter: one node, one hook, nobody to keep apart from.
    let next = policy.next_attempt(failure, tried, now, u64::MAX / 2 + chance / 2);
    let wait = match next {
        Some(next) => Duration::try_from(next.duration_since(now)).unwrap_or_default(),
        None => failure.retry_after.unwrap_or_default().max(RETRY_DELAY_MAX),
    };
    Failed { tried, at: now, wait }
}

fn end(from: Timestamp, wait: Duration) -> Timestamp {
    from.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::constant(1_795_348_800, 0);

    fn at(seconds: i64) -> Timestamp {
        NOON + jiff::SignedDuration::from_secs(seconds)
    }

    #[track_caller]
    fn check(now: i64, oldest: Option<i64>, sent: Option<i64>, failed: Option<(i64, u64)>, expect: Action) {
        let failed = failed.map(|(failed_at, wait)| Failed {
            tried: Tried { attempts: 1, since: at(failed_at) },
            at: at(failed_at),
            wait: Duration::from_secs(wait),
        });
        let state = State { sent_at: sent.map(at), failed };
        assert_eq!(decide(at(now), oldest.map(at), &state, Pace::RUNS), expect);
    }

    #[test]
    fn rests_while_there_is_nothing_to_tell() {
        check(0, None, None, None, Action::Rest);
        check(0, None, Some(-1), Some((-1, 5)), Action::Rest);
    }

    #[test]
    fn the_first_dead_letter_waits_for_its_neighbours() {
        check(0, Some(0), None, None, Action::Wait(at(10)));
        check(9, Some(0), None, None, Action::Wait(at(10)));
        check(10, Some(0), None, None, Action::Send);
    }

    #[test]
    fn what_died_before_the_start_goes_at_once() {
        check(0, Some(-86_400), None, None, Action::Send);
    }

    #[test]
    fn the_next_message_goes_five_minutes_later() {
        check(20, Some(5), Some(0), None, Action::Wait(at(300)));
        check(299, Some(5), Some(0), None, Action::Wait(at(300)));
        check(300, Some(5), Some(0), None, Action::Send);
        check(299, Some(298), Some(0), None, Action::Wait(at(308)));
        check(4000, Some(3999), Some(0), None, Action::Wait(at(4009)));
    }

    #[test]
    fn a_failed_try_waits_its_time_from_the_failure() {
        check(30, Some(0), None, Some((20, 60)), Action::Wait(at(80)));
        check(80, Some(0), None, Some((20, 60)), Action::Send);
        check(30, Some(0), Some(0), Some((20, 60)), Action::Wait(at(300)));
    }

    #[test]
    fn a_clock_that_was_set_back_delays_nothing() {
        check(0, Some(50_000), None, None, Action::Send);
        check(0, Some(-20), Some(50_000), Some((50_000, 600)), Action::Send);
    }

    #[test]
    fn tries_come_later_and_later_and_never_end() {
        let busy = Failure::refused("down");
        let mut state = State::default();
        let mut waits = vec![];
        for _ in 0..1500 {
            state.failed = Some(after_failure(&state, &busy, NOON, 0));
            waits.push(state.failed.unwrap().wait.as_millis());
        }
        assert_eq!(waits[..4], [499, 999, 1999, 3999]);
        assert!(waits[10..].iter().all(|wait| (299_999..=600_000).contains(wait)), "{waits:?}");
        assert_eq!(state.failed.unwrap().tried.attempts, 1500);
    }

    #[test]
    fn the_remotes_wish_is_a_floor_even_for_a_no() {
        let wish = Some(Duration::from_secs(1800));
        let later = Failure::refused("429").retry_after(wish);
        assert!(after_failure(&State::default(), &later, NOON, 0).wait >= Duration::from_secs(1800));
        let no = Failure::refused("404").permanent();
        assert_eq!(after_failure(&State::default(), &no, NOON, 0).wait, RETRY_DELAY_MAX);
        let no = no.retry_after(wish);
        assert_eq!(after_failure(&State::default(), &no, NOON, 0).wait, Duration::from_secs(1800));
    }
}
