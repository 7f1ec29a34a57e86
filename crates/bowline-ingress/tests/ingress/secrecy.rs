//! What is logged about a request: its route, its reason, its id. No body, no secret, no signature.

use bowline_ingress::{Provider, Unsigned, providers::Stripe};
use bowline_model::{Clock, Secret, SystemClock};
use bowline_store::SqliteOptions;

use crate::{
    log,
    site::{PATH, SECRET, event, open, pairs, signed, stripe},
    wire::post,
};

#[tokio::test]
async fn a_refusal_is_logged_with_its_route_reason_and_request_id() {
    let site = open().await;
    let headers = [("content-type", "application/json"), ("x-request-id", "req-refusal-logged")];
    post(site.at, PATH, &headers, b"{}").await;

    let lines = log::lines_with("req-refusal-logged");
    let refusal = lines.iter().find(|line| line.contains("refused")).expect("it is logged");
    for part in
        ["\"WARN\"", "\"route\":\"/webhooks/stripe\"", "\"status\":401", "stripe-signature header is missing"]
    {
        assert!(refusal.contains(part), "{part} is not in {refusal}");
    }
}

#[tokio::test]
async fn an_accepted_event_is_logged_with_its_runs_and_request_id() {
    let site = open().await;
    let body = event("evt_logged", "payment_intent.succeeded");
    let mut headers = signed(body.as_bytes(), SystemClock.now());
    headers.push(("x-request-id".into(), "req-accepted-logged".into()));
    post(site.at, PATH, &pairs(&headers), body.as_bytes()).await;

    let lines = log::lines_with("req-accepted-logged");
    let received = lines.iter().find(|line| line.contains(r#""message":"accepted""#)).expect("it is logged");
    assert!(received.contains("evt_logged") && received.contains(r#""runs":"1""#), "{received}");
}

#[tokio::test]
async fn neither_body_nor_secret_nor_signature_is_ever_logged_or_answered() {
    let site = open().await;
    let word = "customers-private-word";
    let now = SystemClock.now();
    let other = Stripe::new(&Secret::new("whsec_of_somebody_else")).unwrap();
    let mut answers = String::new();
    let mut signatures = vec![];
    for body in [
        event(word, "payment_intent.succeeded").replace(word, "evt_fine").replace("café", word),
        event("evt_ignored", "charge.refunded").replace("café", word),
        format!("not JSON: {word}"),
        format!(r#"{{"id":["{word}"],"type":"payment_intent.succeeded"}}"#),
        format!(r#"{{"type":"payment_intent.succeeded","note":"{word}"}}"#),
        format!(r#"{{"id":"evt_cut","type":"payment_intent.succeeded","note":"{word}"#),
    ] {
        for provider in [stripe(), other.clone()] {
            let signature = provider.sign(&Unsigned::new(body.as_bytes()), now).unwrap().headers[1]
                .1
                .to_str()
                .unwrap()
                .to_owned();
            for signature in [signature.clone(), signature.replace("v1=", "v1=0")] {
                let headers = [
                    ("content-type", "application/json"),
                    ("stripe-signature", signature.as_str()),
                    ("authorization", "Bearer word-in-a-header"),
                ];
                answers += &post(site.at, PATH, &headers, body.as_bytes()).await.body;
            }
            signatures.push(signature.split("v1=").nth(1).unwrap().to_owned());
        }
    }
    let logged = log::all();
    assert!(logged.contains("no signature fits") && logged.contains("evt_fine"), "it does capture");
    for secret in [word, SECRET, "whsec_of_somebody_else", "word-in-a-header"] {
        assert!(!logged.contains(secret) && !answers.contains(secret), "{secret} leaked");
    }
    for signature in signatures {
        assert!(!logged.contains(&signature) && !answers.contains(&signature), "a signature leaked");
    }
}

#[test]
fn debug_output_holds_no_secret() {
    let plan = crate::site::plan();
    let store = crate::site::memory(plan.clock.clone());
    let shown = format!("{:?} {:?} {:?} {:?}", plan.routes, stripe(), store, SqliteOptions::default());
    assert!(!shown.contains("whsec"), "{shown}");
}
