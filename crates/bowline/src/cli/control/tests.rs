use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use bowline_dashboard::{Admin, health::Progress};
use bowline_model::{
    BuildId, Clock, DeadReason, Entry, EntryKey, EntryKind, EntryMeta, Failure, Family, FlowRules, KeySeed,
    NewEvent, NewRun, Position, RunState, ScopePath, Seq, SystemClock,
};
use bowline_store::{Batch, Claim, RunWrite, SqliteOptions, SqliteStore, Store, Transition};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::*;
use crate::cli::{
    args::SendArgs,
    send::{self, Receipt},
};

mod undoing;

const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

fn context(folder: &TempDir) -> CliContext {
    CliContext {
        app: "shop".to_owned(),
        build: BuildId::from("1"),
        rules: FlowRules::default(),
        clock: Arc::new(SystemClock),
        store: folder.path().join("bowline.db"),
        listen: NOWHERE,
        scheme: "http",
        admin: NOWHERE,
        serve: Box::new(|| Box::pin(async { Ok(()) })),
        check: Box::new(Vec::new),
        rehearse: Box::new(|| Err(Error::new("this app has no workflows"))),
        sign: Arc::new(|_, body, _| {
            let value = format!("{} bytes", body.len()).parse().expect("a header's value");
            let headers = vec![(http::HeaderName::from_static("x-signature"), value)];
            Ok(bowline_ingress::SignedRequest { headers, body: bytes::Bytes::copy_from_slice(body) })
        }),
    }
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, SqliteOptions::default(), Arc::new(SystemClock)).unwrap()
}

/// Two dead letters of one workflow: runs 1 and 2.
async fn dead_letters(store: &dyn Store) {
    let now = SystemClock.now();
    let node = store.start_node(now).await.unwrap().node;
    for nth in 1..=2 {
        let event = NewEvent {
            source: "/webhooks/stripe".to_owned(),
            provider: "stripe".to_owned(),
            kind: "payment_intent.succeeded".to_owned(),
            dedupe_key: format!("evt_{nth}"),
            dedupe_until: now + Duration::from_secs(60),
            received_at: now,
            headers: vec![],
            body: "{}".into(),
            input_pointer: String::new(),
            runs: vec![new_run()],
        };
        store.accept(Batch { events: vec![event], ..Batch::default() }).await.unwrap();
        let workflows = vec![(WorkflowName::from("w"), 1)];
        let claim = Claim { node, now, total_max: 1, workflows, others_max: 0, crashes_min: 0 };
        let run = store.claim(claim).await.unwrap().pop().unwrap();
        let transition =
            Transition::DeadLetter { reason: DeadReason::Failed, summary: "crm answered 422".to_owned() };
        store.write(RunWrite::new(run.id, run.epoch, now, failed_journal(), Some(transition))).await.unwrap();
    }
}

fn new_run() -> NewRun {
    NewRun {
        workflow: WorkflowName::from("w"),
        key: None,
        priority: 0,
        parent: None,
        replay_of: None,
        build: BuildId::from("1"),
        key_seed: KeySeed(1),
        due: None,
        flow: Default::default(),
        journal: vec![],
    }
}

fn failed_journal() -> Vec<Entry> {
    let step = EntryKey {
        family: Family::Step,
        scope: ScopePath::root(),
        name: "create contact".to_owned(),
        position: Position::Nth(1),
    };
    let failure = Some(Failure::refused("crm answered 422"));
    let entry = |seq, kind, key: EntryKey, meta| Entry {
        seq: Seq(seq),
        kind,
        key,
        at: SystemClock.now(),
        build: BuildId::from("1"),
        meta,
        payload: None,
    };
    vec![
        entry(
            1,
            EntryKind::StepRefused,
            step.clone(),
            EntryMeta { attempts: 1, failure: failure.clone(), ..EntryMeta::default() },
        ),
        entry(
            2,
            EntryKind::DeadLettered,
            EntryKey::run(),
            EntryMeta { failure, caused_by: Some(step), ..EntryMeta::default() },
        ),
    ]
}

/// Serves the admin API over that store, as a running server does.
async fn serve_admin(store: Arc<SqliteStore>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    store.set_admin_address(listener.local_addr().unwrap()).unwrap();
    let progress = || -> bowline_model::BoxFuture<'static, Progress> {
        Box::pin(std::future::ready(Progress {
            dispatcher_beat_age: Duration::ZERO,
            claims_fail: false,
            slots: 1,
            slots_free: 1,
            resting: 0,
            stopping: false,
            ..Progress::default()
        }))
    };
    let (clock, build) = (Arc::new(SystemClock), BuildId::from("1"));
    let router = Admin::new(store, clock, build, Arc::new(progress), Arc::new(|| ())).router();
    // Ends with the test's runtime.
    tokio::spawn(async move { axum::serve(listener, router).await });
}

/// Every command, once: the same story whichever way it goes.
async fn operate(control: &Control) {
    let operator = Operator { who: Some("kim".to_owned()), why: None };
    let dead = RunsQuery { state: Some("dead".to_owned()), ..RunsQuery::default() };
    let ids: Vec<i64> = control.runs(&dead).await.unwrap().runs.iter().map(|run| run.id.0).collect();
    assert_eq!(ids, [2, 1]);
    let view = control.show(RunId(1), Payloads::Hidden).await.unwrap();
    assert_eq!((view.run.id, view.timeline.len()), (RunId(1), 2));

    let retried = control.retry(RunId(1), &operator).await.unwrap();
    assert_eq!(retried.forgotten, ["create contact"]);
    let again = control.retry(RunId(1), &operator).await.unwrap_err();
    assert_eq!(again.to_string(), "run 1 is queued, not a dead letter");
    assert!(again.hint_text().unwrap().starts_with("it goes on by itself"), "{again:?}");

    let replayed = control.replay(RunId(2), Keys::New, &operator).await.unwrap();
    assert_eq!((replayed.new_run, &replayed.repeats[..]), (RunId(3), &[][..]));
    let bulk = control.retry_all(Some(WorkflowName::from("w")), 10, &operator).await.unwrap();
    assert_eq!((bulk.retried, bulk.more), (vec![RunId(2)], false));
    let missing = control.show(RunId(99), Payloads::Hidden).await.unwrap_err();
    assert_eq!(missing.to_string(), "there is no run 99");
}

#[tokio::test]
async fn commands_work_on_the_store_itself_while_no_server_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let context = context(&folder);
    let store = open(&context.store);
    dead_letters(&store).await;
    store.close().await.unwrap();

    let control = Control::open(&context).await.unwrap();
    assert!(control.is_local());
    operate(&control).await;
    control.close().await.unwrap();
    assert!(lock_holder(&context.store).is_none(), "a server can start");
}

#[tokio::test]
async fn commands_go_through_the_server_that_holds_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let context = context(&folder);
    let store = Arc::new(open(&context.store));
    dead_letters(&*store).await;
    serve_admin(store.clone()).await;

    let control = Control::open(&context).await.unwrap();
    assert!(!control.is_local());
    operate(&control).await;
    assert_eq!(store.run(RunId(1)).await.unwrap().unwrap().state, RunState::Queued);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let context = context(&folder);
    let _held = open(&context.store);
    let control = Control::open(&context).await.unwrap();
    let error = control.runs(&RunsQuery::default()).await.unwrap_err().to_string();
    let expect = format!("process {} holds the store, but its admin API at 127.0.0.1:9", std::process::id());
    assert!(error.starts_with(&expect), "{error}");
}

#[tokio::test]
async fn looking_at_runs_creates_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let context = context(&folder);
    let error = Control::open(&context).await.unwrap_err();
    assert!(error.to_string().starts_with("there is no store at "), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Sends `{}` to an app that answers like that; returns what became of it, and what the app received.
async fn send_to(status: http::StatusCode, answer: &'static str) -> (Result, Vec<String>) {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let app = {
        let seen = seen.clone();
        axum::Router::new().fallback(async move |headers: http::HeaderMap, uri: http::Uri, body: String| {
            let header = |name| headers[name].to_str().unwrap().to_owned();
            seen.lock().unwrap().extend([
                uri.to_string(),
                header("x-signature"),
                header("content-type"),
                body,
            ]);
            (status, answer)
        })
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let context = CliContext { listen: listener.local_addr().unwrap(), ..context(&folder) };
    tokio::spawn(async move { axum::serve(listener, app).await });
    let file = folder.path().join("event.json");
    std::fs::write(&file, "{}").unwrap();
    let args = SendArgs { path: "/webhooks/stripe".to_owned(), file, kind: None, id: None, to: None };
    let sent = send::send(&context, &args).await;
    let seen = seen.lock().unwrap().clone();
    (sent, seen)
}

#[tokio::test]
async fn an_event_is_posted_as_it_is_with_its_signature() {
    let answer = r#"{"status":"accepted","event":"evt_1","runs":[1]}"#;
    let (sent, seen) = send_to(http::StatusCode::OK, answer).await;
    sent.unwrap();
    assert_eq!(seen, ["/webhooks/stripe", "2 bytes", "application/json", "{}"]);
    let receipt: Receipt = serde_json::from_str(answer).unwrap();
    let expect = "accepted  event evt_1  run 1\n`show 1` tells how it goes\n";
    assert_eq!(crate::cli::render::receipt(&receipt, crate::cli::render::Paint::Plain), expect);
}

#[tokio::test]
async fn an_app_that_speaks_tls_is_sent_to_by_tls_and_the_hint_says_how_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("event.json");
    std::fs::write(&file, "{}").unwrap();
    let context = CliContext { scheme: "https", ..context(&folder) };
    let args = SendArgs { path: "/webhooks/stripe".to_owned(), file, kind: None, id: None, to: None };
    let error = send::send(&context, &args).await.unwrap_err();
    assert!(error.to_string().starts_with("https://127.0.0.1:9/webhooks/stripe does not answer"), "{error}");
    assert!(error.hint_text().unwrap().contains("--to https://"), "{error:?}");
}

#[tokio::test]
async fn a_refused_event_is_an_error_with_the_apps_own_words() {
    let (sent, _) = send_to(http::StatusCode::UNAUTHORIZED, r#"{"detail":"bad signature"}"#).await;
    let error = sent.unwrap_err();
    assert_eq!(error.to_string(), "the app answered 401 Unauthorized: bad signature");
    assert!(error.hint_text().unwrap().contains("same secret"), "{error:?}");
}
