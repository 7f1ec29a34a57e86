//! The page of triggers, and the same as data: what fails comes first, and says why.

use bowline_ingress::{TriggerBoard, TriggerKind};
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
    board.add(TriggerKind::Poll, format!("orders {SCRIPT}")).failed(&format!("the shop is down {SCRIPT}"));
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
async fn an_app_without_triggers_says_what_would_be_here() {
    let server = Server::start_told(|admin| admin).await;
    let page = server.browse("/triggers").await;
    assert!(page.text.contains("Nothing starts runs by itself"), "{}", page.text);
}
