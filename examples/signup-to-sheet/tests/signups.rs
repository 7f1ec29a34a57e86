//! Signups in memory: what a form posts, what the sheet gets, and what happens when something is in the way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bowline_testing::{Answer, TestApp, every_crash_point, replay_fixture};
use http::Request;
use serde_json::{Value, json};
use signup_to_sheet::app;

fn ada() -> Value {
    json!({ "email": "ada@example.com", "name": "Ada Lovelace" })
}

#[test]
fn a_signup_becomes_a_row_with_defaults_and_a_guess() {
    let app = TestApp::new(app());
    app.mock("agify").answer(Answer::ok(json!({ "age": 41, "name": "Ada", "count": 7 })));
    let answer = app.post("/signups", ada());
    assert_eq!(answer.status(), 200);
    let row = json!({
        "timestamp": "2026-09-21T12:00:00Z",
        "email": "ada@example.com",
        "name": "Ada Lovelace",
        "plan": "free",
        "source": "website",
        "utm_campaign": null,
        "metadata": {},
        "age_guess": 41,
    });
    assert_eq!(answer.json(), row, "the answer is the row");
    let sent = app.mock("sheet").requests();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].json(), row);
    assert_eq!(app.mock("agify").requests()[0].query.as_deref(), Some("name=Ada"));
}

#[test]
fn what_the_form_says_goes_before_the_defaults() {
    let app = TestApp::new(app());
    let mut signup = ada();
    signup["plan"] = json!("pro");
    signup["source"] = json!("podcast");
    signup["utm_campaign"] = json!("spring");
    signup["metadata"] = json!({ "referrer": "https://example.org", "seats": 3 });
    app.post("/signups", signup.clone());
    let row = app.mock("sheet").requests()[0].json();
    for field in ["plan", "source", "utm_campaign", "metadata"] {
        assert_eq!(row[field], signup[field], "{field}");
    }
}

#[test]
fn a_guess_that_is_slow_or_broken_stops_nothing() {
    for trouble in
        [Answer::status(500), Answer::ok(json!({ "age": 41 })).after(Duration::from_secs(60)), Answer::hang()]
    {
        let app = TestApp::new(app());
        app.mock("agify").answer(trouble);
        let run = app.post("/signups", ada()).run().end().row();
        assert_eq!(app.mock("sheet").requests()[0].json()["age_guess"], Value::Null);
        let took = Duration::try_from(run.changed_at.duration_since(run.created_at)).unwrap();
        assert!(took <= Duration::from_secs(3), "3 s for the guess, and not a minute: {}", app.timelines());
    }
}

#[test]
fn the_same_name_is_asked_for_once() {
    let app = TestApp::new(app());
    app.mock("agify").answer(Answer::ok(json!({ "age": 41 })));
    for _ in 0..3 {
        app.post("/signups", ada()).run().end();
    }
    assert_eq!((app.mock("agify").count(), app.mock("sheet").count()), (1, 3));
}

#[test]
fn what_is_not_valid_is_refused_with_every_field_and_starts_nothing() {
    let app = TestApp::new(app());
    let answer = app.post("/signups", json!({ "email": "nobody", "name": "", "plan": "" }));
    assert_eq!(answer.status(), 422);
    let problem = answer.json();
    let pointers: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["#/email", "#/name", "#/plan"]);
    let misfit = app.post("/signups", json!({ "email": 5, "name": "Ada" }));
    assert_eq!((misfit.status(), misfit.json()["errors"][0]["pointer"].clone()), (422, json!("#/email")));
    assert!(app.runs().is_empty());
}

#[test]
fn a_form_that_is_sent_twice_is_one_signup() {
    let app = TestApp::new(app());
    let form = || {
        Request::post("/signups")
            .header("content-type", "application/json")
            .header("idempotency-key", "form-17")
            .body(ada().to_string())
            .unwrap()
    };
    let (first, again) = (app.request(form()), app.request(form()));
    assert_eq!(first.json(), again.json(), "who sends it twice has the same row");
    assert_eq!((app.runs().len(), app.mock("sheet").count()), (1, 1));
}

#[test]
fn a_sheet_that_is_down_for_an_hour_gets_the_row_when_it_is_back() {
    let app = TestApp::new(app());
    app.mock("sheet").go_down();
    let answer = app.post("/signups", ada());
    assert_eq!(answer.status(), 202, "the sender does not wait for an hour");
    app.advance(Duration::from_secs(3600));
    app.mock("sheet").come_back().unwrap();
    answer.run().end();
    assert_eq!(app.mock("sheet").count(), 1);
}

#[test]
fn with_a_key_set_only_who_has_it_may_sign_up() {
    let app = TestApp::with(app()).env("SIGNUP_API_KEY", "new-key,old-key").build();
    for (key, status) in [(None, 401), (Some("guess"), 401), (Some("old-key"), 200), (Some("new-key"), 200)] {
        let mut request = Request::post("/signups").header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        let answer = app.request(request.body(ada().to_string()).unwrap());
        assert_eq!(answer.status(), status, "{key:?}");
    }
    assert_eq!(app.runs().len(), 2);
}

#[test]
fn a_signup_becomes_one_row_wherever_the_process_dies() {
    every_crash_point(app, |app| {
        app.mock("agify").answer(Answer::ok(json!({ "age": 41 })));
        app.mock("sheet").fail_next(2, 503);
        // With an Idempotency-Key, as the form's page sends it: whoever gets no answer sends it again.
        app.send_event("/signups", "post", ada()).run().end().output::<Value>()
    });
}

/// The file is what `signup-to-sheet export 1` wrote.
#[test]
fn a_signup_of_production_still_fits_todays_code() {
    replay_fixture(app(), "tests/fixtures/ada.json");
}
