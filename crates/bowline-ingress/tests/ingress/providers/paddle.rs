//! Paddle: five seconds, and no more.

use std::{sync::Arc, time::Duration};

use bowline_ingress::{Named, Provider, Unsigned, providers::Paddle};
use bowline_model::{Clock, Secret, SystemClock};

use crate::visit::{Visit, enters_once_and_only_if_genuine, open, rotated};

fn make(secrets: &[&str]) -> Arc<dyn Provider> {
    // More than a busy machine may take.
    Arc::new(rotated(secrets, Paddle::new, Paddle::also_accept).tolerance(Duration::from_secs(60)))
}

const DONE: Named<'_> = Named { id: "evt_01h8bzakzx3hm2fmen703n5q45", kind: "transaction.completed" };
const BODY: &str = r#"{"event_id":"evt_01h8bzakzx3hm2fmen703n5q45","event_type":"transaction.completed",
    "occurred_at":"2023-08-21T11:57:47.390028Z","notification_id":"ntf_01h8bzam1z32agrxjwhjgqk8w6",
    "data":{"id":"txn_01h8bxpvx398a7zbawb77y0kp5","status":"completed"}}"#;

#[tokio::test]
async fn a_notification_enters_once_and_a_workflow_receives_its_data() {
    let stored = enters_once_and_only_if_genuine(make, ["first-key", "second-key"], DONE, BODY).await;
    assert_eq!(stored.dedupe_key, DONE.id);
    assert_eq!(stored.input().unwrap()["status"], "completed");
}

#[tokio::test]
async fn a_notification_of_ten_seconds_ago_is_refused_unless_more_is_allowed() {
    let paddle = Paddle::new(&Secret::new("one")).unwrap();
    let signed =
        paddle.sign(&Unsigned::new(BODY.as_bytes()), SystemClock.now() - Duration::from_secs(10)).unwrap();
    let header = |(name, value): &(axum::http::HeaderName, axum::http::HeaderValue)| {
        (name.to_string(), value.to_str().unwrap().to_owned())
    };
    let visit = Visit { headers: signed.headers.iter().map(header).collect(), body: signed.body.to_vec() };
    let strict = open(Arc::new(paddle), "*").await;
    let reply = strict.visited(&visit).await;
    assert!(reply.status == 401 && reply.body.contains("limit 5 s"), "{reply:?}");
    assert_eq!(open(make(&["one"]), "*").await.became(&visit).await, "accepted");
}
