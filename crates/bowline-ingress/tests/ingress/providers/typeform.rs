//! Typeform: named in the body; never told what switches the webhook off.

use std::sync::Arc;

use axum::http::StatusCode;
use bowline_ingress::{Named, Provider, providers::Typeform};

use crate::visit::{Visit, enters_once_and_only_if_genuine, open, rotated};

fn make(secrets: &[&str]) -> Arc<dyn Provider> {
    Arc::new(rotated(secrets, Typeform::new, Typeform::also_accept))
}

const SUBMITTED: Named<'_> = Named { id: "01EK4R5PFZZP6C8H14RTP4YW6C", kind: "form_response" };
const BODY: &str = r#"{"event_id":"01EK4R5PFZZP6C8H14RTP4YW6C","event_type":"form_response","form_response":{"form_id":"g8hcyeXS","answers":[]}}
"#;

#[tokio::test]
async fn it_enters_once_and_only_if_genuine() {
    let stored = enters_once_and_only_if_genuine(make, ["s3cret-1", "s3cret-2"], SUBMITTED, BODY).await;
    assert_eq!(stored.dedupe_key, SUBMITTED.id);
    assert_eq!(stored.input().unwrap()["form_id"], "g8hcyeXS");
}

#[test]
fn what_is_this_server_s_fault_is_told_with_the_status_that_is_retried_longest() {
    let typeform = make(&["one"]);
    for status in [500, 502, 503] {
        assert_eq!(typeform.refuses_with(StatusCode::from_u16(status).unwrap()), 503);
    }
    for status in [400, 401, 408, 413, 415, 429] {
        assert_eq!(typeform.refuses_with(StatusCode::from_u16(status).unwrap()), status);
    }
}

#[tokio::test]
async fn nothing_that_is_sent_to_the_route_is_answered_with_what_switches_the_webhook_off() {
    let site = open(make(&["one"]), "*").await;
    let visit = Visit::of(&*make(&["one"]), &SUBMITTED, BODY);
    let refused = [
        visit.clone().without("typeform-signature"),
        visit.clone().with("content-type", "text/plain"),
        visit.clone().with("content-encoding", "gzip"),
        Visit::of(&*make(&["one"]), &SUBMITTED, "not JSON"),
        Visit::of(&*make(&["one"]), &SUBMITTED, vec![b'x'; 2 << 20]),
    ];
    for refused in &refused {
        let status = site.visited(refused).await.status;
        assert!(status >= 400 && ![404, 410].contains(&status), "{status}");
    }
    assert!(site.stored_nothing().await);
}
