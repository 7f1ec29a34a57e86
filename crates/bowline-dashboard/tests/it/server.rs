//! The admin API on a real socket over a real store.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::Router;
use bowline_dashboard::{Admin, health::Progress};
use bowline_model::{Clock, DeadReason, Entry, EventId, Run, RunId, RunState, SystemClock, WorkflowName};
use bowline_store::{
    Also, Batch, Claim, NewMailbox, NewStart, RunWrite, SqliteOptions, SqliteStore, Store, Transition,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    event::{event, of_run},
    journal::{build, journal},
};

pub(crate) struct Server {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) address: SocketAddr,
    pokes: Arc<AtomicUsize>,
}

/// What a request was answered with.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) text: String,
    /// Null if it is no JSON.
    pub(crate) json: Value,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(progress()).await
    }

    /// A server whose engine says that of itself.
    pub(crate) async fn start_with(progress: Progress) -> Self {
        Self::start_as(progress, |admin| admin, |router| router).await
    }

    /// A server whose routes are part of another program's.
    pub(crate) async fn start_under(path: &str) -> Self {
        Self::start_as(progress(), |admin| admin, |router| Router::new().nest(path, router)).await
    }

    /// A server that was told more.
    pub(crate) async fn start_told(tell: impl FnOnce(Admin) -> Admin) -> Self {
        Self::start_as(progress(), tell, |router| router).await
    }

    async fn start_as(
        progress: Progress,
        tell: impl FnOnce(Admin) -> Admin,
        mount: impl FnOnce(Router) -> Router,
    ) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = SqliteStore::in_memory(SqliteOptions::default(), clock.clone()).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let pokes = Arc::new(AtomicUsize::new(0));
        let counted = pokes.clone();
        let admin = Admin::new(
            store.clone(),
            clock,
            build(),
            Arc::new(move || Box::pin(std::future::ready(progress))),
            Arc::new(move || {
                counted.fetch_add(1, Ordering::Relaxed);
            }),
        )
        .allow_host("ops.example");
        let router = mount(tell(admin).router());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // Ends with the test's runtime.
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { store, address, pokes }
    }

    /// How often a command woke the engine.
    pub(crate) fn pokes(&self) -> usize {
        self.pokes.load(Ordering::Relaxed)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[("host", "localhost")], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Reply {
        let headers = [("host", "localhost"), ("content-type", "application/json"), ("x-bowline", "1")];
        self.ask("POST", path, &headers, body).await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
        let head = head.to_lowercase();
        let json = if head.contains("content-type: application/json") {
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {answer}"))
        } else {
            Value::Null
        };
        Reply { status, head, text: text.to_owned(), json }
    }

    /// As a browser asks for a page.
    pub(crate) async fn browse(&self, path: &str) -> Reply {
        let accept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        self.ask("GET", path, &[("host", "localhost"), ("accept", accept)], "").await
    }

    /// A run of that workflow, accepted and nothing more.
    pub(crate) async fn accept(&self, workflow: &str) -> RunId {
        self.accept_event(workflow, "payment_intent.succeeded", r#"{"email":"jane@example.com"}"#).await
    }

    /// A run of that workflow that waits like this, for a child of that workflow among others.
    pub(crate) async fn waits_for_child(&self, workflow: &str, text: &str, child: &str) -> (RunId, RunId) {
        let parent = self.accept(workflow).await;
        let claimed = self.claim(workflow).await;
        assert_eq!(claimed.id, parent, "the only run to claim");
        let wait = Some(Transition::Wait { due: None, seen: None });
        let write = RunWrite::new(parent, claimed.epoch, SystemClock.now(), journal(text), wait);
        let event = of_run(parent, event(child, "child", "null", SystemClock.now()));
        let tells = Some("child:1".to_owned());
        let start = NewStart { event, tells, earlier: None, continues: false };
        let also = Also { starts: vec![start], ..Also::default() };
        let written = self.store.write(RunWrite { also, ..write }).await.unwrap();
        (parent, written.started[0])
    }

    /// A run of that workflow that went on as another one, and that one.
    pub(crate) async fn went_on(&self, workflow: &str, text: &str) -> (RunId, RunId) {
        let first = self.accept(workflow).await;
        let claimed = self.claim(workflow).await;
        assert_eq!(claimed.id, first, "the only run to claim");
        let end = Some(Transition::Complete);
        let write = RunWrite::new(first, claimed.epoch, SystemClock.now(), journal(text), end);
        let event = of_run(first, event(workflow, "child", "null", SystemClock.now()));
        let start = NewStart { event, tells: None, earlier: None, continues: true };
        let also = Also { starts: vec![start], ..Also::default() };
        let written = self.store.write(RunWrite { also, ..write }).await.unwrap();
        (first, written.started[0])
    }

    /// The same, of an event of that kind with that body.
    pub(crate) async fn accept_event(&self, workflow: &str, kind: &str, body: &str) -> RunId {
        let event = event(workflow, kind, body, SystemClock.now());
        let batch = Batch { events: vec![event], ..Batch::default() };
        match self.store.accept(batch).await.unwrap().pop().unwrap() {
            bowline_store::Accepted::New { runs, .. } => runs[0],
            duplicate @ bowline_store::Accepted::Duplicate { .. } => panic!("{duplicate:?}"),
        }
    }

    /// A run of that workflow that ended like this.
    pub(crate) async fn ended(&self, workflow: &str, text: &str, transition: Transition) -> RunId {
        let run = self.accept(workflow).await;
        self.end(run, workflow, journal(text), transition).await;
        run
    }

    /// Claims that run, the only one to claim, and writes how it goes.
    pub(crate) async fn end(&self, run: RunId, workflow: &str, entries: Vec<Entry>, transition: Transition) {
        let claimed = self.claim(workflow).await;
        assert_eq!(claimed.id, run, "the only run to claim");
        let now = SystemClock.now();
        let transition = Some(transition);
        self.store.write(RunWrite::new(run, claimed.epoch, now, entries, transition)).await.unwrap();
    }

    /// A run of that workflow that waits with these mailboxes.
    pub(crate) async fn waits(&self, workflow: &str, text: &str, opens: Vec<NewMailbox>) -> RunId {
        let run = self.accept(workflow).await;
        let claimed = self.claim(workflow).await;
        assert_eq!(claimed.id, run, "the only run to claim");
        let wait = Some(Transition::Wait { due: None, seen: None });
        let write = RunWrite::new(run, claimed.epoch, SystemClock.now(), journal(text), wait);
        let also = Also { opens, ..Also::default() };
        self.store.write(RunWrite { also, ..write }).await.unwrap();
        run
    }

    /// Its next claim: what the engine would find unread.
    pub(crate) async fn read(&self, run: RunId) -> Vec<(String, Value)> {
        let mail = self.store.mail(run).await.unwrap();
        mail.into_iter().map(|message| (message.mailbox, message.body.decode().unwrap())).collect()
    }

    /// The same form as a browser sends it from a page of this address.
    pub(crate) async fn send_form(&self, path: &str, body: &str) -> Reply {
        let origin = format!("http://{}", self.address);
        let host = self.address.to_string();
        let form = "application/x-www-form-urlencoded";
        let headers =
            [("host", host.as_str()), ("origin", &origin), ("content-type", form), ("accept", "text/html")];
        self.ask("POST", path, &headers, body).await
    }

    pub(crate) async fn dead(&self, workflow: &str, text: &str) -> RunId {
        let transition =
            Transition::DeadLetter { reason: DeadReason::Failed, summary: "crm answered 422".to_owned() };
        self.ended(workflow, text, transition).await
    }

    async fn claim(&self, workflow: &str) -> Run {
        let now = SystemClock.now();
        let node = self.store.start_node(now).await.unwrap().node;
        let workflows = vec![(WorkflowName::from(workflow), 1)];
        let claim = Claim { node, now, total_max: 1, workflows, others_max: 0, crashes_min: 0 };
        self.store.claim(claim).await.unwrap().pop().unwrap()
    }

    pub(crate) async fn state(&self, run: RunId) -> RunState {
        self.store.run(run).await.unwrap().unwrap().state
    }

    pub(crate) async fn event_of(&self, run: RunId) -> EventId {
        self.store.run(run).await.unwrap().unwrap().event
    }
}

/// An engine that has nothing to do.
pub(crate) fn progress() -> Progress {
    Progress {
        dispatcher_beat_age: Duration::from_secs(1),
        claims_fail: false,
        slots: 8,
        slots_free: 8,
        resting: 0,
        stopping: false,
        ..Progress::default()
    }
}
