//! GitLab: signing tokens, secret tokens, and what of each names an event.

use std::sync::Arc;

use bowline_ingress::{Named, Provider, providers::GitLab};
use bowline_model::Secret;

use crate::visit::{Visit, enters_once_and_only_if_genuine, open, rotated};

const ONE: &str = "whsec_b25lIHNpZ25pbmcgdG9rZW4sIDMyIGJ5dGVzIGxvbmc=";
const TWO: &str = "whsec_dHdvIHNpZ25pbmcgdG9rZW5zLCAzMiBieXRlcyBsb24=";
const OPENED: Named<'_> = Named { id: "f5e5f430-f57b-4e6e-9fac-d9128cd7232f", kind: "merge_request.open" };
const BODY: &str = r#"{"object_kind":"merge_request","event_type":"merge_request","object_attributes":{"iid":7,"action":"open"}}"#;

fn signing(tokens: &[&str]) -> Arc<dyn Provider> {
    Arc::new(rotated(tokens, GitLab::signing_token, GitLab::also_accept))
}

fn secret(tokens: &[&str]) -> Arc<dyn Provider> {
    Arc::new(rotated(tokens, GitLab::secret_token, GitLab::also_accept))
}

#[tokio::test]
async fn signed_it_enters_once_and_only_if_genuine() {
    let stored = enters_once_and_only_if_genuine(signing, [ONE, TWO], OPENED, BODY).await;
    assert_eq!(stored.dedupe_key, OPENED.id);
    assert_eq!(stored.input().unwrap()["object_attributes"]["iid"], 7);
}

#[tokio::test]
async fn with_a_secret_token_it_enters_once_and_only_with_that() {
    let stored = enters_once_and_only_if_genuine(secret, ["s3cret-1", "s3cret-2"], OPENED, BODY).await;
    assert_eq!(stored.dedupe_key, OPENED.id);
}

#[tokio::test]
async fn where_the_id_is_signed_nobody_can_name_the_event_anew() {
    let site = open(signing(&[ONE]), "merge_request.*").await;
    let visit = Visit::of(&*signing(&[ONE]), &OPENED, BODY);
    assert_eq!(site.became(&visit).await, "accepted");
    assert_eq!(site.became(&visit.clone().with("idempotency-key", "another")).await, "duplicate");
    assert_eq!(site.visited(&visit.with("webhook-id", "another")).await.status, 401);
}

#[tokio::test]
async fn the_secret_token_is_not_kept_where_it_comes_beside_a_signature() {
    let site = open(signing(&[ONE]), "*").await;
    let visit = Visit::of(&*signing(&[ONE]), &OPENED, BODY).with("x-gitlab-token", "glhook-secret");
    assert_eq!(site.became(&visit).await, "accepted");
    let kept = format!("{:?}", site.stored(1).await.headers);
    assert!(!kept.contains("glhook-secret") && !kept.contains("v1,"), "{kept}");
}

#[tokio::test]
async fn older_ones_name_nothing_and_nothing_is_taken_for_a_redelivery() {
    let site = open(secret(&["one"]), "*").await;
    let visit = Visit::of(&*secret(&["one"]), &OPENED, BODY).without("idempotency-key");
    assert_eq!(site.became(&visit).await, "accepted");
    assert_eq!(site.became(&visit).await, "accepted");
}

#[tokio::test]
async fn types_are_those_of_the_body() {
    let site = open(secret(&["one"]), "*").await;
    for (body, kind) in [
        (r#"{"object_kind":"push","ref":"refs/heads/main"}"#, "push"),
        (r#"{"event_name":"project_create"}"#, "project_create"),
        (r#"{"object_kind":"issue","object_attributes":{"action":"close"}}"#, "issue.close"),
        (r#"{"template":"of the owner"}"#, "unknown"),
    ] {
        let visit = Visit::of(&*secret(&["one"]), &Named { id: kind, kind }, body);
        assert_eq!(site.became(&visit).await, "accepted");
        let runs = site.runs().await.len();
        assert_eq!(site.stored(i64::try_from(runs).unwrap()).await.kind, kind);
    }
}

#[test]
fn a_token_that_is_none_is_told_at_once() {
    assert!(GitLab::signing_token(&Secret::new("not a signing token")).is_err());
    assert!(GitLab::signing_token(&Secret::new("")).is_err());
    assert!(GitLab::secret_token(&Secret::new("")).is_err());
}
