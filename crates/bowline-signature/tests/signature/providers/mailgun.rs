//! Mailgun.

use std::time::Duration;

use bowline_signature::{Error, Mailgun, Request, Scheme, Unsigned};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::{
    at,
    gauntlet::{JSON, Runner, run_where},
    judges::{self, Judge, Sent},
    secret, skip,
};

pub(super) const KEYS: [&str; 3] = ["key-3ax6xnjp29jd6fds4gc373sgvjxteol0", "key-two", "key-three"];
const EVENT: &[u8] =
    br#"{"event-data":{"event":"opened","id":"DACSsAdVSeGpLid7TN03WA","recipient":"alice@example.com"}}"#;
const TOKEN: &str = "a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0";

fn make(keys: &[&str]) -> Mailgun {
    keys[1..].iter().map(secret).fold(Mailgun::new(secret(keys[0])), Mailgun::also_accept)
}

fn runner() -> Runner {
    Runner {
        make: |keys| Box::new(make(keys)),
        secrets: KEYS,
        content_type: JSON,
        body: EVENT,
        signed_headers: &[],
        past: None,
        future: None,
        signs_url: false,
    }
}

/// The block of the signature, which is all that is signed. Hex counts in either case.
fn signed(body: &[u8]) -> Option<Value> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let block = body["signature"].as_object()?;
    let lower = |name: &str| block.get(name).and_then(Value::as_str).map(str::to_ascii_lowercase);
    Some(json!([block.get("timestamp"), block.get("token"), lower("signature")]))
}

#[test]
fn withstands_all_but_what_is_not_signed() {
    run_where(&runner(), |genuine, tampered| signed(genuine) == signed(tampered));
}

#[test]
fn withstands_all_with_a_tolerance() {
    let tolerance = Some(Duration::from_hours(9));
    let make: fn(&[&str]) -> Box<dyn Scheme> = |keys| Box::new(make(keys).tolerance(Duration::from_hours(9)));
    run_where(&Runner { make, past: tolerance, future: tolerance, ..runner() }, |genuine, tampered| {
        signed(genuine) == signed(tampered)
    });
}

fn judge(body: &Value) -> Result<(), Error> {
    let body = body.to_string();
    make(&KEYS[..1]).verify(&Request::post(&HeaderMap::new(), body.as_bytes()), at(1_700_000_000))
}

fn sent() -> Value {
    let signed = make(&KEYS[..1]).sign(&Unsigned::json(TOKEN, EVENT), at(1_529_006_854)).unwrap();
    serde_json::from_slice(&signed.body).unwrap()
}

#[test]
fn the_id_is_the_token_and_a_number_may_be_the_timestamp() {
    let mut body = sent();
    assert_eq!(body["signature"]["token"], TOKEN);
    assert_eq!(judge(&body), Ok(()));
    body["signature"]["timestamp"] = 1_529_006_854.into();
    assert_eq!(judge(&body), Ok(()));
}

/// Nothing stands between timestamp and token: without a fixed length, the same signature would fit many tokens, and a
/// receiver that remembers tokens would take each for a new event.
#[test]
fn digits_do_not_move_from_the_timestamp_into_the_token() {
    for (timestamp, token) in [("152900685", format!("4{TOKEN}")), ("1529006854a", TOKEN[1..].to_owned())] {
        let mut body = sent();
        body["signature"]["timestamp"] = timestamp.into();
        body["signature"]["token"] = token.into();
        let refused = judge(&body);
        assert!(matches!(refused, Err(Error::BodyMalformed { .. })), "{refused:?}");
    }
    // What they stand for is the same text.
    assert_eq!(format!("152900685{}", format_args!("4{TOKEN}")), format!("1529006854{TOKEN}"));
}

/// Of a subaccount's event: <https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks>.
#[test]
fn the_key_of_the_primary_account_is_enough() {
    let mut body = sent();
    let ours = body["signature"]["signature"].take();
    body["signature"]["signature"] = "0".repeat(64).into();
    assert_eq!(judge(&body), Err(Error::Mismatch { secrets: 1 }));
    body["signature"]["parent-signature"] = ours;
    assert_eq!(judge(&body), Ok(()));
}

#[test]
fn bodies_of_another_form_are_refused() {
    for body in
        [json!([]), json!({}), json!({"signature": []}), json!({"signature": {"token": TOKEN}}), json!(null)]
    {
        assert!(matches!(judge(&body), Err(Error::BodyMalformed { .. })), "{body}");
    }
    let twice =
        sent().to_string().replacen(r#""signature":{"#, &format!(r#""signature":{{"token":"{TOKEN}","#), 1);
    let refused = make(&KEYS[..1]).verify(&Request::post(&HeaderMap::new(), twice.as_bytes()), at(0));
    assert!(matches!(refused, Err(Error::BodyMalformed { .. })), "{refused:?}");
}

#[test]
fn python_after_mailgun_s_documentation_and_ours_agree() {
    let test = "python_after_mailgun_s_documentation_and_ours_agree";
    let by_keys: judges::Make = |keys| Box::new(make(keys));
    let event = std::str::from_utf8(EVENT).unwrap();
    let sent = [Sent { body: event, changed: (r#""timestamp":"1"#, r#""timestamp":"2"#) }];
    let judge = Judge::Python("hmac");
    if let Err(missing) = judges::agree_on(&judge, "mailgun", [KEYS[0], KEYS[1]], by_keys, &sent) {
        skip!(test, missing);
    }
}
