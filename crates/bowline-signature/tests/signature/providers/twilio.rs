//! Twilio's scheme: the vector of its library's tests, and `twilio`.

use base64::{Engine, engine::general_purpose::STANDARD};
use bowline_signature::{Error, Request, Scheme, Twilio, Unsigned, twilio};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use jiff::Timestamp;
use sha1::Sha1;
use sha2::Sha256;

use crate::{
    at,
    gauntlet::{self, Runner},
    judges::Judge,
    sdk::{self, Row, Sdk},
    secret, with_secrets,
};

const SDK: &Sdk = &Sdk {
    judge: Judge::Python("twilio.request_validator"),
    name: "twilio",
    make: |text| Box::new(Twilio::new(secret(text))),
    secrets: ["2ff3cc5b0e1d4b7a8c6e", "another auth token"],
    content_type: sdk::FORM,
    bodies: &[
        "MessageSid=SM1&From=%2B15550100&Body=Hello+there%21&To=",
        "Body=Zo%C3%AB+%F0%9F%AA%A2&Body=again&Body=again&a=1",
        "",
    ],
    tampered_body: "MessageSid=SM2&From=%2B15550100&Body=Hello+there%21&To=",
    past: None,
    future: None,
    signs_url: true,
};

const JSON_BODY: &str = r#"{"property": "value", "boolean": true}"#;
const JSON_DIGEST: &str = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";

#[test]
fn withstands_the_gauntlet() {
    gauntlet::run(&Runner {
        make: |secrets| Box::new(with_secrets(secrets, Twilio::new, Twilio::also_accept)),
        secrets: ["one", "two", "three"],
        content_type: sdk::FORM,
        body: b"MessageSid=SM1&From=%2B15550100&Body=Hi",
        signed_headers: &["x-twilio-signature"],
        past: None,
        future: None,
        signs_url: true,
    });
}

/// Forms, with the URL's port and without it; JSON by its digest; and shared keys.
#[test]
fn agrees_with_twilios_own_library() {
    sdk::agree!("providers::twilio::agrees_with_twilios_own_library", SDK, |now| {
        let form = |name: &str| SDK.row(name, SDK.bodies[0], now, now);
        let port = form("judged with the port").url.replace(".com/", ".com:443/");
        let other = form("").url.replace(".com/", ".com:8443/");
        let mut rows = vec![
            Row { url: port, ..form("judged with the port") },
            Row { url: other, ..form("judged with another port") },
            Row { accepted: false, url: form("").url.replace("https", "http"), ..form("another scheme") },
        ];
        for (name, digest, body, accepted) in [
            ("JSON", JSON_DIGEST, JSON_BODY, true),
            ("JSON, tampered", JSON_DIGEST, r#"{"property":"value","boolean":false}"#, false),
            ("JSON, no digest", "", JSON_BODY, false),
            ("JSON, a digest of other length", &JSON_DIGEST[2..], JSON_BODY, false),
        ] {
            let url = format!("https://a.example/json?x=1&bodySHA256={digest}&y=2");
            let headers = signed_by_hand(SDK.secrets[0], &url);
            let body = body.as_bytes().to_vec();
            rows.push(Row { url, headers, body, content_type: sdk::JSON_TYPE, accepted, ..form(name) });
        }
        rows.push(shared_key(now, "HMAC_SHA256", true));
        rows.push(shared_key(now, "HMAC_SHA512", false));
        rows
    });
}

/// What is signed with a shared key: as the library says it is.
fn shared_key(now: Timestamp, algorithm: &str, accepted: bool) -> Row {
    let row = SDK.row(algorithm, "a=1", now, now);
    let signature = STANDARD.encode(mac::<Hmac<Sha256>>(SDK.secrets[0], &format!("{}a1", row.url)));
    let settings = format!("key=webhooks_sharedkey_1, algorithm={algorithm}");
    let mut headers = HeaderMap::new();
    headers.insert(twilio::HEADER, signature.parse().unwrap());
    headers.insert(twilio::SETTINGS_HEADER, settings.parse().unwrap());
    Row { headers, accepted, ..row }
}

fn signed_by_hand(key: &str, content: &str) -> HeaderMap {
    let signature = STANDARD.encode(mac::<Hmac<Sha1>>(key, content));
    HeaderMap::from_iter([(twilio::HEADER.parse().unwrap(), signature.parse().unwrap())])
}

fn mac<M: Mac + KeyInit>(key: &str, content: &str) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(content.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// `tests/unit/test_request_validator.py` of <https://github.com/twilio/twilio-python> (MIT).
#[test]
fn accepts_the_published_vectors() {
    let twilio = Twilio::new(secret("12345"));
    let (url, form) = (
        "https://mycompany.com/myapp.php?foo=1&bar=2",
        "CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212&Caller=%2B14158675309",
    );
    let judge = |url: &str, signature: &str, content_type: &str, body: &[u8]| {
        let mut headers = HeaderMap::new();
        headers.insert(twilio::HEADER, signature.parse().unwrap());
        headers.insert("content-type", content_type.parse().unwrap());
        twilio.verify(&Request::post(&headers, body).at(url), at(0))
    };
    let of_form = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";
    for same in [url.to_owned(), url.replace(".com/", ".com:443/"), url.replace(".com/", ".com:1234/")] {
        assert_eq!(judge(&same, of_form, sdk::FORM, form.as_bytes()), Ok(()), "{same}");
    }
    assert!(judge(url, of_form, sdk::FORM, form.replace("1234&", "1235&").as_bytes()).is_err());
    let hashed = format!("{url}&bodySHA256={JSON_DIGEST}");
    let of_json = "a9nBmqA0ju/hNViExpshrM61xv4=";
    assert_eq!(judge(&hashed, of_json, sdk::JSON_TYPE, JSON_BODY.as_bytes()), Ok(()));
    assert!(judge(&hashed, of_json, sdk::JSON_TYPE, b"{}").is_err());
}

/// A body that was signed by its digest is not an empty form under the same signature.
#[test]
fn the_type_of_the_body_is_not_the_senders_to_choose() {
    let twilio = Twilio::new(secret("token"));
    let url = format!("https://a.example/in?bodySHA256={JSON_DIGEST}");
    let unsigned = Unsigned::json("", JSON_BODY.as_bytes()).to(&url);
    let mut headers: HeaderMap = twilio.sign(&unsigned, at(0)).unwrap().headers.into_iter().collect();
    headers.insert("content-type", sdk::FORM.parse().unwrap());
    assert_eq!(twilio.verify(&Request::post(&headers, JSON_BODY.as_bytes()).at(&url), at(0)), Ok(()));
    let emptied = twilio.verify(&Request::post(&headers, b"").at(&url), at(0)).unwrap_err();
    assert!(matches!(emptied, Error::BodyMalformed { .. }), "{emptied}");
    // And what was signed as a form is none of another type.
    let plain = "https://a.example/in";
    let unsigned = Unsigned { content_type: sdk::FORM, ..Unsigned::json("", b"") }.to(plain);
    let headers: HeaderMap = twilio.sign(&unsigned, at(0)).unwrap().headers.into_iter().collect();
    let refused = twilio.verify(&Request::post(&headers, b"{}").at(plain), at(0)).unwrap_err();
    assert!(matches!(refused, Error::BodyMalformed { .. }), "{refused}");
}
