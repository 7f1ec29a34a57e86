//! Mock systems by name: what is expected of them, and what they remember.

use bowline::prelude::*;
use bowline_testing::{Answer, Match, MockSystem, TestApp};
use serde_json::{Value, json};

use crate::{
    panic_of,
    shop::{Shop, order, shop},
};

async fn create(shop: Arc<Shop>, cx: Context, order: Value) -> Result<Value> {
    cx.step("create contact", shop.crm.post("/contacts").json(&order).decode()).await
}

#[test]
fn a_mock_that_is_not_there_is_told_with_those_that_are() {
    let app = TestApp::new(shop(create));
    assert_eq!(panic_of(|| app.mock("cmr")), "this app has no Api \"cmr\"; it has crm, mail");
}

#[test]
fn a_call_is_expected_once_however_often_it_is_tried() {
    let app = TestApp::new(shop(create));
    app.mock("crm").expect(Match::call("POST", "/contacts"), 1);
    app.mock("mail").expect(Match::any(), 0);
    app.mock("crm").fail_next(3, 503);
    app.send_event("/webhooks/stripe", "order", order()).run().end();
    assert_eq!(app.mock("crm").count(), 4);
}

#[test]
fn an_expectation_that_is_not_met_fails_the_test_and_lists_what_came() {
    let text = panic_of(|| {
        let app = TestApp::new(shop(create));
        app.mock("crm").expect(Match::call("POST", "/companies"), 2);
        app.send_event("/webhooks/stripe", "order", json!({"email": "ada@example.com"})).run().end();
    });
    assert!(
        text.starts_with(
            "mock crm: 2 calls were expected to POST /companies, 0 came\n  1. POST /contacts key "
        )
    );
    assert!(text.ends_with(" {\"email\":\"ada@example.com\"} -> 200\n"), "{text}");
}

#[test]
fn a_mock_that_remembers_keys_answers_a_repetition_as_it_did() {
    let app = TestApp::new(shop(create));
    let crm: &MockSystem = app.mock("crm");
    crm.remember_keys();
    let next = std::sync::atomic::AtomicU32::new(1);
    crm.answer_with(move |_| {
        Answer::ok(json!({"id": next.fetch_add(1, std::sync::atomic::Ordering::SeqCst)}))
    });
    crm.fail_next(1, 503);
    app.crash_before_recording("create contact");
    let run = app.send_event("/webhooks/stripe", "order", order()).run().end();
    assert_eq!((run.output::<Value>(), crm.count()), (json!({"id": 1}), 3));
    let other = app.send_event("/webhooks/stripe", "order", order()).run().end();
    assert_eq!(other.output::<Value>(), json!({"id": 2}));
}

#[test]
fn the_apis_path_is_kept_and_its_credentials_are_sent() {
    let app = TestApp::with(shop(create))
        .env("CRM_API_KEY", "secret-1")
        .env("CRM_BASE_URL", "https://crm.example.com/v9")
        .build();
    app.send_event("/webhooks/stripe", "order", order()).run().end();
    let request = &app.mock("crm").requests()[0];
    assert_eq!(request.header("x-api-key"), Some("secret-1"));
    assert_eq!(request.path, "/contacts");
    assert_eq!(request.json()["email"], "ada@example.com");
}
