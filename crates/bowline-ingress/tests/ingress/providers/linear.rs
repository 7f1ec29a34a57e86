//! Linear: type and action in the body, a fresh time too, the id in a header.

use std::sync::Arc;

use bowline_ingress::Unsigned;
use bowline_ingress::{Named, Provider, providers::Linear};
use bowline_model::{Clock, SystemClock};

use crate::visit::{Visit, enters_once_and_only_if_genuine, open, rotated};

fn make(secrets: &[&str]) -> Arc<dyn Provider> {
    Arc::new(rotated(secrets, Linear::new, Linear::also_accept))
}

const CREATED: Named<'_> = Named { id: "234d1a4e-b617-4388-90fe-adc3633d6b72", kind: "Issue.create" };
const BODY: &str = r#"{"action":"create","type":"Issue","data":{"id":"i-1","title":"Zoë's"}}"#;

#[tokio::test]
async fn it_enters_once_and_only_if_genuine() {
    let stored = enters_once_and_only_if_genuine(make, ["s3cret-1", "s3cret-2"], CREATED, BODY).await;
    assert_eq!(stored.dedupe_key, CREATED.id);
    let input = stored.input().unwrap();
    assert_eq!((&input["data"]["title"], &input["action"]), (&"Zoë's".into(), &"create".into()));
}

#[tokio::test]
async fn what_was_signed_more_than_a_minute_ago_is_refused() {
    let site = open(make(&["one"]), "Issue.*").await;
    let minute = std::time::Duration::from_secs(62);
    let old = make(&["one"])
        .sign(&Unsigned::new(BODY.as_bytes()).named(&CREATED), SystemClock.now() - minute)
        .unwrap();
    let headers =
        old.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let reply = site.visited(&Visit { headers: headers.collect(), body: old.body.to_vec() }).await;
    assert_eq!(reply.status, 401);
    assert!(reply.body.contains("webhook timestamp is 6"), "{reply:?}");
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn an_event_of_a_type_without_action_has_its_type_s_name() {
    let site = open(make(&["one"]), "*").await;
    let sla = Named { kind: "IssueSLA", ..CREATED };
    let visit = Visit::of(&*make(&["one"]), &sla, r#"{"type":"IssueSLA","issueData":{"id":"i-1"}}"#);
    assert_eq!(site.became(&visit).await, "accepted");
    assert_eq!(site.stored(1).await.kind, "IssueSLA");
}
