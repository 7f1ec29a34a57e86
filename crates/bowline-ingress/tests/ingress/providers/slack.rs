//! Slack: events, commands and interactions; its question whether anybody is here; an empty answer.

use std::sync::Arc;

use bowline_ingress::{Named, Provider, providers::Slack};
use serde_json::json;

use crate::visit::{Visit, enters_once_and_only_if_genuine, open, rotated};

fn make(secrets: &[&str]) -> Arc<dyn Provider> {
    Arc::new(rotated(secrets, Slack::new, Slack::also_accept))
}

const MENTION: Named<'_> = Named { id: "Ev123ABC456", kind: "app_mention" };
/// <https://docs.slack.dev/apis/events-api/#callback-field>
const BODY: &str = r#"{"token":"z26uFbvR1xHJEdHE1OQiO6t8","team_id":"T123ABC456","type":"event_callback",
    "event":{"type":"app_mention","user":"U123","text":"hi <@U0LAN0Z89>","ts":"1355517523.000005"},
    "event_id":"Ev123ABC456","event_time":1355517523}"#;

#[tokio::test]
async fn an_event_enters_once_and_a_workflow_receives_the_inner_one() {
    let stored = enters_once_and_only_if_genuine(make, ["first-key", "second-key"], MENTION, BODY).await;
    assert_eq!(stored.dedupe_key, MENTION.id);
    assert_eq!(stored.input().unwrap()["text"], "hi <@U0LAN0Z89>");
    let body = String::from_utf8(stored.body.to_vec()).unwrap();
    assert!(
        body.contains("T123ABC456") && !body.contains("z26uFbvR"),
        "the verification token is kept: {body}"
    );
}

#[tokio::test]
async fn the_answer_is_an_empty_200_which_slack_shows_to_nobody() {
    let site = open(make(&["one"]), "*").await;
    let visit = Visit::of(&*make(&["one"]), &MENTION, BODY);
    for expected in ["accepted", "duplicate"] {
        let reply = site.visited(&visit).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, ""));
        assert_eq!(reply.header("bowline-status"), Some(expected));
    }
}

#[tokio::test]
async fn a_command_is_an_event_of_its_fields() {
    let site = open(make(&["one"]), "command.todo").await;
    let fields =
        json!({"command": "/todo", "text": "ask @crushermd & bake", "trigger_id": "13345224609.738474920"});
    let event = Named { id: "", kind: "command.todo" };
    let visit = Visit::of(&*make(&["one"]), &event, fields.to_string());
    assert!(visit.headers.contains(&("content-type".into(), "application/x-www-form-urlencoded".into())));
    assert_eq!(site.became(&visit).await, "accepted");
    assert_eq!(site.became(&visit).await, "duplicate", "the same bytes");
    assert_eq!(site.visited(&visit).await.body, "");
    let stored = site.stored(1).await;
    assert_eq!((stored.kind.as_str(), stored.input().unwrap()), ("command.todo", fields.clone()));

    let again = fields.to_string().replace("13345224609", "13345224610");
    assert_eq!(site.became(&Visit::of(&*make(&["one"]), &event, again)).await, "accepted", "typed once more");
    let other = Visit::of(&*make(&["one"]), &event, fields.to_string().replace("/todo", "/other"));
    assert_eq!(site.became(&other).await, "ignored");
}

#[tokio::test]
async fn an_interaction_is_an_event_of_its_payload() {
    let site = open(make(&["one"]), "interaction.*").await;
    let payload = json!({"type": "block_actions", "actions": [{"action_id": "ok", "value": "100% & more"}]});
    let event = Named { id: "", kind: "interaction.block_actions" };
    let visit = Visit::of(&*make(&["one"]), &event, payload.to_string());
    assert!(visit.body.starts_with(b"payload=%7B"), "{}", String::from_utf8_lossy(&visit.body));
    assert_eq!(site.became(&visit).await, "accepted");
    let stored = site.stored(1).await;
    assert_eq!((stored.kind.as_str(), stored.input().unwrap()), (event.kind, payload));
}

#[tokio::test]
async fn a_new_url_is_verified_once_the_signature_is() {
    let site = open(make(&["one"]), "*").await;
    let challenge = r#"{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","challenge":"3eZbrw1aBm2rZgRNFdxV","type":"url_verification"}"#;
    let reply = site.visited(&Visit::of(&*make(&["one"]), &MENTION, challenge)).await;
    assert_eq!((reply.status, reply.json()), (200, json!({"challenge": "3eZbrw1aBm2rZgRNFdxV"})));
    let reply = site.visited(&Visit::of(&*make(&["another"]), &MENTION, challenge)).await;
    assert_eq!(reply.status, 401);
    assert!(!reply.body.contains("3eZbrw1a"), "{reply:?}");
    let without = Visit::of(&*make(&["one"]), &MENTION, r#"{"type":"url_verification"}"#);
    assert_eq!(site.visited(&without).await.status, 400);
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn what_is_no_form_or_no_json_is_refused_and_other_json_has_its_own_type() {
    let site = open(make(&["one"]), "*").await;
    let send = async |kind: &str, body: &str| {
        site.visited(&Visit::of(&*make(&["one"]), &Named { id: "1", kind }, body)).await
    };
    assert_eq!(send("event", "not JSON").await.status, 400);
    assert_eq!(send("interaction.x", "not JSON").await.status, 400);
    assert_eq!(
        send("event", r#"{"type":"app_rate_limited","minute_rate_limited":1518467820}"#).await.status,
        200
    );
    assert_eq!(site.stored(1).await.kind, "app_rate_limited");
    let broken = Visit::of(&*make(&["one"]), &MENTION, "a=%zz")
        .with("content-type", "application/x-www-form-urlencoded");
    let reply = site.visited(&broken).await;
    assert!(reply.status == 400 && reply.body.contains("two hex digits"), "{reply:?}");
}

#[tokio::test]
async fn what_a_test_wants_a_workflow_to_receive_it_receives() {
    for kind in ["app_mention", "command.todo", "interaction.view_submission"] {
        let (provider, event) = (make(&["one"]), Named { id: "17", kind });
        let site = open(make(&["one"]), kind).await;
        let body = provider.body(&event, &json!({"text": "x"}));
        assert_eq!(site.became(&Visit::of(&*provider, &event, body.to_string())).await, "accepted", "{kind}");
        let stored = site.stored(1).await;
        assert_eq!((stored.kind.as_str(), &stored.input().unwrap()["text"]), (kind, &json!("x")));
    }
}
