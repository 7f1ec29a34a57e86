//! The settings, and a message that really goes.

use std::{collections::HashMap, time::Duration};

use axum::{Json, Router, extract::State, http::Uri};
use bowline_model::{BuildId, DeadReason, KeySeed, NewEvent, NewRun, SystemClock, Variables, WorkflowName};
use bowline_store::{Batch, Claim, RunWrite, SqliteStore, Store, Transition, sqlite::SqliteOptions};
use serde_json::Value;
use tokio::sync::mpsc;

use super::*;

fn variables(pairs: &[(&str, &str)]) -> Variables {
    let pairs: HashMap<String, String> =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Variables::new(move |name| pairs.get(name).cloned())
}

#[test]
fn nothing_is_set_and_nothing_is_wrong() {
    let variables = variables(&[]);
    let config = AlertConfig::read(&variables);
    assert!(config.hook.is_none() && config.admin_url.is_none());
    assert_eq!(variables.problems(), []);
}

#[test]
fn a_hook_that_is_no_https_url_is_named_and_not_shown() {
    for wrong in [
        "T0B1C2-secret",
        "http://hooks.example.com/services/T0B1C2-secret",
        "https://user:T0B1C2-secret@hooks.example.com",
        "ftp://127.0.0.1/T0B1C2-secret",
    ] {
        let variables = variables(&[(HOOK_VARIABLE, wrong)]);
        let config = AlertConfig::read(&variables);
        let problems = variables.problems();
        assert_eq!(problems.len(), 1, "{wrong}");
        assert_eq!(problems[0].0, HOOK_VARIABLE);
        for shown in [problems[0].1.clone(), format!("{config:?}")] {
            assert!(!shown.contains("T0B1C2-secret"), "{shown}");
        }
    }
}

#[test]
fn a_hook_on_this_machine_may_speak_plain_http() {
    let variables = variables(&[(HOOK_VARIABLE, "http://127.0.0.1:8065/hooks/T0B1C2-secret")]);
    let config = AlertConfig::read(&variables);
    assert_eq!(variables.problems(), []);
    let shown = format!("{config:?}");
    assert!(config.hook.is_some() && !shown.contains("T0B1C2-secret"), "{shown}");
}

#[test]
fn an_admin_address_holds_nothing_secret() {
    for (text, kept) in [
        ("https://ops.example.com", Some("https://ops.example.com/")),
        ("http://10.0.0.7:8081/bowline/", Some("http://10.0.0.7:8081/bowline/")),
        ("https://kim:pass@ops.example.com", None),
        ("https://ops.example.com/?token=abc", None),
        ("ops.example.com", None),
        ("javascript:alert(1)", None),
    ] {
        let variables = variables(&[(ADMIN_URL_VARIABLE, text)]);
        assert_eq!(AlertConfig::read(&variables).admin_url.as_deref(), kept, "{text}");
        assert_eq!(variables.problems().is_empty(), kept.is_some(), "{text}");
        assert!(!format!("{:?}", variables.problems()).contains("pass@"), "{text}");
    }
}

/// A hook on this machine, and what is posted there, with the path.
async fn hook() -> (String, mpsc::UnboundedReceiver<(String, Value)>) {
    let (sender, posted) = mpsc::unbounded_channel();
    let take = async |State(sender): State<mpsc::UnboundedSender<_>>, uri: Uri, Json(body): Json<Value>| {
        sender.send((uri.path().to_owned(), body)).unwrap();
    };
    let router = Router::new().fallback(take).with_state(sender);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Ends with the test's runtime.
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}/hooks/T0B1C2-secret"), posted)
}

/// A store in which a run died an hour ago.
async fn store_with_a_dead_letter() -> Arc<dyn Store> {
    let store = SqliteStore::in_memory(SqliteOptions::default(), Arc::new(SystemClock)).unwrap();
    let now = SystemClock.now() - Duration::from_secs(3600);
    let node = store.start_node(now).await.unwrap().node;
    let run = NewRun {
        workflow: WorkflowName::from("stripe-to-crm"),
        key: None,
        priority: 0,
        parent: None,
        replay_of: None,
        build: BuildId::from("1.0.0"),
        key_seed: KeySeed(1),
        due: None,
        flow: Default::default(),
        journal: vec![],
    };
    let event = NewEvent {
        source: "/webhooks/stripe".to_owned(),
        provider: "stripe".to_owned(),
        kind: "payment_intent.succeeded".to_owned(),
        dedupe_key: "evt_1".to_owned(),
        dedupe_until: now,
        received_at: now,
        headers: vec![],
        body: "{}".into(),
        input_pointer: String::new(),
        runs: vec![run],
    };
    store.accept(Batch { events: vec![event], ..Batch::default() }).await.unwrap();
    let workflows = vec![(WorkflowName::from("stripe-to-crm"), 1)];
    let claim = Claim { node, now, total_max: 1, workflows, others_max: 0, crashes_min: 0 };
    let run = store.claim(claim).await.unwrap().pop().unwrap();
    let transition =
        Some(Transition::DeadLetter { reason: DeadReason::Failed, summary: "crm answered 422".to_owned() });
    let write = RunWrite::new(run.id, run.epoch, now, vec![], transition);
    store.write(write).await.unwrap();
    Arc::new(store)
}

#[tokio::test]
async fn a_dead_letter_reaches_the_hook_with_a_link_to_the_admin_pages() {
    let (url, mut posted) = hook().await;
    let variables = variables(&[(HOOK_VARIABLE, &url), (ADMIN_URL_VARIABLE, "https://ops.example.com")]);
    let config = AlertConfig::read(&variables);
    let store = store_with_a_dead_letter().await;
    let (stop, stopped) = watch::channel(false);
    let task = tell(&config, "payments", store, Arc::new(SystemClock), stopped).expect("a hook is set");
    let task = tokio::spawn(task);
    let (path, body) = posted.recv().await.unwrap();
    assert_eq!(path, "/hooks/T0B1C2-secret");
    assert_eq!(
        body["text"],
        "*payments*: 1 new dead letter\n\
         • `stripe-to-crm`, failed: run 1\n    \
         `crm answered 422`\n\
         They wait for a person: see them with `payments dead`, and once the cause is gone, continue them with \
         `payments retry --all`.\n\
         https://ops.example.com/runs/1"
    );
    stop.send_replace(true);
    task.await.unwrap();
}

#[tokio::test]
async fn without_a_hook_there_is_nothing_to_run() {
    let config = AlertConfig::read(&variables(&[]));
    let store = store_with_a_dead_letter().await;
    let (_stop, stopped) = watch::channel(false);
    assert!(tell(&config, "payments", store, Arc::new(SystemClock), stopped).is_none());
}

/// A system with a remote that does not take its key.
struct Crm {
    crm: Api,
}

impl Crm {
    async fn ask(self: Arc<Self>, cx: crate::Context, (): ()) -> crate::Result<bool> {
        Ok(cx.step("ask", self.crm.get("/contacts")).best_effort().await.is_some())
    }
}

#[tokio::test]
async fn a_refused_key_is_shown_at_the_admin_address_though_the_run_went_on_without_the_answer() {
    let refuse = Router::new().fallback(async || axum::http::StatusCode::UNAUTHORIZED);
    let remote = serve(refuse).await;
    let ask = crate::workflow("ask", Crm::ask);
    let app = crate::App::new("payments", move |setup| Crm {
        crm: setup.api("crm").base_url(&remote).header_key_env("X-Api-Key", "CRM_API_KEY"),
    });
    let store = SqliteStore::in_memory(SqliteOptions::default(), Arc::new(SystemClock)).unwrap();
    let options = crate::OpenOptions::default()
        .variables(variables(&[("CRM_API_KEY", "k3y-of-crm")]))
        .store(Arc::new(store));
    let app = app.workflow(ask.clone()).open_with(options).await.unwrap();
    assert!(!app.start(&ask, &()).await.unwrap().await.unwrap(), "it completed, without the answer");

    let admin = serve(app.admin().router()).await;
    let shown: Value = reqwest::get(format!("{admin}/api/connections")).await.unwrap().json().await.unwrap();
    assert_eq!(
        (&shown["alerts"][0]["api"], &shown["alerts"][0]["kind"]),
        (&json!("crm"), &json!("unauthorized"))
    );
    let message = shown["alerts"][0]["message"].as_str().unwrap();
    assert!(message.contains("CRM_API_KEY") && !message.contains("k3y-of-crm"), "{message}");
    app.shutdown().await;
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Ends with the test's runtime.
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

#[tokio::test]
async fn without_a_hook_nobody_is_told_of_apis_either() {
    let config = AlertConfig::read(&variables(&[]));
    let (_stop, stopped) = watch::channel(false);
    let alerts = ApiAlerts::new(Arc::new(SystemClock));
    assert!(tell_of_apis(&config, "payments", &alerts, stopped).is_none());
}
