use std::time::Duration;

use bowline_dashboard::{admin::BODY_BYTES_MAX, health::Progress};
use bowline_model::{EntryKind, RunState};
use bowline_store::Transition;
use serde_json::json;

use crate::server::{Server, progress};

#[tokio::test]
async fn a_retry_queues_the_run_keeps_what_is_done_and_wakes_the_engine() {
    let server = Server::start().await;
    let run = server.dead("w", "done list\n refused create\n dead create").await;
    let reply = server.post(&format!("/api/runs/{run}/retry"), r#"{"who":"kim","why":"mended"}"#).await;
    assert_eq!((reply.status, reply.json), (200, json!({ "run": run, "forgotten": ["create"], "kept": 1 })));
    assert_eq!((server.state(run).await, server.pokes()), (RunState::Queued, 1));
    let note = server.store.journal(run).await.unwrap().pop().unwrap();
    assert_eq!(note.meta.note.as_deref(), Some("retried by kim: mended"));
    assert_eq!((note.kind, note.meta.forgets), (EntryKind::OperatorRetry, vec![bowline_model::Seq(2)]));

    let again = server.post(&format!("/api/runs/{run}/retry"), "{}").await;
    assert_eq!(again.status, 409);
    assert_eq!(again.json["error"], format!("run {run} is queued, not a dead letter"));
    assert_eq!(server.pokes(), 1);
}

#[tokio::test]
async fn two_retries_at_once_write_one() {
    let server = Server::start().await;
    let run = server.dead("w", "refused create\n dead create").await;
    let path = format!("/api/runs/{run}/retry");
    let (one, two) = futures_util::future::join(server.post(&path, ""), server.post(&path, "")).await;
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    assert_eq!(server.store.journal(run).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_replay_is_a_new_run_of_the_same_event_and_names_what_it_repeats() {
    let server = Server::start().await;
    let run = server.ended("w", "done create: POST crm /contacts\n completed", Transition::Complete).await;
    let reply = server.post(&format!("/api/runs/{run}/replay"), "").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let new = bowline_model::RunId(reply.json["new_run"].as_i64().unwrap());
    assert_eq!(
        reply.json,
        json!({ "run": run, "new_run": new, "keys": "new",
                "repeats": [{ "step": "create", "call": "POST crm /contacts", "happened": true }] })
    );
    let (old, new) =
        (server.store.run(run).await.unwrap().unwrap(), server.store.run(new).await.unwrap().unwrap());
    assert_eq!((new.event, new.replay_of, new.state), (old.event, Some(run), RunState::Queued));
    assert_ne!(new.key_seed, old.key_seed);
    assert_eq!((old.state, server.pokes()), (RunState::Completed, 1));
}

#[tokio::test]
async fn a_replay_under_the_same_keys_begins_with_the_generations_that_retries_made() {
    let server = Server::start().await;
    let text = "refused create\n dead create\n retry 1\n done create\n completed";
    let run = server.ended("w", text, Transition::Complete).await;
    let reply = server.post(&format!("/api/runs/{run}/replay"), r#"{"keys":"same"}"#).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let new = bowline_model::RunId(reply.json["new_run"].as_i64().unwrap());
    let old = server.store.run(run).await.unwrap().unwrap();
    assert_eq!(server.store.run(new).await.unwrap().unwrap().key_seed, old.key_seed);
    let journal = server.store.journal(new).await.unwrap();
    let kinds: Vec<_> = journal.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [EntryKind::Inherited]);
}

#[tokio::test]
async fn a_discard_closes_a_dead_letter_for_good() {
    let server = Server::start().await;
    let run = server.dead("w", "refused create\n dead create").await;
    let reply = server.post(&format!("/api/runs/{run}/discard"), r#"{"why":"a test"}"#).await;
    assert_eq!(
        (reply.status, reply.json),
        (200, json!({ "run": run, "note": "discarded by an operator: a test", "undoing": false }))
    );
    assert_eq!(server.state(run).await, RunState::Cancelled);
    assert_eq!(server.post(&format!("/api/runs/{run}/retry"), "").await.status, 409);
}

#[tokio::test]
async fn all_dead_letters_of_a_workflow_are_retried_older_first_and_within_a_bound() {
    let server = Server::start().await;
    let mut dead = vec![];
    for workflow in ["a", "b", "a", "a"] {
        dead.push(server.dead(workflow, "refused create\n dead create").await);
    }
    let reply = server.post("/api/dead/retry", r#"{"workflow":"a","limit":2}"#).await;
    assert_eq!(reply.json, json!({ "retried": [dead[2], dead[3]], "failed": [], "more": true }));
    let reply = server.post("/api/dead/retry", r#"{"workflow":"a"}"#).await;
    assert_eq!(reply.json, json!({ "retried": [dead[0]], "failed": [], "more": false }));
    assert_eq!(server.state(dead[1]).await, RunState::DeadLettered);
}

#[tokio::test]
async fn runs_are_listed_by_state_and_in_pages() {
    let server = Server::start().await;
    let dead = server.dead("a", "refused create\n dead create").await;
    let queued = server.accept("a").await;
    let other = server.accept("b").await;
    let ids = |reply: crate::server::Reply| {
        let runs = reply.json["runs"].as_array().unwrap().clone();
        runs.iter().map(|run| bowline_model::RunId(run["id"].as_i64().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(ids(server.get("/api/runs").await), [other, queued, dead]);
    assert_eq!(ids(server.get("/api/runs?state=dead").await), [dead]);
    assert_eq!(ids(server.get("/api/runs?state=dead,queued&workflow=a").await), [queued, dead]);
    let page = server.get("/api/runs?limit=2").await;
    assert_eq!(page.json["next"], json!(queued));
    assert_eq!(ids(server.get(&format!("/api/runs?before={queued}")).await), [dead]);
    let row = &server.get("/api/runs?state=dead").await.json["runs"][0];
    assert_eq!((&row["dead_reason"], &row["summary"]), (&json!("failed"), &json!("crm answered 422")));
}

#[tokio::test]
async fn a_run_shows_its_timeline_and_no_payload_unless_asked() {
    let server = Server::start().await;
    let run = server.ended("w", "done create: POST crm /contacts\n completed", Transition::Complete).await;
    let hidden = server.get(&format!("/api/runs/{run}")).await;
    assert_eq!(hidden.status, 200, "{hidden:?}");
    assert_eq!(hidden.json["timeline"][0]["call"], "POST crm /contacts");
    assert_eq!(hidden.json["timeline"][0]["output_bytes"], 6);
    assert_eq!(hidden.json["event"]["body_bytes"], 28);
    let text = hidden.json.to_string();
    assert!(!text.contains("jane@example.com") && !text.contains("fine"), "{text}");
    let shown = server.get(&format!("/api/runs/{run}?payloads=true")).await;
    assert_eq!(shown.json["timeline"][0]["output"], "\"fine\"");
    let event = server.get(&format!("/api/runs/{run}/event")).await;
    assert_eq!(event.json["body"], r#"{"email":"jane@example.com"}"#);
    assert_eq!(event.json["id"], json!(server.event_of(run).await));
}

#[tokio::test]
async fn what_is_not_understood_is_said_as_json() {
    let server = Server::start().await;
    let run = server.dead("w", "dead").await;
    for (path, status, error) in [
        ("/api/runs/99", 404, "there is no run 99"),
        ("/api/runs/99/event", 404, "there is no run 99"),
        ("/api/runs/seven", 400, "\"seven\" is not a run's number"),
        ("/api/runs?state=alive", 400, "there is no state \"alive\""),
        ("/api/runs?colour=red", 400, "colour"),
        ("/api/runs/1/retry", 405, "does not take that method"),
        ("/nothing", 404, "there is nothing at this path"),
    ] {
        let reply = server.get(path).await;
        assert_eq!(reply.status, status, "{path}: {reply:?}");
        assert!(reply.json["error"].as_str().unwrap().contains(error), "{path}: {reply:?}");
    }
    let retry = format!("/api/runs/{run}/retry");
    assert_eq!(server.post("/api/runs/99/retry", "").await.status, 404);
    assert_eq!(server.post(&retry, r#"{"whom":"kim"}"#).await.status, 400);
    assert_eq!(server.post(&retry, &" ".repeat(BODY_BYTES_MAX + 1)).await.status, 413);
    assert_eq!((server.state(run).await, server.pokes()), (RunState::DeadLettered, 0));
}

#[tokio::test]
async fn no_foreign_page_can_read_or_command() {
    let server = Server::start().await;
    let run = server.dead("w", "dead").await;
    let host = ("host", "localhost:8081");
    let (json, ours) = (("content-type", "application/json"), ("x-bowline", "1"));
    let rebound = server.ask("GET", "/api/runs", &[("host", "evil.example")], "").await;
    assert_eq!((rebound.status, rebound.json["runs"].is_null()), (421, true));
    let retry = format!("/api/runs/{run}/retry");
    for (headers, status) in [
        (&[("host", "evil.example"), json, ours][..], 421),
        (&[host, json, ours, ("origin", "http://evil.example")], 403),
        (&[host, json, ours, ("origin", "null")], 403),
        (&[host, json], 403),
        (&[host, ours], 415),
        (&[host, ours, ("content-type", "text/plain")], 415),
    ] {
        let reply = server.ask("POST", &retry, headers, "{}").await;
        assert_eq!(reply.status, status, "{headers:?}");
        assert!(reply.head.contains("cache-control: no-store"), "{}", reply.head);
    }
    assert_eq!((server.state(run).await, server.pokes()), (RunState::DeadLettered, 0));
    let own = [("host", "ops.example:8081"), json, ours, ("origin", "http://ops.example:8081")];
    assert_eq!(server.ask("POST", &retry, &own, "{}").await.status, 200);
}

#[tokio::test]
async fn ready_tells_progress_and_live_only_that_it_answers() {
    let server = Server::start().await;
    server.accept("w").await;
    let ready = server.get("/health/ready").await;
    assert_eq!((ready.status, &ready.json["ready"]), (200, &json!(true)), "{ready:?}");
    let status = server.get("/api/status").await;
    assert_eq!((&status.json["build"], &status.json["runs"]["queued"]), (&json!("1.0.0+abc"), &json!(1)));

    let stuck = Progress { dispatcher_beat_age: Duration::from_secs(3600), ..progress() };
    let server = Server::start_with(stuck).await;
    let ready = server.get("/health/ready").await;
    assert_eq!((ready.status, &ready.json["ready"]), (503, &json!(false)), "{ready:?}");
    assert_eq!(ready.json["reasons"][0], "the dispatcher last looked for work 3600 s ago (limit 90 s)");
    assert_eq!(server.get("/health/live").await.status, 200);
}

#[tokio::test]
async fn a_store_that_is_closed_is_not_ready_and_says_when_to_come_back() {
    let server = Server::start().await;
    server.store.close().await.unwrap();
    let ready = server.get("/health/ready").await;
    assert_eq!(ready.status, 503, "{ready:?}");
    let runs = server.get("/api/runs").await;
    assert_eq!(runs.status, 503, "{runs:?}");
    assert!(runs.head.contains("retry-after: "), "{}", runs.head);
}
