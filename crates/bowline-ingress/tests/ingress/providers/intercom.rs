//! Intercom: named in the body; asks with HEAD first.

use std::sync::Arc;

use bowline_ingress::{Named, Provider, providers::Intercom};

use crate::visit::{Visit, enters_once_and_only_if_genuine, open, rotated};

fn make(secrets: &[&str]) -> Arc<dyn Provider> {
    Arc::new(rotated(secrets, Intercom::new, Intercom::also_accept))
}

const CREATED: Named<'_> =
    Named { id: "notif_78c122d0-23ba-11e4-9464-79b01267cc2e", kind: "conversation.user.created" };
const BODY: &str = r#"{
  "type": "notification_event", "id": "notif_78c122d0-23ba-11e4-9464-79b01267cc2e",
  "topic": "conversation.user.created", "delivery_attempts": 1,
  "data": {"type": "notification_event_data", "item": {"type": "conversation", "id": "530370b477ad7120001d"}}
}"#;

#[tokio::test]
async fn it_enters_once_and_only_if_genuine() {
    let stored = enters_once_and_only_if_genuine(make, ["s3cret-1", "s3cret-2"], CREATED, BODY).await;
    assert_eq!(stored.dedupe_key, CREATED.id);
    assert_eq!(stored.input().unwrap()["id"], "530370b477ad7120001d");
}

#[tokio::test]
async fn an_attempt_is_counted_in_the_body_and_is_no_new_event() {
    let site = open(make(&["one"]), "conversation.*").await;
    let again = BODY.replace("\"delivery_attempts\": 1", "\"delivery_attempts\": 2");
    assert_eq!(site.became(&Visit::of(&*make(&["one"]), &CREATED, BODY)).await, "accepted");
    assert_eq!(site.became(&Visit::of(&*make(&["one"]), &CREATED, again)).await, "duplicate");
}

#[tokio::test]
async fn who_looks_with_head_finds_somebody() {
    let site = open(make(&["one"]), "*").await;
    let reply = site.asked("HEAD", "").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
    assert_eq!(site.asked("GET", "").await.status, 405);
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn a_ping_without_an_id_is_an_event_all_the_same() {
    let site = open(make(&["one"]), "ping").await;
    let ping = r#"{"type":"notification_event","id":null,"topic":"ping","data":{"item":{"type":"ping"}}}"#;
    let visit = Visit::of(&*make(&["one"]), &Named { id: "", kind: "ping" }, ping);
    assert_eq!(site.became(&visit).await, "accepted");
    assert_eq!(site.became(&visit).await, "accepted");
}
