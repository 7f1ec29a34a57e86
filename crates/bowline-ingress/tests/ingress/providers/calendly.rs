//! Calendly: known by what it is about, its type and its time.

use std::sync::Arc;

use bowline_ingress::{Named, Provider, providers::Calendly};

use crate::visit::{Visit, enters_once_and_only_if_genuine, open, rotated};

fn make(secrets: &[&str]) -> Arc<dyn Provider> {
    Arc::new(rotated(secrets, Calendly::new, Calendly::also_accept))
}

const CREATED: Named<'_> = Named { id: "", kind: "invitee.created" };

fn body(kind: &str, at: &str) -> String {
    let invitee = "https://api.calendly.com/scheduled_events/E1/invitees/I1";
    format!(
        r#"{{"event":"{kind}","created_at":"{at}","created_by":"https://api.calendly.com/users/U1","payload":{{"uri":"{invitee}","email":"zoe@example.com"}}}}"#
    )
}

#[tokio::test]
async fn it_enters_once_and_only_if_genuine() {
    let body = body(CREATED.kind, "2026-01-02T03:04:05.678123Z");
    let stored = enters_once_and_only_if_genuine(make, ["s3cret-1", "s3cret-2"], CREATED, &body).await;
    assert_eq!(
        stored.dedupe_key,
        "https://api.calendly.com/scheduled_events/E1/invitees/I1|invitee.created|2026-01-02T03:04:05.678123Z"
    );
    assert_eq!(stored.input().unwrap()["email"], "zoe@example.com");
}

#[tokio::test]
async fn of_one_invitee_each_thing_that_happens_is_an_event() {
    let site = open(make(&["one"]), "*").await;
    for (kind, at) in [
        ("invitee.created", "2026-01-02T03:04:05.678123Z"),
        ("invitee.canceled", "2026-01-02T03:04:05.678123Z"),
        ("invitee_no_show.created", "2026-01-03T03:04:05.000000Z"),
        ("invitee_no_show.created", "2026-01-04T03:04:05.000000Z"),
    ] {
        let visit = Visit::of(&*make(&["one"]), &Named { id: "", kind }, body(kind, at));
        assert_eq!(site.became(&visit).await, "accepted", "{kind} {at}");
        assert_eq!(site.became(&visit).await, "duplicate", "{kind} {at}");
    }
    assert_eq!(site.runs().await.len(), 4);
}
