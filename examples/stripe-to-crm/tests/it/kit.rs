//! The example in memory: what becomes of payments, at every point where the process can die, and while the CRM is away.

use std::time::Duration;

use bowline_model::{DeadReason, RunState};
use bowline_testing::{Answer, Match, TestApp, every_crash_point};
use serde_json::{Value, json};
use stripe_to_crm::{Payments, app};

const PATH: &str = "/webhooks/stripe";
const PAID: &str = "payment_intent.succeeded";

fn payment(email: &str) -> Value {
    json!({
        "id": "pi_1", "object": "payment_intent", "amount_received": 4999, "currency": "gbp",
        "receipt_email": email, "shipping": {"name": "Ada Lovelace"},
    })
}

/// A CRM that gives every contact another id.
fn crm_counts(app: &TestApp<Payments>) {
    let next = std::sync::atomic::AtomicU64::new(7);
    let id = move || next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    app.mock("crm").answer_with(move |_| Answer::json(201, json!({"id": id()})));
}

#[test]
fn a_payment_becomes_a_contact() {
    let app = TestApp::with(app()).env("CRM_API_KEY", "crm-key").build();
    crm_counts(&app);
    let run = app.send_event(PATH, PAID, payment("ada@example.com")).run().end();
    assert_eq!(run.output::<Value>(), json!({"id": 7}));
    let request = &app.mock("crm").requests()[0];
    assert_eq!(request.header("x-api-key"), Some("crm-key"));
    assert_eq!(
        request.json(),
        json!({
            "email": "ada@example.com", "name": "Ada Lovelace", "source": "stripe_payment",
            "total_spent_pence": 4999, "currency": "GBP", "status": "customer",
        })
    );
}

#[test]
fn a_payment_without_names_becomes_a_contact_all_the_same() {
    let app = TestApp::new(app());
    crm_counts(&app);
    let payment = json!({"amount_received": 1, "currency": "eur", "receipt_email": null, "shipping": null});
    app.send_event(PATH, PAID, payment).run().end();
    let contact = app.mock("crm").requests()[0].json();
    assert_eq!((&contact["email"], &contact["name"]), (&json!("unknown@example.com"), &json!("Unknown")));
}

#[test]
fn one_contact_wherever_the_process_dies() {
    let tried = every_crash_point(app, |app| {
        crm_counts(app);
        app.mock("crm").fail_next(1, 503);
        app.mock("crm").when(Match::any()).times(1).answer(Answer::status(429).header("retry-after", "30"));
        let run = app.send_event(PATH, PAID, payment("ada@example.com")).run().end();
        (run.state(), run.output::<Value>())
    });
    assert!(tried.moments >= 8, "{tried:?}");
}

#[test]
fn two_payments_at_once_are_two_contacts_wherever_the_process_dies() {
    every_crash_point(app, |app| {
        crm_counts(app);
        app.mock("crm").when(Match::body("/email", "ada@example.com")).times(1).answer(Answer::status(502));
        let first = app.send_event(PATH, PAID, payment("ada@example.com"));
        let second = app.send_event(PATH, PAID, payment("bob@example.com"));
        (first.run().end().state(), second.run().end().state())
    });
}

#[test]
fn a_redelivery_starts_nothing() {
    let app = TestApp::new(app());
    app.mock("crm").expect(Match::call("POST", "/api/contacts"), 1);
    let first = app.send_event(PATH, PAID, payment("ada@example.com"));
    assert_eq!(first.again().json()["status"], "duplicate");
    app.advance(Duration::from_secs(3 * 24 * 3600));
    // Signed anew, as Stripe does.
    let event = first.run().event();
    let again = app.send(PATH, event.json().unwrap());
    assert_eq!(again.json()["status"], "duplicate");
    assert_eq!(again.run().id(), first.run().id());
}

#[test]
fn an_old_signature_is_refused() {
    let app = TestApp::new(app());
    let first = app.send_event(PATH, PAID, payment("ada@example.com"));
    app.advance(Duration::from_secs(600));
    let replayed = first.again();
    assert_eq!(replayed.status(), 401);
    assert!(replayed.text().contains("old"), "{replayed:?}");
    assert_eq!(app.runs().len(), 1);
}

#[test]
fn a_crm_that_is_away_for_an_hour_gets_the_contact_when_it_is_back() {
    let app = TestApp::new(app());
    crm_counts(&app);
    app.mock("crm").go_down();
    let run = app.send_event(PATH, PAID, payment("ada@example.com")).run();
    app.advance(Duration::from_secs(3600));
    assert_eq!(run.state(), RunState::Waiting);
    app.crash();
    app.mock("crm").come_back().unwrap();
    assert_eq!(run.end().state(), RunState::Completed, "{}", run.timeline());
    assert_eq!(app.mock("crm").count(), 1);
}

#[test]
fn a_refused_contact_waits_for_an_operator_and_is_created_then() {
    let app = TestApp::new(app());
    app.mock("crm").answer(Answer::json(422, json!({"error": "no such domain"})));
    let run = app.send_event(PATH, PAID, payment("ada@example")).run().end();
    assert_eq!(run.dead_reason(), Some(DeadReason::Failed));
    assert!(run.summary().is_some_and(|summary| summary.contains("422")));
    crm_counts(&app);
    assert_eq!(app.retry(run.id()).end().state(), RunState::Completed);
    assert!(app.dead().is_empty());
    // The CRM may have kept its refusal under the first key.
    assert_eq!(app.mock("crm").requests_by_key().len(), 2);
}

#[test]
fn other_events_are_not_stored() {
    let app = TestApp::new(app());
    assert_eq!(app.send_event(PATH, "charge.refunded", json!({})).json()["status"], "ignored");
    assert!(app.runs().is_empty());
}

#[test]
fn a_payment_that_cannot_be_read_is_a_dead_letter() {
    let app = TestApp::new(app());
    let run = app.send_event(PATH, PAID, json!({"amount_received": "a lot", "currency": "gbp"})).run().end();
    assert_eq!(run.dead_reason(), Some(DeadReason::Malformed));
}
