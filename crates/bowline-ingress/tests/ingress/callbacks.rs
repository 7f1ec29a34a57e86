//! One message to a run, at an address that nobody can guess: over real sockets, into a real store.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use bowline_ingress::{Provider, Route, RouteErrors, ServeLimits};
use bowline_model::{Clock, Epoch, RunId, SystemClock, WorkflowName};
use bowline_store::{Also, Claim, MailboxKind, NewMailbox, RunWrite, Transition, mail::MESSAGE_BYTES_MAX};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    log,
    site::{Plan, Site, open, payment, plan, stripe},
    wire::{Reply, Wire, ask, head, post},
};

const TOKEN: &str = "c4llb4ck-t0ken-that-nobody-guesses-7Qx";
const JSON: (&str, &str) = ("content-type", "application/json");

fn path(token: &str) -> String {
    format!("/callbacks/{token}")
}

/// A run that waits for one message at [`TOKEN`], and how to write to it.
async fn waiting(site: &Site) -> (RunId, Epoch) {
    let run = RunId(site.deliver(payment("evt_1")).await.runs()[0]);
    let now = SystemClock.now();
    let node = site.store.start_node(now).await.unwrap().node;
    let workflows = vec![(WorkflowName::from("stripe-to-crm"), 1)];
    let claim = Claim { node, now, total_max: 1, workflows, others_max: 0, crashes_min: 0 };
    let claimed = site.store.claim(claim).await.unwrap().pop().expect("the one run");
    let token = Some(Sha256::digest(TOKEN.as_bytes()).into());
    let opens = vec![NewMailbox { token, ..NewMailbox::new("callback:\"scan\"", MailboxKind::Callback) }];
    write(site, (run, claimed.epoch), Also { opens, ..Also::default() }, None).await;
    (run, claimed.epoch)
}

async fn write(site: &Site, (run, epoch): (RunId, Epoch), also: Also, to: Option<Transition>) {
    let write = RunWrite::new(run, epoch, SystemClock.now(), vec![], to);
    site.store.write(RunWrite { also, ..write }).await.unwrap();
}

async fn read(site: &Site, run: RunId) -> Vec<Value> {
    let mail = site.store.mail(run).await.unwrap();
    mail.iter().map(|message| message.body.decode().unwrap()).collect()
}

#[track_caller]
fn check(reply: &Reply, status: u16, detail: &str) {
    assert_eq!(reply.status, status, "{reply:?}");
    assert!(reply.json()["detail"].as_str().unwrap().contains(detail), "{reply:?}");
    assert!(!reply.body.contains(TOKEN), "{reply:?}");
}

#[tokio::test]
async fn the_one_message_is_on_disk_before_it_is_answered_and_a_second_is_refused() {
    let site = open().await;
    let (run, _) = waiting(&site).await;
    let first = post(site.at, &path(TOKEN), &[JSON], br#"{"clean": true}"#).await;
    assert_eq!((first.status, first.status_word().as_str()), (202, "accepted"));
    assert_eq!(first.header("cache-control"), Some("no-store"));
    assert_eq!(read(&site, run).await, [json!({ "clean": true })]);
    check(&post(site.at, &path(TOKEN), &[JSON], b"{}").await, 409, "answered before");
    assert_eq!(read(&site, run).await.len(), 1);
}

#[tokio::test]
async fn json_a_form_and_nothing_are_taken_and_other_types_are_not() {
    for (headers, body, expect) in [
        (&[][..], "", json!(null)),
        (&[][..], "[1]", json!([1])),
        (&[("content-type", "application/json; charset=utf-8")][..], "7", json!(7)),
        (
            &[("content-type", "application/x-www-form-urlencoded")][..],
            "status=done&note=a+b&tag=1&tag=2",
            json!({ "status": "done", "note": "a b", "tag": ["1", "2"] }),
        ),
    ] {
        let site = open().await;
        let (run, _) = waiting(&site).await;
        let reply = post(site.at, &path(TOKEN), headers, body.as_bytes()).await;
        assert_eq!(reply.status, 202, "{body}: {reply:?}");
        assert_eq!(read(&site, run).await, [expect]);
    }
    let site = open().await;
    let (run, _) = waiting(&site).await;
    let to = path(TOKEN);
    check(&post(site.at, &to, &[("content-type", "text/plain")], b"hi").await, 415, "content type");
    check(&post(site.at, &to, &[JSON, JSON], b"{}").await, 415, "content type");
    check(&post(site.at, &to, &[JSON, ("content-encoding", "gzip")], b"{}").await, 415, "compressed");
    let broken = post(site.at, &to, &[JSON], b"{\"secret\": \"hunter2\" oops").await;
    check(&broken, 400, "no JSON");
    assert!(!broken.body.contains("hunter2"));
    assert!(read(&site, run).await.is_empty(), "each of them left the address as it was");
    assert_eq!(post(site.at, &to, &[JSON], b"1").await.status, 202);
}

#[tokio::test]
async fn who_only_looks_at_the_address_answers_nothing() {
    let site = open().await;
    let (run, _) = waiting(&site).await;
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let reply = ask(site.at, method, &path(TOKEN), &[]).await;
        check(&reply, 405, "this path takes POST");
        assert_eq!(reply.header("allow"), Some("POST"));
    }
    assert_eq!(ask(site.at, "HEAD", &path(TOKEN), &[]).await.status, 405);
    assert!(read(&site, run).await.is_empty());
}

#[tokio::test]
async fn a_guess_finds_nothing_and_no_log_line_holds_an_address() {
    let site = open().await;
    let (run, _) = waiting(&site).await;
    let (longer, padded, spaced) = (format!("{TOKEN}x"), format!("{TOKEN}="), format!("{TOKEN}%20"));
    for guess in ["x", &TOKEN[1..], &longer, &padded, &spaced, &"y".repeat(2000), &TOKEN.to_uppercase()] {
        check(&post(site.at, &path(guess), &[JSON], b"{}").await, 404, "no callback at this address");
    }
    assert_eq!(post(site.at, "/callbacks/", &[JSON], b"{}").await.status, 404);
    assert!(read(&site, run).await.is_empty());
    post(site.at, &path(TOKEN), &[JSON], b"{}").await;
    post(site.at, &path(TOKEN), &[JSON], b"{}").await;
    assert!(!log::lines_with("/callbacks/{token}").is_empty(), "they are in the log");
    assert!(log::lines_with(TOKEN).is_empty());
}

#[tokio::test]
async fn of_fifty_connections_at_once_one_is_accepted() {
    let site = open().await;
    let (run, _) = waiting(&site).await;
    let to = path(TOKEN);
    let posts = (0..50).map(|nth| {
        let (at, to) = (site.at, to.clone());
        async move { post(at, &to, &[JSON], nth.to_string().as_bytes()).await.status }
    });
    let statuses = futures_util::future::join_all(posts).await;
    let count = |status: u16| statuses.iter().filter(|it| **it == status).count();
    assert_eq!((count(202), count(409)), (1, 49), "{statuses:?}");
    assert_eq!(read(&site, run).await.len(), 1);
}

#[tokio::test]
async fn a_caller_who_repeats_itself_under_a_key_is_told_so() {
    let site = open().await;
    let (run, _) = waiting(&site).await;
    let key = ("idempotency-key", "k-1");
    assert_eq!(post(site.at, &path(TOKEN), &[JSON, key], b"1").await.status, 202);
    let again = post(site.at, &path(TOKEN), &[JSON, key], b"1").await;
    assert_eq!((again.status, again.status_word().as_str()), (200, "duplicate"));
    assert_eq!(read(&site, run).await.len(), 1);
    let long = "k".repeat(513);
    let reply = post(site.at, &path(TOKEN), &[JSON, ("idempotency-key", &long)], b"1").await;
    check(&reply, 400, "Idempotency-Key");
}

#[tokio::test]
async fn a_callback_for_which_nobody_waits_any_more_is_gone() {
    let site = open().await;
    let held = waiting(&site).await;
    let closes = vec!["callback:\"scan\"".to_owned()];
    write(&site, held, Also { closes, ..Also::default() }, None).await;
    check(&post(site.at, &path(TOKEN), &[JSON], b"{}").await, 410, "nobody waits");
    assert!(read(&site, held.0).await.is_empty());
    write(&site, held, Also::default(), Some(Transition::Cancel)).await;
    let after = post(site.at, &path(TOKEN), &[JSON], b"{}").await.status;
    assert_eq!(after, 410, "the run has ended");
}

#[tokio::test]
async fn a_message_over_a_mebibyte_and_one_that_trickles_leave_the_address_open() {
    let site = open().await;
    let (run, _) = waiting(&site).await;
    let large = format!("\"{}\"", "x".repeat(MESSAGE_BYTES_MAX));
    check(&post(site.at, &path(TOKEN), &[JSON], large.as_bytes()).await, 413, "larger than");
    // Another door to the same store: a whole message may take a busy machine longer than that.
    let limits = ServeLimits { body_read_max: Duration::from_millis(150), ..ServeLimits::default() };
    let impatient = Plan { limits, store: Arc::clone(&site.store), ..plan() }.open().await;
    let mut slow = Wire::to(impatient.at).await;
    slow.send(head("POST", &path(TOKEN), &[JSON], 1000)).await;
    slow.send("{").await;
    check(&slow.reply().await, 408, "did not arrive");
    let mut gone = Wire::to(impatient.at).await;
    gone.send(head("POST", &path(TOKEN), &[JSON], 1000)).await;
    gone.send("{").await;
    drop(gone);
    assert!(read(&site, run).await.is_empty());
    let fits = format!("\"{}\"", "x".repeat(MESSAGE_BYTES_MAX - 2));
    assert_eq!(post(site.at, &path(TOKEN), &[JSON], fits.as_bytes()).await.status, 202);
}

#[tokio::test]
async fn a_store_that_is_closed_is_told_as_trouble_and_never_as_accepted() {
    let site = open().await;
    waiting(&site).await;
    site.store.close().await.unwrap();
    let reply = post(site.at, &path(TOKEN), &[JSON], b"{}").await;
    assert!(StatusCode::from_u16(reply.status).unwrap().is_server_error(), "{reply:?}");
    assert!(!reply.body.contains(TOKEN));
}

#[test]
fn no_route_of_an_app_is_where_callbacks_are() {
    let provider: Arc<dyn Provider> = Arc::new(stripe());
    let route = Route::new("/callbacks/stripe", provider).on("*", "w".into());
    let errors: RouteErrors = bowline_ingress::route::check(&[route]).unwrap_err();
    assert!(errors.to_string().contains("where runs are called back"), "{errors}");
}
