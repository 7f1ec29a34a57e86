//! The page of triggers, and the same as data: what fails comes first, and says why.

use bowline_ingress::{TriggerBoard, TriggerKind, trigger::TriggerLine};
use jiff::Timestamp;
use serde_json::Value;

use crate::{hostile::SCRIPT, pages::check_nesting, server::Server};

pub(crate) async fn site() -> Server {
    let board = TriggerBoard::default();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let nightly = board.add(TriggerKind::Schedule, "nightly report");
    nightly.acted(at("2026-01-01T02:30:00Z"), 3, 1);
    nightly.next(Some(at("2199-01-02T02:30:00Z")));
    board.add(TriggerKind::Inbox, "statements");
    let orders = board.add(TriggerKind::Poll, format!("orders {SCRIPT}"));
    orders.failed(at("2026-01-01T02:30:00Z"), &format!("the shop is down {SCRIPT}"));
    Server::start_told(move |admin| admin.triggers(board)).await
}

#[tokio::test]
async fn what_fails_comes_first_and_says_why() {
    let server = site().await;
    let page = server.browse("/triggers").await;
    assert_eq!(page.status, 200);
    let place = |text: &str| page.text.find(text).unwrap_or_else(|| panic!("{text} is not in {}", page.text));
    assert!(place("the shop is down") < place("nightly report"));
    assert!(place("nightly report") < place("statements"));
    assert!(page.text.contains("3 started, 1 skipped") && page.text.contains("2199-01-02 02:30:00 UTC"));
    assert!(!page.text.contains(SCRIPT), "names and errors are escaped");
    check_nesting(&page.text);
}

#[tokio::test]
async fn the_same_is_there_as_data_and_from_every_page() {
    let server = site().await;
    let list: Value = serde_json::from_str(&server.browse("/api/triggers").await.text).unwrap();
    let names: Vec<&str> =
        list["triggers"].as_array().unwrap().iter().map(|t| t["kind"].as_str().unwrap()).collect();
    assert_eq!(names, ["poll", "schedule", "inbox"]);
    assert_eq!(list["triggers"][0]["failures_in_a_row"], 1);
    assert!(server.browse("/").await.text.contains("href=\"/triggers\""));
}

#[tokio::test]
async fn what_fails_again_and_again_is_told_above_the_runs_until_it_does_well() {
    let board = TriggerBoard::default();
    let line = board.add(TriggerKind::Poll, format!("orders {SCRIPT}"));
    let shown = board.clone();
    let server = Server::start_told(move |admin| admin.triggers(shown)).await;
    let fail = |line: &TriggerLine| line.failed(Timestamp::UNIX_EPOCH, &"the shop is down");
    fail(&line);
    fail(&line);
    assert!(!server.browse("/").await.text.contains("Needs a person"), "twice is nothing yet");
    fail(&line);
    let page = server.browse("/").await.text;
    assert!(page.contains("Needs a person: a trigger") && page.contains("3 failures in a row"), "{page}");
    assert!(!page.contains(SCRIPT) && page.contains("<a href=\"/triggers\">What they say"), "{page}");
    check_nesting(&page);

    for number in 0..4 {
        board.add(TriggerKind::Inbox, format!("inbox {number}")).stopped(Timestamp::UNIX_EPOCH, &"no folder");
    }
    let page = server.browse("/").await.text;
    assert!(page.contains("it has stopped") && page.contains("2 more, and what they say"), "{page}");

    line.well();
    let page = server.browse("/").await.text;
    assert!(!page.contains("failures in a row") && page.contains("1 more"), "{page}");
    assert!(!server.browse("/connections").await.text.contains("Needs a person"), "no Api");
}

#[tokio::test]
async fn an_app_without_triggers_says_what_would_be_here() {
    let server = Server::start_told(|admin| admin).await;
    let page = server.browse("/triggers").await;
    assert!(page.text.contains("Nothing starts runs by itself"), "{}", page.text);
}
