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

mod again;
mod answer;
mod expect;
mod gauge;
mod recorded;
mod script;

use std::{
    collections::{BTreeMap, HashMap},
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bowline_model::{Clock, Fingerprint, SystemClock};
use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use tokio::sync::{oneshot, watch};

use crate::{
    pulse::Pulse,
    server::{Answered, Closed, Host, Server},
};
use again::Given;
use answer::Kind;
use expect::Expectation;
use script::Script;

pub use answer::Answer;
pub(crate) use expect::list;
pub(crate) use gauge::Gauge;
pub use recorded::Recorded;
pub use script::{Match, When};

/// How long [`MockSystem::wait_until`] waits before it says that the test has failed.
pub const WAIT_DEFAULT: Duration = Duration::from_secs(120);

/// Requests a mock keeps; later ones are answered 507 and not kept.
pub const REQUESTS_MAX: usize = 1_000_000;

/// A system that a test's automation calls. It is real: HTTP/1.1 and 2 on 127.0.0.1, on a thread of its own.
///
/// A request is recorded before it is answered: whoever has the answer finds the request in
/// [`requests`](Self::requests). It never deduplicates. Dropping the mock closes its port.
pub struct MockSystem {
    name: String,
    server: Server,
    shared: Arc<Shared>,
}

/// On which thread a mock runs, by which clock its answers are late, and who counts what it holds.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) host: Arc<Host>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) gauge: Arc<Gauge>,
}

struct Shared {
    state: Mutex<State>,
    arrived: watch::Sender<usize>,
    started: Duration,
    clock: Arc<dyn Clock>,
    gauge: Arc<Gauge>,
}

struct State {
    script: Script,
    requests: Vec<Recorded>,
    arrived: usize,
    expectations: Vec<Expectation>,
    verifies: bool,
    /// What was answered under each idempotency key, and when that is ready, if it remembers it.
    remembered: Option<HashMap<String, (Answer, Timestamp)>>,
    /// What it answered and nobody recorded yet, and what is to be given again, if it remembers.
    unrecorded: Vec<Given>,
    again: Vec<Given>,
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
        let surroundings = Surroundings {
            host: Host::start()?,
            clock: Arc::new(SystemClock),
            gauge: Gauge::new(Pulse::new(), || {}),
        };
        Self::start_in(surroundings, "system".to_owned(), port)
    }

    /// Starts where others are.
    pub(crate) fn start_in(surroundings: Surroundings, name: String, port: u16) -> io::Result<Self> {
        let Surroundings { host, clock, gauge } = surroundings;
        let state = State {
            script: Script::default(),
            requests: Vec::new(),
            arrived: 0,
            expectations: Vec::new(),
            verifies: true,
            remembered: None,
            unrecorded: vec![],
            again: vec![],
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            arrived: watch::Sender::new(0),
            started: clock.monotonic(),
            clock,
            gauge,
        });
        let server = Server::start_on(&host, port, {
            let shared = shared.clone();
            move |request| {
                let (answer, shared) = (shared.record(request), shared.clone());
                async move { shared.give(answer).await }
            }
        })?;
        Ok(Self { name, server, shared })
    }

    /// Its name: that of the Api whose calls it answers.
    pub fn name(&self) -> &str {
        &self.name
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

    /// From now on a request under an idempotency key that was answered with a 2xx gets that answer again, as from
    /// remotes that know such keys; the script is not asked. It is recorded like any other.
    pub fn remember_keys(&self) {
        self.shared.lock().remembered.get_or_insert_default();
    }

    /// What came of that call is on disk; of which call, is not known for a closure's.
    pub(crate) fn was_recorded(&self, call: Option<&Fingerprint>) {
        self.shared.lock().was_recorded(call);
    }

    /// The process that called it died.
    pub(crate) fn process_died(&self) {
        self.shared.lock().process_died();
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
        let elapsed = self.clock.monotonic().saturating_sub(self.started);
        let mut state = self.lock();
        if state.requests.len() >= REQUESTS_MAX {
            return Answer::status(507);
        }
        state.arrived += 1;
        let mut recorded = Recorded::new(state.arrived, self.clock.now(), elapsed, request);
        let answer = state.answer_to(&recorded);
        recorded.answered = answer.status_sent();
        state.requests.push(recorded);
        let arrived = state.arrived;
        drop(state);
        self.arrived.send_modify(|most| *most = arrived.max(*most));
        self.gauge.arrived();
        answer
    }

    async fn give(&self, answer: Answer) -> Answered {
        if !answer.delay.is_zero() {
            let _held = self.gauge.hold();
            self.clock.sleep(answer.delay).await;
        }
        match &answer.kind {
            Kind::Respond { .. } => Ok(answer.into_response()),
            Kind::Close => Err(Closed),
            Kind::Hang => {
                let _held = self.gauge.hold();
                std::future::pending().await
            }
        }
    }
}

impl State {
    fn answer_to(&mut self, request: &Recorded) -> Answer {
        if self.remembered.is_none() {
            return self.script.choose(request);
        }
        let key = request.effect_key();
        let known = key.as_ref().and_then(|key| self.remembered.as_ref()?.get(key).cloned());
        let (answer, ready) = match known.or_else(|| self.take_again(request)) {
            // What was slow the first time is done when it would have been.
            Some((answer, ready)) => {
                let left = Duration::try_from(ready.duration_since(request.at)).unwrap_or_default();
                (answer.after(left), ready)
            }
            None => {
                let answer = self.script.choose(request);
                let ready = request.at.checked_add(answer.delay).unwrap_or(request.at);
                (answer, ready)
            }
        };
        let is_done = answer.status_sent().is_some_and(|status| (200..300).contains(&status));
        match (key, &mut self.remembered) {
            (Some(key), Some(remembered)) if is_done => {
                remembered.insert(key, (answer.clone(), ready));
            }
            _ => self.unrecorded.push(Given::new(request, &answer, ready)),
        }
        answer
    }
}

/// What was expected must have come.
impl Drop for MockSystem {
    fn drop(&mut self) {
        if !std::thread::panicking()
            && let Some(unmet) = self.unmet()
        {
            panic!("{unmet}");
        }
    }
}

impl fmt::Debug for MockSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockSystem")
            .field("name", &self.name)
            .field("url", &self.url())
            .field("requests", &self.count())
            .finish_non_exhaustive()
    }
}
