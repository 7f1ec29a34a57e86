//! What is not let in, and what its sender is told. Nothing of it is stored.

use std::{sync::Arc, time::Duration};

use bowline_ingress::{Provider, Route, Unsigned, providers::Stripe};
use bowline_model::{Clock, Secret, SystemClock};
use bowline_store::{SqliteOptions, SqliteStore};

use crate::{
    log,
    site::{PATH, Site, open, pairs, payment, plan, signed, stripe},
    wire::{Reply, Wire, head, post},
};

const JSON: (&str, &str) = ("content-type", "application/json");

/// It was refused so, in a problem+json that says what is wrong and what to do.
pub(crate) fn refused(reply: &Reply, status: u16, error: &str) {
    assert_eq!(reply.status, status, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    let problem = reply.json();
    assert_eq!((&problem["type"], &problem["status"]), (&"about:blank".into(), &status.into()), "{reply:?}");
    assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{reply:?}");
    let said = problem["detail"].as_str().expect("text");
    assert!(said.contains(error), "{error:?} is not in {said:?}");
    assert!(problem["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{reply:?}");
    assert!(reply.header("x-request-id").is_some());
}

async fn post_signature(site: &Site, signatures: &[&str], body: &str) -> Reply {
    let mut headers = vec![JSON];
    headers.extend(signatures.iter().map(|signature| ("stripe-signature", *signature)));
    post(site.at, PATH, &headers, body.as_bytes()).await
}

#[tokio::test]
async fn a_bad_signature_is_401_and_says_why() {
    let site = open().await;
    let (body, now) = (payment("evt_1"), SystemClock.now());
    let sign = |provider: &Stripe, body: &str, now| {
        provider.sign(&Unsigned::new(body.as_bytes()), now).unwrap().headers[1].1.to_str().unwrap().to_owned()
    };
    let other = Stripe::new(&Secret::new("whsec_of_somebody_else")).unwrap();
    let good = sign(&stripe(), &body, now);
    let stale = sign(&stripe(), &body, now - Duration::from_secs(912));

    refused(&post_signature(&site, &[], &body).await, 401, "stripe-signature header is missing");
    refused(&post_signature(&site, &[&good, &good], &body).await, 401, "came twice");
    refused(&post_signature(&site, &["nonsense"], &body).await, 401, "has no timestamp");
    refused(&post_signature(&site, &[&sign(&other, &body, now)], &body).await, 401, "no signature fits");
    refused(&post_signature(&site, &[&good], &payment("evt_2")).await, 401, "no signature fits");
    refused(&post_signature(&site, &[&good.replace("v1=", "v0=")], &body).await, 401, "no v1 signature");
    refused(
        &post_signature(&site, &[&stale], &body).await,
        401,
        " s old (limit 300 s); check this machine's clock",
    );
    refused(&post_signature(&site, &[&"x".repeat(5000)], &body).await, 401, "5000 bytes long (limit 4096)");
    assert!(site.stored_nothing().await);
    assert_eq!(post_signature(&site, &[&good], &body).await.status, 200, "and the good one is good");
}

#[tokio::test]
async fn a_signed_event_that_does_not_say_what_it_is_is_400() {
    let site = open().await;
    let long = "x".repeat(513);
    for (body, reason) in [
        (String::new(), "not a JSON object"),
        ("hello".into(), "not a JSON object"),
        (r#"["evt_1","payment_intent.succeeded"]"#.into(), "not a JSON object"),
        (r#"{"id":"evt_1","type":"payment_intent.succeeded""#.into(), "it ends too early"),
        (r#"{"id":"evt_1","type":"payment_intent.succeeded"} x"#.into(), "it is not JSON"),
        (r#"{"type":"payment_intent.succeeded"}"#.into(), "id or type is missing"),
        (r#"{"id":"evt_1"}"#.into(), "id or type is missing"),
        (r#"{"id":7,"type":"payment_intent.succeeded"}"#.into(), "is not text"),
        (r#"{"id":"evt_1","type":null}"#.into(), "is not text"),
        (r#"{"id":"evt_1","id":"evt_2","type":"payment_intent.succeeded"}"#.into(), "comes twice"),
        (r#"{"id":"evt_1","\u0069d":"evt_2","type":"payment_intent.succeeded"}"#.into(), "comes twice"),
        (r#"{"id":"","type":"payment_intent.succeeded"}"#.into(), "id is empty"),
        (r#"{"id":"evt_1","type":""}"#.into(), "type is empty"),
        (r#"{"id":"evt\n1","type":"payment_intent.succeeded"}"#.into(), "id has control characters"),
        (format!(r#"{{"id":"{long}","type":"payment_intent.succeeded"}}"#), "id has 513 bytes (limit 512)"),
    ] {
        refused(&site.deliver(&body).await, 400, reason);
    }
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn an_unknown_path_is_404() {
    let site = open().await;
    for path in ["/", "/webhooks", "/webhooks/stripe/", "/Webhooks/stripe", "/webhooks/stripe/x"] {
        refused(&site.deliver_to(path, payment("evt_1")).await, 404, "no route at this path");
    }
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn another_method_is_405_and_says_which_is_allowed() {
    let site = open().await;
    for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        let mut wire = Wire::to(site.at).await;
        wire.send(head(method, PATH, &[JSON], 0)).await;
        let reply = wire.reply().await;
        refused(&reply, 405, "POST");
        assert_eq!(reply.header("allow"), Some("POST"));
    }
}

#[tokio::test]
async fn another_content_type_is_415() {
    let site = open().await;
    let body = payment("evt_1");
    let signature = signed(body.as_bytes(), SystemClock.now())[1].1.clone();
    let send = async |headers: &[(&str, &str)]| {
        let mut headers = headers.to_vec();
        headers.push(("stripe-signature", &signature));
        post(site.at, PATH, &headers, body.as_bytes()).await
    };
    for odd in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json", ";"] {
        refused(&send(&[("content-type", odd)]).await, 415, "content type is not application/json");
    }
    refused(&send(&[]).await, 415, "content type is not application/json");
    refused(&send(&[JSON, JSON]).await, 415, "content type is not application/json");
    refused(&send(&[JSON, ("content-encoding", "gzip")]).await, 415, "compressed");
    let twice = [JSON, ("content-encoding", "identity"), ("content-encoding", "gzip")];
    refused(&send(&twice).await, 415, "compressed");
    assert!(site.stored_nothing().await);

    for good in ["application/json", "Application/JSON; Charset=UTF-8", "application/json;charset=utf-8"] {
        assert_eq!(
            send(&[("content-type", good), ("content-encoding", "identity")]).await.status,
            200,
            "{good}"
        );
    }
}

fn padded(bytes: usize) -> String {
    let start = r#"{"id":"evt_1","type":"payment_intent.succeeded","pad":""#;
    format!("{start}{}\"}}", "x".repeat(bytes - start.len() - 2))
}

#[tokio::test]
async fn a_body_over_one_mebibyte_is_413_and_its_sender_sees_the_answer() {
    let site = open().await;
    for bytes in [1024 * 1024 + 1, 3 * 1024 * 1024] {
        let mut wire = Wire::to(site.at).await;
        wire.send(head("POST", PATH, &[JSON], bytes)).await;
        // Many clients send all before they read, and give up if they cannot: they are let finish.
        let body = padded(bytes);
        wire.send(&body[..10]).await;
        assert!(!wire.stirs_within(Duration::from_millis(200)).await);
        wire.send(&body[10..]).await;
        refused(&wire.reply().await, 413, "larger than 1048576 bytes");
    }
    assert!(site.stored_nothing().await);
    assert_eq!(site.deliver(padded(1024 * 1024)).await.status_word(), "accepted");
    assert_eq!(site.event(1).await.unwrap().body.len(), 1024 * 1024);
}

#[tokio::test]
async fn a_body_of_unknown_length_is_413_once_it_is_too_long() {
    let site = open().await;
    let body = padded(1024 * 1024 + 1);
    let headers = signed(body.as_bytes(), SystemClock.now());
    let mut wire = Wire::to(site.at).await;
    wire.send(
        head("POST", PATH, &pairs(&headers), 0).replace("content-length: 0", "transfer-encoding: chunked"),
    )
    .await;
    wire.send(format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())).await;
    refused(&wire.reply().await, 413, "larger than 1048576 bytes");
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn who_waits_before_sending_too_much_is_told_not_to() {
    let site = open().await;
    let mut wire = Wire::to(site.at).await;
    wire.send(head("POST", PATH, &[JSON, ("expect", "100-continue")], 2 * 1024 * 1024)).await;
    refused(&wire.reply().await, 413, "larger than 1048576 bytes");
}

#[tokio::test]
async fn a_route_sets_its_own_limit() {
    let mut plan = plan();
    let route = |path: &str| Route::new(path, Arc::new(stripe())).on("*", "w".into());
    plan.routes = vec![route("/small").body_bytes_max(200), route("/large").body_bytes_max(8 * 1024 * 1024)];
    let site = plan.open().await;
    assert_eq!(site.deliver_to("/small", padded(200)).await.status, 200);
    refused(&site.deliver_to("/small", padded(201)).await, 413, "larger than 200 bytes");
    assert_eq!(site.deliver_to("/large", padded(8 * 1024 * 1024)).await.status, 200);
    refused(&site.deliver_to("/large", padded(8 * 1024 * 1024 + 1)).await, 413, "larger than 8388608 bytes");
}

#[tokio::test]
async fn a_store_without_room_is_503_with_the_time_to_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions { disk_free_bytes_min: u64::MAX, ..SqliteOptions::default() };
    let mut plan = plan();
    let path = folder.path().join("a-path-nobody-is-told.db");
    plan.store = Arc::new(SqliteStore::open(path, options, Arc::clone(&plan.clock)).unwrap());
    let site = plan.open().await;

    let reply = site.deliver(payment("evt_full_disk")).await;

    refused(&reply, 503, "could not be stored");
    assert_eq!(reply.header("retry-after"), Some("30"));
    assert!(!reply.body.contains("a-path-nobody-is-told"));
    assert!(site.stored_nothing().await);
    let id = reply.header("x-request-id").unwrap();
    let logged = log::lines_with(id);
    assert!(
        logged.iter().any(|line| line.contains("ERROR") && line.contains("\"status\":503")),
        "{logged:?}"
    );
}

#[tokio::test]
async fn a_store_that_is_closed_is_503() {
    let site = open().await;
    site.store.close().await.unwrap();
    let reply = site.deliver(payment("evt_1")).await;
    refused(&reply, 503, "could not be stored");
    assert_eq!(reply.header("retry-after"), Some("5"));
}
