//! Synchronous routes: a result after its commit, or an address.

use std::{sync::Arc, time::Duration};

use bowline_ingress::{Route, providers::Auth};
use bowline_model::{Secret, SystemClock};
use bowline_store::Store;
use serde_json::json;
use tokio::time::timeout;

use crate::{
    clock::Still,
    gate::Gated,
    hand::Hand,
    posts::{JSON, route},
    refusals::refused,
    site::{Plan, Site, memory, pairs, payment, plan, signed},
    wire::{PATIENCE, Reply, Wire, ask, head, post},
};

const LIMIT: Duration = Duration::from_secs(10);
const ADA: &str = r#"{"email": "ada@example.com", "once": true}"#;
const KEY: (&str, &str) = ("x-api-key", "key-of-signups");

fn waiting() -> Route {
    route("/signups", Auth::api_key("X-Api-Key", [Secret::new(KEY.1)]).expect("sound")).wait(LIMIT)
}

async fn open() -> (Arc<Still>, Site) {
    let clock = Arc::new(Still::new());
    let site = Plan { routes: vec![waiting()], clock: clock.clone(), ..plan() }.open().await;
    (clock, site)
}

/// Posts, and leaves the answer to come.
async fn begin(site: &Site) -> Wire {
    let mut wire = Wire::to(site.at).await;
    wire.send(head("POST", "/signups", &[JSON, KEY], ADA.len()) + ADA).await;
    wire
}

fn under_way(reply: &Reply, run: i64) -> String {
    assert_eq!((reply.status, reply.json()), (202, json!({"status": "accepted", "run": run})), "{reply:?}");
    assert_eq!((reply.header("retry-after"), reply.header("cache-control")), (Some("1"), Some("no-store")));
    assert_eq!(reply.header("bowline-run"), Some(run.to_string().as_str()));
    let location = reply.header("location").expect("an address").to_owned();
    assert!(location.starts_with(&format!("/signups/runs/{run}-")), "{location}");
    location
}

#[tokio::test]
async fn the_answer_is_the_runs_result_and_comes_after_its_commit() {
    let clock = Arc::new(Still::new());
    let store = Arc::new(Gated::shut_for_writes(memory(Arc::new(SystemClock))));
    let plan = Plan { routes: vec![waiting()], clock: clock.clone(), store: store.clone(), ..plan() };
    let site = plan.open().await;
    let mut wire = begin(&site).await;
    clock.sleeper().await;

    let hand = Hand::on(&site.store).await;
    let completing = tokio::spawn(async move { hand.complete(1, json!({"row": 17, "note": "é"})).await });
    store.arrival().await;
    // The completion waits at the gate: so must the answer.
    assert!(!wire.stirs_within(Duration::from_millis(200)).await);

    store.let_one_through();
    let reply = wire.reply().await;
    completing.await.unwrap();
    assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"note":"é","row":17}"#));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("bowline-run"), Some("1"));
}

#[tokio::test]
async fn after_the_limit_the_answer_is_an_address_and_later_the_result_is_there() {
    let (clock, site) = open().await;
    let mut wire = begin(&site).await;
    clock.sleeper().await;
    clock.advance(LIMIT - Duration::from_millis(1));
    assert!(!wire.stirs_within(Duration::from_millis(50)).await, "the limit is by the app's clock");
    clock.advance(Duration::from_millis(1));
    let address = under_way(&wire.reply().await, 1);

    under_way(&ask(site.at, "GET", &address, &[KEY]).await, 1);
    Hand::on(&site.store).await.complete(1, json!(["done"])).await;
    let reply = ask(site.at, "GET", &address, &[KEY]).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, r#"["done"]"#));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let head = ask(site.at, "HEAD", &address, &[KEY]).await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("8")));
}

#[tokio::test]
async fn a_repetition_attaches_to_the_run_under_way_and_finds_it_when_it_has_ended() {
    let (clock, site) = open().await;
    let mut first = begin(&site).await;
    clock.sleeper().await;
    let mut second = begin(&site).await;
    clock.sleeper().await;
    Hand::on(&site.store).await.complete(1, json!(17)).await;
    for wire in [&mut first, &mut second] {
        let reply = wire.reply().await;
        assert_eq!((reply.status, reply.body.as_str()), (200, "17"));
    }
    let late = post(site.at, "/signups", &[JSON, KEY], ADA.as_bytes()).await;
    assert_eq!((late.status, late.body.as_str()), (200, "17"));
    assert_eq!((site.runs().await.len(), site.woken()), (1, 1));
}

#[tokio::test]
async fn a_run_that_failed_is_500_and_its_reason_stays_inside() {
    let (clock, site) = open().await;
    let mut wire = begin(&site).await;
    clock.sleeper().await;
    Hand::on(&site.store).await.fail(1, "a-secret-detail of the CRM").await;
    let reply = wire.reply().await;
    refused(&reply, 500, "run 1 did not complete");
    assert_eq!(reply.header("bowline-run"), Some("1"));
    assert!(!reply.body.contains("a-secret-detail"), "{reply:?}");
    // So is one that an operator cancelled.
    let body = ADA.replace("ada@", "eve@");
    let mut second = Wire::to(site.at).await;
    second.send(head("POST", "/signups", &[JSON, KEY], body.len()) + &body).await;
    clock.sleeper().await;
    Hand::on(&site.store).await.cancel(2).await;
    refused(&second.reply().await, 500, "run 2 did not complete");
}

#[tokio::test]
async fn who_waited_for_a_dead_run_finds_the_result_at_its_address_once_it_was_retried() {
    let (clock, site) = open().await;
    let mut wire = begin(&site).await;
    clock.sleeper().await;
    let hand = Hand::on(&site.store).await;
    hand.fail(1, "the CRM said no").await;
    let reply = wire.reply().await;
    refused(&reply, 500, "run 1 did not complete");
    let hint = reply.json()["hint"].as_str().unwrap().to_owned();
    for part in ["the event was accepted", "do not send it again under another key", "Location"] {
        assert!(hint.contains(part), "{part} is not in: {hint}");
    }
    assert_eq!(reply.header("bowline-run"), Some("1"));
    let address = reply.header("location").expect("an address").to_owned();

    let asked = ask(site.at, "GET", &address, &[KEY]).await;
    refused(&asked, 500, "run 1 did not complete");
    assert_eq!(asked.header("location"), Some(address.as_str()));
    hand.retry(1).await;
    assert_eq!(under_way(&ask(site.at, "GET", &address, &[KEY]).await, 1), address);
    hand.complete(1, json!("at last")).await;
    let asked = ask(site.at, "GET", &address, &[KEY]).await;
    assert_eq!((asked.status, asked.body.as_str()), (200, r#""at last""#));
    let again = post(site.at, "/signups", &[JSON, KEY], ADA.as_bytes()).await;
    assert_eq!((again.status, again.body.as_str()), (200, r#""at last""#));
}

#[tokio::test]
async fn an_address_within_a_larger_program_leads_to_itself() {
    let around = |router: axum::Router| axum::Router::new().nest("/api/v1", router);
    let site = Plan { routes: vec![waiting()], around, ..plan() }.open().await;
    site.door.stop_waiting();
    let begun = post(site.at, "/api/v1/signups", &[JSON, KEY], ADA.as_bytes()).await;
    let address = begun.header("location").expect("an address").to_owned();
    assert!(address.starts_with("/api/v1/signups/runs/1-"), "{address}");
    let asked = ask(site.at, "GET", &address, &[KEY]).await;
    assert_eq!((asked.status, asked.header("location")), (202, Some(address.as_str())));
}

#[test]
fn those_who_wait_leave_three_quarters_of_the_connections_to_the_others() {
    let connections_max = bowline_ingress::ServeLimits::default().connections_max;
    assert_eq!(bowline_ingress::waiting::WAITING_MAX * 4, connections_max);
}

#[tokio::test]
async fn a_shutdown_answers_who_waits_at_once_and_nobody_waits_after_it() {
    let (clock, mut site) = open().await;
    let mut wire = begin(&site).await;
    clock.sleeper().await;
    site.door.stop_waiting();
    under_way(&wire.reply().await, 1);
    under_way(&post(site.at, "/signups", &[JSON, KEY], ADA.as_bytes()).await, 1);
    site.stop();
    site.ended().await;
}

#[tokio::test]
async fn a_client_that_hangs_up_loses_nothing() {
    let (clock, site) = open().await;
    let wire = begin(&site).await;
    clock.sleeper().await;
    drop(wire);
    Hand::on(&site.store).await.complete(1, json!("late")).await;
    let again = post(site.at, "/signups", &[JSON, KEY], ADA.as_bytes()).await;
    assert_eq!((again.status, again.body.as_str()), (200, r#""late""#));
}

#[tokio::test]
async fn more_than_can_wait_are_answered_202_at_once() {
    let (clock, site) = open().await;
    let mut waiting = vec![];
    for _ in 0..bowline_ingress::waiting::WAITING_MAX {
        waiting.push(begin(&site).await);
    }
    for _ in &waiting {
        clock.sleeper().await;
    }
    under_way(&post(site.at, "/signups", &[JSON, KEY], ADA.as_bytes()).await, 1);
    // Who hangs up makes room, as soon as the site notices.
    drop(waiting.pop());
    let next = async {
        loop {
            let mut wire = begin(&site).await;
            tokio::select! {
                reply = wire.reply() => under_way(&reply, 1),
                () = clock.sleeper() => return wire,
            };
        }
    };
    waiting.push(timeout(PATIENCE, next).await.expect("a free seat"));
    Hand::on(&site.store).await.complete(1, json!(1)).await;
    for mut wire in waiting {
        assert_eq!(wire.reply().await.body, "1");
    }
}

#[tokio::test]
async fn an_address_is_of_one_run_of_one_route_for_who_may_post_there() {
    let clock = Arc::new(Still::new());
    let other = route("/open", Auth::Open).wait(LIMIT);
    let site = Plan { routes: vec![waiting(), other], clock: clock.clone(), ..plan() }.open().await;
    site.door.stop_waiting();
    let address = under_way(&post(site.at, "/signups", &[JSON, KEY], ADA.as_bytes()).await, 1);
    post(site.at, "/open", &[JSON], ADA.as_bytes()).await;

    refused(&ask(site.at, "GET", &address, &[]).await, 401, "x-api-key header is missing");
    refused(&ask(site.at, "GET", &address, &[("x-api-key", "guess")]).await, 401, "not accepted");
    let token = address.rsplit_once('-').unwrap().1.to_owned();
    assert_eq!((token.len(), token.bytes().all(|byte| byte.is_ascii_hexdigit())), (32, true), "{token}");
    for odd in [
        format!("/signups/runs/2-{token}"),
        format!("/signups/runs/3-{token}"),
        format!("/signups/runs/01-{token}"),
        format!("/signups/runs/+1-{token}"),
        format!("/signups/runs/1-{}", token.to_uppercase().replace(|char: char| char.is_ascii_digit(), "0")),
        format!("/signups/runs/1-{}", &token[..31]),
        format!("/signups/runs/1-{token}0"),
        format!("/signups/runs/9223372036854775808-{token}"),
        "/signups/runs/1-".into(),
        "/signups/runs/1".into(),
        "/signups/runs/%31-x".into(),
    ] {
        let reply = ask(site.at, "GET", &odd, &[KEY]).await;
        refused(&reply, 404, "no run at this address");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{odd}");
    }
    // The right address at another route, which anybody may ask.
    let elsewhere = address.replace("/signups", "/open");
    refused(&ask(site.at, "GET", &elsewhere, &[]).await, 404, "no run at this address");
    refused(&ask(site.at, "GET", "/signups/runs", &[KEY]).await, 404, "no route at this path");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let reply = ask(site.at, method, &address, &[KEY]).await;
        refused(&reply, 405, "GET, HEAD");
        assert_eq!(reply.header("allow"), Some("GET, HEAD"));
    }
    assert_eq!(ask(site.at, "GET", &address, &[KEY]).await.status, 202);
}

#[tokio::test]
async fn an_address_outlives_a_restart() {
    let (_, site) = open().await;
    site.door.stop_waiting();
    let address = under_way(&post(site.at, "/signups", &[JSON, KEY], ADA.as_bytes()).await, 1);
    let store: Arc<dyn Store> = Arc::clone(&site.store);
    drop(site);
    let site = Plan { routes: vec![waiting()], store, ..plan() }.open().await;
    assert_eq!(ask(site.at, "GET", &address, &[KEY]).await.status, 202);
}

#[tokio::test]
async fn a_webhooks_sender_can_wait_too() {
    let (clock, mut plan) = (Arc::new(Still::new()), plan());
    plan.routes = vec![plan.routes.remove(0).wait(LIMIT)];
    let site = Plan { clock: clock.clone(), ..plan }.open().await;
    let body = payment("evt_1");
    let headers = signed(body.as_bytes(), bowline_model::Clock::now(&*clock));
    let mut wire = Wire::to(site.at).await;
    wire.send(head("POST", crate::site::PATH, &pairs(&headers), body.len()) + &body).await;
    clock.sleeper().await;
    Hand::on(&site.store).await.complete(1, json!({"ok": true})).await;
    assert_eq!(wire.reply().await.json(), json!({"ok": true}));
}

#[tokio::test]
async fn what_cannot_be_read_is_said_to_be_under_way_and_its_address_to_come_later() {
    let (_, site) = open().await;
    site.door.stop_waiting();
    let address = under_way(&post(site.at, "/signups", &[JSON, KEY], ADA.as_bytes()).await, 1);
    site.store.close().await.unwrap();
    let reply = ask(site.at, "GET", &address, &[KEY]).await;
    refused(&reply, 503, "the run cannot be read now");
    assert_eq!(reply.header("retry-after"), Some("5"));
}

#[test]
fn a_route_that_waits_starts_one_workflow_and_has_its_runs_to_itself() {
    let two = route("/two", Auth::Open).on("*", "other".into()).wait(LIMIT);
    let slash = [route("/a", Auth::Open).wait(LIMIT), route("/a/", Auth::Open).wait(LIMIT)];
    let problems = bowline_ingress::route::check(&[vec![two], slash.to_vec()].concat()).unwrap_err();
    assert_eq!(problems.problems().len(), 2, "{problems}");
    assert!(problems.to_string().contains(r#"route "/two" waits for one result, and may start 2 workflows"#));
    assert!(problems.to_string().contains(r#"route "/a/" has the runs of another route"#), "{problems}");
}
