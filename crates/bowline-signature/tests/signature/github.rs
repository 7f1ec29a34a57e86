//! GitHub's scheme: the vector of its documentation, variants of it, and arbitrary headers.

use bowline_signature::{Error, GitHub};
use proptest::prelude::*;

use crate::secret;

/// <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation>
const SECRET: &str = "It's a Secret to Everybody";
const BODY: &[u8] = b"Hello, World!";
const SIGNATURE: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

fn verify(header: &str) -> Result<(), Error> {
    GitHub::new(secret(SECRET)).verify(Some(header.as_bytes()), BODY)
}

#[test]
fn accepts_and_signs_the_published_vector() {
    let header = format!("sha256={SIGNATURE}");
    assert_eq!(verify(&header), Ok(()));
    assert_eq!(GitHub::new(secret(SECRET)).sign(BODY), header);
    assert_eq!(verify(&format!(" sha256={} ", SIGNATURE.to_uppercase())), Ok(()));
}

#[test]
fn accepts_old_and_new_secret_while_one_replaces_the_other() {
    let header = format!("sha256={SIGNATURE}");
    for (first, second) in [(SECRET, "new"), ("new", SECRET)] {
        let rotating = GitHub::new(secret(first)).also_accept(secret(second));
        assert_eq!(rotating.verify(Some(header.as_bytes()), BODY), Ok(()));
    }
    let neither = GitHub::new(secret("new")).also_accept(secret("newer"));
    assert_eq!(neither.verify(Some(header.as_bytes()), BODY), Err(Error::Mismatch { secrets: 2 }));
}

#[test]
fn refuses_what_was_changed() {
    let header = format!("sha256={SIGNATURE}");
    let github = GitHub::new(secret(SECRET));
    for body in [&b"Hello, World"[..], b"Hello, World!\n", b"hello, World!", b""] {
        assert_eq!(github.verify(Some(header.as_bytes()), body), Err(Error::Mismatch { secrets: 1 }));
    }
    let zeros = format!("sha256={}", "0".repeat(64));
    assert_eq!(verify(&zeros), Err(Error::Mismatch { secrets: 1 }));
}

#[test]
fn refuses_headers_that_github_does_not_send_and_says_why() {
    for (header, problem) in [
        (String::new(), "does not begin with sha256="),
        (SIGNATURE.to_owned(), "does not begin with sha256="),
        (format!("sha1={SIGNATURE}"), "does not begin with sha256="),
        (format!("SHA256={SIGNATURE}"), "does not begin with sha256="),
        ("sha256=".to_owned(), "no signature of 64 hex digits"),
        (format!("sha256={}", &SIGNATURE[1..]), "no signature of 64 hex digits"),
        (format!("sha256={SIGNATURE}00"), "no signature of 64 hex digits"),
        (format!("sha256= {SIGNATURE}"), "no signature of 64 hex digits"),
        (format!("sha256={SIGNATURE},sha256={SIGNATURE}"), "no signature of 64 hex digits"),
        (format!("sha256={}", SIGNATURE.replace('7', "g")), "no signature of 64 hex digits"),
    ] {
        let refused = verify(&header).unwrap_err().to_string();
        assert!(refused.contains(problem), "{header}: {refused}");
        assert!(refused.contains("expected the form sha256=<64 hex digits>"), "{refused}");
    }
    let missing = GitHub::new(secret(SECRET)).verify(None, BODY).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "x-hub-signature-256 header is missing; GitHub sends it only if the webhook has a secret: set one in the \
         webhook's settings"
    );
    let long = verify(&format!("sha256={}", "0".repeat(5000)));
    assert!(matches!(long, Err(Error::HeaderTooLong { bytes_max: 4096, .. })), "{long:?}");
}

#[test]
fn no_message_and_no_debug_output_holds_a_secret_or_a_signature() {
    assert!(!format!("{:?}", GitHub::new(secret(SECRET))).contains("Everybody"));
    let error = GitHub::new(secret("new")).verify(Some(SIGNATURE.as_bytes()), BODY).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("7571"));
}

proptest! {
    #[test]
    fn arbitrary_headers_never_panic_and_are_never_accepted(header: Vec<u8>, body: Vec<u8>) {
        prop_assert!(GitHub::new(secret(SECRET)).verify(Some(&header), &body).is_err());
    }

    #[test]
    fn accepts_what_it_signed_and_nothing_else(
        body: Vec<u8>, key in "[ -~]{1,80}", flip: prop::sample::Index, bit in 0..8_u8,
    ) {
        let github = GitHub::new(secret(&key));
        let header = github.sign(&body).into_bytes();
        prop_assert_eq!(github.verify(Some(&header), &body), Ok(()));
        let mut longer = body.clone();
        longer.push(0);
        prop_assert!(github.verify(Some(&header), &longer).is_err());
        let mut tampered = header.clone();
        tampered[flip.index(header.len())] ^= 1 << bit;
        // Upper-case hex is the same signature.
        if !tampered[7..].eq_ignore_ascii_case(&header[7..]) || tampered[..7] != header[..7] {
            prop_assert!(github.verify(Some(&tampered), &body).is_err());
        }
    }
}
