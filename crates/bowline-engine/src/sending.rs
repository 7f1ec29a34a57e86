//! A step's attempts: how they are to be made, and what is known of those that were.

use std::time::Duration;

use bowline_model::{
    Attempt, DeadReason, EntryKey, EntryMeta, Payload, Repeat, RetryPolicy, Shape, Verdict, effect::Tried,
};
use jiff::Timestamp;

use crate::{board::Stop, settle::Attempts};

/// What becomes of a step whose attempt may have had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// It is sent again, under the same key, while the remote remembers that.
    Repeat,
    /// The remote is asked first, for at most that long.
    Recheck { timeout: Duration },
    /// An operator says what became of it.
    Park,
}

/// How a step wants to be run.
#[derive(Clone)]
pub(crate) struct LeafOptions {
    /// Whether something undoes it.
    pub(crate) reversible: bool,
    pub(crate) doubt: Doubt,
    pub(crate) policy: RetryPolicy,
    pub(crate) timeout: Option<Duration>,
    pub(crate) attempt_timeout: Duration,
}

/// What is known of a step's attempts.
pub(crate) struct Sending {
    pub(crate) shape: Shape,
    pub(crate) options: LeafOptions,
    pub(crate) idempotency_key: String,
    /// Attempts made so far.
    pub(crate) attempts: u32,
    /// Whether an entry says that it may have been in flight at the last crash.
    pub(crate) in_flight_noted: bool,
    /// Whether an entry says that the attempt under way began, written before something beside it was decided.
    pub(crate) under_way_noted: bool,
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
    /// Whether an entry says that the next attempt, or the one under way, begins.
    pub(crate) begun: bool,
    /// Whether nothing was sent since that entry.
    pub(crate) unsent: bool,
    /// Whether the attempt under way, or the one that ended, asks what became of those before.
    pub(crate) rechecks: bool,
    /// Whether that one found that it did not happen.
    pub(crate) not_done: bool,
    /// What undoes it, as data, if it was done.
    pub(crate) undo: Option<Payload>,
}

impl Sending {
    /// The next attempt, as of now.
    pub(crate) fn begin(&mut self, now: Timestamp) -> Attempt {
        if std::mem::take(&mut self.consented) {
            // Sent again by an operator's will: from here on it is unknown since then.
            self.unknown_since = None;
        }
        let since = *self.since.get_or_insert(now);
        self.first_sent.get_or_insert(now);
        self.attempts += 1;
        self.under_way_noted = false;
        self.rechecks = self.must_recheck();
        if !self.rechecks {
            self.started = Some(now);
            self.unsent = false;
        }
        let each = match self.options.doubt {
            Doubt::Recheck { timeout } if self.rechecks => timeout,
            Doubt::Repeat | Doubt::Recheck { .. } | Doubt::Park => self.options.attempt_timeout,
        };
        let remaining = self.options.timeout.and_then(|whole| {
            let end = since.checked_add(whole).ok()?;
            // A step that recovery finds past its timeout still gets one attempt.
            Duration::try_from(end.duration_since(now)).ok().filter(|left| !left.is_zero())
        });
        let timeout = remaining.map_or(each, |left| left.min(each));
        Attempt::new(self.idempotency_key.clone(), self.attempts, timeout)
    }

    /// Whether an attempt may have had its effect, and nobody said that it may be repeated.
    fn is_in_doubt(&self) -> bool {
        self.unknown_since.is_some() && !self.consented
    }

    /// Whether the remote is asked what became of it, before it is sent again.
    pub(crate) fn must_recheck(&self) -> bool {
        matches!(self.options.doubt, Doubt::Recheck { .. }) && self.is_in_doubt()
    }

    /// Whether an entry must say that it begins, before it does.
    pub(crate) fn must_note_start(&self) -> bool {
        match self.options.doubt {
            Doubt::Repeat => false,
            Doubt::Recheck { .. } | Doubt::Park => !self.begun && !self.is_in_doubt(),
        }
    }

    /// What the verdict of the attempt says of the step.
    pub(crate) fn judged(&self, verdict: Verdict<Payload>) -> Verdict<Payload> {
        match verdict {
            // Who was asked did not say: what is unknown stays so.
            Verdict::RetryAfter(failure) | Verdict::Refused(failure) if self.rechecks => {
                Verdict::Unknown(failure)
            }
            // Asked about next, whatever a blind repetition would have led to.
            Verdict::Unknown(mut failure) if matches!(self.options.doubt, Doubt::Recheck { .. }) => {
                failure.retryable |= !self.rechecks;
                Verdict::Unknown(failure)
            }
            verdict => verdict,
        }
    }

    /// What was asked for says that it did not happen: it may be sent.
    pub(crate) fn did_not_happen(&mut self) {
        self.unknown_since = None;
        self.attempts = self.attempts.saturating_sub(1);
        // The entry that says so stands: after a crash the remote is asked again.
        self.begun = true;
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

    pub(crate) fn meta(&self) -> EntryMeta {
        EntryMeta {
            attempts: self.attempts,
            first_sent: self.first_sent,
            unknown_since: self.unknown_since,
            fingerprint: self.shape.fingerprint.clone(),
            reversible: self.options.reversible,
            ..EntryMeta::default()
        }
    }

    /// Whether an unknown effect of it may not be repeated without a person's word.
    pub(crate) fn is_stale(&self, now: Timestamp) -> bool {
        match self.options.doubt {
            Doubt::Park => return self.is_in_doubt(),
            Doubt::Recheck { .. } => return false,
            Doubt::Repeat => {}
        }
        let (Repeat::Keyed { lifetime }, Some(since)) = (self.shape.repeat, self.unknown_since) else {
            return false;
        };
        !self.consented && since.checked_add(lifetime).is_ok_and(|end| now > end)
    }

    /// Why it is not sent again.
    pub(crate) fn stale(&self, key: &EntryKey) -> Stop {
        let what = self.shape.fingerprint.as_ref().map_or_else(String::new, |call| format!(" ({call})"));
        let sent = self.unknown_since.map_or_else(String::new, |at| format!(" at {at}"));
        if self.options.doubt == Doubt::Park {
            let message = format!(
                "it is sent at most once; it was begun{sent} and its outcome is unknown{what}: look at the remote, then \
                 `settle` the step as done or not done, or `retry` the run to send it again"
            );
            return Stop { reason: DeadReason::Stale, message, entry: Some(key.clone()) };
        }
        let message = format!(
            "its call{what} was sent{sent} and its outcome is unknown: that is longer ago than the remote remembers \
             its idempotency key, so sending it again could do it twice; look at the remote, then `retry` the run to send it again or `discard` it"
        );
        Stop { reason: DeadReason::Stale, message, entry: Some(key.clone()) }
    }
}
