//! A step that the code waits for, as the board keeps it.

use std::{task::Waker, time::Duration};

use bowline_model::{
    Attempt, DeadReason, EntryKey, EntryMeta, Failure, Payload, Repeat, RetryPolicy, Shape, Verdict,
    effect::Tried,
};
use jiff::Timestamp;

use crate::{board::Stop, settle::Attempts};

pub(crate) type LeafId = u64;

/// How a step wants to be run.
#[derive(Clone)]
pub(crate) struct LeafOptions {
    pub(crate) policy: RetryPolicy,
    pub(crate) timeout: Option<Duration>,
    pub(crate) attempt_timeout: Duration,
}

/// A step that the code waits for.
pub(crate) struct Leaf {
    pub(crate) key: EntryKey,
    pub(crate) shape: Shape,
    pub(crate) options: LeafOptions,
    pub(crate) output_type: &'static str,
    pub(crate) idempotency_key: String,
    pub(crate) phase: Phase,
    /// Attempts made so far.
    pub(crate) attempts: u32,
    /// When the last outcome was made that the code had seen when it asked: nothing of this leaf was sent before.
    pub(crate) asked_after: Option<Timestamp>,
    /// Told to start, and not polled by the code then: it starts when the code comes back to it.
    pub(crate) set_aside: bool,
    /// Whether an entry says that it may have been in flight at the last crash.
    pub(crate) in_flight_noted: bool,
    /// When the schedule of attempts began.
    pub(crate) since: Option<Timestamp>,
    /// When the first attempt started.
    pub(crate) first_sent: Option<Timestamp>,
    /// When the attempt under way started.
    pub(crate) started: Option<Timestamp>,
    /// Since when an attempt may have had its effect.
    pub(crate) unknown_since: Option<Timestamp>,
    /// Whether an operator decided that it may be sent again, whatever the remote still knows.
    pub(crate) consented: bool,
    pub(crate) waker: Option<Waker>,
}

/// Where a leaf stands.
pub(crate) enum Phase {
    /// Wants its recorded outcome, or else an attempt.
    Asked,
    /// Wants another attempt then.
    Backoff { due: Timestamp },
    /// May make this attempt at its next poll.
    Starting(Attempt),
    /// An attempt is under way.
    Running,
    /// An attempt ended; the machine has not looked at it.
    Arrived(Verdict<Payload>),
    /// Has its outcome; the code takes it at its next poll.
    Delivered(Outcome),
}

/// What the code receives.
#[derive(Clone)]
pub(crate) enum Outcome {
    Done(Payload),
    Failed(Failure),
}

impl Leaf {
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(self.phase, Phase::Starting(_) | Phase::Running | Phase::Arrived(_))
    }

    pub(crate) fn wants_attempt(&self, now: Timestamp) -> bool {
        match self.phase {
            Phase::Asked => !self.set_aside,
            Phase::Backoff { due } => due <= now,
            Phase::Starting(_) | Phase::Running | Phase::Arrived(_) | Phase::Delivered(_) => false,
        }
    }

    pub(crate) fn due(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Backoff { due } => Some(due),
            Phase::Asked | Phase::Starting(_) | Phase::Running | Phase::Arrived(_) | Phase::Delivered(_) => {
                None
            }
        }
    }

    pub(crate) fn attempts(&self) -> Attempts<'_> {
        let since = self.since.unwrap_or(Timestamp::UNIX_EPOCH);
        Attempts {
            tried: Tried { attempts: self.attempts, since },
            unknown_before: self.unknown_since.is_some(),
            policy: &self.options.policy,
            deadline: self.options.timeout.and_then(|whole| since.checked_add(whole).ok()),
        }
    }

    /// What an entry about this leaf says.
    pub(crate) fn note(&self) -> (EntryKey, EntryMeta) {
        let meta = EntryMeta {
            output_type: Some(self.output_type.to_owned()),
            attempts: self.attempts,
            first_sent: self.first_sent,
            unknown_since: self.unknown_since,
            fingerprint: self.shape.fingerprint.clone(),
            ..EntryMeta::default()
        };
        (self.key.clone(), meta)
    }

    /// Whether, and until when, an unknown effect of it may be repeated.
    pub(crate) fn is_stale(&self, now: Timestamp) -> bool {
        let (Repeat::Keyed { lifetime }, Some(since)) = (self.shape.repeat, self.unknown_since) else {
            return false;
        };
        !self.consented && since.checked_add(lifetime).is_ok_and(|end| now > end)
    }
}

pub(crate) fn stale(leaf: &Leaf) -> Stop {
    let what = leaf.shape.fingerprint.as_ref().map_or_else(String::new, |call| format!(" ({call})"));
    let sent = leaf.unknown_since.map_or_else(String::new, |at| format!(" at {at}"));
    let message = format!(
        "its call{what} was sent{sent} and its outcome is unknown: that is longer ago than the remote remembers \
         its idempotency key, so sending it again could do it twice; look at the remote, then `retry` the run to send it again or `discard` it"
    );
    Stop { reason: DeadReason::Stale, message, entry: Some(leaf.key.clone()) }
}
