//! Square: signed with the public URL.

use std::sync::Arc;

use bowline_ingress::{Named, Provider, providers::Square};

use crate::visit::{enters_once_and_only_if_genuine, rotated};

fn make(secrets: &[&str]) -> Arc<dyn Provider> {
    Arc::new(rotated(secrets, Square::new, Square::also_accept))
}

const PAID: Named<'_> = Named { id: "13b867cf-db3d-4b1c-90b6-2f32a9d78124", kind: "payment.updated" };
const BODY: &str = r#"{"merchant_id":"6SSW7HV8K2ST5","type":"payment.updated",
    "event_id":"13b867cf-db3d-4b1c-90b6-2f32a9d78124","created_at":"2020-02-06T21:27:34.308Z",
    "data":{"type":"payment","id":"KkAkhdMsgzn59SM8A89WgKwekxLZY","object":{"payment":{"status":"COMPLETED"}}}}"#;

#[tokio::test]
async fn an_event_enters_once_and_a_workflow_receives_its_data() {
    let stored = enters_once_and_only_if_genuine(make, ["first-key", "second-key"], PAID, BODY).await;
    assert_eq!(stored.dedupe_key, PAID.id);
    assert_eq!(stored.input().unwrap()["object"]["payment"]["status"], "COMPLETED");
}
