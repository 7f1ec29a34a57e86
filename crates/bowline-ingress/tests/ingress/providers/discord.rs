//! Discord: PINGs, events, interactions, and the bad signatures that it sends on purpose.

use std::sync::Arc;

use bowline_ingress::{
    Named, Provider,
    providers::{Discord, DiscordInteractions, discord::TEST_KEY},
};
use bowline_model::Secret;
use serde_json::{Value, json};

use crate::visit::{Visit, open, rotated};

const AUTHORIZED: Named<'_> = Named { id: "", kind: "APPLICATION_AUTHORIZED" };
const OTHER_KEY: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";

fn events(keys: &[&str]) -> Arc<dyn Provider> {
    Arc::new(rotated(keys, Discord::new, Discord::also_accept))
}

fn interactions() -> Arc<dyn Provider> {
    Arc::new(DiscordInteractions::new(&Secret::new(TEST_KEY)).unwrap())
}

fn visit(body: &Value) -> Visit {
    Visit::of(&*events(&[TEST_KEY]), &AUTHORIZED, body.to_string())
}

fn event(at: &str) -> Value {
    json!({"version": 1, "application_id": "1", "type": 1,
        "event": {"type": "APPLICATION_AUTHORIZED", "timestamp": at, "data": {"user": {"id": "7"}}}})
}

#[tokio::test]
async fn an_event_is_answered_204_and_starts_its_workflow_once() {
    let site = open(events(&[OTHER_KEY, TEST_KEY]), "APPLICATION_AUTHORIZED").await;
    for (sent, status) in [(event("1"), "accepted"), (event("1"), "duplicate"), (event("2"), "accepted")] {
        let reply = site.visited(&visit(&sent)).await;
        assert_eq!((reply.status, reply.body.as_str()), (204, ""));
        assert_eq!(reply.header("bowline-status"), Some(status));
    }
    assert_eq!(site.runs().await.len(), 2);
    assert_eq!(site.stored(1).await.input().unwrap(), event("1")["event"]);
}

#[tokio::test]
async fn pings_are_answered_and_stored_nowhere() {
    let site = open(events(&[TEST_KEY]), "*").await;
    let reply = site.visited(&visit(&json!({"version": 1, "application_id": "1", "type": 0}))).await;
    assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    assert!(site.stored_nothing().await);
    let site = open(interactions(), "*").await;
    let reply = site.visited(&visit(&json!({"id": "1", "token": "t", "type": 1}))).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"type":1}"#));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn bad_signatures_are_answered_401_also_of_pings() {
    let site = open(events(&[TEST_KEY]), "*").await;
    let genuine = visit(&json!({"type": 0}));
    for bad in [
        genuine.clone().with("x-signature-ed25519", &"0".repeat(128)),
        genuine.clone().with("x-signature-ed25519", "nonsense"),
        genuine.clone().with("x-signature-timestamp", "1"),
        genuine.clone().without("x-signature-ed25519"),
        genuine.clone().without("x-signature-timestamp"),
        Visit { body: br#"{"type":0 }"#.to_vec(), ..genuine },
    ] {
        assert_eq!(site.visited(&bad).await.status, 401);
    }
    let other = open(events(&[OTHER_KEY]), "*").await;
    assert_eq!(other.visited(&visit(&event("1"))).await.status, 401);
    assert!(other.stored_nothing().await);
}

#[tokio::test]
async fn an_interaction_is_told_that_a_message_follows() {
    let site = open(interactions(), "APPLICATION_COMMAND").await;
    let command = json!({"id": "11", "type": 2, "token": "t", "data": {"name": "todo"}});
    for status in ["accepted", "duplicate"] {
        let reply = site.visited(&visit(&command)).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"type":5}"#));
        assert_eq!(reply.header("bowline-status"), Some(status));
    }
    assert_eq!(site.stored(1).await.input().unwrap(), command);
    let complete = site.visited(&visit(&json!({"id": "12", "type": 4}))).await;
    assert_eq!(complete.body, r#"{"data":{"choices":[]},"type":8}"#);
    assert_eq!(site.runs().await.len(), 1);
}
