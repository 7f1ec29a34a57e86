//! The chat's hook: how a message gets there, and what follows if it does not.

use std::{sync::Arc, time::Duration};

use bowline_model::{Attempt, Clock, Effect, Failure, Verdict};

use super::decide::{Failed, State, after_failure};

/// How long one try to deliver a message may take.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Posts texts.
pub(super) struct Hook<H> {
    /// Describes the call that posts a text.
    pub(super) call: H,
    pub(super) clock: Arc<dyn Clock>,
}

impl<H, E> Hook<H>
where
    H: Fn(String) -> E + Send + Sync,
    E: Effect,
{
    /// Posts that text: one try. What comes of a failure is decided here, and logged.
    pub(super) async fn deliver(&self, text: String, state: &State) -> Result<(), Failed> {
        let failure = match self.post(text, state).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let failed = after_failure(state, &failure, self.clock.now(), self.clock.random());
        tracing::warn!(
            error = %failure,
            answer = failure.call.as_ref().and_then(|call| call.body.as_deref()).map(first_line),
            try_number = failed.tried.attempts,
            "alerts: a message was not delivered; tried again in {} s",
            failed.wait.as_secs(),
        );
        Err(failed)
    }

    async fn post(&self, text: String, state: &State) -> Result<(), Failure> {
        let number = state.failed.map_or(0, |failed| failed.tried.attempts).saturating_add(1);
        // A key for each try: the text counts what came since, so it is another request.
        let key = format!("{:016x}{:016x}", self.clock.random(), self.clock.random());
        let effect = (self.call)(text);
        match effect.attempt(Attempt::new(key, number, SEND_TIMEOUT)).await {
            Verdict::Done(_) => Ok(()),
            Verdict::Wait { wait, why } => Err(Failure::refused(why).retry_after(Some(wait))),
            Verdict::RetryAfter(failure) | Verdict::Refused(failure) | Verdict::Unknown(failure) => {
                // Whatever is wrong with a good answer's body: the message is there.
                let status = failure.call.as_ref().and_then(|call| call.status);
                if status.is_some_and(|status| (200..300).contains(&status)) { Ok(()) } else { Err(failure) }
            }
        }
    }
}

/// What a hook says of itself (`no_service`, `channel_not_found`), short.
fn first_line(text: &str) -> &str {
    const SHOWN_BYTES_MAX: usize = 120;
    let line = text.lines().next().unwrap_or_default();
    &line[..line.floor_char_boundary(SHOWN_BYTES_MAX)]
}
