//! Twilio: forms, an answer in TwiML, and its token for what it sends again.

use std::sync::Arc;

use bowline_ingress::{Named, Provider, providers::Twilio};
use serde_json::json;

use crate::visit::{Visit, enters_once_and_only_if_genuine, open, rotated};

fn make(secrets: &[&str]) -> Arc<dyn Provider> {
    Arc::new(rotated(secrets, Twilio::new, Twilio::also_accept))
}

const RECEIVED: Named<'_> = Named { id: "d1f2c3b4-idempotency", kind: "message.received" };
const FIELDS: &str =
    r#"{"MessageSid":"SM1","SmsStatus":"received","From":"+15550100","Body":"Hello & good-bye, Zoë"}"#;
const TOKEN: &str = "i-twilio-idempotency-token";

#[tokio::test]
async fn a_message_enters_once_and_a_workflow_receives_its_fields() {
    let stored = enters_once_and_only_if_genuine(make, ["first-key", "second-key"], RECEIVED, FIELDS).await;
    assert_eq!(stored.dedupe_key, RECEIVED.id);
    assert_eq!(stored.input().unwrap(), serde_json::from_str::<serde_json::Value>(FIELDS).unwrap());
}

#[tokio::test]
async fn the_answer_is_empty_twiml() {
    let site = open(make(&["one"]), "*").await;
    let visit = Visit::of(&*make(&["one"]), &RECEIVED, FIELDS);
    for _ in 0..2 {
        let reply = site.visited(&visit).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/xml; charset=utf-8")));
        assert_eq!(reply.body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response/>");
    }
}

#[tokio::test]
async fn the_type_is_what_happened_to_which_kind_of_thing() {
    let site = open(make(&["one"]), "*").await;
    for (number, (fields, kind)) in [
        (json!({"CallSid": "CA1", "CallStatus": "ringing"}), "call.ringing"),
        (
            json!({"MessageSid": "SM1", "MessageStatus": "delivered", "SmsStatus": "sent"}),
            "message.delivered",
        ),
        (json!({"MessageSid": "SM1", "SmsStatus": "received"}), "message.received"),
        (json!({"RecordingSid": "RE1"}), "callback"),
        (json!({"CallSid": "CA1"}), "callback"),
    ]
    .into_iter()
    .enumerate()
    {
        let event = Named { id: &number.to_string(), kind };
        let visit = Visit::of(&*make(&["one"]), &event, fields.to_string());
        assert_eq!(site.became(&visit).await, "accepted");
        assert_eq!(site.stored(i64::try_from(number).unwrap() + 1).await.kind, kind);
    }
}

#[tokio::test]
async fn without_its_token_a_request_is_never_taken_for_another() {
    let site = open(make(&["one"]), "*").await;
    let visit = Visit::of(&*make(&["one"]), &RECEIVED, FIELDS);
    assert_eq!(site.became(&visit.clone().without(TOKEN)).await, "accepted");
    assert_eq!(site.became(&visit.without(TOKEN)).await, "accepted");
    assert_eq!(site.runs().await.len(), 2);
}

/// The proxy before this server speaks with it under another name; what Twilio signed is the public one.
#[tokio::test]
async fn a_form_sent_to_another_query_is_refused() {
    let site = open(make(&["one"]), "*").await;
    let visit = Visit::of(&*make(&["one"]), &RECEIVED, FIELDS);
    let path = format!("{}?x=1", crate::visit::PATH);
    let reply = crate::wire::post(site.at, &path, &crate::site::pairs(&visit.headers), &visit.body).await;
    assert_eq!(reply.status, 401, "{reply:?}");
    assert!(site.stored_nothing().await);
}

/// `{"property": "value", "boolean": true}`, signed by its digest in the URL.
#[tokio::test]
async fn json_is_an_event_of_all_of_it() {
    use bowline_signature::{Scheme, SigningSecret, Unsigned};
    let site = open(make(&["one"]), "callback").await;
    let body = br#"{"property": "value", "boolean": true}"#;
    let digest = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
    let query = format!("?bodySHA256={digest}");
    let url = format!("{}{}{query}", crate::visit::PUBLIC_URL, crate::visit::PATH);
    let scheme = bowline_signature::Twilio::new(SigningSecret::new("one").unwrap());
    let signed = scheme.sign(&Unsigned::json("", body).to(&url), jiff::Timestamp::UNIX_EPOCH).unwrap();
    let signature = signed.headers[0].1.to_str().unwrap();
    let headers = [("content-type", "application/json"), ("x-twilio-signature", signature), (TOKEN, "t-1")];
    let path = format!("{}{query}", crate::visit::PATH);
    let reply = crate::wire::post(site.at, &path, &headers, body).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(site.stored(1).await.input().unwrap(), json!({"property": "value", "boolean": true}));
    let reply = crate::wire::post(site.at, &path, &headers, b"{}").await;
    assert_eq!(reply.status, 401, "{reply:?}");
}
