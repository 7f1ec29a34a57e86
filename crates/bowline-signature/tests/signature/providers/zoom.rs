//! Zoom's scheme: `@zoom/rivet`.

use bowline_signature::{Error, Request, Scheme, Unsigned, Zoom, zoom};
use http::HeaderMap;
use serde_json::json;

use crate::{
    at,
    gauntlet::{self, Runner},
    judges::Judge,
    sdk::{self, Sdk},
    secret, with_secrets,
};

const SDK: &Sdk = &Sdk {
    judge: Judge::Node("@zoom/rivet"),
    name: "zoom",
    make: |text| Box::new(Zoom::new(secret(text))),
    secrets: ["a secret token", "another"],
    content_type: sdk::JSON_TYPE,
    // The library signs the JSON as it writes it anew: these are written as it does.
    bodies: &[r#"{"event":"meeting.started","payload":{"object":{"topic":"Zoë"}},"event_ts":1626230691572}"#],
    tampered_body: r#"{"event":"meeting.ended","payload":{}}"#,
    past: None,
    future: None,
    signs_url: false,
};

const VALIDATION: &str = r#"{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1654503849680,"event":"endpoint.url_validation"}"#;

#[test]
fn withstands_the_gauntlet() {
    gauntlet::run(&Runner {
        make: |secrets| Box::new(with_secrets(secrets, Zoom::new, Zoom::also_accept)),
        secrets: ["one", "two", "three"],
        content_type: gauntlet::JSON,
        body: gauntlet::BODY,
        signed_headers: &["x-zm-signature", "x-zm-request-timestamp"],
        past: None,
        future: None,
        signs_url: false,
    });
}

#[test]
fn agrees_with_zooms_own_library_and_answers_a_validation_as_it_does() {
    let said = sdk::agree!(
        "providers::zoom::agrees_with_zooms_own_library_and_answers_a_validation_as_it_does",
        SDK,
        |now| vec![SDK.row("validation", VALIDATION, now, now)]
    );
    let token = "qgg8vlvZRS6UYooatFL8Aw";
    let ours =
        json!({"plainToken": token, "encryptedToken": Zoom::new(secret(SDK.secrets[0])).validate(token)});
    assert_eq!(said.last().unwrap().answer, ours);
}

#[test]
fn a_timestamp_is_a_number_so_that_nobody_moves_the_colon_behind_it() {
    let zoom = Zoom::new(secret("token"));
    let signed = zoom.sign(&Unsigned::json("", b"1:{}"), at(17)).unwrap();
    let mut headers: HeaderMap = signed.headers.into_iter().collect();
    assert_eq!(zoom.verify(&Request::post(&headers, b"1:{}"), at(17)), Ok(()));
    for strange in ["17:1", "", "-17", "1.7", "171717171717171717171"] {
        headers.insert(zoom::TIMESTAMP_HEADER, strange.parse().unwrap());
        let refused = zoom.verify(&Request::post(&headers, b"{}"), at(17)).unwrap_err();
        assert!(matches!(refused, Error::HeaderMalformed { .. }), "{strange}: {refused}");
    }
}
