//! Zoom: its question whether the token is known here; events known by their bytes.

use std::sync::Arc;

use bowline_ingress::{Named, Provider, providers::Zoom};
use serde_json::json;

use crate::visit::{Visit, enters_once_and_only_if_genuine, open, rotated};

fn make(secrets: &[&str]) -> Arc<dyn Provider> {
    Arc::new(rotated(secrets, Zoom::new, Zoom::also_accept))
}

const STARTED: Named<'_> = Named { id: "1", kind: "meeting.started" };
const BODY: &str = r#"{"event":"meeting.started","event_ts":1626230691572,
    "payload":{"account_id":"AAAAAABBBB","object":{"id":"1234567890","topic":"My Meeting"}}}"#;

#[tokio::test]
async fn an_event_enters_once_and_a_workflow_receives_its_payload() {
    let stored = enters_once_and_only_if_genuine(make, ["first-key", "second-key"], STARTED, BODY).await;
    assert_eq!(stored.input().unwrap()["object"]["topic"], "My Meeting");
}

#[tokio::test]
async fn the_same_thing_a_millisecond_later_is_another_event() {
    let site = open(make(&["one"]), "meeting.*").await;
    let send = async |body: &str| site.became(&Visit::of(&*make(&["one"]), &STARTED, body)).await;
    assert_eq!(send(BODY).await, "accepted");
    assert_eq!(send(&BODY.replace("91572", "91573")).await, "accepted");
    assert_eq!(send(BODY).await, "duplicate");
}

/// Against `@zoom/rivet` the answer is checked where the scheme is.
#[tokio::test]
async fn a_validation_is_answered_with_the_first_token_once_its_signature_is_checked() {
    let site = open(make(&["one", "two"]), "*").await;
    let question = r#"{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1654503849680,
        "event":"endpoint.url_validation"}"#;
    // printf %s qgg8vlvZRS6UYooatFL8Aw | openssl dgst -sha256 -hmac one
    let expected = json!({
        "plainToken": "qgg8vlvZRS6UYooatFL8Aw",
        "encryptedToken": "2789d49f55a786fbd3a563b3ffb2c17ca1648ae8a129092ba8769250b31dddca",
    });
    for signer in ["one", "two"] {
        let reply = site.visited(&Visit::of(&*make(&[signer]), &STARTED, question)).await;
        assert_eq!((reply.status, reply.json()), (200, expected.clone()));
    }
    let reply = site.visited(&Visit::of(&*make(&["three"]), &STARTED, question)).await;
    assert!(reply.status == 401 && !reply.body.contains("Token\":"), "{reply:?}");
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn what_a_test_sends_twice_under_two_ids_is_two_events() {
    let site = open(make(&["one"]), "*").await;
    for id in ["1", "2"] {
        let (provider, event) = (make(&["one"]), Named { id, ..STARTED });
        let body = provider.body(&event, &json!({"object": {"id": "7"}})).to_string();
        assert_eq!(site.became(&Visit::of(&*provider, &event, &body)).await, "accepted");
        assert_eq!(site.became(&Visit::of(&*provider, &event, &body)).await, "duplicate");
    }
}
