//! Bitbucket: named in headers, of Cloud and of Data Center.

use std::sync::Arc;

use bowline_ingress::{Named, Provider, providers::Bitbucket};

use crate::visit::{Visit, enters_once_and_only_if_genuine, open, rotated};

fn make(secrets: &[&str]) -> Arc<dyn Provider> {
    Arc::new(rotated(secrets, Bitbucket::new, Bitbucket::also_accept))
}

const PUSH: Named<'_> = Named { id: "b1a2c3d4-0000-4000-8000-000000000001", kind: "repo:push" };
const BODY: &str = r#"{"push":{"changes":[{"new":{"name":"main"}}]},"repository":{"full_name":"team/app"}}"#;

#[tokio::test]
async fn it_enters_once_and_only_if_genuine() {
    let stored = enters_once_and_only_if_genuine(make, ["s3cret-1", "s3cret-2"], PUSH, BODY).await;
    assert_eq!(stored.dedupe_key, PUSH.id);
    assert_eq!(stored.input().unwrap()["repository"]["full_name"], "team/app");
}

#[tokio::test]
async fn data_center_names_requests_by_another_header() {
    let site = open(make(&["one"]), "repo:*").await;
    let visit = Visit::of(&*make(&["one"]), &Named { kind: "repo:refs_changed", ..PUSH }, BODY);
    let visit = visit.without("x-request-uuid").with("x-request-id", "dc-17");
    assert_eq!(site.became(&visit).await, "accepted");
    assert_eq!(site.became(&visit).await, "duplicate");
    assert_eq!(site.became(&visit.with("x-request-id", "dc-18")).await, "accepted");
    assert_eq!(site.stored(1).await.dedupe_key, "dc-17");
}

#[tokio::test]
async fn an_event_of_another_type_starts_nothing() {
    let site = open(make(&["one"]), "repo:*").await;
    let visit = Visit::of(&*make(&["one"]), &Named { kind: "pullrequest:created", ..PUSH }, BODY);
    assert_eq!(site.became(&visit).await, "ignored");
    assert!(site.stored_nothing().await);
}
