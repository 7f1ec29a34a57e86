//! What operators do: through the admin API, as the command line does it.

use bowline_dashboard::{
    admin::request::{DecideRequest, ForkRequest, PauseRequest, SettleRequest},
    approvals::ApprovalList,
    commands::Outcome,
};
use bowline_model::{RunId, approval::Decision};
use bowline_store::Store;
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request,
    header::{CONTENT_TYPE, HOST},
};
use serde::Serialize;
use serde_json::Value;

use super::{Reply, TestApp, TestRun, life::Life, sending::answer};

impl<S: Send + Sync + 'static> TestApp<S> {
    /// An operator retries a dead letter: it goes on with its recorded outcomes.
    ///
    /// # Panics
    /// If it cannot be retried; says why.
    #[track_caller]
    pub fn retry(&self, run: RunId) -> TestRun<'_, S> {
        let before = self.run(run).row().journal_len;
        self.operate(&format!("/api/runs/{run}/retry"), || self.run(run).row().journal_len > before);
        self.run(run)
    }

    /// An operator starts a new run from the stored event of that one.
    ///
    /// # Panics
    /// If it cannot be replayed; says why.
    #[track_caller]
    pub fn replay(&self, run: RunId) -> TestRun<'_, S> {
        let before = self.runs().len();
        self.operate(&format!("/api/runs/{run}/replay"), || self.runs().len() > before);
        *self.runs().last().expect("the replay is a run")
    }

    /// An operator starts a new run that takes what an ended one recorded before that step.
    ///
    /// # Panics
    /// If it cannot be forked; says why.
    #[track_caller]
    pub fn fork(&self, run: RunId, from: &str) -> TestRun<'_, S> {
        let before = self.runs().len();
        let body = ForkRequest { from: from.to_owned(), who: None, why: None };
        self.say(&format!("/api/runs/{run}/fork"), &body, None, || self.runs().len() > before);
        *self.runs().last().expect("the fork is a run")
    }

    /// An operator closes a dead letter.
    ///
    /// # Panics
    /// If it cannot be discarded; says why.
    #[track_caller]
    pub fn discard(&self, run: RunId) -> TestRun<'_, S> {
        let before = self.run(run).row().journal_len;
        self.operate(&format!("/api/runs/{run}/discard"), || self.run(run).row().journal_len > before);
        self.run(run)
    }

    /// An operator ends an open run, and the children that it waits for.
    ///
    /// # Panics
    /// If it cannot be cancelled; says why.
    #[track_caller]
    pub fn cancel(&self, run: RunId) -> TestRun<'_, S> {
        self.operate(&format!("/api/runs/{run}/cancel"), || !self.is_open(run));
        self.run(run)
    }

    /// An operator says what became of a step of a dead letter, and lets it go on.
    ///
    /// # Panics
    /// If it cannot be settled; says why.
    #[track_caller]
    pub fn settle_step(&self, run: RunId, step: &str, outcome: Outcome) -> TestRun<'_, S> {
        let before = self.run(run).row().journal_len;
        let body = SettleRequest { step: step.to_owned(), outcome, who: None, why: None };
        let is_done = || self.run(run).row().journal_len > before;
        self.say(&format!("/api/runs/{run}/settle"), &body, None, is_done);
        self.run(run)
    }

    /// An operator pauses a workflow: none of its runs is driven until it is [resumed](Self::resume_workflow).
    ///
    /// # Panics
    /// If it cannot be paused; says why.
    #[track_caller]
    pub fn pause_workflow(&self, workflow: &str) {
        self.say("/api/workflows/pause", &pause_request(workflow), None, || self.is_paused(workflow));
    }

    /// An operator lets a paused workflow go on.
    ///
    /// # Panics
    /// If it cannot be resumed; says why.
    #[track_caller]
    pub fn resume_workflow(&self, workflow: &str) {
        self.say("/api/workflows/resume", &pause_request(workflow), None, || !self.is_paused(workflow));
    }

    fn is_paused(&self, workflow: &str) -> bool {
        let paused = self.read(self.world().disk.reads().paused());
        paused.iter().any(|paused| paused.workflow.as_str() == workflow)
    }

    /// Sends a signal to a run. Where the app's process dies before it answers, it is sent again under the same id.
    ///
    /// # Panics
    /// If the run does not take it; says why.
    ///
    /// ```no_run
    /// # fn told(app: &bowline_testing::TestApp<()>, run: bowline::RunId) {
    /// app.signal(run, "paid", &serde_json::json!({"amount": 900})).end();
    /// # }
    /// ```
    #[track_caller]
    pub fn signal(&self, run: RunId, name: &str, value: &impl Serialize) -> TestRun<'_, S> {
        let name = name.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let id = format!("signal {}", self.next_name());
        self.say(&format!("/api/runs/{run}/signals/{name}"), value, Some(&id), || !self.is_open(run));
        self.run(run)
    }

    /// A person answers the one approval for which a run waits.
    ///
    /// # Panics
    /// If the run waits for none or for several, or the decision does not fit; says why.
    #[track_caller]
    pub fn decide(&self, run: RunId, decision: Decision) -> TestRun<'_, S> {
        let open = || self.approvals(run);
        let before = open();
        let Decision { approved, by, values, why } = decision;
        let body = DecideRequest { approval: None, approved, values, by, why };
        self.say(&format!("/api/runs/{run}/decide"), &body, None, || open() < before);
        self.run(run)
    }

    /// How many people are asked by that run.
    pub fn approvals(&self, run: RunId) -> usize {
        let open = ApprovalList::of_run(self.world().disk.reads(), run);
        self.read(open).approvals.len()
    }

    /// Another system sends its one message to the URL of a callback.
    #[track_caller]
    pub fn call_back(&self, url: &str, value: &impl Serialize) -> Reply<'_, S> {
        let path = url.find("/callbacks/").map_or(url, |at| &url[at..]);
        let body = serde_json::to_vec(value).expect("a value with a JSON form");
        let request = Request::post(path).header(CONTENT_TYPE, "application/json").body(body);
        self.request(request.expect("a callback's URL"))
    }

    /// Whether that run, or the one that went on in its place, is open.
    fn is_open(&self, run: RunId) -> bool {
        let latest = self.read(self.world().disk.reads().went_on(run));
        self.run(latest.unwrap_or(run)).row().state.is_open()
    }

    #[track_caller]
    fn operate(&self, path: &str, is_done: impl Fn() -> bool) {
        self.say(path, &serde_json::json!({}), None, is_done);
    }

    /// An operator whose command is not answered looks whether it was done before giving it again.
    #[track_caller]
    fn say(&self, path: &str, body: &impl Serialize, id: Option<&str>, is_done: impl Fn() -> bool) {
        let body = serde_json::to_vec(body).expect("a value with a JSON form");
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.parse().expect("a path of the admin API");
        let headers = request.headers_mut();
        if let Some(id) = id {
            headers.insert("idempotency-key", id.parse().expect("a header's value"));
        }
        headers.insert(HOST, HeaderValue::from_static("127.0.0.1"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("x-bowline", HeaderValue::from_static("1"));
        let ask = |life: &Life<S>| answer(life, life.process.app().admin().router(), &request);
        self.world.clock.begin_draws();
        loop {
            match self.ask_once("a command was not answered", ask) {
                Some((status, ..)) if status.is_success() => break,
                Some((status, _, body)) => {
                    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
                    panic!("POST {path} was answered {status}: {answer}");
                }
                None => {
                    self.pause();
                    if is_done() {
                        break;
                    }
                }
            }
        }
        self.pause();
    }
}

fn pause_request(workflow: &str) -> PauseRequest {
    PauseRequest { workflow: workflow.into(), who: None, why: None }
}
