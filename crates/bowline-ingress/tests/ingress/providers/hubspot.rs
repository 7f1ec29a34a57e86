//! HubSpot: batches, each item an event; known again by all but its attempt.

use std::sync::Arc;

use bowline_ingress::{Named, Provider, providers::HubSpot};
use serde_json::{Value, json};

use crate::{
    site::{Plan, plan},
    visit::{Visit, enters_once_and_only_if_genuine, open, rotated},
};

fn make(secrets: &[&str]) -> Arc<dyn Provider> {
    Arc::new(rotated(secrets, HubSpot::new, HubSpot::also_accept))
}

const CREATED: Named<'_> = Named { id: "1", kind: "contact.creation" };

fn item(event: u32, attempt: u32, kind: &str) -> Value {
    json!({
        "eventId": event, "subscriptionId": 12345, "portalId": 62515, "appId": 54321,
        "occurredAt": 1_564_113_600_000_u64, "subscriptionType": kind, "attemptNumber": attempt, "objectId": 123,
    })
}

fn visit(items: Value) -> Visit {
    Visit::of(&*make(&["one"]), &CREATED, items.to_string())
}

#[tokio::test]
async fn an_event_enters_once_and_only_if_genuine() {
    let body = json!([item(1, 0, "contact.creation")]).to_string();
    let stored = enters_once_and_only_if_genuine(make, ["first-key", "second-key"], CREATED, &body).await;
    assert_eq!(stored.input().unwrap()["objectId"], 123);
}

#[tokio::test]
async fn each_item_is_an_event_and_a_retry_of_some_is_known() {
    let site = open(make(&["one"]), "contact.*").await;
    let (first, second) = (item(1, 0, "contact.creation"), item(2, 0, "contact.deletion"));
    let reply = site.visited(&visit(json!([first, second, item(3, 0, "deal.creation"), {"odd": 1}]))).await;
    assert_eq!((reply.status, reply.json()["status"].as_str()), (200, Some("accepted")));
    assert_eq!(site.runs().await.len(), 2, "a deal and what says no type start nothing");
    assert_eq!(site.woken(), 1);
    assert_eq!(site.stored(2).await.kind, "contact.deletion");

    // Again, in another batch, as the next attempt; with a new one.
    let retried = json!([
        item(2, 1, "contact.deletion"),
        item(1, 1, "contact.creation"),
        item(4, 0, "contact.creation")
    ]);
    let reply = site.visited(&visit(retried.clone())).await;
    let events = reply.json()["events"].clone();
    let words: Vec<_> =
        events.as_array().unwrap().iter().map(|event| event["status"].as_str().unwrap()).collect();
    assert_eq!(words, ["duplicate", "duplicate", "accepted"]);
    assert_eq!(site.became(&visit(retried)).await, "duplicate");
    assert_eq!(site.runs().await.len(), 3);
}

/// HubSpot says that an `eventId` is not unique.
#[tokio::test]
async fn another_event_under_the_same_id_is_another_event() {
    let site = open(make(&["one"]), "*").await;
    let mut other = item(1, 0, "contact.creation");
    other["objectId"] = json!(124);
    assert_eq!(site.became(&visit(json!([item(1, 0, "contact.creation"), other]))).await, "accepted");
    assert_eq!(site.runs().await.len(), 2);
}

#[tokio::test]
async fn an_empty_batch_is_fine_and_what_is_no_batch_is_not() {
    let site = open(make(&["one"]), "*").await;
    assert_eq!(site.became(&visit(json!([]))).await, "ignored");
    assert_eq!(site.visited(&visit(json!("text"))).await.status, 400);
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn who_does_not_know_the_public_url_can_verify_nothing_and_says_so() {
    let route = bowline_ingress::Route::new(crate::visit::PATH, make(&["one"])).on("*", "flow".into());
    let site = Plan { routes: vec![route], ..plan() }.open().await;
    let reply = site.visited(&visit(json!([]))).await;
    assert!(reply.status == 401 && reply.body.contains("public URL"), "{reply:?}");
}
