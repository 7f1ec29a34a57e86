//! The retry schedule of a call that stands alone. Inside a run the engine owns it.

use std::time::Duration;

use bowline_model::{Attempt, Certainty, Clock, Error, Failure, Repeat, Verdict, effect::Tried};
use jiff::Timestamp;
use uuid::Builder;

use crate::{Api, Call};

/// Most waits for limits and tokens that one call sits through.
const WAITS_MAX: u32 = 1000;

impl<T> Call<T> {
    /// Sends the call, and again by the Api's retry schedule until it is done, refused, or given up.
    ///
    /// All attempts carry the same idempotency key. The schedule's default is patient (it gives up after 20 hours);
    /// set another with [`Api::retry`](crate::Api::retry), and the time of one attempt with
    /// [`Api::attempt_timeout`](crate::Api::attempt_timeout).
    ///
    /// # Durability
    /// None: a crash forgets the call and its key, and nobody knows whether it arrived. For that there are steps.
    ///
    /// # Errors
    /// The last attempt's failure. [`Error::is_unknown`] says whether the call may have had its effect all the same.
    ///
    /// # A call that stands alone
    /// ```no_run
    /// # async fn f(crm: bowline_client::Api) -> Result<(), bowline_model::Error> {
    /// let answer = crm.get("/contacts/7").send().await?;
    /// println!("{} {}", answer.status(), answer.text());
    /// # Ok(()) }
    /// ```
    pub async fn send(self) -> Result<T, Error> {
        let mut schedule = Schedule::new(self.api(), self.repeat());
        loop {
            let verdict = self.attempt_once(&schedule.attempt()).await;
            if let Some(value) = schedule.after(verdict).await? {
                return Ok(value);
            }
        }
    }
}

/// The attempts of one call that stands alone: when the next one is, and whether there is one.
pub(crate) struct Schedule {
    api: Api,
    repeat: Repeat,
    key: String,
    started: Timestamp,
    attempts: u32,
    waits: u32,
    /// Nobody knows whether an attempt had its effect.
    is_unknown: bool,
}

impl Schedule {
    pub(crate) fn new(api: &Api, repeat: Repeat) -> Self {
        let clock = &api.settings().clock;
        let key = Builder::from_random_bytes(random_bytes(&**clock)).into_uuid().to_string();
        let started = clock.now();
        Self { api: api.clone(), repeat, key, started, attempts: 0, waits: 0, is_unknown: false }
    }

    /// The next attempt.
    pub(crate) fn attempt(&self) -> Attempt {
        Attempt::new(self.key.as_str(), self.attempts + 1, self.api.settings().attempt_timeout)
    }

    /// What came of it: a value; or `None` when it is time for another one.
    ///
    /// # Errors
    /// There is no further attempt.
    pub(crate) async fn after<T>(&mut self, verdict: Verdict<T>) -> Result<Option<T>, Error> {
        let settings = self.api.settings();
        let failure = match verdict {
            Verdict::Done(value) => return Ok(Some(value)),
            Verdict::Wait { wait, .. } if self.waits < WAITS_MAX => {
                self.waits += 1;
                settings.clock.sleep(wait).await;
                return Ok(None);
            }
            Verdict::Wait { why, .. } => Failure::refused(format!("still waiting: {why}")).permanent(),
            Verdict::RetryAfter(failure) | Verdict::Refused(failure) => failure,
            Verdict::Unknown(failure) => {
                self.is_unknown = true;
                failure
            }
        };
        self.attempts += 1;
        let now = settings.clock.now();
        let tried = Tried { attempts: self.attempts, since: self.started };
        let next = settings.retry.next_attempt(&failure, tried, now, settings.clock.random());
        // Once the remote has forgotten the key, the same request is a new one to it.
        let forgotten = match self.repeat {
            Repeat::Keyed { lifetime } if self.is_unknown => self.started.checked_add(lifetime).ok(),
            Repeat::Keyed { .. } | Repeat::Safe => None,
        };
        let Some(next) = next.filter(|next| forgotten.is_none_or(|end| *next < end)) else {
            return Err(self.given_up(failure).into());
        };
        settings.clock.sleep(Duration::try_from(next.duration_since(now)).unwrap_or_default()).await;
        Ok(None)
    }

    /// The last word: as unknown as the least known of its attempts.
    fn given_up(&self, mut failure: Failure) -> Failure {
        if self.is_unknown {
            failure.certainty = Certainty::Unknown;
        }
        if self.attempts > 1 {
            failure.message = format!("{} (attempt {}, the last)", failure.message, self.attempts);
        }
        failure
    }
}

fn random_bytes(clock: &dyn Clock) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&clock.random().to_le_bytes());
    bytes[8..].copy_from_slice(&clock.random().to_le_bytes());
    bytes
}
