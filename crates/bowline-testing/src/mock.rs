//! A remote system on loopback: records every request, answers from a script.
//!
//! ```
//! use bowline_testing::{Answer, Match, MockSystem};
//! use serde_json::json;
//!
//! let crm = MockSystem::start();
//! crm.answer(Answer::json(201, json!({ "id": 7 })));
//! crm.fail_next(2, 503);
//! crm.when(Match::body("/email", "bad@example.com")).answer(Answer::json(422, json!({ "error": "no such domain" })));
//! assert!(crm.url().starts_with("http://127.0.0.1:"));
//! assert_eq!(crm.count(), 0);
//! ```

mod answer;
mod recorded;
mod script;

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bowline_model::{Clock, SystemClock};
use bytes::Bytes;
use http::Request;
use tokio::sync::{oneshot, watch};

use crate::server::{Answered, Closed, Server};
use answer::Kind;
use script::Script;

pub use answer::Answer;
pub use recorded::Recorded;
pub use script::{Match, When};

/// How long [`MockSystem::wait_until`] waits before it says that the test has failed.
pub const WAIT_DEFAULT: Duration = Duration::from_secs(30);

/// Requests a mock keeps; later ones are answered 507 and not kept.
pub const REQUESTS_MAX: usize = 1_000_000;

/// A system that a test's automation calls. It is real: HTTP/1.1 and 2 on 127.0.0.1, on a thread of its own.
///
/// A request is recorded before it is answered: whoever has the answer finds the request in
/// [`requests`](Self::requests). It never deduplicates. Dropping the mock closes its port.
pub struct MockSystem {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    arrived: watch::Sender<usize>,
    started: Duration,
}

struct State {
    script: Script,
    requests: Vec<Recorded>,
    arrived: usize,
}

impl MockSystem {
    /// Starts on a free port. Answers 200 and `{}` until told otherwise.
    ///
    /// # Panics
    /// If loopback has no free port.
    pub fn start() -> Self {
        Self::on_port(0).expect("loopback has a free port")
    }

    /// Starts on that port; 0 takes a free one.
    ///
    /// # Errors
    /// If the port is taken.
    pub fn on_port(port: u16) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { script: Script::default(), requests: Vec::new(), arrived: 0 }),
            arrived: watch::Sender::new(0),
            started: SystemClock.monotonic(),
        });
        let server = Server::start(port, {
            let shared = shared.clone();
            move |request| {
                let answer = shared.record(request);
                async move { give(answer).await }
            }
        })?;
        Ok(Self { server, shared })
    }

    /// Its address: `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.server.address().port()
    }

    /// The answer to everything that no rule is for.
    pub fn answer(&self, answer: Answer) {
        self.answer_with(move |_| answer.clone());
    }

    /// Computes the answer to everything that no rule is for.
    pub fn answer_with(&self, answer: impl Fn(&Recorded) -> Answer + Send + Sync + 'static) {
        self.shared.lock().script.default_to(answer);
    }

    /// Answers the next `times` requests with that status and an empty JSON object.
    pub fn fail_next(&self, times: usize, status: u16) {
        self.when(Match::any()).times(times).answer(Answer::status(status));
    }

    /// A rule for the requests that match. Rules with [`times`](When::times) come before those without; among equals
    /// the one added first answers.
    #[must_use = "a rule without an answer does nothing"]
    pub fn when(&self, matches: Match) -> When<'_> {
        When::new(self, matches)
    }

    /// Drops all rules; the default answer stays.
    pub fn clear_rules(&self) {
        self.shared.lock().script.clear();
    }

    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.lock().requests.clone()
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.shared.lock().requests.len()
    }

    /// The requests by idempotency key; those without one are under the empty key.
    pub fn requests_by_key(&self) -> BTreeMap<String, Vec<Recorded>> {
        let mut by_key: BTreeMap<String, Vec<Recorded>> = BTreeMap::new();
        for request in self.requests() {
            by_key.entry(request.idempotency_key().unwrap_or_default().to_owned()).or_default().push(request);
        }
        by_key
    }

    /// Forgets the requests so far. Numbering goes on.
    pub fn forget_requests(&self) {
        self.shared.lock().requests.clear();
    }

    /// Waits until that many requests have come, and returns them all.
    ///
    /// # Panics
    /// After [`WAIT_DEFAULT`].
    pub async fn wait_for(&self, count: usize) -> Vec<Recorded> {
        self.wait_until(|requests| requests.len() >= count).await
    }

    /// Waits until the requests so far are as wanted, and returns them.
    ///
    /// # Panics
    /// After [`WAIT_DEFAULT`], with what came until then.
    pub async fn wait_until(&self, wanted: impl Fn(&[Recorded]) -> bool) -> Vec<Recorded> {
        let (late, deadline) = oneshot::channel::<()>();
        // The deadline runs on the mock's own runtime, so that a test with a paused clock does not jump to it.
        let timer = self.server.handle().spawn(async move {
            SystemClock.sleep(WAIT_DEFAULT).await;
            let _ = late.send(());
        });
        let mut arrived = self.shared.arrived.subscribe();
        let mut deadline = std::pin::pin!(deadline);
        loop {
            arrived.borrow_and_update();
            let requests = self.requests();
            if wanted(&requests) {
                timer.abort();
                return requests;
            }
            tokio::select! {
                _ = arrived.changed() => {}
                _ = &mut deadline => panic!(
                    "not the requests waited for within {} s; {} came:\n{requests:#?}",
                    WAIT_DEFAULT.as_secs(), requests.len(),
                ),
            }
        }
    }

    /// Goes down: the port refuses connections, and open ones are closed, whatever they were waiting for.
    pub fn go_down(&self) {
        self.server.close();
    }

    /// Comes back on the same port, with its script and its records.
    ///
    /// # Errors
    /// If somebody else took the port meanwhile.
    pub fn come_back(&self) -> io::Result<()> {
        self.server.open()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, request: Request<Bytes>) -> Answer {
        let elapsed = SystemClock.monotonic().saturating_sub(self.started);
        let mut state = self.lock();
        if state.requests.len() >= REQUESTS_MAX {
            return Answer::status(507);
        }
        state.arrived += 1;
        let mut recorded = Recorded::new(state.arrived, SystemClock.now(), elapsed, request);
        let answer = state.script.choose(&recorded);
        recorded.answered = answer.status_sent();
        state.requests.push(recorded);
        let arrived = state.arrived;
        drop(state);
        self.arrived.send_modify(|most| *most = arrived.max(*most));
        answer
    }
}

async fn give(answer: Answer) -> Answered {
    if !answer.delay.is_zero() {
        SystemClock.sleep(answer.delay).await;
    }
    match &answer.kind {
        Kind::Respond { .. } => Ok(answer.into_response()),
        Kind::Close => Err(Closed),
        Kind::Hang => std::future::pending().await,
    }
}

impl fmt::Debug for MockSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockSystem")
            .field("url", &self.url())
            .field("requests", &self.count())
            .finish_non_exhaustive()
    }
}
