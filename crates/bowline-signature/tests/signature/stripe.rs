//! Stripe's scheme: a vector made by another implementation, every part tampered with, and arbitrary headers.

use std::time::Duration;

use bowline_signature::{Error, SigningSecret, Stripe, stripe};
use jiff::Timestamp;
use proptest::prelude::*;

use crate::{at, secret};

/// Made with Python's standard library, not with this crate:
///
/// ```text
/// import hmac, hashlib
/// body = '{"id":"evt_1","type":"payment_intent.succeeded","note":"café ☕"}\r\n'.encode()
/// hmac.new(b"whsec_bowline_test_vector", b"1492774577." + body, hashlib.sha256).hexdigest()
/// ```
const SIGNATURE: &str = "1b8ab0a1d1d2da83734171dabbb4563ff44ecea0a75a1410614d8e48d92c64ce";
const SECRET: &str = "whsec_bowline_test_vector";
const BODY: &str = "{\"id\":\"evt_1\",\"type\":\"payment_intent.succeeded\",\"note\":\"café ☕\"}\r\n";
const SIGNED_AT: i64 = 1_492_774_577;

/// As above, with the body empty: `hmac.new(secret, b"1492774577.", hashlib.sha256)`.
const SIGNATURE_OF_NO_BODY: &str = "b253626e8d6585ffaabf4bff58a06b5462c45f57093591d72d94b4a84b429f14";
/// As above, over `b"01492774577." + body`.
const SIGNATURE_WITH_LEADING_ZERO: &str = "6412aca47be5e510acff603e8619d5f6682dc9a1c8056941360c3277e02f28ae";

const UNSIGNED: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn verify(header: &str) -> Result<Timestamp, Error> {
    Stripe::new(secret(SECRET)).verify(header, BODY.as_bytes(), at(SIGNED_AT))
}

#[test]
fn accepts_what_another_implementation_signed() {
    assert_eq!(verify(&format!("t={SIGNED_AT},v1={SIGNATURE}")), Ok(at(SIGNED_AT)));
    let no_body = format!("t={SIGNED_AT},v1={SIGNATURE_OF_NO_BODY}");
    assert!(Stripe::new(secret(SECRET)).verify(no_body, b"", at(SIGNED_AT)).is_ok());
}

#[test]
fn signs_what_another_implementation_signed() {
    let header = Stripe::new(secret(SECRET)).sign(BODY.as_bytes(), at(SIGNED_AT));
    assert_eq!(header, format!("t={SIGNED_AT},v1={SIGNATURE}"));
}

#[test]
fn signs_with_the_first_of_several_secrets() {
    let rotating = Stripe::new(secret(SECRET)).also_accept(secret("whsec_old"));
    assert_eq!(rotating.sign(BODY.as_bytes(), at(SIGNED_AT)), format!("t={SIGNED_AT},v1={SIGNATURE}"));
}

#[test]
fn accepts_any_of_several_signatures_whatever_stands_around_them() {
    for header in [
        format!("t={SIGNED_AT},v1={UNSIGNED},v1={SIGNATURE}"),
        format!("t={SIGNED_AT},v1={SIGNATURE},v1={UNSIGNED}"),
        format!("v1={SIGNATURE},t={SIGNED_AT}"),
        format!(" t={SIGNED_AT} , v1={SIGNATURE} ,"),
        format!("t={SIGNED_AT},v0={UNSIGNED},v1={SIGNATURE},v2=better,scheme"),
        format!("t={SIGNED_AT},v1=not hex,v1={SIGNATURE}"),
    ] {
        assert!(verify(&header).is_ok(), "{header}");
    }
}

#[test]
fn accepts_old_and_new_secret_while_one_replaces_the_other() {
    let header = format!("t={SIGNED_AT},v1={SIGNATURE}");
    for (first, second) in [(SECRET, "whsec_new"), ("whsec_new", SECRET)] {
        let rotating = Stripe::new(secret(first)).also_accept(secret(second));
        assert!(rotating.verify(&header, BODY.as_bytes(), at(SIGNED_AT)).is_ok());
    }
    let neither = Stripe::new(secret("whsec_new")).also_accept(secret("whsec_newer"));
    let refused = neither.verify(&header, BODY.as_bytes(), at(SIGNED_AT));
    assert_eq!(refused, Err(Error::Mismatch { secrets: 2 }));
}

#[test]
fn refuses_a_signature_of_another_scheme_even_if_it_is_right() {
    let refused = verify(&format!("t={SIGNED_AT},v0={SIGNATURE}"));
    assert!(matches!(refused, Err(Error::HeaderMalformed { .. })), "{refused:?}");
    assert_eq!(
        verify(&format!("t={SIGNED_AT},v0={SIGNATURE},v1={UNSIGNED}")),
        Err(Error::Mismatch { secrets: 1 })
    );
}

#[test]
fn refuses_a_timestamp_other_than_the_signed_one() {
    assert_eq!(verify(&format!("t={},v1={SIGNATURE}", SIGNED_AT + 1)), Err(Error::Mismatch { secrets: 1 }));
    // The same number, and not the same text: what was signed is the text.
    assert_eq!(verify(&format!("t=0{SIGNED_AT},v1={SIGNATURE}")), Err(Error::Mismatch { secrets: 1 }));
    assert!(verify(&format!("t=0{SIGNED_AT},v1={SIGNATURE_WITH_LEADING_ZERO}")).is_ok());
}

#[test]
fn refuses_headers_that_stripe_does_not_send_and_says_why() {
    for (header, problem) in [
        (String::new(), "has no timestamp"),
        (format!("v1={SIGNATURE}"), "has no timestamp"),
        (format!("t={SIGNED_AT}"), "has no v1 signature"),
        (format!("t={SIGNED_AT},v1="), "has no v1 signature"),
        (format!("t={SIGNED_AT},v1={SIGNATURE}0"), "has no v1 signature"),
        (format!("t={SIGNED_AT},t={SIGNED_AT},v1={SIGNATURE}"), "has more than one timestamp"),
        (format!("t=,v1={SIGNATURE}"), "not a number of seconds"),
        (format!("t=+{SIGNED_AT},v1={SIGNATURE}"), "not a number of seconds"),
        (format!("t=-1,v1={SIGNATURE}"), "not a number of seconds"),
        (format!("t=99999999999999999999,v1={SIGNATURE}"), "not a number of seconds"),
        (format!("t=9223372036854775807,v1={SIGNATURE}"), "not a number of seconds"),
    ] {
        let refused = verify(&header).unwrap_err().to_string();
        assert!(refused.contains(problem), "{header}: {refused}");
        assert!(refused.contains("expected the form t=<seconds>,v1=<64 hex digits>"), "{refused}");
    }
}

#[test]
fn allows_300_seconds_to_the_past_and_no_more() {
    let (stripe, header) = (Stripe::new(secret(SECRET)), format!("t={SIGNED_AT},v1={SIGNATURE}"));
    assert!(stripe.verify(&header, BODY.as_bytes(), at(SIGNED_AT + 300)).is_ok());
    let refused = stripe.verify(&header, BODY.as_bytes(), at(SIGNED_AT + 301)).unwrap_err();
    assert_eq!(refused, Error::TooOld { age: Duration::from_secs(301), age_max: Duration::from_secs(300) });
    assert_eq!(
        stripe.verify(&header, BODY.as_bytes(), at(SIGNED_AT + 912)).unwrap_err().to_string(),
        "webhook timestamp is 912 s old (limit 300 s); check this machine's clock"
    );
}

#[test]
fn allows_any_time_in_the_future_as_stripes_libraries_do() {
    let (stripe, header) = (Stripe::new(secret(SECRET)), format!("t={SIGNED_AT},v1={SIGNATURE}"));
    assert!(stripe.verify(&header, BODY.as_bytes(), at(SIGNED_AT - 3600)).is_ok());
    assert!(stripe.verify(&header, BODY.as_bytes(), Timestamp::MIN).is_ok());
}

#[test]
fn the_tolerance_can_be_set() {
    let header = format!("t={SIGNED_AT},v1={SIGNATURE}");
    let strict = Stripe::new(secret(SECRET)).tolerance(Duration::ZERO);
    assert!(strict.verify(&header, BODY.as_bytes(), at(SIGNED_AT)).is_ok());
    assert!(strict.verify(&header, BODY.as_bytes(), at(SIGNED_AT + 1)).is_err());
    let lenient = Stripe::new(secret(SECRET)).tolerance(Duration::from_secs(3600));
    assert!(lenient.verify(&header, BODY.as_bytes(), at(SIGNED_AT + 3600)).is_ok());
}

#[test]
fn a_stranger_learns_nothing_of_this_machines_clock() {
    let stale = at(SIGNED_AT + 10_000);
    let refused =
        Stripe::new(secret(SECRET)).verify(format!("t={SIGNED_AT},v1={UNSIGNED}"), BODY.as_bytes(), stale);
    assert_eq!(refused, Err(Error::Mismatch { secrets: 1 }));
}

#[test]
fn the_length_and_the_number_of_signatures_have_limits() {
    let many = format!("t={SIGNED_AT}{}", format!(",v1={UNSIGNED}").repeat(stripe::SIGNATURES_MAX));
    assert_eq!(verify(&many), Err(Error::Mismatch { secrets: 1 }));
    let too_many = verify(&format!("{many},v1={SIGNATURE}"));
    assert!(matches!(too_many, Err(Error::TooManySignatures { signatures_max: 16, .. })), "{too_many:?}");

    let padding = "x".repeat(stripe::HEADER_BYTES_MAX);
    let too_long = verify(&format!("t={SIGNED_AT},v1={SIGNATURE},{padding}"));
    assert!(matches!(too_long, Err(Error::HeaderTooLong { bytes_max: 4096, .. })), "{too_long:?}");
}

#[test]
fn an_empty_secret_cannot_be_made() {
    assert!(SigningSecret::new("").is_err());
}

#[test]
fn no_message_and_no_debug_output_holds_a_secret_or_a_signature() {
    let stripe = Stripe::new(secret(SECRET)).also_accept(secret("whsec_old"));
    let shown = format!("{stripe:?}");
    assert!(!shown.contains("whsec"), "{shown}");

    let stale = at(SIGNED_AT + 10_000);
    for header in [
        format!("t={SIGNED_AT},v1={SIGNATURE}"),
        format!("t={SIGNED_AT},v1={UNSIGNED}"),
        format!("t={SIGNED_AT}"),
        format!("t={SIGNED_AT},v1={SIGNATURE},{}", "x".repeat(5000)),
    ] {
        let error = stripe.verify(&header, BODY.as_bytes(), stale).unwrap_err();
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(!shown.contains("whsec") && !shown.contains(SIGNATURE) && !shown.contains("evt_1"));
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_headers_never_panic_and_are_never_accepted(
        header in proptest::collection::vec(any::<u8>(), 0..600), body: Vec<u8>, now in -1_000_000_000_i64..4_000_000_000,
    ) {
        prop_assert!(Stripe::new(secret(SECRET)).verify(&header, &body, at(now)).is_err());
    }

    #[test]
    fn headers_of_the_right_shape_never_panic_and_are_never_accepted(
        header in "(t=[0-9+-]{0,20}|v[0-2]=[0-9a-fA-F]{0,66}|[a-z=]{0,4}| |,){0,12}", now in 0_i64..4_000_000_000,
    ) {
        prop_assert!(Stripe::new(secret(SECRET)).verify(&header, b"", at(now)).is_err());
    }

    #[test]
    fn accepts_what_it_signed_and_nothing_else(
        body: Vec<u8>, key in "[ -~]{1,80}", signed_at in 0_i64..4_000_000_000, flip: prop::sample::Index, bit in 0..8_u8,
    ) {
        let stripe = Stripe::new(secret(&key));
        let header = stripe.sign(&body, at(signed_at));
        prop_assert_eq!(stripe.verify(&header, &body, at(signed_at)), Ok(at(signed_at)));

        let mut longer = body.clone();
        longer.push(0);
        prop_assert!(stripe.verify(&header, &longer, at(signed_at)).is_err());
        if !body.is_empty() {
            let mut flipped = body.clone();
            flipped[flip.index(body.len())] ^= 1_u8 << bit;
            prop_assert!(stripe.verify(&header, &flipped, at(signed_at)).is_err());
        }
        // Upper-case hex is the same signature; every other change of a digit is another one.
        let mut tampered = header.clone().into_bytes();
        let place = flip.index(tampered.len());
        tampered[place] ^= 1_u8 << bit;
        if !tampered.eq_ignore_ascii_case(header.as_bytes()) {
            prop_assert!(stripe.verify(&tampered, &body, at(signed_at)).is_err());
        }
    }
}
