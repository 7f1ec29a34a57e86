//! What genuine events are answered, and what is on disk then.

use std::sync::Arc;

use axum::{Router, routing::get};
use bowline_ingress::Route;
use bowline_model::{Clock, RunState, SystemClock};
use serde_json::json;

use crate::{
    site::{PATH, Plan, event, open, pairs, payment, plan, signed, stripe},
    wire::{Wire, head, post},
};

#[tokio::test]
async fn an_accepted_event_is_on_disk_as_it_came() {
    let site = open().await;
    let body = payment("evt_1");
    let before = SystemClock.now();

    let reply = site.deliver(&body).await;

    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    assert_eq!(reply.json(), json!({"status": "accepted", "event": "evt_1", "runs": [1]}));
    let stored = site.event(1).await.unwrap();
    assert_eq!(&stored.body[..], body.as_bytes());
    assert_eq!((&*stored.source, &*stored.provider), (PATH, "stripe"));
    assert_eq!((&*stored.kind, &*stored.dedupe_key), ("payment_intent.succeeded", "evt_1"));
    assert!(stored.received_at >= before && stored.received_at <= SystemClock.now());
    assert_eq!(stored.input().unwrap()["id"], "pi_1");
    let runs = site.runs().await;
    assert_eq!(runs.len(), 1);
    assert_eq!((runs[0].workflow.as_str(), runs[0].state), ("stripe-to-crm", RunState::Queued));
    assert_eq!(runs[0].build.as_str(), "build-1");
    assert_eq!(site.woken(), 1);
}

#[tokio::test]
async fn headers_are_kept_without_credentials() {
    let site = open().await;
    let body = payment("evt_1");
    let mut headers = signed(body.as_bytes(), SystemClock.now());
    for (name, value) in
        [("User-Agent", "Stripe/1.0"), ("Cookie", "a=b"), ("Authorization", "Bearer x"), ("X-Api-Key", "x")]
    {
        headers.push((name.into(), value.into()));
    }
    assert_eq!(post(site.at, PATH, &pairs(&headers), body.as_bytes()).await.status, 200);

    let mut kept = site.event(1).await.unwrap().headers;
    kept.sort();
    let kept: Vec<_> = kept.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(kept, ["content-length", "content-type", "host", "user-agent"]);
}

#[tokio::test]
async fn each_workflow_runs_once_with_keys_of_its_own() {
    let mut plan = plan();
    plan.routes = vec![
        Route::new(PATH, Arc::new(stripe()))
            .on("payment_intent.succeeded", "crm".into())
            .on("payment_intent.*", "ledger".into())
            .on("*", "crm".into())
            .on("*", "audit".into())
            .on("charge.refunded", "refunds".into()),
    ];
    let site = plan.open().await;

    let reply = site.deliver(payment("evt_1")).await;

    assert_eq!(reply.json(), json!({"status": "accepted", "event": "evt_1", "runs": [1, 2, 3]}));
    let runs = site.runs().await;
    let workflows: Vec<_> = runs.iter().map(|run| run.workflow.as_str()).collect();
    assert_eq!(workflows, ["crm", "ledger", "audit"]);
    assert!(runs[0].key_seed != runs[1].key_seed && runs[1].key_seed != runs[2].key_seed);
    assert!(runs.iter().all(|run| run.key_seed.0 >> 64 != 0 && run.key_seed.0 & u128::from(u64::MAX) != 0));
}

#[tokio::test]
async fn a_type_that_nobody_subscribes_to_is_ignored_and_not_stored() {
    let site = open().await;
    let reply = site.deliver(event("evt_1", "payment_intent.succeeded.not")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json(), json!({"status": "ignored", "event": "evt_1", "runs": []}));
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn a_subscribed_type_is_accepted_whatever_its_payload_looks_like() {
    let site = open().await;
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    for (id, rest) in [
        ("evt_none", String::new()),
        ("evt_null", r#","data":null"#.into()),
        ("evt_text", r#","data":{"object":"not an object"}"#.into()),
        ("evt_deep", format!(r#","data":{deep}"#)),
        ("evt_twice", r#","data":1,"data":2,"x":{"id":1,"id":2}"#.into()),
    ] {
        let body = format!(r#"{{"type":"payment_intent.succeeded","id":"{id}"{rest}}}"#);
        let reply = site.deliver(&body).await;
        assert_eq!((reply.status, &*reply.status_word()), (200, "accepted"), "{id}");
    }
    // Escapes are the provider's business too.
    let reply = site.deliver(r#" {"type":"payment_intent.succeeded","id":"evt_é"}"#).await;
    assert_eq!(reply.json()["event"], "evt_é");
    assert_eq!(site.runs().await.len(), 6);
}

#[tokio::test]
async fn both_secrets_are_good_while_one_replaces_the_other() {
    let old = bowline_ingress::providers::Stripe::new(&"whsec_the_next_one".into_secret()).unwrap();
    let rotating = old.also_accept(&crate::site::SECRET.into_secret()).unwrap();
    let mut plan = plan();
    plan.routes = vec![Route::new(PATH, Arc::new(rotating)).on("*", "w".into())];
    let site = plan.open().await;
    assert_eq!(site.deliver(payment("evt_1")).await.status_word(), "accepted");
}

#[tokio::test]
async fn two_routes_are_two_sources() {
    let mut plan = plan();
    plan.routes.push(Route::new("/webhooks/other", Arc::new(stripe())).on("*", "other".into()));
    let site = plan.open().await;
    assert_eq!(site.deliver(payment("evt_1")).await.runs(), [1]);
    let reply = site.deliver_to("/webhooks/other", payment("evt_1")).await;
    assert_eq!((&*reply.status_word(), reply.runs()), ("accepted", vec![2]));
}

#[tokio::test]
async fn every_answer_carries_the_requests_id() {
    let site = open().await;
    let given = post(site.at, "/nowhere", &[("x-request-id", "lb-1.A_b")], b"").await;
    assert_eq!(given.header("x-request-id"), Some("lb-1.A_b"));

    let mut made = vec![];
    let long = "a".repeat(65);
    for odd in ["", " ", "a b", "a/b", "é", &long] {
        let reply = post(site.at, PATH, &[("x-request-id", odd)], b"").await;
        let id = reply.header("x-request-id").unwrap().to_owned();
        assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{odd:?} became {id:?}");
        made.push(id);
    }
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 6, "each request has an id of its own");
}

#[tokio::test]
async fn one_connection_serves_many_events() {
    let site = open().await;
    let mut wire = Wire::to(site.at).await;
    for run in 1..=5 {
        let body = payment(&format!("evt_{run}"));
        let headers = signed(body.as_bytes(), SystemClock.now());
        // In one piece with the head, and in two.
        wire.send(head("POST", PATH, &pairs(&headers), body.len())).await;
        wire.send(&body.as_bytes()[..10]).await;
        wire.send(&body.as_bytes()[10..]).await;
        assert_eq!(wire.reply().await.runs(), [run]);
    }
}

#[tokio::test]
async fn events_enter_over_http_2_as_well() {
    let site = open().await;
    let body = payment("evt_1");
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let mut request = client.post(format!("http://{}{PATH}", site.at)).body(body.clone());
    for (name, value) in signed(body.as_bytes(), SystemClock.now()) {
        request = request.header(name, value);
    }
    let reply = request.send().await.unwrap();
    assert_eq!((reply.version(), reply.status().as_u16()), (reqwest::Version::HTTP_2, 200));
    assert_eq!(site.runs().await.len(), 1);
}

#[tokio::test]
async fn the_routes_go_into_a_larger_program() {
    let site = open().await;
    let larger = Router::new()
        .route("/hello", get(async || "hello"))
        .fallback(async || (axum::http::StatusCode::IM_A_TEAPOT, "theirs"))
        .merge(site.door.routes());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, larger).await });

    let body = payment("evt_1");
    let headers = signed(body.as_bytes(), SystemClock.now());
    assert_eq!(post(at, PATH, &pairs(&headers), body.as_bytes()).await.status_word(), "accepted");
    assert_eq!(post(at, "/elsewhere", &[], b"").await.status, 418);
}

#[test]
fn unsound_routes_are_an_error_and_not_a_panic() {
    let Plan { store, clock, .. } = plan();
    let route = |path: &str| Route::new(path, Arc::new(stripe())).on("*", "w".into());
    let routes = vec![route("/:a"), route("/{*b}"), route("c"), route("/d"), route("/d")];
    let poke = Arc::new(|| {});
    let errors = bowline_ingress::Door::new(store, clock, "build-1".into(), routes, poke).unwrap_err();
    assert_eq!(errors.problems().len(), 4, "{errors}");
}

trait IntoSecret {
    fn into_secret(self) -> bowline_model::Secret;
}

impl IntoSecret for &str {
    fn into_secret(self) -> bowline_model::Secret {
        bowline_model::Secret::new(self)
    }
}
