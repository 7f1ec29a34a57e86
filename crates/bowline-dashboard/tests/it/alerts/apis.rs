//! What people are told of Apis and triggers: a real client, a real hook, and a clock that moves when told.

use std::sync::Arc;

use bowline_client::{Api, Idempotency};
use bowline_dashboard::alerts::ApiAlerts;
use bowline_ingress::{TriggerBoard, TriggerKind, trigger::TriggerLine};
use bowline_model::{Clock, RetryPolicy, Secret, Variables};
use bowline_testing::{Answer, MockSystem};
use serde_json::json;
use tokio::{sync::oneshot, task::JoinHandle};

use super::site::{HOOK_SECRET, PATIENCE, Site};

/// An Api whose key the remote does not take.
fn crm(remote: &MockSystem, alerts: &ApiAlerts) -> Api {
    let variables = Variables::new(|name| (name == "CRM_API_KEY").then(|| "k3y-of-crm".to_owned()));
    Api::with_variables("crm", variables)
        .base_url(&remote.url())
        .header_key_env("X-Api-Key", "CRM_API_KEY")
        .retry(RetryPolicy::never())
        .alerts(Arc::new(alerts.clone()))
}

/// Tells the site's chat of them until it is told to stop.
fn tell(site: &Site, alerts: &ApiAlerts) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let hook = Secret::new(format!("{}/services/{HOOK_SECRET}", site.chat.url()));
    let hook = Api::new("alerts").idempotency(Idempotency::None).retry(RetryPolicy::never()).secret_url(hook);
    let post = move |text: String| hook.post("").json(&json!({ "text": text }));
    let (stop, stopped) = oneshot::channel::<()>();
    let url = Some("https://ops.example.com".to_owned());
    let task = tokio::spawn(alerts.clone().run("payments".to_owned(), url, post, async move {
        let _ = stopped.await;
    }));
    (stop, task)
}

#[tokio::test]
async fn triggers_that_fail_again_and_again_are_told_in_one_message_and_only_while_they_do() {
    let site = Site::new().await;
    let alerts = ApiAlerts::new(Arc::new(site.clock.clone()));
    let board = TriggerBoard::telling(Arc::new(alerts.clone()));
    let (stop, task) = tell(&site, &alerts);
    let (orders, nightly) =
        (board.add(TriggerKind::Poll, "new orders"), board.add(TriggerKind::Schedule, "nightly"));
    let fail = |line: &TriggerLine| line.failed(site.clock.now(), &"GET shop /orders answered 500");
    fail(&orders);
    fail(&orders);
    fail(&orders);
    fail(&nightly);
    fail(&nightly);
    fail(&nightly);
    site.settle().await;
    site.jump(5);
    site.chat.wait_for(1).await;
    let text = site.texts().remove(0);
    assert!(text.starts_with("*payments*: 2 triggers need a person\n"), "{text}");
    for told in [
        "• `poll/new orders`: it fails again and again\n",
        "• `schedule/nightly`: it fails again and again\n",
        "    `3 failures in a row, the last: GET shop /orders answered 500`",
    ] {
        assert!(text.contains(told), "{told} in {text}");
    }
    assert!(text.ends_with("\nhttps://ops.example.com/triggers"), "{text}");

    fail(&orders);
    fail(&nightly);
    nightly.well();
    site.settle().await;
    site.jump(3500);
    site.settle().await;
    assert_eq!(site.texts().len(), 1, "people know");
    site.jump(100);
    site.chat.wait_for(2).await;
    let text = site.texts().remove(1);
    assert!(text.contains("4 failures in a row") && !text.contains("nightly"), "it does well: {text}");

    stop.send(()).unwrap();
    tokio::time::timeout(PATIENCE, task).await.expect("it stops").unwrap();
}

#[tokio::test]
async fn a_key_that_fifty_calls_find_refused_is_told_once_and_again_after_an_hour() {
    let site = Site::new().await;
    let (alerts, remote) = (ApiAlerts::new(Arc::new(site.clock.clone())), MockSystem::start());
    remote.answer(Answer::json(401, json!({ "error": "no key of ada@example.com" })));
    let crm = crm(&remote, &alerts);
    let (stop, task) = tell(&site, &alerts);
    for _ in 0..50 {
        crm.get("/contacts").query("q", "ada@example.com").send().await.unwrap_err();
    }
    site.settle().await;
    assert_eq!(site.texts(), [""; 0], "the first waits for its neighbours");
    site.jump(5);
    site.chat.wait_for(1).await;
    let text = site.texts().remove(0);
    assert!(
        text.starts_with("*payments*: an Api needs a person\n• `crm`: its credential is refused (401), 50"),
        "{text}"
    );
    assert!(
        text.contains("CRM_API_KEY") && text.ends_with("\nhttps://ops.example.com/connections"),
        "{text}"
    );
    for never in ["k3y-of-crm", "ada@example.com", HOOK_SECRET] {
        assert!(!text.contains(never), "{never} in {text}");
    }

    for _ in 0..20 {
        crm.get("/contacts").send().await.unwrap_err();
    }
    site.settle().await;
    site.jump(3500);
    crm.get("/contacts").send().await.unwrap_err();
    site.settle().await;
    assert_eq!(site.texts().len(), 1, "it goes on, and people know");
    site.jump(100);
    site.chat.wait_for(2).await;
    assert!(site.texts()[1].contains("(401), 71 times in 58 min"), "{}", site.texts()[1]);

    stop.send(()).unwrap();
    tokio::time::timeout(PATIENCE, task).await.expect("it stops").unwrap();
}
