//! What is said to runs over the admin API: signals, cancels, outcomes.

use std::sync::Arc;

use bowline_dashboard::{
    admin::BODY_BYTES_MAX,
    commands::{CancelEnd, settle::VALUE_BYTES_MAX},
};
use bowline_model::{RunId, RunState};
use bowline_store::{MailboxKind, NewMailbox, StoreError, StoreErrorKind, Transition, mail};
use serde_json::json;

use crate::server::{Reply, Server};

fn signal(name: &str) -> NewMailbox {
    NewMailbox::new(format!("signal:{name}"), MailboxKind::Signal)
}

async fn send(server: &Server, run: RunId, name: &str, key: Option<&str>, body: &str) -> Reply {
    let mut headers = vec![("host", "localhost"), ("content-type", "application/json"), ("x-bowline", "1")];
    headers.extend(key.map(|key| ("idempotency-key", key)));
    server.ask("POST", &format!("/api/runs/{run}/signals/{name}"), &headers, body).await
}

#[tokio::test]
async fn a_signal_is_kept_before_it_is_answered_and_wakes_the_engine() {
    let server = Server::start().await;
    let run = server.waits("w", "awaited paid", vec![signal("paid")]).await;
    let reply = send(&server, run, "paid", None, r#"{"amount": 900}"#).await;
    assert_eq!((reply.status, reply.json), (202, json!({ "run": run, "to": "paid", "status": "kept" })));
    assert_eq!(server.read(run).await, [("signal:paid".to_owned(), json!({ "amount": 900 }))]);
    assert_eq!(server.pokes(), 1);
    let nothing = send(&server, run, "paid", None, "").await;
    assert_eq!((nothing.status, server.read(run).await[1].1.clone()), (202, json!(null)));
    let odd = send(&server, run, "a%2Fb%20%C3%BC", None, "1").await;
    assert_eq!((odd.status, odd.json["to"].clone()), (202, json!("a/b ü")), "a name may hold anything");
}

#[tokio::test]
async fn a_signal_that_comes_again_under_its_key_is_a_duplicate() {
    let server = Server::start().await;
    let run = server.waits("w", "awaited paid", vec![signal("paid")]).await;
    assert_eq!(send(&server, run, "paid", Some("k-1"), "1").await.status, 202);
    let again = send(&server, run, "paid", Some("k-1"), "1").await;
    assert_eq!((again.status, again.json["status"].clone()), (200, json!("duplicate")));
    assert_eq!(server.read(run).await.len(), 1);
    assert_eq!(send(&server, run, "paid", Some("k-2"), "2").await.status, 202);
}

#[tokio::test]
async fn a_signal_that_nobody_can_get_is_refused_in_words() {
    let server = Server::start().await;
    let ended = server.ended("w", "completed", Transition::Complete).await;
    let dead = server.dead("w", "dead").await;
    let gone = server.dead("w", "dead").await;
    server.post(&format!("/api/runs/{gone}/discard"), "").await;
    let run = server.waits("w", "awaited paid", vec![signal("paid")]).await;
    for (run, body, status, expect) in [
        (RunId(99), "1", 404, "there is no run 99".to_owned()),
        (ended, "1", 410, format!("run {ended} is completed and takes no messages")),
        (gone, "1", 410, format!("run {gone} is cancelled and takes no messages")),
        (run, "{broken", 422, "the body is no JSON".to_owned()),
    ] {
        let reply = send(&server, run, "paid", None, body).await;
        assert_eq!(reply.status, status, "{reply:?}");
        assert!(reply.json["error"].as_str().unwrap().starts_with(&expect), "{reply:?}");
        assert!(reply.json["hint"].is_string(), "{reply:?}");
    }
    let kept = send(&server, dead, "paid", None, "1").await;
    assert_eq!(kept.status, 202, "a dead letter gets it when it is retried: {kept:?}");
    let name = "n".repeat(513);
    assert_eq!(send(&server, run, &name, None, "1").await.status, 422);
    let key = "k".repeat(mail::POST_ID_BYTES_MAX + 1);
    assert_eq!(send(&server, run, "paid", Some(&key), "1").await.status, 422);
    let large = format!("\"{}\"", "x".repeat(mail::MESSAGE_BYTES_MAX));
    assert_eq!(send(&server, run, "paid", None, &large).await.status, 413);
    let fits = format!("\"{}\"", "x".repeat(mail::MESSAGE_BYTES_MAX - 2));
    assert_eq!(send(&server, run, "paid", None, &fits).await.status, 202);
    let plain = [("host", "localhost"), ("content-type", "text/plain"), ("x-bowline", "1")];
    let path = format!("/api/runs/{run}/signals/paid");
    assert_eq!(server.ask("POST", &path, &plain, "1").await.status, 415);
    assert_eq!(server.get(&path).await.status, 405);
}

#[tokio::test]
async fn a_run_that_reads_nothing_takes_a_thousand_signals_and_then_says_later() {
    let server = Server::start().await;
    let run = server.waits("w", "awaited paid", vec![signal("paid")]).await;
    for _ in 0..mail::MESSAGES_MAX {
        let to = bowline_store::Address::Mailbox { run, name: "signal:paid".to_owned() };
        let body = bowline_model::Payload::from_stored("1");
        let now = jiff::Timestamp::UNIX_EPOCH;
        server.store.post(bowline_store::Post { to, id: None, body, now }).await.unwrap();
    }
    let reply = send(&server, run, "paid", None, "1").await;
    assert_eq!(reply.status, 429, "{reply:?}");
    assert!(reply.head.contains("retry-after: "), "{reply:?}");
}

#[tokio::test]
async fn a_cancel_reaches_who_can_carry_it_out_and_tells_what_came_of_it() {
    let server = Server::start_told(|admin| {
        admin.cancel_with(Arc::new(|run, why: String| {
            Box::pin(async move {
                match run.0 {
                    1 => {
                        assert_eq!(why, "cancelled by kim: too late");
                        Ok(CancelEnd { undoing: false, ended: None, children: 2, went_on: None })
                    }
                    2 => Ok(CancelEnd {
                        undoing: false,
                        ended: Some(RunState::DeadLettered),
                        children: 0,
                        went_on: None,
                    }),
                    3 => Ok(CancelEnd {
                        undoing: false,
                        ended: Some(RunState::Cancelled),
                        children: 1,
                        went_on: None,
                    }),
                    4 => Err(StoreError::new(
                        StoreErrorKind::Conflict,
                        "run 4 is driven by node 7; cancel it there",
                    )),
                    _ => Err(StoreError::new(StoreErrorKind::NotFound, "no such run")),
                }
            })
        }))
    })
    .await;
    let cancel = async |run| {
        server.post(&format!("/api/runs/{run}/cancel"), r#"{"who":"kim","why":"too late"}"#).await
    };
    let done = cancel(1).await;
    let told = json!({ "run": 1, "note": "cancelled by kim: too late", "children": 2, "undoing": false });
    assert_eq!(done.json, told);
    let dead = cancel(2).await;
    assert_eq!((dead.status, dead.json["hint"].clone()), (409, json!("`discard 2` closes a dead letter")));
    assert_eq!(cancel(3).await.json["children"], 1, "a cancel that was cut short is gone on with");
    assert_eq!(cancel(4).await.status, 409);
    assert_eq!(
        (cancel(9).await.status, cancel(9).await.json["error"].clone()),
        (404, json!("there is no run 9"))
    );
}

#[tokio::test]
async fn a_bulk_cancel_visits_the_open_runs_that_the_filter_names() {
    let server = Server::start_told(|admin| {
        admin.cancel_with(Arc::new(|_, _| {
            Box::pin(async { Ok(CancelEnd { undoing: false, ended: None, children: 0, went_on: None }) })
        }))
    })
    .await;
    let (one, _other, two) = (server.accept("w").await, server.accept("v").await, server.accept("w").await);
    let reply = server.post("/api/open/cancel", r#"{"workflow":"w","limit":10}"#).await;
    assert_eq!((reply.status, reply.json["cancelled"].clone()), (200, json!([one, two])), "{reply:?}");
    let some = server.post("/api/open/cancel", r#"{"limit":2}"#).await;
    assert_eq!(
        (some.json["cancelled"].as_array().unwrap().len(), some.json["more"].clone()),
        (2, json!(true))
    );
    let wrong = server.post("/api/open/cancel", r#"{"states":["dead"]}"#).await;
    assert_eq!(wrong.status, 409, "{wrong:?}");
}

#[tokio::test]
async fn an_outcome_is_settled_over_the_api_and_the_page_names_the_step() {
    let server = Server::start().await;
    let run = server.dead("w", "unknown create contact: POST crm /contacts\n dead create contact").await;
    let page = server.browse(&format!("/runs/{run}")).await.text;
    assert!(page.contains(&format!("settle {run} \"create contact\"")), "{page}");
    let path = format!("/api/runs/{run}/settle");
    let wrong = server.post(&path, r#"{"step":"other","outcome":"not_done"}"#).await;
    assert_eq!(
        (wrong.status, wrong.json["hint"].clone()),
        (409, json!("unknown is what became of \"create contact\""))
    );
    let body = r#"{"step":"create contact","outcome":{"done":{"id":17}},"who":"kim"}"#;
    let reply = server.post(&path, body).await;
    assert_eq!(
        (reply.status, reply.json["note"].clone()),
        (200, json!("settled as done by kim")),
        "{reply:?}"
    );
    assert_eq!((server.state(run).await, server.pokes()), (RunState::Queued, 1));
    let shown = server.browse(&format!("/runs/{run}")).await.text;
    assert!(shown.contains("create contact: settled as done by kim"), "{shown}");
}

#[tokio::test]
async fn a_settlement_has_room_for_the_largest_value_and_for_no_more() {
    let server = Server::start().await;
    let run = server.dead("w", "unknown create contact: POST crm /contacts\n dead create contact").await;
    let path = format!("/api/runs/{run}/settle");
    let body = |bytes: usize| {
        let value = "x".repeat(bytes - 2);
        format!(r#"{{"step":"create contact","outcome":{{"done":"{value}"}}}}"#)
    };
    let over = server.post(&path, &body(VALUE_BYTES_MAX + 1)).await;
    assert_eq!(over.status, 409, "{over:?}");
    let far_over = server.post(&path, &body(VALUE_BYTES_MAX + BODY_BYTES_MAX)).await;
    assert_eq!(far_over.status, 413, "not even read: {far_over:?}");
    assert_eq!(server.state(run).await, RunState::DeadLettered);
    let fits = server.post(&path, &body(VALUE_BYTES_MAX)).await;
    assert_eq!((fits.status, server.state(run).await), (200, RunState::Queued), "{fits:?}");
}
