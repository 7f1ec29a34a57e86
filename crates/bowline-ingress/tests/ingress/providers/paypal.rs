//! PayPal: its certificate is fetched once, and from nowhere else.

use std::sync::Arc;

use bowline_ingress::{Named, Provider, providers::PayPal};
use bowline_model::Secret;
use bowline_signature::{Scheme, Unsigned};
use jiff::Timestamp;
use serde_json::json;

use super::certificates::{Web, certificate, open};
use crate::visit::Visit;

const URL: &str = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-a5cafa77";
const NAME: &str = "messageverificationcerts.paypal.com";
const ID: &str = "9XL90610J3647323C";
const PAID: Named<'_> = Named { id: "WH-1", kind: "PAYMENT.CAPTURE.COMPLETED" };

fn provider() -> Arc<dyn Provider> {
    Arc::new(PayPal::new(&Secret::new(ID)).unwrap())
}

fn body(id: &str) -> String {
    json!({"id": id, "event_type": PAID.kind, "resource": {"id": "7", "amount": {"value": "10.00"}}})
        .to_string()
}

/// As PayPal sends it, with the certificate at that address.
fn visit(webhook_id: &str, url: &str, body: &str) -> Visit {
    let (key, _) = certificate(NAME, 2040, url);
    let paypal = bowline_signature::PayPal::new(webhook_id).unwrap().signing_with(key);
    let signed = paypal.sign(&Unsigned::json("d938e770", body.as_bytes()), Timestamp::UNIX_EPOCH).unwrap();
    let mut headers: Vec<_> = signed
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.push(("content-type".into(), "application/json".into()));
    Visit { headers, body: signed.body }
}

#[tokio::test]
async fn an_event_starts_its_workflow_once_and_the_certificate_is_fetched_once() {
    let web = Web::of(URL, &certificate(NAME, 2040, URL).1);
    let site = open(provider(), Arc::clone(&web)).await;
    assert_eq!(site.became(&visit(ID, URL, &body("WH-1"))).await, "accepted");
    assert_eq!(site.became(&visit(ID, URL, &body("WH-1"))).await, "duplicate");
    assert_eq!(site.became(&visit(ID, URL, &body("WH-2"))).await, "accepted");
    assert_eq!(web.asked(), [URL]);
    let stored = site.stored(1).await;
    assert_eq!((stored.kind.as_str(), stored.input().unwrap()["id"].clone()), (PAID.kind, json!("7")));
    assert!(stored.headers.iter().all(|(name, _)| !name.starts_with("paypal-")));
}

#[tokio::test]
async fn forged_addresses_are_never_asked_for() {
    let web = Web::of(URL, &certificate(NAME, 2040, URL).1);
    let site = open(provider(), Arc::clone(&web)).await;
    for url in [
        "https://evil.example/v1/notifications/certs/CERT-1",
        "http://api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1",
    ] {
        assert_eq!(site.visited(&visit(ID, url, &body("WH-1"))).await.status, 401, "{url}");
    }
    assert_eq!(web.asked(), Vec::<String>::new());
    // Another webhook's, and a body that was changed.
    let forged = Visit { body: body("WH-9").into(), ..visit(ID, URL, &body("WH-1")) };
    for refused in [visit("8PT597110X687430L", URL, &body("WH-1")), forged] {
        assert_eq!(site.visited(&refused).await.status, 401);
    }
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn a_certificate_that_is_not_paypals_is_not_taken() {
    for (name, until) in [("evil.example", 2040), (NAME, 2021)] {
        let site = open(provider(), Web::of(URL, &certificate(name, until, URL).1)).await;
        let reply = site.visited(&visit(ID, URL, &body("WH-1"))).await;
        assert!(reply.status >= 400, "{reply:?}");
        assert!(site.stored_nothing().await);
    }
    let site = open(provider(), Arc::default()).await;
    assert!(site.visited(&visit(ID, URL, &body("WH-1"))).await.status >= 500, "to be sent again");
}
