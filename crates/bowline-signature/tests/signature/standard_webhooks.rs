//! Standard Webhooks: vectors of the official libraries' own tests, every part tampered with, and arbitrary headers.

use std::time::Duration;

use bowline_signature::{
    Error, StandardWebhooks,
    standard_webhooks::{Genuine, HEADERS, InvalidSecret, SVIX_HEADERS},
};
use jiff::Timestamp;
use proptest::prelude::*;

use crate::{at, lookup, secret};

/// From `libraries/rust/src/lib.rs` of <https://github.com/standard-webhooks/standard-webhooks>.
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
const SIGNED_AT: i64 = 1_649_367_553;
const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

const ZEROS: &str = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const OTHER_SECRET: &str = "whsec_YW5vdGhlciBrZXkgb2YgMjQgYnl0ZXM=";

fn webhooks() -> StandardWebhooks {
    StandardWebhooks::new(&secret(SECRET)).unwrap()
}

fn headers(id: &str, timestamp: &str, signature: &str) -> Vec<(&'static str, String)> {
    HEADERS.into_iter().zip([id.to_owned(), timestamp.to_owned(), signature.to_owned()]).collect()
}

fn verify(headers: &[(&'static str, String)]) -> Result<Timestamp, Error> {
    webhooks().verify(lookup(headers), BODY, at(SIGNED_AT)).map(|genuine| genuine.signed_at)
}

fn verify_signature(signature: &str) -> Result<Timestamp, Error> {
    verify(&headers(ID, &SIGNED_AT.to_string(), signature))
}

fn signed_now() -> Vec<(&'static str, String)> {
    headers(ID, &SIGNED_AT.to_string(), SIGNATURE)
}

#[test]
fn accepts_and_signs_the_published_vectors() {
    // The second is from `libraries/go/webhook_test.go`.
    for (key, id, signed_at, body, signature) in [
        (SECRET, ID, SIGNED_AT, BODY, SIGNATURE),
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
    ] {
        let webhooks = StandardWebhooks::new(&secret(key)).unwrap();
        let sent = headers(id, &signed_at.to_string(), signature);
        let genuine = webhooks.verify(lookup(&sent), body, at(signed_at));
        assert_eq!(genuine, Ok(Genuine { id, signed_at: at(signed_at) }));
        assert_eq!(webhooks.sign(id, body, at(signed_at)).unwrap().to_vec(), sent);
    }
}

#[test]
fn accepts_the_headers_by_svixs_names_and_never_some_of_each() {
    let names = |names: [&'static str; 3]| {
        names.into_iter().zip(signed_now()).map(|(name, header)| (name, header.1)).collect::<Vec<_>>()
    };
    assert!(verify(&names(SVIX_HEADERS)).is_ok());
    let [_, timestamp, signature] = SVIX_HEADERS;
    let missing = verify(&names(["webhook-id", timestamp, signature]));
    assert!(
        matches!(&missing, Err(Error::HeaderMissing { header, .. }) if header == "webhook-timestamp"),
        "{missing:?}"
    );
    let [_, timestamp, signature] = HEADERS;
    let missing = verify(&names(["svix-id", timestamp, signature]));
    assert!(
        matches!(&missing, Err(Error::HeaderMissing { header, .. }) if header == "webhook-id"),
        "{missing:?}"
    );
    let half = &names(SVIX_HEADERS)[..2];
    let missing = verify(half);
    assert!(
        matches!(&missing, Err(Error::HeaderMissing { header, .. }) if header == "svix-signature"),
        "{missing:?}"
    );
    // One header too many by the other name does not matter.
    let mut all = names(SVIX_HEADERS);
    all.push(("webhook-id", "of a proxy".to_owned()));
    assert!(verify(&all).is_ok());
}

#[test]
fn accepts_any_of_several_signatures_whatever_stands_around_them() {
    for list in [
        format!("{ZEROS} {SIGNATURE}"),
        format!("{SIGNATURE} {ZEROS}"),
        format!("v1a,abc {SIGNATURE} v2,x"),
        format!("  {SIGNATURE}  "),
        format!("v1,not-base64 v1, v1 , {SIGNATURE}"),
    ] {
        assert!(verify_signature(&list).is_ok(), "{list}");
    }
}

#[test]
fn accepts_old_and_new_secret_while_one_replaces_the_other() {
    for (first, second) in [(SECRET, OTHER_SECRET), (OTHER_SECRET, SECRET)] {
        let rotating = StandardWebhooks::new(&secret(first)).unwrap().also_accept(&secret(second)).unwrap();
        assert!(rotating.verify(lookup(&signed_now()), BODY, at(SIGNED_AT)).is_ok());
    }
    let neither = StandardWebhooks::new(&secret(OTHER_SECRET)).unwrap();
    let signed = signed_now();
    let refused = neither.verify(lookup(&signed), BODY, at(SIGNED_AT));
    assert_eq!(refused, Err(Error::Mismatch { secrets: 1 }));
}

#[test]
fn refuses_every_part_that_was_changed() {
    let later = (SIGNED_AT + 1).to_string();
    for changed in [
        headers("msg_other", &SIGNED_AT.to_string(), SIGNATURE),
        headers(ID, &later, SIGNATURE),
        headers(ID, &format!("0{SIGNED_AT}"), SIGNATURE),
        headers(ID, &SIGNED_AT.to_string(), ZEROS),
    ] {
        assert_eq!(verify(&changed), Err(Error::Mismatch { secrets: 1 }), "{changed:?}");
    }
    let signed = signed_now();
    let refused = webhooks().verify(lookup(&signed), b"{}", at(SIGNED_AT));
    assert_eq!(refused, Err(Error::Mismatch { secrets: 1 }));
}

#[test]
fn a_full_stop_cannot_move_from_one_part_to_another() {
    let webhooks = webhooks();
    // What a sender that breaks the rule signs, and what could be made of it.
    assert!(webhooks.sign("a.1700000000", b"5", at(SIGNED_AT)).is_err());
    let signed = webhooks.sign("a", b"1700000000.5", at(SIGNED_AT)).unwrap();
    let shifted = headers(&format!("a.{SIGNED_AT}"), "1700000000", &signed[2].1);
    let refused = webhooks.verify(lookup(&shifted), b"5", at(1_700_000_000)).unwrap_err();
    assert!(refused.to_string().contains("has a full stop"), "{refused}");
}

#[test]
fn refuses_headers_that_no_sender_sends_and_says_why() {
    let (now, long) = (SIGNED_AT.to_string(), "x".repeat(513));
    for (sent, problem) in [
        (headers("", &now, SIGNATURE), "webhook-id header is empty"),
        (headers(&long, &now, SIGNATURE), "webhook-id header is too long"),
        (headers("a b", &now, SIGNATURE), "webhook-id header has spaces"),
        (headers("ä", &now, SIGNATURE), "webhook-id header has spaces"),
        (headers(ID, "", SIGNATURE), "not a number of seconds; expected the form <seconds since 1970>"),
        (headers(ID, "+1649367553", SIGNATURE), "not a number of seconds"),
        (headers(ID, "1649367553.0", SIGNATURE), "not a number of seconds"),
        (headers(ID, "99999999999999999999", SIGNATURE), "not a number of seconds"),
        (headers(ID, &now, ""), "has no v1 signature of 44 characters"),
        (headers(ID, &now, "v1,"), "has no v1 signature"),
        (headers(ID, &now, &SIGNATURE[3..]), "has no v1 signature"),
        (headers(ID, &now, &SIGNATURE.replace("v1", "v1a")), "has no v1 signature"),
        (headers(ID, &now, &SIGNATURE.replace('=', "")), "has no v1 signature"),
        (headers(ID, &now, &format!("{SIGNATURE}=")), "has no v1 signature"),
        (headers(ID, &now, "v1,AAAA"), "has no v1 signature"),
        (headers(ID, &now, SIGNATURE).into_iter().skip(1).collect(), "webhook-id header is missing"),
        (Vec::new(), "webhook-id header is missing"),
    ] {
        let refused = verify(&sent).unwrap_err().to_string();
        assert!(refused.contains(problem), "{sent:?}: {refused}");
    }
}

#[test]
fn allows_300_seconds_to_the_past_and_to_the_future_and_no_more() {
    let verify_at =
        |now| webhooks().verify(lookup(&signed_now()), BODY, at(now)).map(|genuine| genuine.signed_at);
    assert!(verify_at(SIGNED_AT + 300).is_ok() && verify_at(SIGNED_AT - 300).is_ok());
    let limit = Duration::from_secs(300);
    let too_old = Error::TooOld { age: Duration::from_secs(301), age_max: limit };
    assert_eq!(verify_at(SIGNED_AT + 301), Err(too_old));
    let too_new = Error::TooNew { ahead: Duration::from_secs(301), ahead_max: limit };
    assert_eq!(
        too_new.to_string(),
        "webhook timestamp is 301 s in the future (limit 300 s); check this machine's clock, and the sender's"
    );
    assert_eq!(verify_at(SIGNED_AT - 301), Err(too_new));
    assert!(webhooks().verify(lookup(&signed_now()), BODY, Timestamp::MIN).is_err());
    assert!(webhooks().verify(lookup(&signed_now()), BODY, Timestamp::MAX).is_err());

    let strict = webhooks().tolerance(Duration::ZERO);
    assert!(strict.verify(lookup(&signed_now()), BODY, at(SIGNED_AT)).is_ok());
    assert!(strict.verify(lookup(&signed_now()), BODY, at(SIGNED_AT + 1)).is_err());
}

#[test]
fn a_stranger_learns_nothing_of_this_machines_clock() {
    let unsigned = headers(ID, &SIGNED_AT.to_string(), ZEROS);
    let stale = webhooks().verify(lookup(&unsigned), BODY, at(SIGNED_AT + 10_000));
    assert_eq!(stale, Err(Error::Mismatch { secrets: 1 }));
}

#[test]
fn the_length_and_the_number_of_signatures_have_limits() {
    let many = vec![ZEROS; 15].join(" ");
    assert!(verify_signature(&format!("{many} {SIGNATURE}")).is_ok());
    let too_many = verify_signature(&format!("{many} {ZEROS} {SIGNATURE}"));
    assert!(matches!(too_many, Err(Error::TooManySignatures { signatures_max: 16, .. })), "{too_many:?}");
    let undecodable = verify_signature(&format!("{} {SIGNATURE}", vec!["v1,x"; 16].join(" ")));
    assert!(matches!(undecodable, Err(Error::TooManySignatures { .. })), "{undecodable:?}");
    let too_long = verify_signature(&format!("{SIGNATURE} {}", "x".repeat(5000)));
    assert!(matches!(too_long, Err(Error::HeaderTooLong { bytes_max: 4096, .. })), "{too_long:?}");
}

#[test]
fn a_body_need_not_be_text() {
    let body = b"\xff\xfe\x00";
    let signed = webhooks().sign(ID, body, at(SIGNED_AT)).unwrap();
    assert!(webhooks().verify(lookup(&signed), body, at(SIGNED_AT)).is_ok());
}

#[test]
fn a_secret_is_base64_of_at_least_16_bytes_with_or_without_its_prefix_and_padding() {
    for good in [
        SECRET,
        "C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "whsec_MDEyMzQ1Njc4OWFiY2RlZg==",
        "whsec_MDEyMzQ1Njc4OWFiY2RlZg",
        " whsec_MDEyMzQ1Njc4OWFiY2RlZg==\n",
    ] {
        assert!(StandardWebhooks::new(&secret(good)).is_ok(), "{good}");
    }
    for (bad, expected) in [
        ("whsec_", InvalidSecret::TooShort { bytes: 0 }),
        (" ", InvalidSecret::TooShort { bytes: 0 }),
        ("whsec_MDEyMzQ1Njc4OWFiY2Rl", InvalidSecret::TooShort { bytes: 15 }),
        ("my secret phrase that is long enough", InvalidSecret::NotBase64),
        ("v1,whsec_MDEyMzQ1Njc4OWFiY2RlZg==", InvalidSecret::NotBase64),
        ("whsec_whsec_MDEyMzQ1Njc4OWFiY2RlZg==", InvalidSecret::NotBase64),
        ("whpk_MDEyMzQ1Njc4OWFiY2RlZg==", InvalidSecret::NotEd25519),
        ("whsk_MDEyMzQ1Njc4OWFiY2RlZg==", InvalidSecret::NotEd25519),
    ] {
        assert_eq!(StandardWebhooks::new(&secret(bad)).unwrap_err(), expected, "{bad}");
        assert_eq!(webhooks().also_accept(&secret(bad)).unwrap_err(), expected, "{bad}");
        assert!(!expected.to_string().contains("MDEy") && !expected.to_string().contains("phrase"));
    }
}

#[test]
fn no_message_and_no_debug_output_holds_a_secret_or_a_signature() {
    let shown = format!("{:?}", webhooks());
    assert!(!shown.contains("C2FV") && !shown.contains("11, 97, 85"), "{shown}");
    for (sent, now) in [
        (signed_now(), SIGNED_AT + 10_000),
        (headers(ID, &SIGNED_AT.to_string(), ZEROS), SIGNED_AT),
        (headers("a.b", &SIGNED_AT.to_string(), SIGNATURE), SIGNED_AT),
    ] {
        let error = webhooks().verify(lookup(&sent), BODY, at(now)).unwrap_err();
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(!shown.contains("tZ1I") && !shown.contains("C2FV") && !shown.contains("test_user"));
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_headers_never_panic_and_are_never_accepted(
        values: [Vec<u8>; 3], body: Vec<u8>, now in 0_i64..4_000_000_000,
    ) {
        let sent: Vec<_> = HEADERS.into_iter().zip(values).collect();
        prop_assert!(webhooks().verify(lookup(&sent), &body, at(now)).is_err());
    }

    #[test]
    fn headers_of_the_right_shape_never_panic_and_are_never_accepted(
        id in "[!-~]{0,20}", now in 0_i64..4_000_000_000, list in "(v1a?,[A-Za-z0-9+/=]{0,46}|v1|,| ){0,12}",
    ) {
        let sent = headers(&id, &now.to_string(), &list);
        prop_assert!(webhooks().verify(lookup(&sent), b"", at(now)).is_err());
    }

    #[test]
    fn accepts_what_it_signed_and_nothing_else(
        body: Vec<u8>, key in proptest::collection::vec(any::<u8>(), 24..64), id in "[!-~&&[^.]]{1,40}",
        signed_at in 0_i64..4_000_000_000, place in 0..4_usize, flip: prop::sample::Index, bit in 0..8_u8,
    ) {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let webhooks = StandardWebhooks::new(&secret(STANDARD.encode(&key))).unwrap();
        let signed = webhooks.sign(&id, &body, at(signed_at)).unwrap();
        let genuine = webhooks.verify(lookup(&signed), &body, at(signed_at));
        prop_assert_eq!(genuine, Ok(Genuine { id: &id, signed_at: at(signed_at) }));

        let mut parts: Vec<Vec<u8>> = signed.iter().map(|header| header.1.clone().into_bytes()).collect();
        parts.push(body);
        let len = parts[place].len();
        if len > 0 {
            parts[place][flip.index(len)] ^= 1 << bit;
            let body = parts.pop().unwrap();
            let tampered: Vec<_> = HEADERS.into_iter().zip(parts).collect();
            // Space around a header's value is not part of it.
            let is_space = |byte: &u8| byte.is_ascii_whitespace();
            prop_assume!(!tampered.iter().any(|header| header.1.iter().any(is_space)));
            prop_assert!(webhooks.verify(lookup(&tampered), &body, at(signed_at)).is_err());
        }
    }
}
