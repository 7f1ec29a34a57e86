//! Exported runs, replayed against code that has changed or not.

use std::path::{Path, PathBuf};

use bowline::prelude::*;
use bowline_testing::{Answer, TestApp, replay_fixture};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::shop::{Shop, order, shop};

/// A run of `recorded`, exported to a file.
fn exported(app: App<Shop>, set_up: impl Fn(&TestApp<Shop>)) -> (TempDir, PathBuf) {
    let app = TestApp::new(app);
    app.mock("crm").answer(Answer::json(201, json!({"id": 7})));
    set_up(&app);
    let run = app.send_event("/webhooks/stripe", "order", order()).run().end();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.json");
    std::fs::write(&path, app.export(run.id())).expect("a file");
    (folder, path)
}

/// What a replay against `app` says.
fn complaint(app: App<Shop>, path: &Path) -> String {
    crate::panic_of(|| replay_fixture(app, path))
}

async fn recorded(shop: Arc<Shop>, cx: Context, order: Value) -> Result<Value> {
    let contact: Value = cx.step("create contact", shop.crm.post("/contacts").json(&order).decode()).await?;
    let at = cx.now();
    cx.step("mail", shop.mail.post("/mails").json(&json!({"contact": contact["id"], "at": at}))).await?;
    Ok(contact)
}

#[test]
fn a_run_still_fits_the_code_that_made_it() {
    let (_folder, path) = exported(shop(recorded), |app| app.mock("crm").fail_next(2, 503));
    replay_fixture(shop(recorded), &path);
    TestApp::with(shop(recorded)).env("CRM_API_KEY", "k").replay_fixture(&path);
}

async fn with_another_step(shop: Arc<Shop>, cx: Context, order: Value) -> Result<Value> {
    let contact = recorded(shop.clone(), cx.clone(), order).await?;
    cx.step("tell sales", shop.mail.post("/sales")).best_effort().await;
    Ok(contact)
}

#[test]
fn a_step_that_was_added_is_seen_though_the_run_would_end_the_same() {
    let (_folder, path) = exported(shop(recorded), |_| {});
    let text = complaint(shop(with_another_step), &path);
    assert!(text.contains("it calls what the run never called") && text.contains("POST /v1/sales"), "{text}");
}

async fn with_another_value(shop: Arc<Shop>, cx: Context, order: Value) -> Result<Value> {
    let _ = cx.uuid();
    recorded(shop, cx, order).await
}

#[test]
fn a_value_that_was_added_is_seen() {
    let (_folder, path) = exported(shop(recorded), |_| {});
    let text = complaint(shop(with_another_value), &path);
    assert!(text.contains("it asks for what the run never asked for: cx.uuid()"), "{text}");
}

async fn without_the_mail(shop: Arc<Shop>, cx: Context, order: Value) -> Result<Value> {
    cx.step("create contact", shop.crm.post("/contacts").json(&order).decode()).await
}

#[test]
fn a_step_that_was_removed_is_seen() {
    let (_folder, path) = exported(shop(recorded), |_| {});
    let text = complaint(shop(without_the_mail), &path);
    assert!(text.contains("no longer fits today's code") && text.contains("now"), "{text}");
}

async fn with_another_body(shop: Arc<Shop>, cx: Context, mut order: Value) -> Result<Value> {
    order["source"] = json!("web");
    recorded(shop, cx, order).await
}

#[test]
fn a_call_that_says_something_else_is_seen() {
    let (_folder, path) = exported(shop(recorded), |_| {});
    let text = complaint(shop(with_another_body), &path);
    assert!(text.contains("step \"create contact\" recorded POST crm /contacts"), "{text}");
}

async fn with_another_output(shop: Arc<Shop>, cx: Context, order: Value) -> Result<Value> {
    recorded(shop, cx, order).await.map(|contact| json!({"contact": contact}))
}

#[test]
fn another_output_is_shown_beside_the_recorded_one() {
    let (_folder, path) = exported(shop(recorded), |_| {});
    let text = complaint(shop(with_another_output), &path);
    assert!(text.contains("it ends with something else:\n  {\n-   \"id\": 7\n+   \"contact\": {"), "{text}");
}

async fn with_a_net(shop: Arc<Shop>, cx: Context, order: Value) -> Result<Value> {
    Ok(recorded(shop, cx, order).await.unwrap_or_default())
}

#[test]
fn a_failed_run_fits_while_it_fails_the_same() {
    let (_folder, path) = exported(shop(recorded), |app| app.mock("crm").answer(Answer::status(422)));
    replay_fixture(shop(recorded), &path);
    let text = complaint(shop(with_a_net), &path);
    assert!(text.contains("it is completed; the run was dead"), "{text}");
}

#[test]
fn a_run_that_waits_fits_as_far_as_it_is_recorded() {
    let app = TestApp::new(shop(recorded));
    app.mock("crm").answer(Answer::json(201, json!({"id": 7})));
    app.mock("mail").answer(Answer::status(503));
    let run = app.send_event("/webhooks/stripe", "order", order()).run();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.json");
    std::fs::write(&path, app.export(run.id())).expect("a file");
    replay_fixture(shop(recorded), &path);
    replay_fixture(shop(with_another_step), &path);
    assert!(complaint(shop(with_another_body), &path).contains("recorded POST crm /contacts"));
}

#[test]
fn what_is_no_fixture_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.json");
    for (text, says) in [
        (r#"{"format": 9}"#, "has format 9, and this build reads format 1; export the run again"),
        ("{}", "this is no exported run: missing field `format`"),
        ("[", "this is no exported run"),
    ] {
        std::fs::write(&path, text).expect("a file");
        let complaint = complaint(shop(recorded), &path);
        assert!(complaint.contains(says) && complaint.contains("run.json"), "{complaint}");
    }
    assert!(complaint(shop(recorded), &folder.path().join("none.json")).contains("cannot be read"));
}

fn batching<F, Fut>(code: F) -> (App<Shop>, bowline::Workflow<Shop, Value, Value>)
where
    F: Fn(Arc<Shop>, Context, Vec<Value>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Value>> + Send + 'static,
{
    let book = workflow("book", code).batch(3, minutes(1));
    let systems = |setup: &mut Setup| Shop {
        crm: setup.api("crm").base_url_env("CRM_BASE_URL"),
        mail: setup.api("mail").base_url("https://mail.example.com/v1"),
    };
    (App::new("shop", systems).workflow(book.clone()), book)
}

async fn books(shop: Arc<Shop>, cx: Context, orders: Vec<Value>) -> Result<Value> {
    cx.step("book", shop.crm.post("/book").json(&orders).decode()).await
}

async fn books_the_first(shop: Arc<Shop>, cx: Context, orders: Vec<Value>) -> Result<Value> {
    cx.step("book", shop.crm.post("/book").json(&orders[..1]).decode()).await
}

#[test]
fn a_batch_is_replayed_with_all_its_events() {
    for events in [1, 2, 3] {
        let (app, book) = batching(books);
        let app = TestApp::new(app);
        let runs: Vec<_> = (0..events).map(|n| app.start(&book, &json!({"n": n})).id()).collect();
        app.run(runs[0]).end();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run.json");
        std::fs::write(&path, app.export(runs[0])).expect("a file");
        replay_fixture(batching(books).0, &path);
        if events > 1 {
            let text = complaint(batching(books_the_first).0, &path);
            assert!(text.contains("step \"book\" recorded POST crm /book"), "{text}");
        }
    }
}
