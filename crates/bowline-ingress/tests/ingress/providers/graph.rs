//! Microsoft Graph: its validation, its items, its state.

use std::sync::Arc;

use bowline_ingress::{Named, Provider, providers::Graph};
use serde_json::{Value, json};

use crate::visit::{Visit, open, rotated};

const CREATED: Named<'_> = Named { id: "", kind: "created" };

fn make(states: &[&str]) -> Arc<dyn Provider> {
    Arc::new(rotated(states, Graph::new, Graph::also_accept))
}

fn visit(state: &str, items: &[Value]) -> Visit {
    Visit::of(&*make(&[state]), &CREATED, json!({"value": items}).to_string())
}

fn item(id: &str) -> Value {
    json!({"id": id, "changeType": "created", "resource": "users/1/messages/2"})
}

#[tokio::test]
async fn the_validation_token_is_given_back_as_plain_text() {
    let site = open(make(&["state"]), "*").await;
    let query = "?validationToken=Validation%3A+Testing+client+application+reachability+for+subscription+Request-Id%3A+522a8e7e";
    for method in ["POST", "GET"] {
        let reply = site.asked(method, query).await;
        let token =
            "Validation: Testing client application reachability for subscription Request-Id: 522a8e7e";
        assert_eq!((reply.status, reply.body.as_str()), (200, token));
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    }
    for bad in [
        "?validationToken=",
        "?validationToken=%3Cscript%3E",
        &format!("?validationToken={}", "x".repeat(5000)),
    ] {
        let reply = site.asked("POST", bad).await;
        assert_eq!(reply.status, 400, "{bad}");
        assert!(!reply.body.contains("script") && !reply.body.contains("xxx"));
    }
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn each_item_is_an_event_without_its_state_and_answered_202() {
    let site = open(make(&["new state", "the state"]), "*").await;
    for (items, status) in [
        (vec![item("a"), item("b")], "accepted"),
        (vec![item("b"), item("a")], "duplicate"),
        (vec![item("b"), item("c")], "accepted"),
    ] {
        let reply = site.visited(&visit("the state", &items)).await;
        assert_eq!((reply.status, reply.body.as_str()), (202, ""));
        assert_eq!(reply.header("bowline-status"), Some(status));
    }
    assert_eq!(site.runs().await.len(), 3);
    let stored = site.stored(1).await;
    assert_eq!((stored.kind.as_str(), stored.json().unwrap()), ("created", item("a")));
}

/// The same words may be meant again: an hour later the subscription is as short of authority as before.
#[tokio::test]
async fn lifecycle_notifications_are_never_taken_for_others() {
    let site = open(make(&["state"]), "reauthorizationRequired").await;
    let lifecycle = json!({"subscriptionId": "s", "lifecycleEvent": "reauthorizationRequired"});
    for _ in 0..2 {
        let reply = site.visited(&visit("state", std::slice::from_ref(&lifecycle))).await;
        assert_eq!(reply.header("bowline-status"), Some("accepted"));
    }
    assert_eq!(site.runs().await.len(), 2);
}

#[tokio::test]
async fn one_item_of_another_state_keeps_the_whole_body_out() {
    let site = open(make(&["state"]), "*").await;
    let genuine = String::from_utf8(visit("state", &[item("a"), item("b")]).body).unwrap();
    let at = genuine.rfind("state").unwrap();
    let mixed = format!("{}guess{}", &genuine[..at], &genuine[at + 5..]);
    for refused in [visit("another", &[item("a")]), Visit { body: mixed.into(), ..visit("state", &[]) }] {
        let reply = site.visited(&refused).await;
        assert_eq!(reply.status, 401);
        assert!(!reply.body.contains("guess"));
    }
    assert!(site.stored_nothing().await);
}
