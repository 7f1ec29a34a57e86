//! Standard Webhooks, version 1a. No official library has it.

use bowline_signature::{
    Error, Request, Scheme, StandardWebhooks, Unsigned,
    standard_webhooks::{HEADERS, InvalidSecret, TOLERANCE},
};
use http::{HeaderMap, HeaderValue};

use crate::{
    at,
    gauntlet::{BODY, JSON, Runner, run},
    secret,
};

/// Of `test_asymmetric_key_signing` in `server/svix-server/src/worker.rs` of <https://github.com/svix/svix-webhooks> (MIT);
/// the signature also stands in the specification's example of headers.
const PAIR: &str =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const SIGNED_AT: i64 = 1_614_265_330;
const MESSAGE: &[u8] = br#"{"test": 2432232314}"#;
const SIGNATURE: &str =
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";
/// The official libraries' vector for the same message, by a symmetric secret.
const SYMMETRIC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const MAC: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

/// Made from the pairs of RFC 8032 § 7.1.
const OTHERS: [&str; 2] = [
    "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==",
    "whsk_TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs9QBfD6EOJWpK3CqdNG368nJgszy7ElozAzVXxKvRmDA==",
];

fn webhooks(secrets: &[&str]) -> StandardWebhooks {
    let first = StandardWebhooks::new(&secret(secrets[0])).unwrap();
    secrets[1..].iter().fold(first, |webhooks, next| webhooks.also_accept(&secret(next)).unwrap())
}

fn judge(secrets: &[&str], signature: &str) -> Result<(), Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in HEADERS.into_iter().zip([ID, &SIGNED_AT.to_string(), signature]) {
        headers.insert(name, HeaderValue::from_str(value).unwrap());
    }
    Scheme::verify(&webhooks(secrets), &Request::post(&headers, MESSAGE), at(SIGNED_AT))
}

#[test]
fn withstands_all() {
    run(&Runner {
        make: |secrets| Box::new(webhooks(secrets)),
        secrets: [PAIR, OTHERS[0], OTHERS[1]],
        content_type: JSON,
        body: BODY,
        signed_headers: &HEADERS,
        past: Some(TOLERANCE),
        future: Some(TOLERANCE),
        signs_url: false,
    });
}

#[test]
fn accepts_and_signs_the_published_vector() {
    assert_eq!((judge(&[PUBLIC], SIGNATURE), judge(&[PAIR], SIGNATURE)), (Ok(()), Ok(())));
    let signed = webhooks(&[PAIR]).sign(ID, MESSAGE, at(SIGNED_AT)).unwrap();
    assert_eq!(signed[2], ("webhook-signature", SIGNATURE.to_owned()));
}

#[test]
fn of_mixed_signatures_one_that_fits_is_enough() {
    for list in [format!("{MAC} {SIGNATURE}"), format!("{SIGNATURE} {MAC}"), format!("v2,x {SIGNATURE} v1,=")]
    {
        assert_eq!(judge(&[PUBLIC], &list), Ok(()), "{list}");
    }
    for list in [format!("{MAC} {SIGNATURE}"), format!("{SIGNATURE} {MAC}")] {
        assert_eq!(judge(&[SYMMETRIC], &list), Ok(()), "{list}");
    }
    // From the one version to the other.
    assert_eq!((judge(&[SYMMETRIC, PUBLIC], MAC), judge(&[PUBLIC, SYMMETRIC], SIGNATURE)), (Ok(()), Ok(())));
}

#[test]
fn a_signature_counts_for_its_version_only() {
    let mismatch = Err(Error::Mismatch { secrets: 1 });
    assert_eq!(judge(&[PUBLIC], MAC), mismatch);
    assert_eq!(judge(&[SYMMETRIC], SIGNATURE), mismatch);
    // An HMAC by what everybody knows, the public key, is none.
    let known = format!("whsec_{}", PUBLIC.strip_prefix("whpk_").unwrap());
    let forged = webhooks(&[&known]).sign(ID, MESSAGE, at(SIGNED_AT)).unwrap()[2].1.clone();
    assert!(forged.starts_with("v1,"));
    assert_eq!(judge(&[PUBLIC], &forged), mismatch);
    for renamed in
        [forged.replace("v1,", "v1a,"), SIGNATURE.replace("v1a,", "v1,"), SIGNATURE.replace("v1a,", "v1A,")]
    {
        assert!(matches!(judge(&[PUBLIC], &renamed), Err(Error::HeaderMalformed { .. })), "{renamed}");
    }
}

#[test]
fn a_public_key_does_not_sign() {
    let refused = Scheme::sign(&webhooks(&[PUBLIC]), &Unsigned::json(ID, b"{}"), at(0)).unwrap_err();
    assert!(refused.to_string().contains("a key that only it has"), "{refused}");
    // The first one signs, whichever it is.
    let both = webhooks(&[SYMMETRIC, PUBLIC]).sign(ID, MESSAGE, at(SIGNED_AT)).unwrap();
    assert_eq!(both[2].1, MAC);
}

#[test]
fn what_is_no_key_is_refused() {
    let seed = format!("whsk_{}", &PAIR[5..48]);
    for bad in [
        "whpk_",
        "whpk_AAAA",
        "whsk_AAAA",
        &seed,
        &PAIR.replace("whsk", "whpk"),
        &PUBLIC.replace("whpk", "whsk"),
    ] {
        assert_eq!(StandardWebhooks::new(&secret(bad)).unwrap_err(), InvalidSecret::NotEd25519, "{bad}");
    }
    // A pair whose halves do not belong together.
    let crossed = PAIR.replace("6Xb/", "6Xc/");
    assert_eq!(StandardWebhooks::new(&secret(crossed)).unwrap_err(), InvalidSecret::NotEd25519);
}
