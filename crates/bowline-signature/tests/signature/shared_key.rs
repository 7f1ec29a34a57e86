//! Keys, tokens and passwords: the RFCs' examples, what a header can be instead, and arbitrary headers.

use base64::{Engine, engine::general_purpose::STANDARD};
use bowline_signature::{ApiKey, Basic, Bearer, Error, authorization, shared_key::UserHasColon};
use proptest::prelude::*;

use crate::secret;

fn basic_header(credentials: impl AsRef<[u8]>) -> Vec<u8> {
    format!("Basic {}", STANDARD.encode(credentials)).into_bytes()
}

fn refused(error: Result<(), Error>, problem: &str) {
    let text = error.unwrap_err().to_string();
    assert!(text.contains(problem), "{text}");
}

#[test]
fn an_api_key_is_accepted_whole_and_nothing_else_is() {
    let key = ApiKey::new("X-Api-Key", secret("k-17")).also_accept(secret("k-16"));
    assert_eq!(key.header(), "x-api-key");
    for good in [&b"k-17"[..], b"k-16", b" k-17 "] {
        assert_eq!(key.verify(Some(good)), Ok(()));
    }
    for bad in [&b""[..], b"k", b"k-1", b"k-18", b"k-177", b"K-17", b"k-17,k-16", b"k-\xff"] {
        let expected = Error::WrongKey { header: "x-api-key".to_owned(), accepted: 2 };
        assert_eq!(key.verify(Some(bad)), Err(expected));
    }
    refused(key.verify(None), "x-api-key header is missing; this address wants a key");
    refused(key.verify(Some(&[b'k'; 5000])), "5000 bytes long (limit 4096)");
    refused(
        key.verify(Some(b"k-18")),
        "what the x-api-key header holds is not accepted here (compared with 2); check that the sender",
    );
    assert_eq!(key.verify(Some(&key.present())), Ok(()));
}

/// RFC 6750 §2.1.
#[test]
fn a_bearer_token_is_accepted_whole_and_nothing_else_is() {
    let bearer = Bearer::new(secret("mF_9.B5f-4.1JqM")).also_accept(secret("old"));
    for good in [
        &b"Bearer mF_9.B5f-4.1JqM"[..],
        b"bearer mF_9.B5f-4.1JqM",
        b"BEARER   mF_9.B5f-4.1JqM ",
        b"Bearer old",
    ] {
        assert_eq!(bearer.verify(Some(good)), Ok(()));
    }
    for (bad, problem) in [
        (&b""[..], "is of another scheme; expected the form Bearer <token>"),
        (b"mF_9.B5f-4.1JqM", "is of another scheme"),
        (b"BearermF_9.B5f-4.1JqM", "is of another scheme"),
        (b"Bearer\tmF_9.B5f-4.1JqM", "is of another scheme"),
        (b"Basic bUZfOS5CNWYtNC4xSnFNOg==", "is of another scheme"),
        (b"Bearer", "has nothing behind its scheme"),
        (b"Bearer  ", "has nothing behind its scheme"),
        (b"Bearer mF_9.B5f-4.1JqMx", "is not accepted here (compared with 2)"),
        (b"Bearer mF_9.B5f-4.1Jq", "is not accepted here"),
        (b"Bearer mF_9.B5f-4.1JqM, Bearer old", "is not accepted here"),
        (b"Bearer \xff\xfe", "is not accepted here"),
    ] {
        refused(bearer.verify(Some(bad)), problem);
    }
    refused(bearer.verify(None), "authorization header is missing; this address wants a bearer token");
    refused(bearer.verify(Some(&[b'B'; 5000])), "5000 bytes long");
    assert_eq!(bearer.present(), b"Bearer mF_9.B5f-4.1JqM");
}

/// RFC 7617 §2 and §2.1.
#[test]
fn user_and_password_are_accepted_together_and_not_apart() {
    let basic =
        Basic::new("Aladdin", secret("open sesame")).unwrap().also_accept("test", &secret("123£")).unwrap();
    for good in [
        &b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="[..],
        b"basic QWxhZGRpbjpvcGVuIHNlc2FtZQ",
        b"BASIC  QWxhZGRpbjpvcGVuIHNlc2FtZQ== ",
        b"Basic dGVzdDoxMjPCow==",
    ] {
        assert_eq!(basic.verify(Some(good)), Ok(()));
    }
    for bad in [
        &b"Aladdin:"[..],
        b":open sesame",
        b"Aladdin:123\xc2\xa3",
        b"test:open sesame",
        b"test:123\xa3",
        b"aladdin:open sesame",
        b"Aladdin:open sesame\n",
        b"Aladdin:open:sesame",
        b":",
    ] {
        let expected = Error::WrongKey { header: "authorization".to_owned(), accepted: 2 };
        assert_eq!(basic.verify(Some(&basic_header(bad))), Err(expected));
    }
    for (bad, problem) in [
        (basic_header("Aladdin"), "has no colon between user and password"),
        (b"Basic QWxh ZGRp".to_vec(), "is not base64"),
        (b"Basic Aladdin:open sesame".to_vec(), "is not base64"),
        (b"Basic ====".to_vec(), "is not base64"),
        (b"Basic Q".to_vec(), "is not base64"),
        (b"Basic".to_vec(), "has nothing behind its scheme"),
        (b"Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_vec(), "is of another scheme"),
        (b"Basic \xff\xfe".to_vec(), "is not base64"),
    ] {
        refused(basic.verify(Some(&bad)), problem);
    }
    refused(basic.verify(None), "authorization header is missing; this address wants a user and a password");
    assert_eq!(basic.present(), b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
}

#[test]
fn a_password_may_have_colons_and_a_user_may_not() {
    let basic = Basic::new("ada", secret("a:b::")).unwrap();
    assert_eq!(basic.verify(Some(&basic_header("ada:a:b::"))), Ok(()));
    assert!(basic.verify(Some(&basic_header("ada:a"))).is_err());
    assert_eq!(Basic::new("ada:", secret("x")).unwrap_err(), UserHasColon);
    assert_eq!(basic.also_accept("a:da", &secret("x")).unwrap_err(), UserHasColon);
}

#[test]
fn no_message_and_no_debug_output_holds_a_key_or_its_digest() {
    let (key, bearer) = (ApiKey::new("X-Api-Key", secret("sesame")), Bearer::new(secret("sesame")));
    let basic = Basic::new("ada", secret("sesame")).unwrap();
    let parsed = authorization::basic(Some(&basic.present())).unwrap();
    let shown = format!("{key:?} {bearer:?} {basic:?} {parsed:?}");
    assert!(!shown.contains("sesame") && !shown.contains(|shown: char| shown.is_ascii_digit()), "{shown}");
    for error in [key.verify(Some(b"simsim")), bearer.verify(Some(b"Bearer simsim"))] {
        let error = error.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("simsim"), "nor what a stranger typed");
    }
}

proptest! {
    #[test]
    fn arbitrary_headers_never_panic_and_are_never_accepted(header: Vec<u8>) {
        let basic = Basic::new("ada", secret("a long password")).unwrap();
        prop_assert!(basic.verify(Some(&header)).is_err());
        prop_assert!(Bearer::new(secret("a long token")).verify(Some(&header)).is_err());
        prop_assert!(ApiKey::new("x-key", secret("a long key")).verify(Some(&header)).is_err());
    }

    #[test]
    fn basic_credentials_are_read_as_they_were_written(user in "[^:]{0,20}", password: Vec<u8>) {
        let header = basic_header([user.as_bytes(), b":", &password].concat());
        let parsed = authorization::basic(Some(&header)).unwrap();
        prop_assert_eq!((parsed.user, parsed.password), (user.into_bytes(), password));
    }

    #[test]
    fn only_the_right_credentials_are_accepted(
        user in "[^:]{0,20}", password in ".{1,20}", other_user in "[^:]{0,20}", other_password in ".{0,20}",
    ) {
        let basic = Basic::new(&*user, secret(&password)).unwrap();
        prop_assert_eq!(basic.verify(Some(&basic.present())), Ok(()));
        let other = basic_header(format!("{other_user}:{other_password}"));
        let same = other_user == user && other_password == password;
        prop_assert_eq!(basic.verify(Some(&other)).is_ok(), same);
    }
}
