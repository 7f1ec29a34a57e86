//! Xero: several events a request, empty answers, intent to receive.

use std::sync::Arc;

use bowline_ingress::{Named, Provider, providers::Xero};

use crate::visit::{Visit, enters_once_and_only_if_genuine, open, rotated};

fn make(secrets: &[&str]) -> Arc<dyn Provider> {
    Arc::new(rotated(secrets, Xero::new, Xero::also_accept))
}

const UPDATED: Named<'_> = Named { id: "", kind: "CONTACT.UPDATE" };

fn item(resource: &str, category: &str, kind: &str) -> String {
    format!(
        r#"{{"resourceUrl":"https://api.xero.com/api.xro/2.0/Contacts/{resource}","resourceId":"{resource}","eventDateUtc":"2026-06-21T01:15:39.902","eventType":"{kind}","eventCategory":"{category}","tenantId":"t-1","tenantType":"ORGANISATION"}}"#
    )
}

fn body(items: &[String]) -> String {
    format!(
        r#"{{"events":[{}],"lastEventSequence":1,"firstEventSequence":1,"entropy":"S0m3r4Nd0mt3xt"}}"#,
        items.join(",")
    )
}

#[tokio::test]
async fn it_enters_once_and_only_if_genuine() {
    let body = body(&[item("c-1", "CONTACT", "UPDATE")]);
    let stored = enters_once_and_only_if_genuine(make, ["s3cret-1", "s3cret-2"], UPDATED, &body).await;
    assert_eq!(stored.dedupe_key, "t-1|c-1|CONTACT|UPDATE|2026-06-21T01:15:39.902");
    assert_eq!(stored.input().unwrap()["resourceId"], "c-1");
}

#[tokio::test]
async fn each_item_is_an_event_and_what_came_in_another_batch_is_known() {
    let site = open(make(&["one"]), "*").await;
    let items = [
        item("c-1", "CONTACT", "UPDATE"),
        item("i-1", "INVOICE", "CREATE"),
        item("c-1", "CONTACT", "CREATE"),
    ];
    let visit = |items: &[String]| Visit::of(&*make(&["one"]), &UPDATED, body(items));
    assert_eq!(site.became(&visit(&items[..2])).await, "accepted");
    assert_eq!(site.became(&visit(&items)).await, "accepted");
    assert_eq!(site.became(&visit(&items[1..])).await, "duplicate");
    assert_eq!(site.runs().await.len(), 3);
    let mut kinds = vec![];
    for id in 1..=3 {
        kinds.push(site.stored(id).await.kind);
    }
    assert_eq!(kinds, ["CONTACT.UPDATE", "INVOICE.CREATE", "CONTACT.CREATE"]);
}

/// Bodies without events, signed rightly and wrongly; nothing but the status tells them apart.
#[tokio::test]
async fn intent_to_receive_is_answered_with_statuses_and_nothing_else() {
    let site = open(make(&["one"]), "*").await;
    let good = Visit::of(&*make(&["one"]), &UPDATED, body(&[]));
    let bad = good.clone().with("x-xero-signature", "YmFkIHNpZ25hdHVyZSwgMzIgYnl0ZXMgbG9uZyBhcyBpcyE=");
    let missing = good.clone().without("x-xero-signature");
    for (visit, status) in [(&good, 200), (&bad, 401), (&good, 200), (&missing, 401)] {
        let reply = site.visited(visit).await;
        assert_eq!((reply.status, reply.body.as_str()), (status, ""));
        assert_eq!(reply.header("content-length"), Some("0"));
        assert!(reply.header("set-cookie").is_none() && reply.header("content-type").is_none(), "{reply:?}");
    }
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn a_receipt_has_no_body() {
    let site = open(make(&["one"]), "*").await;
    let visit = Visit::of(&*make(&["one"]), &UPDATED, body(&[item("c-1", "CONTACT", "UPDATE")]));
    let reply = site.visited(&visit).await;
    assert_eq!((reply.status, reply.body.as_str(), reply.header("bowline-run")), (200, "", Some("1")));
}
