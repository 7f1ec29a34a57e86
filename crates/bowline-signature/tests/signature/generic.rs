//! HMACs of any form: the RFCs' vectors, Slack's published example, every detail, and arbitrary headers.

use std::time::Duration;

use bowline_signature::{Error, Hmac};
use jiff::Timestamp;
use proptest::prelude::*;

use crate::{at, lookup, secret};

const NOW: i64 = 1_700_000_000;
const HEADER: &str = "x-signature";

/// HMAC-SHA256, -SHA512 (RFC 4231 §4) and -SHA1 (RFC 2202 §3) of the same inputs, in hex. Case 5 is truncated in the
/// one, and another in the other.
fn vectors() -> Vec<(Vec<u8>, Vec<u8>, [&'static str; 3])> {
    vec![
        (
            vec![0x0b; 20],
            b"Hi There".to_vec(),
            [
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
                "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4\
                 be9d914eeb61f1702e696c203a126854",
                "b617318655057264e28bc0b6fb378c8ef146be00",
            ],
        ),
        (
            b"Jefe".to_vec(),
            b"what do ya want for nothing?".to_vec(),
            [
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fd\
                 caeab1a34d4a6b4b636e070a38bce737",
                "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
            ],
        ),
        (
            vec![0xaa; 20],
            vec![0xdd; 50],
            [
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
                "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39bf3e848279a722c806b485a47e67c807\
                 b946a337bee8942674278859e13292fb",
                "125d7342b9ac11cd91a39af48aa17b4f63f175d3",
            ],
        ),
        (
            (1..=25).collect(),
            vec![0xcd; 50],
            [
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
                "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3dba91ca5c11aa25eb4d679275cc5788063\
                 a5f19741120c4f2de2adebeb10a298dd",
                "4c9007f4026250c6bc8414f9bf50c86c2d7235da",
            ],
        ),
    ]
}

/// RFC 4231 §4.7 and §4.8: keys longer than a block.
const LONG_KEY: ([u8; 131], [(&str, [&str; 2]); 2]) = (
    [0xaa; 131],
    [
        (
            "Test Using Larger Than Block-Size Key - Hash Key First",
            [
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
                "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e52\
                 95e64f73f63f0aec8b915a985d786598",
            ],
        ),
        (
            "This is a test using a larger than block-size key and a larger than block-size data. The key needs to \
             be hashed before being used by the HMAC algorithm.",
            [
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
                "e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944b6022cac3c4982b10d5eeb55c3e4de15\
                 134676fb6de0446065c97440fa8c6a58",
            ],
        ),
    ],
);

fn verify(scheme: &Hmac, signature: &str, body: &[u8]) -> Result<Option<Timestamp>, Error> {
    scheme.verify(lookup(&[(HEADER, signature)]), body, at(NOW))
}

#[test]
fn accepts_and_signs_the_vectors_of_the_rfcs() {
    let long = LONG_KEY.1.map(|(data, [sha256, sha512])| {
        (LONG_KEY.0.to_vec(), data.as_bytes().to_vec(), [sha256, sha512, ""])
    });
    for (key, data, expected) in vectors().into_iter().chain(long) {
        let schemes = [Hmac::sha256, Hmac::sha512, Hmac::sha1].map(|make| make("X-Signature", secret(&key)));
        for (scheme, hex) in schemes.iter().zip(expected).filter(|(_, hex)| !hex.is_empty()) {
            assert_eq!(verify(scheme, hex, &data), Ok(None), "{scheme:?} {hex}");
            assert_eq!(scheme.sign(&data, at(NOW)), [(HEADER.to_owned(), hex.to_owned())]);
        }
    }
}

/// <https://docs.slack.dev/authentication/verifying-requests-from-slack>
#[test]
fn accepts_and_signs_slacks_published_example() {
    let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&\
                 channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&\
                 response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F\
                 96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let slack = Hmac::sha256("X-Slack-Signature", secret("8f742231b10e8888abcd99yyyzzz85a5"))
        .prefix("v0=")
        .timestamp("X-Slack-Request-Timestamp", ":")
        .signed_prefix("v0:");
    let headers = [
        ("x-slack-signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
        ("x-slack-request-timestamp", "1531420618"),
    ];
    let now = at(1_531_420_618);
    assert_eq!(slack.verify(lookup(&headers), body, now), Ok(Some(now)));
    assert_eq!(slack.sign(body, now), headers.map(|(name, value)| (name.to_owned(), value.to_owned())));

    assert!(slack.verify(lookup(&headers[..1]), body, now).is_err(), "without the timestamp");
    assert!(slack.verify(lookup(&headers), &body[1..], now).is_err());
    let moved = [headers[0], ("x-slack-request-timestamp", "1531420619")];
    assert_eq!(slack.verify(lookup(&moved), body, now), Err(Error::Mismatch { secrets: 1 }));
}

/// Made with Python's standard library, not with this crate:
///
/// ```text
/// import hmac, hashlib, base64
/// mac = lambda hash, text: base64.b64encode(hmac.new(b"key", text, hash).digest())
/// mac("sha256", b"body"), mac("sha512", b"body"), mac("sha1", b"body"), mac("sha256", b"1700000000000body")
/// ```
const BASE64: [&str; 4] = [
    "UVquEztDXUAAlWcx9orlz164XU8NxqVG0r/NNZXsGuE=",
    "tx6CtC7OJEGCquAPXEGNhLWwrIRIdHZeZY6RsmJhsy3znp/L9EQk0OO1O6sZLnikk2Ik7JQM+VMWS3CqzdTIRQ==",
    "cLv2gZ0QN6qUyn5/U3y+ol/kkoM=",
    "TYcw3h3vBYGdE2glG2VEObrgCDMO7Mzkh/V/uJPiYns=",
];

#[test]
fn accepts_base64_with_padding_and_without() {
    for (make, text) in [Hmac::sha256, Hmac::sha512, Hmac::sha1].into_iter().zip(BASE64) {
        let scheme = make(HEADER, secret("key")).base64();
        assert_eq!(verify(&scheme, text, b"body"), Ok(None));
        assert_eq!(verify(&scheme, text.trim_end_matches('='), b"body"), Ok(None));
        assert_eq!(scheme.sign(b"body", at(NOW))[0].1, text);
        assert!(verify(&scheme, &hex_of(text), b"body").is_err(), "hex is not base64");
        assert!(verify(&make(HEADER, secret("key")), text, b"body").is_err(), "base64 is not hex");
    }
}

fn hex_of(base64: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    hex::encode(STANDARD.decode(base64).unwrap())
}

#[test]
fn a_timestamp_can_count_milliseconds_and_have_no_separator() {
    let scheme = Hmac::sha256(HEADER, secret("key")).base64().timestamp("X-Time", "").milliseconds();
    let headers = [(HEADER, BASE64[3]), ("x-time", "1700000000000")];
    assert_eq!(scheme.verify(lookup(&headers), b"body", at(NOW)), Ok(Some(at(NOW))));
    let signed = scheme.sign(b"body", at(NOW));
    assert_eq!(signed, headers.map(|(name, value)| (name.to_owned(), value.to_owned())));

    let seconds = Hmac::sha256(HEADER, secret("key")).timestamp("X-Time", "");
    let signed = seconds.sign(b"body", at(NOW));
    let refused = scheme.verify(lookup(&signed), b"body", at(NOW)).unwrap_err();
    assert!(refused.to_string().contains("expected the form <32 bytes in base64>"), "{refused}");
}

#[test]
fn allows_its_tolerance_to_the_past_and_to_the_future_and_no_more() {
    let scheme = Hmac::sha256(HEADER, secret("key")).timestamp("X-Time", ".");
    let signed = scheme.sign(b"body", at(NOW));
    let verify = |scheme: &Hmac, now| scheme.verify(lookup(&signed), b"body", at(now));
    assert!(verify(&scheme, NOW + 300).is_ok() && verify(&scheme, NOW - 300).is_ok());
    let (limit, over) = (Duration::from_secs(300), Duration::from_secs(301));
    assert_eq!(verify(&scheme, NOW + 301), Err(Error::TooOld { age: over, age_max: limit }));
    assert_eq!(verify(&scheme, NOW - 301), Err(Error::TooNew { ahead: over, ahead_max: limit }));
    let lenient = scheme.tolerance(Duration::from_secs(3600));
    assert!(verify(&lenient, NOW + 3600).is_ok() && verify(&lenient, NOW + 3601).is_err());

    let stranger = [(HEADER, "00".repeat(32)), ("x-time", "1".to_owned())];
    let refused = lenient.verify(lookup(&stranger), b"body", at(NOW));
    assert_eq!(refused, Err(Error::Mismatch { secrets: 1 }), "a stranger learns nothing of this clock");
}

#[test]
fn accepts_old_and_new_secret_while_one_replaces_the_other() {
    let signed = Hmac::sha256(HEADER, secret("old")).sign(b"body", at(NOW));
    let rotating = Hmac::sha256(HEADER, secret("new")).also_accept(secret("old"));
    assert!(rotating.verify(lookup(&signed), b"body", at(NOW)).is_ok());
    assert_ne!(rotating.sign(b"body", at(NOW)), signed, "the first secret signs");
    let neither = Hmac::sha256(HEADER, secret("new")).also_accept(secret("newer"));
    assert_eq!(neither.verify(lookup(&signed), b"body", at(NOW)), Err(Error::Mismatch { secrets: 2 }));
}

#[test]
fn takes_several_signatures_only_where_it_was_told_to() {
    let one = Hmac::sha256(HEADER, secret("key")).prefix("v1=");
    let signature = one.sign(b"body", at(NOW)).remove(0).1;
    let zeros = format!("v1={}", "0".repeat(64));
    let several = one.clone().several_signatures();
    for list in [
        format!("{zeros},{signature}"),
        format!("{signature} {zeros}"),
        format!("v0=other, {signature},,"),
        format!("v1=nonsense, v1=, {zeros}, {signature}"),
        signature.clone(),
    ] {
        assert!(verify(&several, &list, b"body").is_ok(), "{list}");
        assert_eq!(verify(&one, &list, b"body").is_ok(), list == signature, "{list}");
    }
    let many = vec![zeros.as_str(); 15].join(",");
    assert!(verify(&several, &format!("{many},{signature}"), b"body").is_ok());
    let too_many = verify(&several, &format!("{many},{zeros},{signature}"), b"body");
    assert!(matches!(too_many, Err(Error::TooManySignatures { signatures_max: 16, .. })), "{too_many:?}");
}

#[test]
fn refuses_headers_of_another_form_and_says_why() {
    let scheme = Hmac::sha256("X-Signature", secret("key")).prefix("sha256=").timestamp("X-Time", ".");
    let signed = scheme.sign(b"body", at(NOW));
    let signature = signed[0].1.as_str();
    let digits = &signature["sha256=".len()..];
    let long = "0".repeat(5000);
    for (sent, problem) in [
        (vec![], "x-signature header is missing; check that the sender signs, and under which name"),
        (vec![(HEADER, signature)], "x-time header is missing"),
        (vec![("x-time", "1700000000")], "x-signature header is missing"),
        (vec![(HEADER, ""), ("x-time", "1700000000")], "expected the form sha256=<64 hex digits>"),
        (vec![(HEADER, digits), ("x-time", "1700000000")], "has no signature"),
        (vec![(HEADER, "sha256="), ("x-time", "1700000000")], "has no signature"),
        (vec![(HEADER, &signature[..70]), ("x-time", "1700000000")], "has no signature"),
        (vec![(HEADER, &long), ("x-time", "1700000000")], "5000 bytes long (limit 4096)"),
        (vec![(HEADER, signature), ("x-time", "")], "not a number of seconds"),
        (vec![(HEADER, signature), ("x-time", "now")], "expected the form <seconds since 1970>"),
        (vec![(HEADER, signature), ("x-time", "-1")], "not a number of seconds"),
        (vec![(HEADER, signature), ("x-time", "1700000000000000000")], "not a number of seconds"),
        (vec![(HEADER, signature), ("x-time", "1700000001")], "no signature fits"),
    ] {
        let refused = scheme.verify(lookup(&sent), b"body", at(NOW)).unwrap_err().to_string();
        assert!(refused.contains(problem), "{sent:?}: {refused}");
        assert!(!refused.contains(digits), "{refused}");
    }
    assert!(!format!("{scheme:?}").contains("key"), "{scheme:?}");
}

fn scheme(hash: usize, form: usize, key: &str) -> Hmac {
    let plain = [Hmac::sha256, Hmac::sha512, Hmac::sha1][hash]("X-Signature", secret(key));
    match form {
        0 => plain,
        1 => plain.base64().prefix("sig="),
        2 => plain.prefix("v0=").timestamp("X-Time", ":").signed_prefix("v0:"),
        3 => plain.base64().several_signatures(),
        _ => plain.timestamp("X-Time", "").milliseconds().several_signatures(),
    }
}

proptest! {
    #[test]
    fn arbitrary_headers_never_panic_and_are_never_accepted(
        signature: Vec<u8>, time: Vec<u8>, body: Vec<u8>, hash in 0..3_usize, form in 0..5_usize,
    ) {
        let sent = [(HEADER, signature), ("x-time", time)];
        prop_assert!(scheme(hash, form, "key").verify(lookup(&sent), &body, at(NOW)).is_err());
    }

    #[test]
    fn accepts_what_it_signed_and_nothing_else(
        body: Vec<u8>, key in "[ -~]{1,80}", hash in 0..3_usize, form in 0..5_usize, flip: prop::sample::Index,
        bit in 0..8_u8, signed_at in 0_i64..4_000_000_000,
    ) {
        let scheme = scheme(hash, form, &key);
        let signed = scheme.sign(&body, at(signed_at));
        prop_assert!(scheme.verify(lookup(&signed), &body, at(signed_at)).is_ok());
        if !body.is_empty() {
            let mut flipped = body.clone();
            flipped[flip.index(body.len())] ^= 1 << bit;
            prop_assert!(scheme.verify(lookup(&signed), &flipped, at(signed_at)).is_err());
        }
        if let [_, (_, time)] = &signed[..] {
            let mut time = time.clone().into_bytes();
            let place = flip.index(time.len());
            time[place] ^= 1 << bit;
            let moved = [(HEADER, signed[0].1.clone().into_bytes()), ("x-time", time)];
            prop_assert!(scheme.verify(lookup(&moved), &body, at(signed_at)).is_err());
        }
    }
}
