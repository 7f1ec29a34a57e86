//! Adyen: items of the standard webhook, bodies of platforms.

use std::sync::Arc;

use bowline_ingress::{Named, Provider, providers::Adyen};
use serde_json::{Value, json};

use crate::visit::{Visit, open, rotated};

const KEYS: [&str; 2] = [
    "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056",
    "DFB1EB5485895CFA84146406857104ABB4CBCABDC8AAF103A624C8F6A3EAAB00",
];
const PAYMENT: Named<'_> = Named { id: "", kind: "AUTHORISATION" };

fn make(keys: &[&str]) -> Arc<dyn Provider> {
    Arc::new(rotated(keys, Adyen::new, Adyen::also_accept))
}

fn item(reference: &str, success: &str) -> Value {
    json!({"NotificationRequestItem": {"pspReference": reference, "merchantAccountCode": "TestMerchant",
        "merchantReference": "order 7", "amount": {"value": 1130, "currency": "EUR"},
        "eventCode": "AUTHORISATION", "success": success}})
}

fn visit(items: &[Value]) -> Visit {
    let body = json!({"live": "false", "notificationItems": items}).to_string();
    Visit::of(&*make(&KEYS[..1]), &PAYMENT, body)
}

#[tokio::test]
async fn each_item_is_an_event_that_starts_its_workflow_once() {
    let site = open(make(&[KEYS[1], KEYS[0]]), "AUTHORISATION").await;
    let reply = site.visited(&visit(&[item("psp-1", "true"), item("psp-2", "true")])).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "[accepted]"));
    assert_eq!(reply.header("bowline-status"), Some("accepted"));
    // The same in another batch, and the opposite of it.
    assert_eq!(site.became(&visit(&[item("psp-2", "true")])).await, "duplicate");
    assert_eq!(site.became(&visit(&[item("psp-2", "false")])).await, "accepted");
    assert_eq!(site.runs().await.len(), 3);
    let stored = site.stored(1).await;
    assert_eq!(stored.kind, "AUTHORISATION");
    assert_eq!(stored.input().unwrap()["pspReference"], "psp-1");
}

#[tokio::test]
async fn one_forged_item_keeps_the_whole_body_out() {
    let site = open(make(&KEYS[..1]), "*").await;
    let genuine = String::from_utf8(visit(&[item("psp-1", "true"), item("psp-2", "true")]).body).unwrap();
    let forged = Visit { body: genuine.replace("psp-2", "psp-3").into(), ..visit(&[]) };
    let other = Visit::of(
        &*make(&KEYS[1..]),
        &PAYMENT,
        json!({"notificationItems": [item("psp-1", "true")]}).to_string(),
    );
    for refused in [forged, other] {
        assert_eq!(site.visited(&refused).await.status, 401);
    }
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn a_platforms_body_enters_once_and_only_if_genuine() {
    let body = json!({"data": {"balancePlatform": "P"}, "environment": "test",
        "type": "balancePlatform.accountHolder.created"});
    let event = Named { id: "", kind: "balancePlatform.accountHolder.created" };
    let site = open(make(&[KEYS[1], KEYS[0]]), event.kind).await;
    let visit = Visit::of(&*make(&KEYS[..1]), &event, body.to_string());
    assert_eq!(site.became(&visit).await, "accepted");
    assert_eq!(site.became(&visit).await, "duplicate");
    assert_eq!(site.stored(1).await.input().unwrap(), body);
    let unsigned = visit.clone().without("hmacsignature");
    assert_eq!(site.visited(&unsigned).await.status, 401);
    assert_eq!(site.runs().await.len(), 1);
    assert!(site.stored(1).await.headers.iter().all(|(name, _)| name != "hmacsignature"));
}
