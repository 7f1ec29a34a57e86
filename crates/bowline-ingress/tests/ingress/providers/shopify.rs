//! Shopify: named in headers, of webhooks and of Events.

use std::sync::Arc;

use bowline_ingress::{Named, Provider, providers::Shopify};

use crate::visit::{Visit, enters_once_and_only_if_genuine, open, rotated};

fn make(secrets: &[&str]) -> Arc<dyn Provider> {
    Arc::new(rotated(secrets, Shopify::new, Shopify::also_accept))
}

const ORDER: Named<'_> = Named { id: "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043", kind: "orders/create" };
const BODY: &str = r##"{"id":820982911946154508,"name":"#9999","total_price":"374.99"}"##;

#[tokio::test]
async fn a_webhook_enters_once_and_a_workflow_receives_the_resource() {
    let stored = enters_once_and_only_if_genuine(make, ["first-key", "second-key"], ORDER, BODY).await;
    assert_eq!(stored.dedupe_key, ORDER.id);
    assert_eq!(stored.input().unwrap()["id"], 820_982_911_946_154_508_u64);
}

/// An order that is paid at once causes two webhooks under one event's id: both count.
#[tokio::test]
async fn webhooks_of_several_topics_that_one_event_caused_are_several_events() {
    let site = open(make(&["one"]), "*").await;
    for (id, kind) in [("1", "orders/create"), ("2", "orders/paid")] {
        let visit = Visit::of(&*make(&["one"]), &Named { id, kind }, BODY);
        assert_eq!(site.became(&visit.with("x-shopify-event-id", "98880550")).await, "accepted");
    }
}

#[tokio::test]
async fn one_of_shopifys_events_is_known_by_its_own_headers() {
    let site = open(make(&["one"]), "Product").await;
    let visit = Visit::of(&*make(&["one"]), &ORDER, BODY);
    let signature =
        visit.headers.iter().find(|header| header.0 == "x-shopify-hmac-sha256").unwrap().1.clone();
    let visit = visit
        .without("x-shopify-hmac-sha256")
        .without("x-shopify-topic")
        .without("x-shopify-webhook-id")
        .with("shopify-hmac-sha256", &signature)
        .with("shopify-topic", "Product")
        .with("shopify-webhook-id", "e-1");
    assert_eq!(site.became(&visit).await, "accepted");
    assert_eq!(site.became(&visit).await, "duplicate");
    let stored = site.stored(1).await;
    assert_eq!((stored.kind.as_str(), stored.dedupe_key.as_str()), ("Product", "e-1"));
    assert!(stored.headers.iter().all(|kept| !kept.0.contains("hmac")), "{:?}", stored.headers);
}
