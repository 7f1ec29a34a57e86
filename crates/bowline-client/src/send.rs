//! The retry schedule of a call that stands alone. Inside a run the engine owns it.

use std::time::Duration;

use bowline_model::{Attempt, Clock, Error, Failure, Repeat, Verdict, effect::Tried};
use uuid::Builder;

use crate::Call;

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
    /// ```no_run
    /// # async fn f(crm: bowline_client::Api) -> Result<(), bowline_model::Error> {
    /// let answer = crm.get("/contacts/7").send().await?;
    /// println!("{} {}", answer.status(), answer.text());
    /// # Ok(()) }
    /// ```
    pub async fn send(self) -> Result<T, Error> {
        let clock = self.api().settings().clock.clone();
        let key = Builder::from_random_bytes(random_bytes(&*clock)).into_uuid().to_string();
        let started = clock.now();
        let (mut attempts, mut waits, mut unknown) = (0, 0, None);
        loop {
            let attempt = Attempt::new(key.as_str(), attempts + 1, self.api().settings().attempt_timeout);
            let failure = match self.attempt_once(&attempt).await {
                Verdict::Done(value) => return Ok(value),
                Verdict::Wait { wait, .. } if waits < WAITS_MAX => {
                    waits += 1;
                    clock.sleep(wait).await;
                    continue;
                }
                Verdict::Wait { why, .. } => Failure::refused(format!("still waiting: {why}")).permanent(),
                Verdict::RetryAfter(failure) | Verdict::Refused(failure) => failure,
                Verdict::Unknown(failure) => {
                    unknown = Some(());
                    failure
                }
            };
            attempts += 1;
            let now = clock.now();
            let tried = Tried { attempts, since: started };
            let next = self.api().settings().retry.next_attempt(&failure, tried, now, clock.random());
            // Once the remote has forgotten the key, the same request is a new one to it.
            let forgotten = match self.repeat() {
                Repeat::Keyed { lifetime } => unknown.and(started.checked_add(lifetime).ok()),
                Repeat::Safe => None,
            };
            match next.filter(|next| forgotten.is_none_or(|end| *next < end)) {
                Some(next) => {
                    clock.sleep(Duration::try_from(next.duration_since(now)).unwrap_or_default()).await
                }
                None => return Err(given_up(failure, attempts).into()),
            }
        }
    }
}

fn given_up(mut failure: Failure, attempts: u32) -> Failure {
    if attempts > 1 {
        failure.message = format!("{} (attempt {attempts}, the last)", failure.message);
    }
    failure
}

fn random_bytes(clock: &dyn Clock) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&clock.random().to_le_bytes());
    bytes[8..].copy_from_slice(&clock.random().to_le_bytes());
    bytes
}
