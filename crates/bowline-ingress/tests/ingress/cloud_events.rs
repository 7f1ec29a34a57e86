//! CloudEvents: as their official SDK for Python sends them, batched, and asked for first.

use std::{process::Command, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use bowline_ingress::{
    Named, Provider, Route, Unsigned,
    providers::{Auth, CloudEvents},
};
use bowline_model::{Clock, Secret, SystemClock};
use serde_json::{Value, json};

use crate::{
    peer,
    site::{Plan, Site, pairs, plan},
    skip,
    wire::{Reply, ask, post},
};

const TOKEN: &str = "a-token-that-nobody-guesses";
const KIND: &str = "com.example.created";

fn provider() -> CloudEvents {
    let auth = Auth::bearer([Secret::new(TOKEN)]).expect("not empty");
    CloudEvents::new(auth).allow_sender("eventgrid.azure.net")
}

async fn open() -> Site {
    let route = Route::new("/hook", Arc::new(provider())).on(KIND, "file".into());
    Plan { routes: vec![route], ..plan() }.open().await
}

async fn send(site: &Site, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let token = format!("Bearer {TOKEN}");
    let mut all = vec![("authorization", token.as_str())];
    all.extend(headers);
    post(site.at, "/hook", &all, body).await
}

fn structured(id: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/s", "type": KIND, "data": {"n": 1}})
}

const STRUCTURED: (&str, &str) = ("content-type", "application/cloudevents+json; charset=utf-8");
const BATCHED: (&str, &str) = ("content-type", "application/cloudevents-batch+json");

#[tokio::test]
async fn what_the_official_sdk_sends_arrives_with_its_data_once() {
    let test = "what_the_official_sdk_sends_arrives_with_its_data_once";
    let Some(python) = peer::python("cloudevents") else {
        skip::record(test, "needs Python's cloudevents: scripts/python makes one");
        return;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ingress/cloud_events.py");
    let said = Command::new(python).arg(script).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let site = open().await;
    let lines: Vec<Value> = said
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    assert_eq!(lines.len(), 10);
    for (n, line) in lines.iter().enumerate() {
        let headers: Vec<(String, String)> = line["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect();
        let body = STANDARD.decode(line["body"].as_str().unwrap()).unwrap();
        for expected in ["accepted", "duplicate"] {
            let reply = send(&site, &pairs(&headers), &body).await;
            assert_eq!(reply.status_word(), expected, "{}: {reply:?}", line["name"]);
        }
        let stored = site.event(n as i64 + 1).await.unwrap();
        assert_eq!(stored.kind, KIND);
        assert_eq!(stored.input().unwrap(), line["expect"], "{}", line["name"]);
        let event = stored.json().unwrap();
        assert_eq!(event["source"], "https://files.example.com/ünï", "{}", line["name"]);
        if line["name"].as_str().unwrap().contains("extensions") {
            assert_eq!(
                (&event["subject"], &event["traceparent"]),
                (&json!("a subject with ü and %"), &json!("00-1-2-03"))
            );
        }
    }
}

#[tokio::test]
async fn a_batch_is_as_many_events_in_one_transaction_each_once() {
    let site = open().await;
    let mut other = structured("3");
    other["type"] = "com.example.deleted".into();
    let batch = json!([structured("1"), structured("2"), other, structured("2")]);
    let reply = send(&site, &[BATCHED], batch.to_string().as_bytes()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let told = reply.json();
    assert_eq!(told["status"], "accepted");
    let words: Vec<&str> =
        told["events"].as_array().unwrap().iter().map(|event| event["status"].as_str().unwrap()).collect();
    assert_eq!(words, ["accepted", "accepted", "duplicate"]);
    assert_eq!((site.runs().await.len(), site.woken()), (2, 1));
    let again = json!([structured("2"), structured("4")]);
    let reply = send(&site, &[BATCHED], again.to_string().as_bytes()).await;
    assert_eq!(reply.header("bowline-status"), Some("accepted"));
    assert_eq!(site.runs().await.len(), 3);
    assert_eq!(site.event(1).await.unwrap().json().unwrap()["id"], "1");
}

#[tokio::test]
async fn one_bad_item_does_not_keep_the_others_out() {
    let site = open().await;
    let batch = json!([structured("1"), {"id": 17}, "text", structured("2")]);
    let reply = send(&site, &[BATCHED], batch.to_string().as_bytes()).await;
    assert_eq!((reply.status, site.runs().await.len()), (200, 2), "{reply:?}");
    let reply = send(&site, &[BATCHED], b"[]").await;
    assert_eq!((reply.status, reply.status_word().as_str()), (200, "ignored"));
}

#[tokio::test]
async fn who_shows_no_token_or_sends_no_event_is_refused() {
    let site = open().await;
    let body = structured("1").to_string();
    let reply = post(site.at, "/hook", &[STRUCTURED], body.as_bytes()).await;
    assert_eq!((reply.status, reply.header("www-authenticate").is_some()), (401, true));
    let without_source = json!({"specversion": "1.0", "id": "1", "type": KIND});
    let old = json!({"specversion": "0.3", "id": "1", "source": "/s", "type": KIND});
    for (body, problem) in [
        ("{", "not JSON"),
        (&*without_source.to_string(), "no source"),
        (&*old.to_string(), "not of version 1.0"),
        ("[]", "no specversion"),
    ] {
        let reply = send(&site, &[STRUCTURED], body.as_bytes()).await;
        assert_eq!(reply.status, 400, "{reply:?}");
        assert!(reply.body.contains(problem), "{problem}: {}", reply.body);
    }
    let reply = send(&site, &[("content-type", "application/json")], b"{}").await;
    assert!(reply.status == 400 && reply.body.contains("ce- headers"), "{reply:?}");
    let twice = [("ce-id", "1"), ("ce-id", "2"), ("content-type", "application/json")];
    let reply = send(&site, &twice, b"{}").await;
    assert!(reply.status == 400 && reply.body.contains("came twice"), "{reply:?}");
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn a_known_sender_that_asks_first_is_told_that_it_may() {
    let site = open().await;
    let asked = ask(site.at, "OPTIONS", "/hook", &[("webhook-request-origin", "eventgrid.azure.net")]).await;
    assert_eq!((asked.status, asked.header("webhook-allowed-origin")), (200, Some("eventgrid.azure.net")));
    let stranger = ask(site.at, "OPTIONS", "/hook", &[("webhook-request-origin", "evil.example.com")]).await;
    assert_eq!((stranger.status, stranger.header("webhook-allowed-origin")), (405, None));
}

#[tokio::test]
async fn what_tests_send_is_what_a_workflow_receives() {
    let site = open().await;
    let event = Named { id: "17", kind: KIND };
    let body = provider().body(&event, &json!({"n": 17})).to_string();
    let signed = provider().sign(&Unsigned::new(body.as_bytes()).named(&event), SystemClock.now()).unwrap();
    let headers: Vec<(String, String)> = signed
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let reply = post(site.at, "/hook", &pairs(&headers), &signed.body).await;
    assert_eq!(reply.status_word(), "accepted");
    assert_eq!(site.event(1).await.unwrap().input().unwrap(), json!({"n": 17}));
}
