//! Refunds in memory: months pass in milliseconds.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use approved_refund::{Shop, app};
use bowline::{RunId, prelude::*};
use bowline_testing::{Answer, TestApp, every_crash_point};
use serde_json::json;

/// A refund whose parcel is back: finance is asked.
fn asked(app: &TestApp<Shop>) -> RunId {
    app.mock("bank").answer(Answer::json(202, json!({})));
    app.mock("mail").answer(Answer::json(202, json!({})));
    let run = app.send_event("/refunds", "post", json!({ "order": "C-17", "euros": 900 })).run().id();
    app.settle();
    app.signal(run, "parcel", &json!({ "complete": true }));
    app.settle();
    assert_eq!(app.approvals(run), 1);
    run
}

/// The bank does what it was told, and says so.
fn transfer(app: &TestApp<Shop>) -> u16 {
    let order = app.mock("bank").requests()[0].json();
    app.call_back(order["tell"].as_str().unwrap(), &json!({ "id": "T-1" })).status()
}

fn yes() -> Decision {
    Decision::approved().by("kim").with("reason", "late")
}

#[test]
fn an_approved_refund_moves_the_money_and_asks_the_customer_a_week_later() {
    let app = TestApp::new(app());
    let run = asked(&app);
    app.decide(run, yes().with("euros", 500));
    app.settle();
    assert_eq!(app.mock("bank").requests()[0].json()["euros"], 500, "what finance wrote");
    assert_eq!(transfer(&app), 202);
    assert_eq!(transfer(&app), 409, "the address works once");
    assert_eq!(app.mock("mail").count(), 0);
    let end = app.run(run).end();
    assert_eq!(end.output::<String>(), "500 EUR refunded by transfer T-1");
    assert_eq!(app.mock("mail").count(), 1);
}

#[test]
fn finance_is_reminded_after_a_day_and_may_still_say_no() {
    let app = TestApp::new(app());
    let run = asked(&app);
    app.advance(days(1));
    assert_eq!(app.mock("mail").requests()[0].json()["to"], "finance");
    assert_eq!(app.approvals(run), 1, "the question stands again");
    app.decide(run, Decision::rejected("worn"));
    assert_eq!(app.run(run).end().output::<String>(), "refused: worn");
    assert_eq!(app.mock("bank").count(), 0);
}

#[test]
fn nobody_waits_for_ever() {
    let app = TestApp::new(app());
    let run = asked(&app);
    assert_eq!(app.run(run).end().output::<String>(), "nobody decided");
    let lost = app.send_event("/refunds", "post", json!({ "order": "C-18", "euros": 9 })).run();
    assert_eq!(lost.end().output::<String>(), "the parcel never came");
}

#[test]
fn a_bank_that_never_calls_back_is_a_dead_letter() {
    let app = TestApp::new(app());
    let run = asked(&app);
    app.decide(run, yes());
    assert_eq!(app.run(run).end().state().as_str(), "dead");
}

#[test]
fn a_refund_is_ordered_once_wherever_the_process_dies() {
    every_crash_point(app, |app| {
        let run = asked(app);
        app.decide(run, yes());
        app.settle();
        transfer(app);
        app.run(run).end().output::<String>()
    });
}
