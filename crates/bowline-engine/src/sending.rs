//! A step's attempts: how they are to be made, and what is known of those that were.

use std::time::Duration;

use bowline_model::{Attempt, DeadReason, EntryKey, EntryMeta, Repeat, RetryPolicy, Shape, effect::Tried};
use jiff::Timestamp;

use crate::{board::Stop, settle::Attempts};

/// How a step wants to be run.
#[derive(Clone)]
pub(crate) struct LeafOptions {
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
        self.started = Some(now);
        self.attempts += 1;
        let remaining = self.options.timeout.and_then(|whole| {
            let end = since.checked_add(whole).ok()?;
            // A step that recovery finds past its timeout still gets one attempt.
            Duration::try_from(end.duration_since(now)).ok().filter(|left| !left.is_zero())
        });
        let timeout =
            remaining.map_or(self.options.attempt_timeout, |left| left.min(self.options.attempt_timeout));
        Attempt::new(self.idempotency_key.clone(), self.attempts, timeout)
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
            ..EntryMeta::default()
        }
    }

    /// Whether, and until when, an unknown effect of it may be repeated.
    pub(crate) fn is_stale(&self, now: Timestamp) -> bool {
        let (Repeat::Keyed { lifetime }, Some(since)) = (self.shape.repeat, self.unknown_since) else {
            return false;
        };
        !self.consented && since.checked_add(lifetime).is_ok_and(|end| now > end)
    }

    /// Why it is not sent again.
    pub(crate) fn stale(&self, key: &EntryKey) -> Stop {
        let what = self.shape.fingerprint.as_ref().map_or_else(String::new, |call| format!(" ({call})"));
        let sent = self.unknown_since.map_or_else(String::new, |at| format!(" at {at}"));
        let message = format!(
            "its call{what} was sent{sent} and its outcome is unknown: that is longer ago than the remote remembers \
             its idempotency key, so sending it again could do it twice; look at the remote, then `retry` the run to send it again or `discard` it"
        );
        Stop { reason: DeadReason::Stale, message, entry: Some(key.clone()) }
    }
}
