//! Mailgun: a token counts once, and 406 is never answered.

use std::sync::Arc;

use axum::http::StatusCode;
use bowline_ingress::{Named, Provider, providers::Mailgun};
use serde_json::json;

use crate::visit::{Visit, open, rotated};

const DELIVERED: Named<'_> = Named { id: "mail-1", kind: "delivered" };

fn make(keys: &[&str]) -> Arc<dyn Provider> {
    Arc::new(rotated(keys, Mailgun::new, Mailgun::also_accept))
}

fn visit(id: &str) -> Visit {
    let body = json!({"event-data": {"event": "delivered", "id": id}}).to_string();
    Visit::of(&*make(&["one"]), &Named { id, ..DELIVERED }, body)
}

#[tokio::test]
async fn an_event_starts_its_workflow_once_and_its_signature_is_not_kept() {
    let site = open(make(&["two", "one"]), "delivered").await;
    assert_eq!(site.became(&visit("mail-1")).await, "accepted");
    assert_eq!(site.became(&visit("mail-1")).await, "duplicate");
    assert_eq!(site.became(&visit("mail-2")).await, "accepted");
    let stored = site.stored(1).await;
    assert_eq!(stored.input().unwrap(), json!({"event": "delivered", "id": "mail-1"}));
    assert_eq!(stored.json().unwrap(), json!({"event-data": {"event": "delivered", "id": "mail-1"}}));
}

/// Mailgun does not sign the event.
#[tokio::test]
async fn another_event_beside_a_signature_that_was_seen_starts_nothing() {
    let site = open(make(&["one"]), "*").await;
    assert_eq!(site.became(&visit("mail-1")).await, "accepted");
    let seen = String::from_utf8(visit("mail-1").body).unwrap();
    let forged =
        Visit { body: seen.replace(r#""id":"mail-1""#, r#""id":"mail-9""#).into(), ..visit("mail-1") };
    assert_eq!(site.became(&forged).await, "duplicate");
    assert_eq!(site.runs().await.len(), 1);
}

#[tokio::test]
async fn refusals_are_401_and_never_406() {
    let site = open(make(&["two"]), "*").await;
    let unsigned = Visit { body: br#"{"event-data":{"event":"delivered"}}"#.to_vec(), ..visit("mail-1") };
    for refused in [visit("mail-1"), unsigned] {
        assert_eq!(site.visited(&refused).await.status, 401);
    }
    assert!(site.stored_nothing().await);
    for status in (400..600).filter_map(|code| StatusCode::from_u16(code).ok()) {
        assert_ne!(make(&["one"]).refuses_with(status), StatusCode::NOT_ACCEPTABLE);
    }
}
