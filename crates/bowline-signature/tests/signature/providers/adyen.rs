//! Adyen: vectors of its libraries' own tests.

use bowline_signature::{Adyen, Error, Request, Scheme, Unsigned};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use crate::{
    at,
    gauntlet::{BODY, JSON, Runner, run, run_where},
    judges::{self, Judge},
    secret, skip,
};

/// From `src/__tests__/hmacValidator.spec.ts` of <https://github.com/Adyen/adyen-node-api-library> (MIT).
const KEY: &str = "DFB1EB5485895CFA84146406857104ABB4CBCABDC8AAF103A624C8F6A3EAAB00";
const SIGNATURE: &str = "xhpHvYq2u2Np0rstbZ6QjLGu7JWhvf7Iwaa6EviJSX0=";

pub(super) const KEYS: [&str; 3] = [
    KEY,
    "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056",
    "009E9E92268087AAD241638D3325201AFC8AAE6F3DCD369B6D32E87129FFAB10",
];
pub(super) const ITEM: &[u8] = br#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"additionalData":{"authCode":"1234"},"amount":{"currency":"EUR","value":1130},"eventCode":"AUTHORISATION","eventDate":"2021-10-01T02:51:29+02:00","merchantAccountCode":"TestMerchant","merchantReference":"order:7\\8","operations":["CANCEL"],"originalReference":"","paymentMethod":"visa","pspReference":"7914073381342284","success":"true"}}]}"#;

fn make(keys: &[&str]) -> Adyen {
    let first = Adyen::new(&secret(keys[0])).unwrap();
    keys[1..].iter().fold(first, |adyen, key| adyen.also_accept(&secret(key)).unwrap())
}

fn runner() -> Runner {
    Runner {
        make: |keys| Box::new(make(keys)),
        secrets: KEYS,
        content_type: JSON,
        body: BODY,
        signed_headers: &["hmacsignature"],
        past: None,
        future: None,
        signs_url: false,
    }
}

/// All that is signed of a body's items, and the signatures. What is absent counts as empty.
fn signed(body: &[u8]) -> Option<Vec<Value>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let items = body["notificationItems"].as_array()?;
    Some(
        items
            .iter()
            .map(|item| {
                let item = &item["NotificationRequestItem"];
                let fields = [
                    "pspReference",
                    "originalReference",
                    "merchantAccountCode",
                    "merchantReference",
                    "eventCode",
                    "success",
                ];
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let amount = json!([item["amount"]["value"], item["amount"]["currency"]]);
                json!([
                    fields.map(|name| text(&item[name])),
                    amount,
                    text(&item["additionalData"]["hmacSignature"])
                ])
            })
            .collect(),
    )
}

#[test]
fn withstands_all_in_the_header() {
    run(&runner());
}

#[test]
fn withstands_all_in_the_body() {
    run_where(&Runner { body: ITEM, signed_headers: &[], ..runner() }, |genuine, tampered| {
        signed(genuine) == signed(tampered)
    });
}

fn vector() -> Value {
    json!({"pspReference": "pspReference", "originalReference": "originalReference",
        "merchantAccountCode": "merchantAccount", "merchantReference": "reference",
        "amount": {"currency": "EUR", "value": 1000}, "eventCode": "CAPTURE", "success": "true",
        "additionalData": {"hmacSignature": SIGNATURE}})
}

fn judge(adyen: &Adyen, items: &[Value]) -> Result<(), Error> {
    let items: Vec<Value> = items.iter().map(|item| json!({"NotificationRequestItem": item})).collect();
    let body = json!({"live": "false", "notificationItems": items}).to_string();
    adyen.verify(&Request::post(&HeaderMap::new(), body.as_bytes()), at(0))
}

#[test]
fn accepts_and_signs_the_published_vector() {
    assert_eq!(judge(&make(&[KEY]), &[vector()]), Ok(()));
    let mut bare = vector();
    bare.as_object_mut().unwrap().remove("additionalData");
    let body = json!({"notificationItems": [{"NotificationRequestItem": bare}]}).to_string();
    let signed = make(&[KEY]).sign(&Unsigned::json("", body.as_bytes()), at(0)).unwrap();
    assert_eq!(super::adyen::signed(&signed.body).unwrap()[0][2], SIGNATURE);
}

#[test]
fn all_items_must_be_genuine_each_by_any_key() {
    let adyen = make(&[KEYS[1], KEY]);
    let sign = |item: &Value| {
        let body = json!({"notificationItems": [{"NotificationRequestItem": item}]}).to_string();
        let signed = make(&KEYS[1..2]).sign(&Unsigned::json("", body.as_bytes()), at(0)).unwrap();
        let signed: Value = serde_json::from_slice(&signed.body).unwrap();
        signed["notificationItems"][0]["NotificationRequestItem"].clone()
    };
    let mut other = vector();
    other["pspReference"] = "another".into();
    let newer = sign(&other);
    assert_eq!(judge(&adyen, &[vector(), newer.clone()]), Ok(()), "signed before and after the change");
    assert_eq!(judge(&adyen, &[vector(), other.clone()]), Err(Error::Mismatch { secrets: 2 }), "the second");
    assert_eq!(judge(&adyen, &[other, newer]), Err(Error::Mismatch { secrets: 2 }), "the first");
    assert!(judge(&adyen, &[]).is_err(), "none");
}

/// Adyen joins the fields without escaping: only in one place may there be more colons.
#[test]
fn a_colon_moves_no_value_from_field_to_field() {
    let adyen = make(&[KEY]);
    let changed = |changes: &[(&str, Value)]| {
        let mut item = vector();
        for (name, value) in changes {
            item[*name] = value.clone();
        }
        item
    };
    for forged in [
        changed(&[
            ("pspReference", "pspReference:originalReference".into()),
            ("originalReference", "merchantAccount".into()),
            ("merchantAccountCode", "reference".into()),
            ("merchantReference", "1000".into()),
            ("amount", json!({"value": "EUR", "currency": "CAPTURE"})),
            ("eventCode", "true".into()),
            ("success", Value::Null),
        ]),
        changed(&[
            ("merchantAccountCode", "merchantAccount:reference".into()),
            ("merchantReference", "1000".into()),
        ]),
        changed(&[("success", "yes".into())]),
    ] {
        let refused = judge(&adyen, &[forged]);
        assert!(matches!(refused, Err(Error::BodyMalformed { .. })), "{refused:?}");
    }
}

/// Whoever reads the one and whoever reads the other must not disagree.
#[test]
fn fields_that_come_twice_and_arrays_for_objects_are_refused() {
    let adyen = make(&[KEY]);
    let item = vector().to_string();
    let twice = item.replacen('{', r#"{"eventCode":"REFUND","#, 1);
    let array = r#"["pspReference","originalReference","merchantAccount","reference",{"value":1000,"currency":"EUR"},"CAPTURE","true"]"#;
    for item in [twice.as_str(), array, "null", "7"] {
        let body = format!(r#"{{"notificationItems":[{{"NotificationRequestItem":{item}}}]}}"#);
        let refused = adyen.verify(&Request::post(&HeaderMap::new(), body.as_bytes()), at(0));
        assert!(matches!(refused, Err(Error::BodyMalformed { .. })), "{item}: {refused:?}");
    }
    let deep = format!(r#"{{"notificationItems":[{}"#, "[".repeat(100_000));
    assert!(adyen.verify(&Request::post(&HeaderMap::new(), deep.as_bytes()), at(0)).is_err());
}

#[test]
fn a_signature_of_a_body_is_none_of_an_item() {
    // The text that is signed of an item, sent as a body of its own.
    let mut headers = HeaderMap::new();
    headers.insert("hmacsignature", HeaderValue::from_static(SIGNATURE));
    let text = b"pspReference:originalReference:merchantAccount:reference:1000:EUR:CAPTURE:true";
    // Genuine as far as the key goes, and no JSON.
    assert_eq!(make(&[KEY]).verify(&Request::post(&headers, text), at(0)), Ok(()));
    assert!(serde_json::from_slice::<Value>(text).is_err());
}

#[test]
fn a_key_is_hex() {
    for bad in ["", "0g", "abc", "whsec_00"] {
        let key = bowline_signature::SigningSecret::new(bad);
        assert!(key.is_err() || Adyen::new(&key.unwrap()).is_err(), "{bad}");
    }
}

#[test]
fn adyen_s_library_and_ours_agree() {
    let test = "adyen_s_library_and_ours_agree";
    let made: judges::Make = |secrets| Box::new(make(secrets));
    if let Err(missing) = judges::agree(&Judge::Python("Adyen"), "adyen", [KEYS[0], KEYS[1]], made) {
        skip!(test, missing);
    }
}
