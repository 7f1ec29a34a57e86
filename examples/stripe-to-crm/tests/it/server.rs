//! The program under test: started on a folder, killed, started again on the same one.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use bowline_model::{Clock, SystemClock};
use bowline_testing::{Process, ProcessError, Program};
use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::watch, task::block_in_place};

/// How long anything may take that must happen by itself. Long: it is only waited for where it fails.
pub(crate) const WITHIN: Duration = Duration::from_secs(240);

/// How often the admin API is asked while something is waited for.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// The secret that events are signed with, unless a test says otherwise.
pub(crate) const STRIPE_SECRET: &str = "whsec_0f1e2d3c4b5a69788796a5b4c3d2e1f0";
/// The key that the CRM is called with.
pub(crate) const CRM_KEY: &str = "crm_live_5b1e9a7c3d";

/// Where one life of a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// Counts lives: two of them may get the same ports.
    pub(crate) life: u32,
    /// `http://127.0.0.1:PORT` for webhooks.
    pub(crate) events: String,
    /// The same for the admin API.
    pub(crate) admin: String,
}

/// What a server is started with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    binary: PathBuf,
    env: Vec<(OsString, OsString)>,
    args: Vec<OsString>,
}

impl Settings {
    /// The example, with its store in that folder and the CRM at that address.
    pub(crate) fn new(folder: &Path, crm: &str) -> Self {
        let settings = Self { binary: env!("CARGO_BIN_EXE_stripe-to-crm").into(), env: vec![], args: vec![] };
        settings
            .env("STRIPE_WEBHOOK_SECRET", STRIPE_SECRET)
            .env("CRM_API_KEY", CRM_KEY)
            .env("CRM_BASE_URL", crm)
            .env("BOWLINE_STORE", format!("sqlite:{}", store_in(folder).display()))
            // Free ports in each life: one that was free a moment ago may be somebody else's by now.
            .env("BOWLINE_LISTEN", "127.0.0.1:0")
            .env("BOWLINE_ADMIN", "127.0.0.1:0")
            .env("BOWLINE_LOG", "json")
    }

    pub(crate) fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.env.retain(|(set, _)| set != name);
        self
    }

    pub(crate) fn envs(mut self, vars: Vec<(OsString, OsString)>) -> Self {
        self.env.extend(vars);
        self
    }

    /// Options of the store, as `reserve_mib=1&synchronous=off`.
    pub(crate) fn store_options(self, folder: &Path, options: &str) -> Self {
        self.env("BOWLINE_STORE", format!("sqlite:{}?{options}", store_in(folder).display()))
    }

    /// Another program with the same settings.
    pub(crate) fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = path.into();
        self
    }

    /// The server under another program, which gets these arguments first (`strace`, say).
    pub(crate) fn under(mut self, path: impl Into<PathBuf>, args: &[&str]) -> Self {
        self.args = args.iter().map(OsString::from).chain([self.binary.into_os_string()]).collect();
        self.binary = path.into();
        self
    }

    pub(crate) fn program(&self) -> Program {
        Program::new(&self.binary).args(&self.args).envs(self.env.clone())
    }

    /// Runs one command of the program's command line to its end: its exit code and what it wrote.
    pub(crate) fn command(&self, args: &[&str]) -> (Option<i32>, String) {
        block_in_place(|| {
            let mut process = self.program().args(args).start().unwrap();
            let status = process.wait(WITHIN).unwrap();
            assert_no_secret(&process.output());
            (status.code(), process.output())
        })
    }
}

/// The store's file in a folder.
pub(crate) fn store_in(folder: &Path) -> PathBuf {
    folder.join("bowline.db")
}

/// The program of two steps.
pub(crate) const TWO_STEPS: &str = env!("CARGO_BIN_EXE_two-steps");

/// A folder for a store.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A server that runs, or that was killed and may be started again.
pub(crate) struct Server {
    process: Process,
    settings: Settings,
    door: watch::Sender<Option<Addresses>>,
    http: Client,
    lives: u32,
}

impl Server {
    /// Starts it, and waits until it listens.
    pub(crate) fn start(settings: Settings) -> Self {
        let process = block_in_place(|| ready(settings.program()).start()).unwrap();
        let mut server = Self { process, settings, door: watch::Sender::new(None), http: client(), lives: 0 };
        server.open_door().unwrap();
        server
    }

    fn open_door(&mut self) -> Result<(), ProcessError> {
        let line = block_in_place(|| self.process.wait_for_line(LISTENING, WITHIN))?;
        self.lives += 1;
        let at = |after: &str| {
            let rest = &line[line.find(after).expect("the line names it") + after.len()..];
            let end = rest.find(|c: char| c != ':' && c != '.' && !c.is_ascii_digit()).unwrap_or(rest.len());
            format!("http://{}", &rest[..end])
        };
        let addresses =
            Addresses { life: self.lives, events: at("listening on http://"), admin: at("admin on http://") };
        self.door.send_replace(Some(addresses));
        Ok(())
    }

    /// Where it listens, now and in lives to come; `None` while it is dead.
    pub(crate) fn door(&self) -> watch::Receiver<Option<Addresses>> {
        self.door.subscribe()
    }

    pub(crate) fn addresses(&self) -> Addresses {
        self.door.borrow().clone().expect("the server runs")
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.door.send_replace(None);
        block_in_place(|| self.process.kill());
    }

    /// SIGTERM; how it ended.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let status = block_in_place(|| self.process.terminate(WITHIN)).unwrap();
        self.door.send_replace(None);
        status
    }

    /// Waits until it ended by itself, or by somebody else's hand.
    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        let status = block_in_place(|| self.process.wait(WITHIN)).unwrap();
        self.door.send_replace(None);
        status
    }

    /// Starts the dead server again on the same folder, with settings changed as told.
    pub(crate) fn restart(&mut self, change: impl FnOnce(Settings) -> Settings) {
        self.try_restart(change).unwrap();
    }

    /// The same, where it may fail.
    pub(crate) fn try_restart(
        &mut self,
        change: impl FnOnce(Settings) -> Settings,
    ) -> Result<(), ProcessError> {
        self.settings = change(self.settings.clone());
        let program = ready(self.settings.program());
        block_in_place(|| self.process.restart_as(|_| program))?;
        self.open_door()
    }

    /// All it wrote, over all its lives.
    pub(crate) fn output(&self) -> String {
        self.process.output()
    }

    /// What it wrote since it was last started.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.process.lines()
    }

    /// Waits until it has written a line with that text since it was last started.
    pub(crate) fn until_line(&mut self, part: &str) {
        block_in_place(|| self.process.wait_for_line(part, WITHIN)).unwrap();
    }

    pub(crate) fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// Posts to the webhook's path.
    pub(crate) async fn post(&self, body: impl Into<reqwest::Body>, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.http.post(format!("{}/webhooks/stripe", self.addresses().events));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request.body(body).send().await.unwrap()).await
    }

    /// GET of the admin API: its status and JSON.
    pub(crate) async fn api(&self, path: &str) -> (u16, Value) {
        let url = format!("{}{path}", self.addresses().admin);
        let answer = self.http.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// One run, as `show --json` gives it; `None` if there is no such run.
    pub(crate) async fn run(&self, run: i64) -> Option<Value> {
        match self.api(&format!("/api/runs/{run}")).await {
            (200, view) => Some(view),
            (404, _) => None,
            (status, body) => panic!("run {run}: {status} {body}"),
        }
    }

    /// How many runs are in each state.
    pub(crate) async fn counts(&self) -> Counts {
        let (_, status) = self.api("/api/status").await;
        Counts(status["runs"].clone())
    }

    /// Waits until no run can go on by itself any more: all are completed, cancelled or dead.
    pub(crate) async fn until_no_run_is_open(&self) -> Counts {
        self.until("no run is open", async || {
            let counts = self.counts().await;
            (counts.0.is_object() && counts.open() == 0).then_some(counts)
        })
        .await
    }

    /// Waits until that run is in that state; its view then.
    pub(crate) async fn until_run_is(&self, run: i64, state: &str) -> Value {
        self.until(&format!("run {run} is {state}"), async || {
            self.run(run).await.filter(|view| state_of(view) == state)
        })
        .await
    }

    /// Asks again and again until there is an answer.
    pub(crate) async fn until<T>(&self, what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
        let deadline = SystemClock.monotonic() + WITHIN;
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            if SystemClock.monotonic() > deadline {
                let counts = self.counts().await.0;
                panic!("not within {WITHIN:?}: {what}; runs: {counts}; it wrote:\n{}", self.last_lines());
            }
            SystemClock.sleep(ASK_EVERY).await;
        }
    }

    fn last_lines(&self) -> String {
        let lines = self.lines();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Of every test's output, whatever it is about. A test that has failed already tells its own story.
        if !std::thread::panicking() {
            assert_no_secret(&self.process.output());
        }
    }
}

fn assert_no_secret(output: &str) {
    for secret in [STRIPE_SECRET, CRM_KEY] {
        assert!(!output.contains(secret), "a secret was written");
    }
}

/// The state in a run's view, by the name that people use.
pub(crate) fn state_of(view: &Value) -> &str {
    match view["run"]["state"].as_str().unwrap_or_default() {
        "dead_lettered" => "dead",
        state => state,
    }
}

const LISTENING: &str = "listening on http://";

fn ready(program: Program) -> Program {
    program.ready_on_line(LISTENING)
}

/// An HTTP client for loopback.
pub(crate) fn client() -> Client {
    Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

/// What the server answered to an event.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(response: reqwest::Response) -> Self {
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.map(|value| value.to_str().unwrap().parse().unwrap());
        Self {
            status: response.status().as_u16(),
            retry_after,
            body: response.json().await.unwrap_or_default(),
        }
    }

    /// `accepted`, `duplicate`, `ignored`; empty if it is none of them.
    pub(crate) fn said(&self) -> &str {
        self.body["status"].as_str().unwrap_or_default()
    }

    /// The one run that it names.
    pub(crate) fn run(&self) -> i64 {
        match self.body["runs"].as_array().map(Vec::as_slice) {
            Some([run]) => run.as_i64().unwrap(),
            _ => panic!("not one run: {self:?}"),
        }
    }
}

/// How many runs are in each state.
#[derive(Debug)]
pub(crate) struct Counts(Value);

impl Counts {
    pub(crate) fn of(&self, state: &str) -> u64 {
        self.0[state].as_u64().unwrap_or(0)
    }

    pub(crate) fn open(&self) -> u64 {
        ["queued", "running", "waiting"].into_iter().map(|state| self.of(state)).sum()
    }
}
