//! Credentials that are not taken: the call fails for good, names the variable, and people hear of it.

use std::sync::{Arc, Mutex};

use bowline_client::Api;
use bowline_model::{Alert, AlertKind, Alerts, Variables};
use serde_json::{Value, json};

use crate::remote::{LONG, Remote, answer, later, once, refused};

/// Where alerts arrive.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Alert>>>);

impl Alerts for Heard {
    fn raise(&self, alert: Alert) {
        self.0.lock().unwrap().push(alert);
    }
}

impl Heard {
    fn all(&self) -> Vec<(AlertKind, String)> {
        self.0.lock().unwrap().drain(..).map(|alert| (alert.kind, alert.message)).collect()
    }
}

fn keyed(remote: &Remote, heard: &Heard) -> Api {
    let variables = Variables::new(|name| (name == "CRM_API_KEY").then(|| "key-5522aa91".into()));
    Api::with_variables("crm", variables)
        .base_url(&remote.url())
        .bearer_env("CRM_API_KEY")
        .attempt_timeout(LONG)
        .alerts(Arc::new(heard.clone()))
}

#[tokio::test]
async fn a_key_that_is_not_taken_is_permanent_names_its_variable_and_is_told_each_time() {
    let heard = Heard::default();
    for (status, kind) in [(401, AlertKind::Unauthorized), (403, AlertKind::Forbidden)] {
        let body = json!({"code": "expired_key", "message": "jane@example.com has no access"});
        let crm = Remote::always(status, &[], body.to_string()).await;
        let call = keyed(&crm, &heard).get("/contacts");
        let failure = refused(once(call.clone()).await);
        assert!(!failure.retryable);
        assert_eq!(
            failure.message,
            format!(
                "GET crm /contacts answered {status} expired_key, saying \"jane@example.com has no access\": \
                 check the credential (CRM_API_KEY) and what it may do"
            )
        );
        // As a step does it, and as `.send()`: what the caller makes of the error changes nothing.
        let _ = call.send().await;
        let told = format!(
            "GET crm /contacts answered {status} expired_key: check the credential (CRM_API_KEY) and what it may do"
        );
        assert_eq!(heard.all(), [(kind, told.clone()), (kind, told)]);
        assert_eq!(crm.seen().len(), 2, "nothing is tried again");
    }
}

#[tokio::test]
async fn a_limit_that_is_a_403_is_no_matter_of_credentials() {
    let heard = Heard::default();
    let crm = Remote::always(403, &[("x-ratelimit-remaining", "0")], "{}").await;
    later(once(keyed(&crm, &heard).get("/")).await);
    let crm = Remote::always(404, &[], r#"{"code":"NOT_FOUND"}"#).await;
    refused(once(keyed(&crm, &heard).get("/")).await);
    assert_eq!(heard.all(), []);
}

#[tokio::test]
async fn graphql_says_it_in_a_200() {
    let heard = Heard::default();
    for (code, kind) in [("UNAUTHENTICATED", AlertKind::Unauthorized), ("FORBIDDEN", AlertKind::Forbidden)] {
        let body =
            json!({"data": null, "errors": [{"message": "no", "extensions": {"code": code}}]}).to_string();
        let crm = Remote::new(move |_, _| answer(200, body.clone())).await;
        let failure = refused(once(keyed(&crm, &heard).graphql("{ a }").decode::<Value>()).await);
        let hint = ": check the credential (CRM_API_KEY) and what it may do";
        assert!(failure.message.ends_with(hint), "{failure}");
        assert_eq!(heard.all(), [(kind, format!("POST crm / answered 200 {code}{hint}"))]);
    }
}
