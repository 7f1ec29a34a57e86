//! What has to be fetched before a request can be judged, or after it was: certificates, and addresses that confirm a
//! subscription.
//!
//! What comes in: a URL whose host a provider's verifier has pinned. What must never happen here: a request to a host that
//! a stranger chose, as many requests as strangers ask for, an answer without bound.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use bowline_model::{BoxFuture, Clock};
use bytes::Bytes;
use tokio::sync::Mutex;

/// Fetches a URL: the port that the program fills. It follows no redirect, takes `https` only, gives up after
/// [`FETCH_MAX`], and reads at most [`FETCHED_BYTES_MAX`].
pub trait Fetch: Send + Sync + 'static {
    /// The body of a GET that was answered 2xx.
    ///
    /// # Errors
    /// [`FetchError`].
    fn get<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Bytes, FetchError>>;
}

/// How long a fetch may take.
pub const FETCH_MAX: Duration = Duration::from_secs(5);
/// Largest answer that is read.
pub const FETCHED_BYTES_MAX: usize = 64 * 1024;

/// Fetches for all routes within [`WINDOW`]: what strangers can make this program ask others.
const FETCHES_MAX: u32 = 30;
const WINDOW: Duration = Duration::from_secs(60);
/// How long a URL that could not be fetched is not asked for again.
const FAILED_FOR: Duration = Duration::from_secs(10);
/// Failed URLs that are remembered.
const FAILED_MAX: usize = 256;

/// Why something could not be fetched. Its text may be logged; it is not sent to strangers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct FetchError {
    reason: String,
}

impl FetchError {
    /// With the reason: fact and hint.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// The port with a bound on what strangers can make it do: one fetch at a time, a budget a minute, and no second try of
/// what just failed.
#[derive(Clone)]
pub(crate) struct Fetcher {
    port: Option<Arc<dyn Fetch>>,
    clock: Arc<dyn Clock>,
    budget: Arc<Mutex<Budget>>,
}

#[derive(Default)]
struct Budget {
    since: Duration,
    spent: u32,
    failed: HashMap<String, Duration>,
}

impl Fetcher {
    pub(crate) fn new(port: Option<Arc<dyn Fetch>>, clock: Arc<dyn Clock>) -> Self {
        Self { port, clock, budget: Arc::default() }
    }

    /// The body at `url`. Callers take turns: `known` is asked first, as the one before may have fetched the same.
    pub(crate) async fn get_unless(
        &self,
        url: &str,
        known: impl Fn() -> bool,
    ) -> Result<Option<Bytes>, FetchError> {
        let port = self
            .port
            .as_ref()
            .ok_or_else(|| FetchError::new("this program fetches nothing; see Door::fetch"))?;
        let mut budget = self.budget.lock().await;
        if known() {
            return Ok(None);
        }
        budget.spend(url, self.clock.monotonic())?;
        let fetched = port.get(url).await;
        if fetched.is_err() {
            budget.fail(url, self.clock.monotonic());
        }
        fetched.map(Some)
    }
}

impl Budget {
    fn spend(&mut self, url: &str, now: Duration) -> Result<(), FetchError> {
        self.failed.retain(|_, at| now.saturating_sub(*at) < FAILED_FOR);
        if self.failed.contains_key(url) {
            return Err(FetchError::new("it could not be fetched a moment ago"));
        }
        if now.saturating_sub(self.since) >= WINDOW {
            (self.since, self.spent) = (now, 0);
        }
        if self.spent >= FETCHES_MAX {
            return Err(FetchError::new(format!(
                "{FETCHES_MAX} fetches within {} s are enough; is somebody making certificates up?",
                WINDOW.as_secs()
            )));
        }
        self.spent += 1;
        Ok(())
    }

    fn fail(&mut self, url: &str, now: Duration) {
        if self.failed.len() < FAILED_MAX {
            self.failed.insert(url.to_owned(), now);
        }
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("fetches", &self.port.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_make_it_fetch_so_often_and_no_more() {
        let (mut budget, second) = (Budget::default(), Duration::from_secs(1));
        for n in 0..FETCHES_MAX {
            assert_eq!(budget.spend(&format!("https://a/{n}"), second), Ok(()));
        }
        assert!(budget.spend("https://a/more", second).unwrap_err().to_string().contains("are enough"));
        assert_eq!(budget.spend("https://a/more", second + WINDOW), Ok(()));
    }

    #[test]
    fn what_just_failed_is_not_tried_again_at_once() {
        let (mut budget, now) = (Budget::default(), Duration::from_secs(7));
        budget.fail("https://a", now);
        assert!(budget.spend("https://a", now).is_err());
        assert_eq!(budget.spend("https://b", now), Ok(()));
        assert_eq!(budget.spend("https://a", now + FAILED_FOR), Ok(()));
    }
}
