//! Amazon SNS: topics, confirmations, certificates; and every refusal one after which it sends again.

use std::sync::Arc;

use bowline_ingress::{Provider, providers::Sns};
use bowline_signature::{Scheme, Unsigned};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::certificates::{Web, certificate, open};
use crate::visit::Visit;

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:orders";
const OTHER_TOPIC: &str = "arn:aws:sns:us-east-1:999999999999:orders";
const URL: &str =
    "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem";
const SUBSCRIBE_URL: &str = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:us-east-1:123456789012:orders&Token=2336412f37";

fn provider() -> Arc<dyn Provider> {
    Arc::new(Sns::new([TOPIC]).unwrap())
}

fn web() -> Arc<Web> {
    let page = certificate("sns.amazonaws.com", 2040, URL).1;
    Arc::new(Web {
        pages: [
            (URL.to_owned(), page),
            (SUBSCRIBE_URL.to_owned(), "<ConfirmSubscriptionResponse/>".to_owned()),
        ]
        .into(),
        ..Web::default()
    })
}

fn message(kind: &str, topic: &str, id: &str) -> Value {
    let mut message = json!({"Type": kind, "MessageId": id, "TopicArn": topic, "Message": "{\"order\":7}",
        "Timestamp": "2012-05-02T00:54:06.655Z"});
    if kind != "Notification" {
        message["Token"] = "2336412f37".into();
        message["SubscribeURL"] = SUBSCRIBE_URL.into();
    }
    message
}

/// As SNS sends it: JSON that is called text.
fn visit(message: &Value) -> Visit {
    let (key, _) = certificate("sns.amazonaws.com", 2040, URL);
    let topic = message["TopicArn"].as_str().unwrap();
    let sns = bowline_signature::Sns::new([topic]).unwrap().signing_with(key);
    let signed =
        sns.sign(&Unsigned::json("", message.to_string().as_bytes()), Timestamp::UNIX_EPOCH).unwrap();
    let headers = [("content-type", "text/plain; charset=UTF-8"), ("x-amz-sns-message-type", "Notification")];
    Visit {
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        body: signed.body,
    }
}

#[tokio::test]
async fn a_message_starts_its_workflow_once_and_the_certificate_is_fetched_once() {
    let web = web();
    let site = open(provider(), Arc::clone(&web)).await;
    let one = message("Notification", TOPIC, "m-1");
    assert_eq!(site.became(&visit(&one)).await, "accepted");
    assert_eq!(site.became(&visit(&one)).await, "duplicate");
    assert_eq!(site.became(&visit(&message("UnsubscribeConfirmation", TOPIC, "m-2"))).await, "accepted");
    assert_eq!(web.asked(), [URL]);
    let kinds = (site.stored(1).await.kind, site.stored(2).await.kind);
    assert_eq!(kinds, ("Notification.orders".into(), "UnsubscribeConfirmation.orders".into()));
    assert_eq!(site.stored(1).await.input().unwrap()["Message"], "{\"order\":7}");
}

#[tokio::test]
async fn a_subscription_is_confirmed_once_it_is_known_to_be_genuine() {
    let web = web();
    let site = open(provider(), Arc::clone(&web)).await;
    let genuine = visit(&message("SubscriptionConfirmation", TOPIC, "m-1"));
    let forged = String::from_utf8(genuine.body.clone()).unwrap().replace("m-1", "m-2");
    assert!(site.visited(&Visit { body: forged.into(), ..genuine.clone() }).await.status >= 500);
    assert_eq!(web.asked(), [URL], "nothing is confirmed for a stranger");
    assert_eq!(site.visited(&genuine).await.status, 200);
    assert_eq!(web.asked(), [URL, SUBSCRIBE_URL]);
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn what_ends_or_confirms_a_subscription_is_not_kept() {
    let site = open(provider(), web()).await;
    let mut told = message("Notification", TOPIC, "m-1");
    told["UnsubscribeURL"] =
        "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=a:55c4".into();
    assert_eq!(site.became(&visit(&told)).await, "accepted");
    assert_eq!(site.became(&visit(&message("UnsubscribeConfirmation", TOPIC, "m-2"))).await, "accepted");
    for event in [1, 2] {
        let kept = String::from_utf8(site.stored(event).await.body.to_vec()).unwrap();
        for secret in ["2336412f37", "Action=", "Token", "SubscribeURL", "UnsubscribeURL"] {
            assert!(!kept.contains(secret), "{secret} is kept: {kept}");
        }
    }
}

#[tokio::test]
async fn every_refusal_is_one_after_which_sns_sends_again() {
    let web = web();
    let site = open(provider(), Arc::clone(&web)).await;
    let genuine = visit(&message("Notification", TOPIC, "m-1"));
    let text = String::from_utf8(genuine.body.clone()).unwrap();
    let body = |body: &str| Visit { body: body.into(), ..genuine.clone() };
    for refused in [
        visit(&message("Notification", OTHER_TOPIC, "m-1")),
        visit(&message("SubscriptionConfirmation", OTHER_TOPIC, "m-1")),
        body(&text.replace(URL, "https://evil.example/SimpleNotificationService-1.pem")),
        body(&text.replace("m-1", "m-2")),
        body("raw, as of a subscription with raw delivery"),
        body(""),
        genuine.clone().with("content-type", "application/xml"),
        body(&" ".repeat(2 * 1024 * 1024)),
    ] {
        let reply = site.visited(&refused).await;
        assert!(reply.status >= 500, "{reply:?}");
    }
    assert_eq!(web.asked(), [URL], "for the one whose message was changed only");
    assert!(site.stored_nothing().await);
    for code in 400..500 {
        let status = axum::http::StatusCode::from_u16(code).unwrap();
        assert!(provider().refuses_with(status).is_server_error());
    }
}
