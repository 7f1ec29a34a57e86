//! Meta: the question before everything, and one event for each item of each entry.

use std::sync::Arc;

use bowline_ingress::{Named, Provider, providers::Meta};
use bowline_model::Secret;
use serde_json::{Value, json};

use crate::{
    log,
    visit::{Visit, enters_once_and_only_if_genuine, open, rotated},
};

const MESSAGE: Named<'_> = Named { id: "", kind: "whatsapp_business_account.messages" };

fn make(secrets: &[&str]) -> Arc<dyn Provider> {
    let token = Secret::new("meatyhamhock");
    Arc::new(rotated(secrets, |secret| Meta::new(secret, &token), Meta::also_accept))
}

fn whatsapp(id: &str) -> Value {
    json!({"field": "messages", "value": {"messaging_product": "whatsapp", "messages": [{"id": id, "type": "text"}]}})
}

fn visit(body: &Value) -> Visit {
    Visit::of(&*make(&["one"]), &MESSAGE, body.to_string())
}

#[tokio::test]
async fn it_enters_once_and_only_if_genuine() {
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "W1", "changes": [whatsapp("wamid.1")]}]});
    let stored =
        enters_once_and_only_if_genuine(make, ["s3cret-1", "s3cret-2"], MESSAGE, &body.to_string()).await;
    assert_eq!(stored.input().unwrap(), body);
}

#[tokio::test]
async fn who_knows_the_verify_token_gets_the_challenge_back() {
    let site = open(make(&["one"]), "*").await;
    let query = "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=meatyhamhock";
    let reply = site.asked("GET", query).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "1158201444"));
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn who_does_not_know_it_gets_nothing_back() {
    let site = open(make(&["one"]), "*").await;
    for (query, status) in [
        ("?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=meatyhamhocK", 401),
        ("?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=", 401),
        ("?hub.mode=subscribe&hub.challenge=1158201444", 401),
        ("?hub.mode=subscribe&hub.verify_token=meatyhamhock", 400),
        ("?hub.challenge=1158201444&hub.verify_token=meatyhamhock", 405),
        ("", 405),
    ] {
        let reply = site.asked("GET", query).await;
        assert_eq!(reply.status, status, "{query}");
        assert!(!reply.body.contains("1158201444") && !reply.body.contains("meaty"), "{reply:?}");
    }
    let long = format!("?hub.mode=subscribe&hub.verify_token=meatyhamhock&hub.challenge={}", "1".repeat(300));
    assert_eq!(site.asked("GET", &long).await.status, 400);
    assert!(log::lines_with("meatyhamhock").is_empty());
}

#[tokio::test]
async fn each_item_of_each_entry_is_an_event_in_meta_s_own_form() {
    let site = open(make(&["one"]), "*").await;
    let like = json!({"field": "feed", "value": {"item": "like", "user": "Zoë"}});
    let name = json!({"field": "name", "value": "Café"});
    let body = json!({"object": "page", "entry": [
        {"id": "P1", "time": 17, "changes": [like, name]},
        {"id": "P2", "time": 18, "messaging": [{"sender": {"id": "1"}, "timestamp": 5, "message": {"mid": "m_1"}}]},
        {"id": "P3", "time": 19, "surprise": {}},
    ]});
    assert_eq!(site.became(&visit(&body)).await, "accepted");
    let mut events = vec![];
    for id in 1..=4 {
        let event = site.stored(id).await;
        events.push((event.kind.clone(), event.json().unwrap()));
    }
    let one = |entry: Value| json!({"object": "page", "entry": [entry]});
    assert_eq!(events[0], ("page.feed".into(), one(json!({"id": "P1", "time": 17, "changes": [like]}))));
    assert_eq!(events[1], ("page.name".into(), one(json!({"id": "P1", "time": 17, "changes": [name]}))));
    assert_eq!(events[2].0, "page.messaging");
    assert_eq!(events[2].1["entry"][0]["messaging"][0]["message"]["mid"], "m_1");
    assert_eq!(events[3], ("page".into(), one(json!({"id": "P3", "time": 19, "surprise": {}}))));
    assert_eq!(site.became(&visit(&body)).await, "duplicate");
    assert_eq!(site.runs().await.len(), 4);
}

#[tokio::test]
async fn a_message_is_known_in_another_batch_and_equal_changes_of_another_time_are_not() {
    let site = open(make(&["one"]), "*").await;
    let batch = |changes: Vec<Value>, time: i64| {
        visit(
            &json!({"object": "whatsapp_business_account", "entry": [{"id": "W1", "time": time, "changes": changes}]}),
        )
    };
    assert_eq!(site.became(&batch(vec![whatsapp("wamid.1")], 1)).await, "accepted");
    assert_eq!(site.became(&batch(vec![whatsapp("wamid.1")], 2)).await, "duplicate");
    assert_eq!(site.became(&batch(vec![whatsapp("wamid.1"), whatsapp("wamid.2")], 3)).await, "accepted");
    let status = |status: &str| json!({"field": "messages", "value": {"statuses": [{"id": "wamid.1", "status": status}]}});
    assert_eq!(site.became(&batch(vec![status("delivered")], 4)).await, "accepted");
    assert_eq!(site.became(&batch(vec![status("read")], 4)).await, "accepted");
    assert_eq!(site.became(&batch(vec![status("read")], 5)).await, "duplicate");
    let photo = json!({"field": "account_update", "value": {"event": "VERIFIED_ACCOUNT"}});
    assert_eq!(site.became(&batch(vec![photo.clone()], 6)).await, "accepted");
    assert_eq!(site.became(&batch(vec![photo.clone()], 6)).await, "duplicate");
    assert_eq!(site.became(&batch(vec![photo], 7)).await, "accepted");
}

#[tokio::test]
async fn more_events_than_are_taken_at_once_are_refused_whole() {
    let site = open(make(&["one"]), "*").await;
    let changes = vec![json!({"field": "feed"}); 10_001];
    let reply =
        site.visited(&visit(&json!({"object": "page", "entry": [{"id": "P1", "changes": changes}]}))).await;
    assert_eq!(reply.status, 413, "{reply:?}");
    assert!(site.stored_nothing().await);
}

#[test]
fn neither_secret_is_ever_shown() {
    let meta = Meta::new(&Secret::new("app-secret"), &Secret::new("verify-token")).unwrap();
    let shown = format!("{meta:?}");
    assert!(!shown.contains("app-secret") && !shown.contains("verify-token"), "{shown}");
}
