//! Slack's scheme: the vector of its documentation, and `slack_sdk`.

use bowline_signature::{Error, Request, Scheme, Slack, slack};
use http::HeaderMap;

use crate::{
    at,
    gauntlet::{self, Runner},
    judges::Judge,
    sdk::{self, Sdk},
    secret, with_secrets,
};

const SDK: &Sdk = &Sdk {
    judge: Judge::Python("slack_sdk"),
    name: "slack",
    make: |text| Box::new(Slack::new(secret(text))),
    secrets: ["8f742231b10e8888abcd99yyyzzz85a5", "another signing secret"],
    content_type: sdk::JSON_TYPE,
    bodies: sdk::JSON_BODIES,
    tampered_body: sdk::TAMPERED_JSON,
    past: Some(slack::TOLERANCE),
    future: Some(slack::TOLERANCE),
    signs_url: false,
};

#[test]
fn withstands_the_gauntlet() {
    gauntlet::run(&Runner {
        make: |secrets| Box::new(with_secrets(secrets, Slack::new, Slack::also_accept)),
        secrets: ["one", "two", "three"],
        content_type: gauntlet::JSON,
        body: gauntlet::BODY,
        signed_headers: &["x-slack-signature", "x-slack-request-timestamp"],
        past: Some(slack::TOLERANCE),
        future: Some(slack::TOLERANCE),
        signs_url: false,
    });
}

#[test]
fn agrees_with_slacks_own_library() {
    sdk::agree!("providers::slack::agrees_with_slacks_own_library", SDK);
}

/// <https://docs.slack.dev/authentication/verifying-requests-from-slack/>, also in `slack_sdk`'s tests (MIT).
#[test]
fn accepts_the_published_vector() {
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&\
                channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&\
                response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F\
                96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    let slack = Slack::new(secret("8f742231b10e8888abcd99yyyzzz85a5"));
    let mut headers = HeaderMap::new();
    headers.insert(slack::HEADER, signature.parse().unwrap());
    headers.insert(slack::TIMESTAMP_HEADER, "1531420618".parse().unwrap());
    let request = Request::post(&headers, body.as_bytes());
    assert_eq!(slack.verify(&request, at(1_531_420_618)), Ok(()));
    let changed = body.replace("T1DC2JH3J", "T1DC2JH3K");
    let tampered = Request { body: changed.as_bytes(), ..request };
    assert_eq!(slack.verify(&tampered, at(1_531_420_618)), Err(Error::Mismatch { secrets: 1 }));
}
