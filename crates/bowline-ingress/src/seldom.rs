//! What happens often under load is told seldom: at once, and then as a number every few seconds.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How long it is counted in silence.
const EVERY: Duration = Duration::from_secs(10);

/// Counts what happens.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    told_at: Option<Instant>,
    since: u64,
}

impl Seldom {
    /// It happened once more: how often since it was told last, if it is to be told now.
    pub(crate) fn note(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.since += 1;
        let now = now();
        if state.told_at.is_some_and(|told_at| now.duration_since(told_at) < EVERY) {
            return None;
        }
        state.told_at = Some(now);
        Some(std::mem::take(&mut state.since))
    }
}

#[allow(clippy::disallowed_methods, reason = "the log lives in the machine's time")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_told_at_once_and_then_as_a_number() {
        let seldom = Seldom::default();
        assert_eq!((seldom.note(), seldom.note(), seldom.note()), (Some(1), None, None));
        tokio::time::advance(EVERY).await;
        assert_eq!((seldom.note(), seldom.note()), (Some(3), None));
    }
}
