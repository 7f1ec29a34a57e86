//! What a verdict means for a step: decided purely, applied by the machine.

use std::time::Duration;

use bowline_model::{Certainty, EntryKind, Failure, RetryPolicy, Verdict, effect::Tried};
use jiff::Timestamp;

/// The shortest wait: who says "wait" without a time is asked again this much later, not at once and without end.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// What is known of a step's attempts when a verdict comes in, this attempt included.
pub(crate) struct Attempts<'a> {
    pub(crate) tried: Tried,
    /// Whether an earlier attempt may have had its effect.
    pub(crate) unknown_before: bool,
    pub(crate) policy: &'a RetryPolicy,
    /// When the step's `.timeout` ends.
    pub(crate) deadline: Option<Timestamp>,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Settled<T> {
    /// Record and deliver the value.
    Done(T),
    /// Record and deliver the failure, as an entry of this kind.
    Failed(EntryKind, Failure),
    /// Note the failed attempt; try again then.
    Again(Failure, Timestamp),
    /// Nothing was sent: ask again then.
    Pause(Timestamp),
}

/// Decides. `chance` is an even draw from all of `u64`.
pub(crate) fn settle<T>(
    verdict: Verdict<T>,
    attempts: &Attempts<'_>,
    now: Timestamp,
    chance: u64,
) -> Settled<T> {
    let failure = match verdict {
        Verdict::Done(value) => return Settled::Done(value),
        // A no to this attempt says nothing of an earlier one whose answer was lost.
        Verdict::Refused(failure) => return give_up(failure, attempts.unknown_before),
        Verdict::Wait { wait, why } => {
            let until = now.checked_add(wait.max(PAUSE_MIN)).unwrap_or(Timestamp::MAX);
            if attempts.deadline.is_none_or(|deadline| until <= deadline) {
                return Settled::Pause(until);
            }
            Failure::refused(format!(
                "the step's timeout would end in a wait of {} s for {why}",
                wait.as_secs()
            ))
            .permanent()
        }
        Verdict::RetryAfter(mut failure) => {
            failure.certainty = Certainty::Refused;
            failure
        }
        Verdict::Unknown(mut failure) => {
            failure.certainty = Certainty::Unknown;
            failure
        }
    };
    let next = attempts.policy.next_attempt(&failure, attempts.tried, now, chance);
    if let Some(next) = next.filter(|next| attempts.deadline.is_none_or(|deadline| *next < deadline)) {
        return Settled::Again(failure, next);
    }
    give_up(failure, attempts.unknown_before)
}

/// The step's last word: as unknown as the least known of its attempts.
fn give_up<T>(mut failure: Failure, unknown_before: bool) -> Settled<T> {
    if unknown_before {
        failure.certainty = Certainty::Unknown;
    }
    let kind = match failure.certainty {
        Certainty::Refused => EntryKind::StepRefused,
        Certainty::Unknown => EntryKind::StepUnknown,
    };
    Settled::Failed(kind, failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn check(
        verdict: Verdict<()>,
        unknown_before: bool,
        attempts: u32,
        deadline_secs: Option<u64>,
    ) -> Settled<()> {
        let policy = RetryPolicy::default().attempts_max(3);
        let attempts = Attempts {
            tried: Tried { attempts, since: NOW },
            unknown_before,
            policy: &policy,
            deadline: deadline_secs.map(|secs| NOW + Duration::from_secs(secs)),
        };
        settle(verdict, &attempts, NOW, u64::MAX)
    }

    #[test]
    fn a_refusal_is_definite_and_a_lost_answer_is_not() {
        let no = Failure::refused("400").permanent();
        assert_eq!(
            check(Verdict::Refused(no.clone()), false, 1, None),
            Settled::Failed(EntryKind::StepRefused, no.clone())
        );
        let Settled::Failed(kind, failure) = check(Verdict::Refused(no), true, 2, None) else {
            panic!("gives up")
        };
        assert_eq!((kind, failure.certainty), (EntryKind::StepUnknown, Certainty::Unknown));
        let lost = Failure::unknown("reset");
        let Settled::Failed(kind, _) = check(Verdict::Unknown(lost), false, 3, None) else {
            panic!("gives up")
        };
        assert_eq!(kind, EntryKind::StepUnknown);
    }

    #[test]
    fn giving_up_stays_unknown_if_an_earlier_attempt_was() {
        let down = Failure::refused("connection refused");
        for (unknown_before, expected) in [(true, EntryKind::StepUnknown), (false, EntryKind::StepRefused)] {
            let settled = check(Verdict::RetryAfter(down.clone()), unknown_before, 3, None);
            let Settled::Failed(kind, _) = settled else { panic!("gives up") };
            assert_eq!(kind, expected);
        }
    }

    #[test]
    fn no_attempt_starts_at_or_after_the_steps_timeout() {
        let down = Failure::refused("503").retry_after(Some(Duration::from_secs(5)));
        assert!(matches!(check(Verdict::RetryAfter(down.clone()), false, 1, Some(6)), Settled::Again(..)));
        assert!(matches!(check(Verdict::RetryAfter(down), false, 1, Some(5)), Settled::Failed(..)));
    }
}
