//! HubSpot's scheme, version 3: vectors of its libraries' tests, and `hubspot-api-client`.

use bowline_signature::{HubSpot, Request, Scheme, Unsigned, hubspot};
use http::HeaderMap;

use crate::{
    at,
    gauntlet::{self, Runner},
    judges::Judge,
    sdk::{self, Sdk},
    secret, with_secrets,
};

const SDK: &Sdk = &Sdk {
    judge: Judge::Python("hubspot.utils.signature"),
    name: "hubspot",
    make: |text| Box::new(HubSpot::new(secret(text))),
    secrets: ["yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy", "zzzzzzzz-yyyy-yyyy-yyyy-yyyyyyyyyyyy"],
    content_type: sdk::JSON_TYPE,
    bodies: &[r#"[{"eventId":1,"attemptNumber":0,"propertyValue":"Zoë"}]"#, "[]", ""],
    tampered_body: "[{}]",
    past: Some(hubspot::TOLERANCE),
    future: None,
    signs_url: true,
};

#[test]
fn withstands_the_gauntlet() {
    gauntlet::run(&Runner {
        make: |secrets| Box::new(with_secrets(secrets, HubSpot::new, HubSpot::also_accept)),
        secrets: ["one", "two", "three"],
        content_type: gauntlet::JSON,
        body: gauntlet::BODY,
        signed_headers: &["x-hubspot-signature-v3", "x-hubspot-request-timestamp"],
        past: Some(hubspot::TOLERANCE),
        future: None,
        signs_url: true,
    });
}

#[test]
fn agrees_with_hubspots_own_library() {
    sdk::agree!("providers::hubspot::agrees_with_hubspots_own_library", SDK);
}

/// `tests/spec/utils/test_signature.py` of <https://github.com/HubSpot/hubspot-api-python> and
/// `spec/helpers/signature_spec.rb` of <https://github.com/HubSpot/hubspot-api-ruby> (Apache-2.0).
#[test]
fn accepts_the_published_vectors() {
    let (url, body) = ("https://www.example.com/webhook_uri", b"{'example_field':'example_value'}");
    for (timestamp, signature) in [
        ("1693657560000", "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y="),
        ("1700000300000", "RnbPH7+UMKVkbV32P8bz450N4M56aPmcru1+D3kSDtw="),
    ] {
        let hubspot = HubSpot::new(secret("yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"));
        let mut headers = HeaderMap::new();
        headers.insert(hubspot::HEADER, signature.parse().unwrap());
        headers.insert(hubspot::TIMESTAMP_HEADER, timestamp.parse().unwrap());
        let now = at(timestamp.parse::<i64>().unwrap() / 1000);
        assert_eq!(hubspot.verify(&Request::post(&headers, body).at(url), now), Ok(()));
        let elsewhere = Request::post(&headers, body).at("https://www.example.com/webhook_uri/");
        assert!(hubspot.verify(&elsewhere, now).is_err());
    }
}

/// The documentation says to decode escapes first, the libraries do not.
#[test]
fn a_url_with_escapes_is_genuine_as_it_is_and_as_the_documentation_reads_it() {
    let hubspot = HubSpot::new(secret("client secret"));
    let (escaped, decoded) = ("https://a.example/in?to=a%3Ab%2Fc%20d", "https://a.example/in?to=a:b/c%20d");
    let now = at(1_700_000_000);
    let signed = hubspot.sign(&Unsigned::json("", b"[]").to(escaped), now).unwrap();
    let by_hand = hubspot.sign(&Unsigned::json("", b"[]").to(decoded), now).unwrap();
    assert_eq!(signed, by_hand);
    let headers: HeaderMap = signed.headers.into_iter().collect();
    for url in [escaped, decoded] {
        assert_eq!(hubspot.verify(&Request::post(&headers, b"[]").at(url), now), Ok(()));
    }
    let other = "https://a.example/in?to=a%3Ab%2Fc d";
    assert!(hubspot.verify(&Request::post(&headers, b"[]").at(other), now).is_err());
    // As the libraries sign it.
    let mac = "ZMEjqHh6T7jm4CAq6eDazoVAO0jAtb8fCMqfZ6sxzzE=";
    let mut headers = headers;
    headers.insert(hubspot::HEADER, mac.parse().unwrap());
    assert_eq!(hubspot.verify(&Request::post(&headers, b"[]").at(escaped), now), Ok(()));
}
