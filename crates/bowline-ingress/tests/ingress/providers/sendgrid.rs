//! SendGrid: batches, each item an event.

use std::sync::Arc;

use bowline_ingress::{
    Named, Provider, Route,
    providers::{SendGrid, sendgrid::TEST_KEY},
};
use serde_json::{Value, json};

use crate::{
    site::{Plan, pairs, plan},
    visit::{PATH, Visit, open, rotated},
    wire::post,
};

/// Another one, of nobody.
const OTHER_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqTxd43gyp8IOEto2LdIfjRQrIbsd4SXZkLW6jDutdhXSJCWHw8REntlo7aNDthvj+y7GjUuFDb/R1NGe1OPzpA==";
const MAIL: Named<'_> = Named { id: "", kind: "delivered" };

fn make(keys: &[&str]) -> Arc<dyn Provider> {
    Arc::new(rotated(keys, SendGrid::new, SendGrid::also_accept))
}

fn item(id: &str) -> Value {
    json!({"email": "zoë@example.com", "event": "delivered", "sg_event_id": id, "timestamp": 1_600_112_492})
}

fn visit(items: &[Value]) -> Visit {
    let items: Vec<String> = items.iter().map(Value::to_string).collect();
    // As SendGrid separates and ends them.
    Visit::of(&*make(&[TEST_KEY]), &MAIL, format!("[{}]\r\n", items.join(",\r\n")))
}

#[tokio::test]
async fn each_item_is_an_event_that_starts_its_workflow_once() {
    let site = open(make(&[OTHER_KEY, TEST_KEY]), "delivered").await;
    assert_eq!(site.became(&visit(&[item("a"), item("b")])).await, "accepted");
    assert_eq!(site.became(&visit(&[item("b"), item("a")])).await, "duplicate");
    assert_eq!(site.became(&visit(&[item("b"), item("c")])).await, "accepted");
    assert_eq!((site.runs().await.len(), site.stored(3).await.input().unwrap()), (3, item("c")));
    assert!(site.stored(1).await.headers.iter().all(|(name, _)| !name.contains("twilio")));
}

#[tokio::test]
async fn what_another_key_signed_or_nobody_is_refused() {
    let site = open(make(&[OTHER_KEY]), "*").await;
    let signed = visit(&[item("a")]);
    let unsigned = signed.clone().without("x-twilio-email-event-webhook-signature");
    for refused in [signed, unsigned] {
        assert_eq!(site.visited(&refused).await.status, 401);
    }
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn what_is_no_event_does_not_keep_its_neighbours_out() {
    let site = open(make(&[TEST_KEY]), "*").await;
    assert_eq!(site.became(&visit(&[json!({"event": []}), item("a"), json!(7)])).await, "accepted");
    assert_eq!(site.runs().await.len(), 3);
}

#[tokio::test]
async fn the_largest_batch_is_one_transaction_with_its_twins_left_out_and_more_is_told() {
    let route = Route::new(PATH, make(&[TEST_KEY])).on("*", "flow".into()).body_bytes_max(4 << 20);
    let site = Plan { routes: vec![route], ..plan() }.open().await;
    let mail =
        |items: usize| -> Vec<Value> { (0..items).map(|nth| item(&(nth % 9_000).to_string())).collect() };
    let send = async |visit: &Visit| post(site.at, PATH, &pairs(&visit.headers), &visit.body).await;
    assert_eq!(send(&visit(&mail(10_000))).await.status, 200);
    assert_eq!(send(&visit(&mail(10_000))).await.status, 200);
    assert!(site.event(9_000).await.is_some() && site.event(9_001).await.is_none());
    assert_eq!(send(&visit(&mail(10_001))).await.status, 413);
}
