//! Where two stories meet: what each of them promises holds with the other, too.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{body::Body, http::Response};
use bowline_client::{Api, Callback, OAuth, Vault};
use bowline_model::{Alert, Alerts, Effect, Secret, Verdict};
use serde_json::{Value, json};

use crate::remote::{Hand, LONG, Remote, answer, done, once, refused};

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Alerts for Heard {
    fn raise(&self, alert: Alert) {
        self.0.lock().unwrap().push(alert.message);
    }
}

fn leads_to(url: &str) -> Response<Body> {
    Response::builder().status(302).header("location", url).body(Body::empty()).unwrap()
}

/// The same machine under another name: another origin.
fn elsewhere(remote: &Remote) -> String {
    format!("http://localhost:{}", remote.address.port())
}

#[tokio::test]
async fn an_authors_own_idempotency_key_is_no_secret_in_the_answer() {
    let remote = Remote::always(200, &[], r#"{"reference":"order-2026-11-0042"}"#).await;
    let call = remote.api().post("/orders").json(&json!({})).header("Idempotency-Key", "order-2026-11-0042");
    assert_eq!(done(once(call.decode::<Value>()).await)["reference"], "order-2026-11-0042");
}

#[tokio::test]
async fn a_place_in_a_listing_is_no_secret_in_the_answer() {
    for name in ["syncToken", "$deltatoken", "$skiptoken", "pageToken", "sync_token"] {
        let remote = Remote::always(200, &[], r#"{"nextSyncToken":"CPDAlvWDx70CEPDAlvWDx70C"}"#).await;
        let call = remote.api().get("/events").query(name, "CPDAlvWDx70CEPDAlvWDx70C");
        let next = done(once(call.decode::<Value>()).await);
        assert_eq!(next["nextSyncToken"], "CPDAlvWDx70CEPDAlvWDx70C", "{name}");
    }
}

#[tokio::test]
async fn a_no_after_a_lost_answer_is_not_told_as_nothing_happened() {
    let remote = Remote::new(|nth, _| answer(if nth == 1 { 500 } else { 422 }, "{}")).await;
    let call =
        remote.api().clock(Hand::new()).attempt_timeout(LONG).post("/payments").json(&json!({"amount": 1}));
    let error = call.send().await.unwrap_err();
    assert_eq!(remote.seen().len(), 2);
    assert!(error.is_unknown(), "the first attempt may have paid: {error}");
}

#[tokio::test]
async fn a_401_of_another_host_says_nothing_of_the_token() {
    let stranger = Remote::always(401, &[], "").await;
    let provider =
        Remote::always(200, &[], r#"{"access_token":"access-of-the-test","expires_in":3600}"#).await;
    let there = format!("{}/file", elsewhere(&stranger));
    let remote = Remote::new(move |_, _| leads_to(&there)).await;
    let heard = Arc::new(Heard::default());
    let oauth = OAuth::client_credentials(&format!("{}/token", provider.url()))
        .client("client", Secret::new("client-secret-of-the-test"));
    let api = remote.api().alerts(heard.clone()).redirect_to("localhost").oauth(oauth);
    let failure = refused(once(api.get("/file")).await);
    assert_eq!(provider.seen().len(), 1, "one token, and no other");
    assert_eq!((remote.seen().len(), stranger.seen().len()), (1, 1));
    assert_eq!(stranger.seen()[0].header("authorization"), "");
    assert!(!failure.message.contains("check the credential"), "{}", failure.message);
    assert_eq!(*heard.0.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_credential_within_a_path_or_a_value_is_not_in_the_journal() {
    let remote = Remote::always(200, &[], "1").await;
    let api = remote.api().bearer(Secret::new("bot-token-7f3a9c1e55"));
    let call = api.get("/botbot-token-7f3a9c1e55/getMe").query("who", "bot-token-7f3a9c1e55");
    let shown = format!("{call:?} {:?}", call.shape().fingerprint);
    assert!(!shown.contains("7f3a9c1e55"), "{shown}");
    let other = api.get("/botbot-token-7f3a9c1e55/getYou").query("who", "bot-token-7f3a9c1e55");
    assert_ne!(call.shape().fingerprint, other.shape().fingerprint);
}

#[tokio::test]
async fn a_head_that_names_an_encoding_has_no_body_to_decode() {
    for (status, name) in [(200, "gzip"), (204, "gzip"), (205, "br"), (200, "zstd")] {
        let remote = Remote::always(status, &[("content-encoding", name)], "").await;
        assert_eq!(done(once(remote.api().head("/")).await).status(), status);
        if status != 200 {
            assert_eq!(done(once(remote.api().get("/")).await).status(), status);
        }
    }
}

#[tokio::test]
async fn an_attempt_without_time_left_for_its_turn_is_a_wait_and_no_riddle() {
    let remote = Remote::always(200, &[], "1").await;
    let api: Api = remote.api().rate_limit(1, Duration::from_secs(3600)).no_learned_limits();
    done(once(api.get("/")).await);
    let verdict = api.get("/").attempt(bowline_model::Attempt::new("k", 1, Duration::from_millis(1))).await;
    assert!(matches!(verdict, Verdict::Wait { .. }), "{verdict:?}");
}

#[tokio::test]
async fn another_persons_consent_is_not_answered_with_what_was_kept_for_the_first() {
    let provider = Remote::new(|nth, _| {
        let tokens = json!({"access_token": format!("access-of-person-{nth}"), "expires_in": 3600});
        answer(200, tokens.to_string())
    })
    .await;
    let remote =
        Remote::new(|_, seen| answer(200, json!({"me": seen.header("authorization").len()}).to_string()))
            .await;
    let vault = Vault::memory();
    let oauth =
        OAuth::authorization_code("https://id.example/authorize", &format!("{}/token", provider.url()));
    let api = remote.api().cache(Duration::from_secs(3600)).vault(vault.clone());
    let api = api.oauth(oauth.public_client("client"));
    let connect = async || {
        let begun = vault.consent().begin("crm", "default", "https://admin.example/callback").await.unwrap();
        let code = Some(Secret::new("code"));
        vault.consent().finish(Callback { state: begun.state, code, ..Callback::default() }).await.unwrap();
    };
    let me = async || done(once(api.get("/me")).await);
    connect().await;
    me().await;
    me().await;
    assert_eq!(remote.seen().len(), 1, "kept");
    connect().await;
    me().await;
    me().await;
    assert_eq!(remote.seen().len(), 2, "asked for the other person, and kept");
    vault.consent().disconnect("crm", "default").await.unwrap();
    refused(once(api.get("/me")).await);
}

#[tokio::test]
async fn numbers_beyond_reason_about_a_limit_stop_nobody() {
    for (limit, remaining) in [("1e30", "4"), ("1e300", "1e300"), ("1e308", "1e308"), ("5", "1e300")] {
        let remote = Remote::new(move |_, _| {
            let head = Response::builder().header("x-ratelimit-limit", limit);
            head.header("x-ratelimit-remaining", remaining)
                .header("x-ratelimit-reset", "3600")
                .body(Body::from("1"))
                .unwrap()
        })
        .await;
        let api = remote.api();
        for _ in 0..6 {
            let verdict = once(api.get("/").decode::<u8>()).await;
            assert!(matches!(verdict, Verdict::Done(1) | Verdict::Wait { .. }), "{limit} {verdict:?}");
        }
    }
}
