//! Paddle's scheme: the vector of its library's tests, and `paddle-python-sdk`.

use bowline_signature::{Error, Paddle, Request, Scheme, Unsigned, paddle};
use http::HeaderMap;

use crate::{
    at,
    gauntlet::{self, Runner},
    judges::Judge,
    sdk::{self, Row, Sdk},
    secret, with_secrets,
};

const SDK: &Sdk = &Sdk {
    judge: Judge::Python("paddle_billing.Notifications"),
    name: "paddle",
    make: |text| Box::new(Paddle::new(secret(text))),
    secrets: ["pdl_ntfset_01hs0t3tw21j988db1pam5xg8m_GrOWLNef", "pdl_ntfset_another"],
    content_type: sdk::JSON_TYPE,
    bodies: sdk::JSON_BODIES,
    tampered_body: sdk::TAMPERED_JSON,
    past: Some(paddle::TOLERANCE),
    future: Some(paddle::TOLERANCE),
    signs_url: false,
};

#[test]
fn withstands_the_gauntlet() {
    gauntlet::run(&Runner {
        make: |secrets| Box::new(with_secrets(secrets, Paddle::new, Paddle::also_accept)),
        secrets: ["one", "two", "three"],
        content_type: gauntlet::JSON,
        body: gauntlet::BODY,
        signed_headers: &["paddle-signature"],
        past: Some(paddle::TOLERANCE),
        future: Some(paddle::TOLERANCE),
        signs_url: false,
    });
}

#[test]
fn agrees_with_paddles_own_library() {
    sdk::agree!("providers::paddle::agrees_with_paddles_own_library", SDK, |now| {
        let mut rows = vec![];
        for (name, accepted, of) in [
            ("two signatures, the second fits", true, "ts={ts};h1={other};h1={mac}"),
            ("two signatures, the first fits", true, "ts={ts};h1={mac};h1={other}"),
            ("two signatures, none fits", false, "ts={ts};h1={other};h1={other}"),
            ("no timestamp", false, "h1={mac}"),
            ("no signature", false, "ts={ts}"),
        ] {
            let mut row = SDK.row(name, SDK.bodies[0], now, now);
            let signed = row.headers[paddle::HEADER].to_str().unwrap().to_owned();
            let mac = signed.split_once("h1=").unwrap().1;
            let header = of.replace("{ts}", &now.as_second().to_string()).replace("{mac}", mac);
            row.headers.insert(paddle::HEADER, header.replace("{other}", &"0".repeat(64)).parse().unwrap());
            rows.push(Row { accepted, ..row });
        }
        rows
    });
}

/// `tests/Unit/Notification/test_Verifier.py` of <https://github.com/PaddleHQ/paddle-python-sdk> (Apache-2.0).
#[test]
fn accepts_the_published_vector() {
    let paddle = Paddle::new(secret("pdl_ntf_01hbpjmytsa32fhr36nqgc3kgb_TjIG2BXbm83HPXqNfziwe506sBEdqL/4"))
        .also_accept(secret("pdl_ntf_01hbpjmytsa32fhr36nqgc3kgb_WvRO0eL4Bj9rgYYIBZY6wZhG4EHy9jzh"));
    let mac = "d96299976a6eb066f484d7fde011ac56fc32b38fc9940bc419d6e537fdc6ef02";
    let header = format!("ts=1696195954;h1=dummy;h1={mac}");
    let judge = |header: &str| {
        let headers = HeaderMap::from_iter([("paddle-signature".parse().unwrap(), header.parse().unwrap())]);
        paddle.verify(&Request::post(&headers, b"hello-world"), at(1_696_195_954))
    };
    assert_eq!(judge(&header), Ok(()));
    assert_eq!(judge(&format!("h2=0; ts=1696195954 ;h1={mac};x")), Ok(()));
    assert_eq!(judge(&header.replace("954;", "955;")), Err(Error::Mismatch { secrets: 2 }));
}

#[test]
fn refuses_headers_that_paddle_does_not_send_and_says_why() {
    let paddle = Paddle::new(secret("pdl_ntfset"));
    let signed = paddle.sign(&Unsigned::json("", b"{}"), at(1)).unwrap();
    let mac = signed.headers[0].1.to_str().unwrap().split_once("h1=").unwrap().1.to_owned();
    for (header, problem) in [
        (format!("h1={mac}"), "has no timestamp"),
        ("ts=1".to_owned(), "has no h1 signature"),
        (format!("ts=1;h1={mac}0"), "has no h1 signature"),
        (format!("ts=1;ts=1;h1={mac}"), "more than one timestamp"),
        (format!("ts=+1;h1={mac}"), "not a number of seconds"),
        (format!("ts=1,h1={mac}"), "not a number of seconds"),
        (format!("ts=1{}", format!(";h1={mac}").repeat(17)), "more than 16 signatures"),
    ] {
        let headers = HeaderMap::from_iter([("paddle-signature".parse().unwrap(), header.parse().unwrap())]);
        let refused = paddle.verify(&Request::post(&headers, b"{}"), at(1)).unwrap_err().to_string();
        assert!(refused.contains(problem), "{header}: {refused}");
    }
}
