//! Processes that die, and what the next one finds.

use bowline::prelude::*;
use bowline_model::{EntryKind, RunState};
use bowline_testing::{Answer, TestApp};
use serde_json::{Value, json};

use crate::{
    panic_of,
    shop::{Shop, order, shop},
};

async fn two_steps(shop: Arc<Shop>, cx: Context, order: Value) -> Result<Value> {
    let contact: Value = cx.step("create contact", shop.crm.post("/contacts").json(&order).decode()).await?;
    cx.step("mail", shop.mail.post("/mails").json(&contact)).await?;
    Ok(contact)
}

#[test]
fn what_is_on_disk_is_not_done_again() {
    let app = TestApp::new(shop(two_steps));
    app.crash_after("create contact");
    let run = app.send_event("/webhooks/stripe", "order", order()).run().end();
    assert_eq!(run.state(), RunState::Completed);
    assert_eq!((app.mock("crm").count(), app.mock("mail").count()), (1, 1));
}

#[test]
fn what_is_not_on_disk_is_sent_again_under_the_same_key() {
    let app = TestApp::new(shop(two_steps));
    app.crash_before_recording("create contact");
    let run = app.send_event("/webhooks/stripe", "order", order()).run().end();
    assert_eq!(run.state(), RunState::Completed);
    assert_eq!((app.mock("crm").count(), app.mock("crm").requests_by_key().len()), (2, 1));
    assert!(run.journal().iter().any(|entry| entry.kind == EntryKind::InFlight));
}

#[test]
fn a_crash_while_a_run_rests_changes_nothing_of_its_time() {
    let app = TestApp::new(shop(two_steps));
    app.mock("crm")
        .when(bowline_testing::Match::any())
        .times(1)
        .answer(Answer::status(503).header("retry-after", "600"));
    let run = app.send_event("/webhooks/stripe", "order", order()).run();
    app.crash();
    app.advance(secs(599));
    assert_eq!((run.state(), app.mock("crm").count()), (RunState::Waiting, 1));
    app.advance(secs(2));
    assert_eq!((run.state(), app.mock("crm").count()), (RunState::Completed, 2), "{}", run.timeline());
}

#[test]
fn a_request_under_way_at_a_crash_is_answered_to_nobody_and_made_again() {
    let app = TestApp::new(shop(two_steps));
    app.mock("crm").answer(Answer::ok(json!({"id": 1})).after(secs(5)));
    let run = app.send_event("/webhooks/stripe", "order", order()).run();
    app.crash();
    app.settle();
    assert_eq!(app.mock("crm").count(), 2);
    assert_eq!(run.end().state(), RunState::Completed);
    assert_eq!(app.mock("crm").requests_by_key().len(), 1);
}

#[test]
fn a_crash_that_never_comes_fails_the_test() {
    let text = panic_of(|| {
        let app = TestApp::new(shop(two_steps));
        app.crash_after("creat contact");
        app.send_event("/webhooks/stripe", "order", order()).run().end();
    });
    assert!(text.starts_with("the crash at the step \"creat contact\" never came"), "{text}");
    assert!(text.contains("create contact"), "{text}");
}
