//! SendGrid: vectors of its libraries' own tests.

use std::{sync::LazyLock, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bowline_signature::{Error, Request, Scheme, SendGrid, Unsigned};
use http::{HeaderMap, HeaderValue};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384};

use crate::{
    at,
    gauntlet::{BODY, JSON, Runner, run},
    judges::{self, Judge},
    skip,
};

/// Private keys, PKCS #8 in base64.
pub(super) static PRIVATE: LazyLock<[String; 3]> = LazyLock::new(|| {
    std::array::from_fn(|_| {
        STANDARD.encode(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().serialize_der())
    })
});

/// The public key of a private one, as SendGrid's settings show it.
pub(super) fn public(private: &str) -> String {
    let der = STANDARD.decode(private).unwrap();
    let pair = KeyPair::try_from(der.as_slice()).unwrap();
    STANDARD.encode(rcgen::PublicKeyData::subject_public_key_info(&pair))
}

/// As the peer has them.
const TEST_KEYS: [&str; 2] = [
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgY0nEM3vYhlIsvl4PXs1gv9kqhQbbUdDqT7b4ou/D94uhRANCAARlFsrcX4CmyBWB2GTEfAwaUyIA6W9207q1xfJodVH7IN1mxKK0RRQGf+xQ6XovnJygrBz6OtiQRVOMj6UYS2Gp",
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAGhRANCAARrF9Hy4SxCR/i85uVjpEDydwN9gS3rM6D0oTlF2JjClk/jQuL+Gn+bjufrSnwPnhYrzjNXazFezsu2QGg3v1H1",
];

pub(super) fn make(keys: &[&str]) -> SendGrid {
    let first = SendGrid::new(keys[0]).unwrap();
    keys[1..].iter().fold(first, |sendgrid, key| sendgrid.also_accept(key).unwrap())
}

fn runner() -> Runner {
    Runner {
        make: |keys| Box::new(make(keys)),
        secrets: PRIVATE.each_ref().map(String::as_str),
        content_type: JSON,
        body: BODY,
        signed_headers: &["x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp"],
        past: None,
        future: None,
        signs_url: false,
    }
}

#[test]
fn withstands_all() {
    run(&runner());
}

#[test]
fn withstands_all_with_a_tolerance() {
    let tolerance = Some(Duration::from_secs(300));
    let make: fn(&[&str]) -> Box<dyn Scheme> =
        |keys| Box::new(make(keys).tolerance(Duration::from_secs(300)));
    run(&Runner { make, past: tolerance, future: tolerance, ..runner() });
}

/// From `test/unit/test_eventwebhook.py` of <https://github.com/sendgrid/sendgrid-python> (MIT): key, signature,
/// timestamp, body.
const ONE: [&str; 4] = [
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==",
    "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=",
    "1600112502",
    "[{\"email\":\"hello@world.com\",\"event\":\"dropped\",\"reason\":\"Bounced Address\",\"sg_event_id\":\"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA\",\"sg_message_id\":\"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0\",\"smtp-id\":\"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>\",\"timestamp\":1600112492}]\r\n",
];
/// From `packages/eventwebhook/src/eventwebhook.spec.js` of <https://github.com/sendgrid/sendgrid-nodejs> (MIT): two
/// events.
const TWO: [&str; 4] = [
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQ4LIFtWztlsF7skFqOncjD1lun4H5w8XOhyOArHW9RcIx/FfEzx6cikC/yPfUvwaX/JScE7Fc9CJD2afQ9Ok3Q==",
    "MEYCIQC/I4o6vCgqRYrTljjoVWB/GRWNtxeePlLMHr3x9ETeRQIhAIpV+03nREPTTHWSW0wIOA0EoMPdcNgXa70yCaqDJlu5",
    "1619651159",
    "[{\"email\":\"invalid@gmail.com\",\"event\":\"processed\",\"send_at\":0,\"sg_event_id\":\"cHJvY2Vzc2VkLTE5OTQyMTEyLXFOd0JMZ1BRUWpXNkRKdktRd1NBYnctMA\",\"sg_message_id\":\"qNwBLgPQQjW6DJvKQwSAbw.filterdrecv-canary-547b64655b-cw6zx-1-6089EA4A-56.0\",\"smtp-id\":\"<qNwBLgPQQjW6DJvKQwSAbw@ismtpd0178p1mdw1.sendgrid.net>\",\"timestamp\":1619651146},\r\n{\"email\":\"invalid@gmail.com\",\"event\":\"bounce\",\"ip\":\"167.89.101.76\",\"reason\":\"552 5.2.2 The email account that you tried to reach is over quota and inactive. Please direct the recipient to https://support.google.com/mail/?p=OverQuotaPerm c17si1130468pgv.34 - gsmtp\",\"sg_event_id\":\"Ym91bmNlLTAtMTk5NDIxMTItcU53QkxnUFFRalc2REp2S1F3U0Fidy0w\",\"sg_message_id\":\"qNwBLgPQQjW6DJvKQwSAbw.filterdrecv-canary-547b64655b-cw6zx-1-6089EA4A-56.0\",\"smtp-id\":\"<qNwBLgPQQjW6DJvKQwSAbw@ismtpd0178p1mdw1.sendgrid.net>\",\"status\":\"5.2.2\",\"timestamp\":1619651147,\"tls\":1,\"type\":\"blocked\"}]\r\n",
];
/// A key of the same tests that fits neither.
const OTHER_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqTxd43gyp8IOEto2LdIfjRQrIbsd4SXZkLW6jDutdhXSJCWHw8REntlo7aNDthvj+y7GjUuFDb/R1NGe1OPzpA==";

fn headers(signature: &str, timestamp: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-twilio-email-event-webhook-signature", HeaderValue::from_str(signature).unwrap());
    headers.insert("x-twilio-email-event-webhook-timestamp", HeaderValue::from_str(timestamp).unwrap());
    headers
}

fn judge(key: &str, signature: &str, timestamp: &str, body: &str) -> Result<(), Error> {
    make(&[key]).verify(&Request::post(&headers(signature, timestamp), body.as_bytes()), at(1_700_000_000))
}

#[test]
fn accepts_the_published_vectors_and_refuses_them_spoilt() {
    for [key, signature, timestamp, body] in [ONE, TWO] {
        assert_eq!(judge(key, signature, timestamp, body), Ok(()));
        assert_eq!(judge(OTHER_KEY, signature, timestamp, body), Err(Error::Mismatch { secrets: 1 }));
        assert!(judge(key, signature, timestamp, body.trim_end()).is_err(), "CR LF is signed");
        assert!(judge(key, signature, timestamp, "payload").is_err());
        assert!(judge(key, signature, "timestamp", body).is_err());
        assert!(judge(key, signature, "1600112503", body).is_err());
        let other = "MEUCIQCtIHJeH93Y+qpYeWrySphQgpNGNr/U+UyUlBkU6n7RAwIgJTz2C+8a8xonZGi6BpSzoQsbVRamr2nlxFDWYNH3j/0=";
        assert_eq!(judge(key, other, timestamp, body), Err(Error::Mismatch { secrets: 1 }));
    }
    assert_eq!(
        make(&[OTHER_KEY, ONE[0]])
            .verify(&Request::post(&headers(ONE[1], ONE[2]), ONE[3].as_bytes()), at(1_700_000_000)),
        Ok(())
    );
}

#[test]
fn a_public_key_verifies_and_does_not_sign() {
    let signed = make(&[&PRIVATE[0]]).sign(&Unsigned::json("", BODY), at(1_700_000_000)).unwrap();
    let headers: HeaderMap = signed.headers.into_iter().collect();
    let public = make(&[&public(&PRIVATE[0])]);
    assert_eq!(public.verify(&Request::post(&headers, BODY), at(1_700_000_000)), Ok(()));
    let refused = public.sign(&Unsigned::json("", BODY), at(0)).unwrap_err().to_string();
    assert!(refused.contains("a key that only it has"), "{refused}");
}

#[test]
fn keys_of_other_curves_are_none() {
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    for bad in [
        STANDARD.encode(p384.serialize_der()),
        STANDARD.encode(rcgen::PublicKeyData::subject_public_key_info(&p384)),
        STANDARD.encode(b"MFkwEwYH"),
        String::new(),
        "-----BEGIN PUBLIC KEY-----".to_owned(),
    ] {
        assert!(SendGrid::new(&bad).is_err(), "{bad}");
    }
}

#[test]
fn sendgrid_s_library_and_ours_agree() {
    let test = "sendgrid_s_library_and_ours_agree";
    let made: judges::Make = |secrets| Box::new(make(secrets));
    if let Err(missing) =
        judges::agree(&Judge::Python("sendgrid"), "sendgrid", [TEST_KEYS[0], TEST_KEYS[1]], made)
    {
        skip!(test, missing);
    }
}
