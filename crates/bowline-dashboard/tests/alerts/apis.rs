//! What people are told of Apis: a real client, a real hook, and a clock that moves when told.

use std::{sync::Arc, time::Duration};

use bowline_client::{Api, Idempotency};
use bowline_dashboard::alerts::ApiAlerts;
use bowline_model::{RetryPolicy, Secret, Variables};
use bowline_testing::{Answer, MockSystem};
use serde_json::json;
use tokio::sync::oneshot;

use crate::site::{HOOK_SECRET, Site};

/// An Api whose key the remote does not take.
fn crm(remote: &MockSystem, alerts: &ApiAlerts) -> Api {
    let variables = Variables::new(|name| (name == "CRM_API_KEY").then(|| "k3y-of-crm".to_owned()));
    Api::with_variables("crm", variables)
        .base_url(&remote.url())
        .header_key_env("X-Api-Key", "CRM_API_KEY")
        .retry(RetryPolicy::never())
        .alerts(Arc::new(alerts.clone()))
}

#[tokio::test]
async fn a_key_that_fifty_calls_find_refused_is_told_once_and_again_after_an_hour() {
    let site = Site::new().await;
    let (alerts, remote) = (ApiAlerts::new(Arc::new(site.clock.clone())), MockSystem::start());
    remote.answer(Answer::json(401, json!({ "error": "no key of ada@example.com" })));
    let crm = crm(&remote, &alerts);
    let hook = Secret::new(format!("{}/services/{HOOK_SECRET}", site.chat.url()));
    let hook = Api::new("alerts").idempotency(Idempotency::None).retry(RetryPolicy::never()).secret_url(hook);
    let post = move |text: String| hook.post("").json(&json!({ "text": text }));
    let (stop, stopped) = oneshot::channel::<()>();
    let url = Some("https://ops.example.com".to_owned());
    let task = tokio::spawn(alerts.clone().run("payments".to_owned(), url, post, async move {
        let _ = stopped.await;
    }));
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
    tokio::time::timeout(Duration::from_secs(20), task).await.expect("it stops").unwrap();
}
