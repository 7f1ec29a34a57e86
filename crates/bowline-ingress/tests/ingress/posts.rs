//! First-party JSON: who may post, what is valid, what is a repetition.

use std::sync::Arc;

use bowline_ingress::{
    FieldError, Rejection, Route,
    providers::{Auth, Post},
};
use bowline_model::Secret;
use serde_json::{Value, json};

use crate::{
    hand::Hand,
    log,
    refusals::refused,
    site::{Plan, Site, plan},
    wire::{Reply, ask, post},
};

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");

/// Takes `{"email": ..}`, and takes those with one address for the same if they say so.
pub(crate) fn reads(body: &[u8]) -> Result<Option<String>, Rejection> {
    let body: Value = serde_json::from_slice(body).expect("asked of JSON only");
    match body["email"].as_str() {
        Some(email) if email.contains('@') => Ok(body["once"].as_bool().map(|_| email.to_lowercase())),
        _ => {
            let detail = format!("not an address: {}", body["email"]);
            Err(Rejection::Invalid { errors: vec![FieldError { pointer: "#/email".into(), detail }] })
        }
    }
}

pub(crate) fn route(path: &str, auth: Auth) -> Route {
    Route::new(path, Arc::new(Post::new(auth, reads))).on("*", "signup".into())
}

async fn open(auth: Auth) -> Site {
    Plan { routes: vec![route("/signups", auth)], ..plan() }.open().await
}

fn secrets(all: &[&str]) -> Vec<Secret> {
    all.iter().map(|secret| Secret::new(*secret)).collect()
}

async fn send(site: &Site, headers: &[(&str, &str)], body: &str) -> Reply {
    let headers = [&[JSON], headers].concat();
    post(site.at, "/signups", &headers, body.as_bytes()).await
}

const ADA: &str = r#"{"email": "Ada@example.com"}"#;

#[tokio::test]
async fn an_open_route_takes_valid_json_of_everybody() {
    let site = open(Auth::Open).await;
    let reply = send(&site, &[], ADA).await;
    let said = reply.json();
    assert_eq!((reply.status, &said["status"], &said["runs"]), (200, &json!("accepted"), &json!([1])));
    let stored = site.event(1).await.unwrap();
    assert_eq!(said["event"], stored.dedupe_key.as_str(), "the id that was drawn is the one that is told");
    assert_eq!((&*stored.provider, &*stored.kind, &*stored.source), ("post", "post", "/signups"));
    assert_eq!(stored.input().unwrap(), json!({"email": "Ada@example.com"}));
    assert_eq!(stored.dedupe_key.len(), 36);
}

#[tokio::test]
async fn without_an_id_the_same_twice_is_two() {
    let site = open(Auth::Open).await;
    let ids: Vec<_> = [send(&site, &[], ADA).await, send(&site, &[], ADA).await]
        .iter()
        .map(|reply| (reply.status_word(), reply.json()["event"].clone()))
        .collect();
    assert_eq!((&*ids[0].0, &*ids[1].0), ("accepted", "accepted"));
    assert_ne!(ids[0].1, ids[1].1);
    assert_eq!(site.runs().await.len(), 2);
}

#[tokio::test]
async fn only_who_has_a_key_may_post() {
    let site = open(Auth::api_key("X-Api-Key", secrets(&["new-key", "old-key"])).unwrap()).await;
    refused(&send(&site, &[], ADA).await, 401, "x-api-key header is missing");
    refused(&send(&site, &[("x-api-key", "guess")], ADA).await, 401, "not accepted here");
    refused(&send(&site, &[("x-api-key", "")], ADA).await, 401, "not accepted here");
    refused(
        &send(&site, &[("x-api-key", "new-key"), ("x-api-key", "new-key")], ADA).await,
        401,
        "came twice",
    );
    refused(&send(&site, &[("x-api-key", "new-key, new-key")], ADA).await, 401, "not accepted here");
    refused(&send(&site, &[("authorization", "Bearer new-key")], ADA).await, 401, "is missing");
    assert!(site.stored_nothing().await);
    for good in ["new-key", "old-key"] {
        assert_eq!(send(&site, &[("X-API-KEY", good)], ADA).await.status, 200, "{good}");
    }
    let kept: Vec<_> = site.event(1).await.unwrap().headers.into_iter().map(|(name, _)| name).collect();
    assert!(!kept.contains(&"x-api-key".to_owned()), "{kept:?}");
}

#[tokio::test]
async fn only_who_has_a_token_may_post_and_the_others_are_told_how() {
    let site = open(Auth::bearer(secrets(&["new-token", "old-token"])).unwrap()).await;
    for odd in
        ["", "new-token", "Bearer", "Bearer ", "Bearer guess", "Basic bmV3LXRva2Vu", "Bearer new-token x"]
    {
        let reply = send(&site, &[("authorization", odd)], ADA).await;
        refused(&reply, 401, "authorization header");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"), "{odd:?}");
    }
    let twice = [("authorization", "Bearer new-token"), ("authorization", "Bearer new-token")];
    refused(&send(&site, &twice, ADA).await, 401, "came twice");
    assert!(site.stored_nothing().await);
    for good in ["Bearer new-token", "bearer old-token"] {
        assert_eq!(send(&site, &[("authorization", good)], ADA).await.status, 200, "{good}");
    }
}

#[tokio::test]
async fn only_who_has_user_and_password_may_post() {
    let site = open(Auth::basic("ada", secrets(&["pass:word", "old"])).unwrap()).await;
    let reply = send(&site, &[], ADA).await;
    refused(&reply, 401, "authorization header is missing");
    assert_eq!(reply.header("www-authenticate"), Some(r#"Basic realm="bowline", charset="UTF-8""#));
    // ada:guess, eve:pass:word, ada, "", not base64
    for odd in ["Basic YWRhOmd1ZXNz", "Basic ZXZlOnBhc3M6d29yZA==", "Basic YWRh", "Basic ", "Basic !!!"] {
        refused(&send(&site, &[("authorization", odd)], ADA).await, 401, "authorization header");
    }
    assert!(site.stored_nothing().await);
    // ada:pass:word, ada:old
    for good in ["Basic YWRhOnBhc3M6d29yZA==", "basic YWRhOm9sZA"] {
        assert_eq!(send(&site, &[("authorization", good)], ADA).await.status, 200, "{good}");
    }
}

#[test]
fn no_key_no_name_and_no_colon_make_a_door() {
    assert!(Auth::api_key("X-Api-Key", secrets(&[])).is_err());
    assert!(Auth::api_key("X-Api-Key", secrets(&["a", ""])).is_err());
    assert!(Auth::bearer(secrets(&[""])).is_err());
    assert!(Auth::basic("ada", secrets(&["a", ""])).is_err());
    let header = Auth::api_key("X Api Key", secrets(&["a"])).unwrap_err();
    assert_eq!(header.to_string(), r#""X Api Key" is no header's name; write one such as X-Api-Key"#);
    assert!(Auth::basic("a:b", secrets(&["a"])).unwrap_err().to_string().contains("colon"));
}

#[tokio::test]
async fn what_is_not_valid_is_422_with_its_fields_and_starts_nothing() {
    let site = open(Auth::Open).await;
    let reply = send(&site, &[("x-request-id", "req-invalid")], r#"{"email": "a-private-word"}"#).await;
    refused(&reply, 422, "the body is not valid: 1 error");
    let problem = reply.json();
    assert_eq!(problem["title"], "Unprocessable Content");
    assert_eq!(
        problem["errors"],
        json!([{"pointer": "#/email", "detail": "not an address: \"a-private-word\""}])
    );
    assert!(site.stored_nothing().await);
    let logged = log::lines_with("req-invalid");
    assert!(logged.iter().any(|line| line.contains("1 error")), "{logged:?}");
    assert!(!log::all().contains("a-private-word"), "what is wrong with a body is told to its sender alone");
}

#[tokio::test]
async fn who_may_not_post_is_not_told_what_is_wrong_with_the_body() {
    let site = open(Auth::api_key("X-Api-Key", secrets(&["key"])).unwrap()).await;
    for body in ["{}", "not JSON"] {
        refused(&send(&site, &[], body).await, 401, "missing");
    }
}

#[tokio::test]
async fn a_thousand_errors_are_told_within_bounds() {
    let reads = |_: &[u8]| {
        let error = FieldError { pointer: "#".into(), detail: "é".repeat(1000) };
        Err(Rejection::Invalid { errors: vec![error; 1000] })
    };
    let many = Route::new("/signups", Arc::new(Post::new(Auth::Open, reads))).on("*", "signup".into());
    let site = Plan { routes: vec![many], ..plan() }.open().await;
    let reply = send(&site, &[], "{}").await;
    refused(&reply, 422, "1000 errors");
    assert_eq!(reply.json()["errors"].as_array().unwrap().len(), 100);
    assert!(reply.body.len() < 100 * 600, "{} bytes", reply.body.len());
}

#[tokio::test]
async fn what_is_not_json_is_400_and_another_type_415() {
    let site = open(Auth::Open).await;
    let deep = "[".repeat(100_000);
    for odd in ["", "{", "email=ada", r#"{"email": "ada@example.com"} {}"#, "\u{feff}{}", "NaN", &deep] {
        refused(&send(&site, &[], odd).await, 400, "the body is not JSON");
    }
    let bytes = post(site.at, "/signups", &[JSON], b"{\"email\": \"\xff@\"}").await;
    refused(&bytes, 400, "the body is not JSON");
    for other in ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"] {
        let reply = post(site.at, "/signups", &[("content-type", other)], ADA.as_bytes()).await;
        refused(&reply, 415, "content type is not application/json");
    }
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn any_json_is_a_body() {
    let any =
        Route::new("/signups", Arc::new(Post::new(Auth::Open, |_: &[u8]| Ok(None)))).on("*", "any".into());
    let site = Plan { routes: vec![any], ..plan() }.open().await;
    for body in
        ["null", "17", "\"text\"", "[1, {}]", "true", &format!("{}{}", "[".repeat(5000), "]".repeat(5000))]
    {
        assert_eq!(send(&site, &[], body).await.status_word(), "accepted", "{body}");
    }
}

#[tokio::test]
async fn what_the_route_derives_from_bodies_makes_them_one() {
    let site = open(Auth::Open).await;
    let first = send(&site, &[], r#"{"email": "Ada@example.com", "once": true}"#).await;
    assert_eq!(
        (&first.json()["event"], first.status_word().as_str()),
        (&json!("ada@example.com"), "accepted")
    );
    let in_another_order = r#"{"once":true,  "email":"Ada@example.com"}"#;
    for headers in [&[][..], &[("idempotency-key", "another")]] {
        let again = send(&site, headers, in_another_order).await;
        assert_eq!((again.status_word().as_str(), again.runs()), ("duplicate", vec![1]));
    }
    let long = format!(r#"{{"email": "{}@", "once": true}}"#, "a".repeat(512));
    refused(&send(&site, &[], &long).await, 400, "id has 513 bytes (limit 512)");
    assert_eq!(site.runs().await.len(), 1);
}

#[tokio::test]
async fn a_stranger_who_says_anothers_name_is_told_nothing_of_the_other() {
    let waits = route("/waits", Auth::Open).wait(std::time::Duration::from_secs(10));
    let site = Plan { routes: vec![route("/signups", Auth::Open), waits], ..plan() }.open().await;
    let ada = r#"{"email": "ada@example.com", "once": true, "name": "Ada"}"#;
    let stranger = br#"{"email": "ADA@example.com", "once": true}"#;
    send(&site, &[], ada).await;
    // As soon as nobody waits any longer: else this first one would.
    site.door.stop_waiting();
    assert_eq!(post(site.at, "/waits", &[JSON], ada.as_bytes()).await.status, 202);
    Hand::on(&site.store).await.complete(1, json!("Ada's own")).await;
    for path in ["/signups", "/waits"] {
        let reply = post(site.at, path, &[JSON], stranger).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"status":"duplicate"}"#), "{path}");
        for name in ["bowline-run", "location", "retry-after"] {
            assert_eq!(reply.header(name), None, "{path} {name}");
        }
    }
    assert_eq!(site.runs().await.len(), 2);
}

#[tokio::test]
async fn who_has_a_key_is_told_of_the_run_whatever_else_the_body_says() {
    let site = open(Auth::api_key("X-Api-Key", secrets(&["key"])).unwrap()).await;
    let key = [("x-api-key", "key")];
    send(&site, &key, r#"{"email": "ada@example.com", "once": true, "name": "Ada"}"#).await;
    let again = send(&site, &key, r#"{"email": "ada@example.com", "once": true}"#).await;
    assert_eq!((again.status_word().as_str(), again.runs()), ("duplicate", vec![1]));
}

#[tokio::test]
async fn a_key_in_a_header_of_any_name_is_not_kept() {
    let site = open(Auth::api_key("X-Client", secrets(&["a-clients-key"])).unwrap()).await;
    let headers = [("X-Client", "a-clients-key"), ("x-client-version", "7")];
    assert_eq!(send(&site, &headers, ADA).await.status, 200);
    let kept = site.event(1).await.unwrap().headers;
    assert!(kept.iter().any(|(name, _)| name == "x-client-version"), "{kept:?}");
    assert!(!kept.iter().any(|(name, value)| name == "x-client" || value.contains("a-clients")), "{kept:?}");
}

#[tokio::test]
async fn what_people_type_is_not_logged_even_as_an_id() {
    let site = open(Auth::Open).await;
    let body = r#"{"email": "a-private-address@example.com", "once": true}"#;
    let reply = send(&site, &[("x-request-id", "req-private-id")], body).await;
    assert_eq!(reply.json()["event"], "a-private-address@example.com");
    let logged = log::lines_with("req-private-id");
    assert!(
        logged.iter().any(|line| line.contains("accepted") && line.contains(r#""runs":"1""#)),
        "{logged:?}"
    );
    assert!(!log::all().contains("a-private-address"));
}

#[tokio::test]
async fn the_same_idempotency_key_is_the_same_post() {
    let site = open(Auth::Open).await;
    let first = send(&site, &[("idempotency-key", "\"order-17\"")], ADA).await;
    assert_eq!(first.json(), json!({"status": "accepted", "event": "idempotency-key:order-17", "runs": [1]}));
    let again = send(&site, &[("Idempotency-Key", "order-17")], ADA).await;
    assert_eq!((again.status, again.status_word().as_str(), again.runs()), (200, "duplicate", vec![1]));
    // Written anew by a client that orders names in another way.
    let first = send(&site, &[("idempotency-key", "two")], r#"{"email": "a@b", "n": 1.5}"#).await;
    assert_eq!(first.runs(), [2]);
    let same = send(&site, &[("idempotency-key", "two")], r#"{ "n":1.5, "email":"a@b" }"#).await;
    assert_eq!(same.status_word(), "duplicate");
}

#[tokio::test]
async fn an_idempotency_key_with_another_body_is_422_and_starts_nothing() {
    let site = open(Auth::Open).await;
    assert_eq!(send(&site, &[("idempotency-key", "k")], ADA).await.status, 200);
    let other = send(&site, &[("idempotency-key", "k")], r#"{"email": "eve@example.com"}"#).await;
    refused(&other, 422, "this Idempotency-Key came before with another body");
    assert_eq!(site.runs().await.len(), 1);
    assert_eq!(site.woken(), 1);
}

#[tokio::test]
async fn nobody_takes_anothers_id_by_sending_it_as_a_key() {
    let site = open(Auth::Open).await;
    let squatting = send(&site, &[("idempotency-key", "ada@example.com")], r#"{"email": "eve@evil"}"#).await;
    assert_eq!(squatting.status_word(), "accepted");
    let ada = send(&site, &[], r#"{"email": "ada@example.com", "once": true}"#).await;
    assert_eq!((ada.status_word().as_str(), ada.runs()), ("accepted", vec![2]));
}

#[tokio::test]
async fn a_key_that_is_none_or_comes_twice_is_400() {
    let site = open(Auth::Open).await;
    refused(&send(&site, &[("idempotency-key", "")], ADA).await, 400, "is empty");
    refused(&send(&site, &[("idempotency-key", &"k".repeat(256))], ADA).await, 400, "limit 255");
    refused(&send(&site, &[("idempotency-key", "\"a")], ADA).await, 400, "no closing quote");
    refused(
        &send(&site, &[("idempotency-key", "a"), ("idempotency-key", "a")], ADA).await,
        400,
        "idempotency-key header came twice",
    );
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn a_posts_path_takes_no_other_method() {
    let site = open(Auth::Open).await;
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let reply = ask(site.at, method, "/signups", &[JSON]).await;
        refused(&reply, 405, "POST");
        assert_eq!(reply.header("allow"), Some("POST"));
    }
}
