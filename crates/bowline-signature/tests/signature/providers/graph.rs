//! Microsoft Graph: the notifications of its documentation.

use bowline_signature::{Error, Graph, Request, Scheme, SigningSecret};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::{
    at,
    gauntlet::{JSON, Runner, run_where},
    secret,
};

const STATES: [&str; 3] = ["secretClientValue", "another one", "a third one"];
/// From <https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks>, shortened.
const BODY: &[u8] = br##"{"value":[{"id":"lsgTZMr9KwAAA","subscriptionId":"7f105c7d-2dc5-4530-97cd-4e7ae6534c07","changeType":"created","resource":"users/1/messages/2","resourceData":{"@odata.type":"#Microsoft.Graph.Message"}}]}"##;

fn make(states: &[&str]) -> Graph {
    let first = Graph::new(secret(states[0])).unwrap();
    states[1..].iter().fold(first, |graph, state| graph.also_accept(secret(state)).unwrap())
}

/// Nothing is signed: what has to be there is the state, in every item.
fn states(body: &[u8]) -> Option<Vec<Value>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    Some(body["value"].as_array()?.iter().map(|item| item["clientState"].clone()).collect())
}

#[test]
fn withstands_all_but_what_is_not_signed() {
    let runner = Runner {
        make: |states| Box::new(make(states)),
        secrets: STATES,
        content_type: JSON,
        body: BODY,
        signed_headers: &[],
        past: None,
        future: None,
        signs_url: false,
    };
    run_where(&runner, |genuine, tampered| states(genuine) == states(tampered));
}

fn judge(body: &str) -> Result<(), Error> {
    make(&STATES[..2]).verify(&Request::post(&HeaderMap::new(), body.as_bytes()), at(0))
}

#[test]
fn every_item_says_the_state() {
    let [known, other, stranger] = STATES.map(|state| json!({"clientState": state, "changeType": "created"}));
    assert_eq!(judge(&json!({"value": [known, other, known]}).to_string()), Ok(()));
    let mismatch = Err(Error::Mismatch { secrets: 2 });
    assert_eq!(judge(&json!({"value": [known, stranger]}).to_string()), mismatch);
    assert_eq!(judge(&json!({"value": [stranger, known]}).to_string()), mismatch);
    for body in [
        json!({"value": [known, {"changeType": "created"}]}),
        json!({"value": [{"clientState": null}]}),
        json!({"value": [{"clientState": ["secretClientValue"]}]}),
        json!({"value": [["secretClientValue"]]}),
        json!({"value": []}),
        json!([{"value": [known]}]),
        json!({}),
    ] {
        assert!(matches!(judge(&body.to_string()), Err(Error::BodyMalformed { .. })), "{body}");
    }
    let twice = r#"{"value":[{"clientState":"a guess","clientState":"secretClientValue"}]}"#;
    assert!(matches!(judge(twice), Err(Error::BodyMalformed { .. })));
}

#[test]
fn a_state_is_one_that_microsoft_graph_takes() {
    assert!(Graph::new(secret("ä".repeat(128))).is_ok());
    for bad in [SigningSecret::new("a".repeat(129)), SigningSecret::new(b"\xff")] {
        assert!(Graph::new(bad.unwrap()).is_err());
    }
}
