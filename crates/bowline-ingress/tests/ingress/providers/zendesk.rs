//! Zendesk: events by their own id, what triggers send by the header's.

use std::sync::Arc;

use bowline_ingress::{Named, Provider, providers::Zendesk};

use crate::visit::{Visit, enters_once_and_only_if_genuine, open, rotated};

fn make(secrets: &[&str]) -> Arc<dyn Provider> {
    Arc::new(rotated(secrets, Zendesk::new, Zendesk::also_accept))
}

const CHANGED: Named<'_> = Named { id: "2b24ef10-19d4-4740-93cf-8f98ec4776c0", kind: "user.active_changed" };
const BODY: &str = r#"{"type":"zen:event-type:user.active_changed","account_id":12514403,"id":"2b24ef10-19d4-4740-93cf-8f98ec4776c0","time":"2099-07-04T05:33:18Z","subject":"zen:user:6596848315901","detail":{"id":"6596848315901"},"event":{"current":false,"previous":true}}"#;
const INVOCATION: &str = "x-zendesk-webhook-invocation-id";

#[tokio::test]
async fn it_enters_once_and_only_if_genuine() {
    let stored = enters_once_and_only_if_genuine(make, ["s3cret-1", "s3cret-2"], CHANGED, BODY).await;
    assert_eq!(stored.dedupe_key, CHANGED.id);
    assert_eq!(stored.input().unwrap()["event"]["previous"], true);
}

#[tokio::test]
async fn an_event_is_known_by_its_own_id_whatever_invokes_it() {
    let site = open(make(&["one"]), "user.*").await;
    let visit = Visit::of(&*make(&["one"]), &CHANGED, BODY);
    assert_eq!(site.became(&visit.clone().with(INVOCATION, "inv-1")).await, "accepted");
    assert_eq!(site.became(&visit.with(INVOCATION, "inv-2")).await, "duplicate");
}

/// The id in there is the ticket's: it comes with everything that happens to the ticket.
#[tokio::test]
async fn what_a_trigger_calls_id_is_not_the_event_s() {
    let site = open(make(&["one"]), "*").await;
    let trigger = r#"{"id":"35436","status":"open"}"#;
    let visit = Visit::of(&*make(&["one"]), &Named { id: "inv-1", kind: "unknown" }, trigger);
    assert_eq!(site.became(&visit).await, "accepted");
    assert_eq!(site.became(&visit).await, "duplicate");
    assert_eq!(site.became(&visit.clone().with(INVOCATION, "inv-2")).await, "accepted");
    let nameless = visit.without(INVOCATION);
    assert_eq!(site.became(&nameless).await, "accepted");
    assert_eq!(site.became(&nameless).await, "accepted");
    assert_eq!(site.stored(1).await.kind, "unknown");
}

#[tokio::test]
async fn a_trigger_may_say_its_type_or_have_anything_there() {
    let site = open(make(&["one"]), "*").await;
    for (body, kind) in [
        (r#"{"type":"ticket solved"}"#, "ticket solved"),
        (r#"{"type":{"ticket":1}}"#, "unknown"),
        ("[]", "unknown"),
    ] {
        let visit = Visit::of(&*make(&["one"]), &Named { id: body, kind }, body).without(INVOCATION);
        assert_eq!(site.became(&visit).await, "accepted");
        let runs = site.runs().await.len();
        assert_eq!(site.stored(i64::try_from(runs).unwrap()).await.kind, kind);
    }
}
