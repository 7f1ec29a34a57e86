//! What arrives at the remote, and what comes back of it.

use std::time::Duration;

use bowline_model::{Attempt, Effect, Verdict};
use serde_json::{Value, json};

use crate::remote::{Remote, answer};

fn attempt() -> Attempt {
    Attempt::new("key-1", 1, Duration::from_secs(10))
}

#[tokio::test]
async fn a_post_carries_body_key_agent_and_credentials() {
    let crm = Remote::always(201, &[], r#"{"id":7}"#).await;
    let api =
        crm.api().app("payments", "1.2.0").header_key("X-Api-Key", bowline_model::Secret::new("sk-1234"));
    let call = api.post("/api/contacts").query("notify", false).json(&json!({"b": 1, "a": "ü"}));
    let Verdict::Done(contact) = call.decode::<Value>().attempt(attempt()).await else { panic!("not done") };
    assert_eq!(contact["id"], 7);
    let [seen] = &crm.seen()[..] else { panic!("one request") };
    assert_eq!((seen.method.as_str(), seen.uri.to_string().as_str()), ("POST", "/api/contacts?notify=false"));
    assert_eq!(seen.body, r#"{"a":"ü","b":1}"#.as_bytes());
    assert_eq!(seen.header("content-type"), "application/json");
    assert_eq!(seen.header("idempotency-key"), "key-1");
    assert_eq!(seen.header("user-agent"), "payments/1.2.0");
    assert_eq!(seen.header("x-api-key"), "sk-1234");
}

#[tokio::test]
async fn alone_it_retries_under_one_key_until_done() {
    let crm = Remote::new(|nth, _| answer(if nth < 3 { 500 } else { 200 }, "{}")).await;
    let policy = bowline_model::RetryPolicy::default().base(Duration::from_millis(1));
    let response = crm.api().retry(policy).post("/x").json(&1).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let keys: Vec<_> = crm.seen().iter().map(|seen| seen.header("idempotency-key").to_owned()).collect();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0] && key.len() == 36), "{keys:?}");
}
