//! PayPal: through the gauntlet, and its certificates.

use std::time::Duration;

use bowline_signature::{
    Error, PayPal, Request, Scheme, Unsigned,
    certificate::{ASKED_MAX, ASKED_WITHIN, REMEMBERED_FOR},
};
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;

use super::certificates::{self, Made, PAYPAL};
use crate::{
    at,
    gauntlet::{BODY, JSON, Runner, run},
    judges::{self, Judge},
    skip,
};

pub(super) const URL: &str = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-a5cafa77";
const NOW: i64 = 1_700_000_000;

fn make(ids: &[&str]) -> PayPal {
    let first = PayPal::new(ids[0]).unwrap().signing_with(PAYPAL.at(URL));
    ids[1..].iter().fold(first, |paypal, id| paypal.also_accept(id).unwrap())
}

#[test]
fn withstands_all() {
    run(&Runner {
        make: |ids| Box::new(make(ids)),
        secrets: ["9XL90610J3647323C", "8PT597110X687430LKGECATA", "0EH40505U7160970P"],
        content_type: JSON,
        body: BODY,
        signed_headers: &bowline_signature::paypal::HEADERS,
        past: None,
        future: None,
        signs_url: false,
    });
}

/// What PayPal sends for a webhook, signed with that key.
fn sent(made: &Made, url: &str, at: Timestamp) -> HeaderMap {
    let paypal = PayPal::new("9XL90610J3647323C").unwrap().signing_with(made.at(url));
    paypal.sign(&Unsigned::json("d938e770", BODY), at).unwrap().headers.into_iter().collect()
}

fn receiver() -> PayPal {
    PayPal::new("9XL90610J3647323C").unwrap()
}

fn judge(paypal: &PayPal, headers: &HeaderMap, now: Timestamp) -> Result<(), Error> {
    paypal.verify(&Request::post(headers, BODY), now)
}

fn unknown(url: &str) -> Result<(), Error> {
    Err(Error::CertificateUnknown { url: url.to_owned() })
}

#[test]
fn a_certificate_is_fetched_once_a_day() {
    let (paypal, headers, now) = (receiver(), sent(&PAYPAL, URL, at(NOW)), at(NOW));
    assert_eq!(judge(&paypal, &headers, now), unknown(URL));
    assert_eq!(judge(&paypal, &headers, now), unknown(URL), "whoever comes meanwhile");
    assert_eq!(paypal.learn(URL, PAYPAL.certificate.as_bytes(), now), Ok(()));
    assert_eq!(judge(&paypal, &headers, now), Ok(()));
    assert_eq!(judge(&paypal.clone(), &headers, now + REMEMBERED_FOR), Ok(()));
    let later = now + REMEMBERED_FOR + Duration::from_secs(1);
    assert_eq!(judge(&paypal, &headers, later), unknown(URL));
}

#[test]
fn other_addresses_are_never_asked_for() {
    let (paypal, now) = (receiver(), at(NOW));
    for url in [
        "http://api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1",
        "https://evil.example/api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com@evil.example/v1/notifications/certs/CERT-1",
        "https://evil.example\\@api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com:8443/v1/notifications/certs/CERT-1",
        "https://api.paypal.com/v1/notifications/certs/../../evil",
        "https://api.paypal.com/v1/notifications/certs/CERT-1?x=1",
        "https://api.paypal.com/v1/notifications/certs/CERT-1#x",
        "https://api.paypal.com/v1/notifications/certs/",
        "https://api.paypal.com/redirect?to=evil",
        "https://API.PAYPAL.COM/v1/notifications/certs/CERT-1",
        " https://api.paypal.com/v1/notifications/certs/\tCERT-1",
        "file:///etc/passwd",
        "",
    ] {
        let mut headers = sent(&PAYPAL, URL, now);
        headers.insert("paypal-cert-url", HeaderValue::from_str(url).unwrap());
        let refused = judge(&paypal, &headers, now);
        assert!(matches!(refused, Err(Error::Certificate { .. })), "{url}: {refused:?}");
    }
    let sandbox = "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1";
    let headers = sent(&PAYPAL, sandbox, now);
    assert_eq!(judge(&receiver().sandbox(), &headers, now), unknown(sandbox));
    assert!(matches!(
        judge(&receiver().sandbox(), &sent(&PAYPAL, URL, now), now),
        Err(Error::Certificate { .. })
    ));
}

#[test]
fn a_certificate_is_of_paypal_and_of_today() {
    let now = at(NOW);
    let is_refused = |made: &Made, what: &str| {
        let paypal = receiver();
        assert_eq!(judge(&paypal, &sent(made, URL, now), now), unknown(URL));
        let refused = paypal.learn(URL, made.certificate.as_bytes(), now);
        assert!(
            matches!(&refused, Err(Error::Certificate { problem }) if problem.contains(what)),
            "{refused:?}"
        );
        assert_eq!(judge(&paypal, &sent(made, URL, now), now), unknown(URL));
    };
    let name = "messageverificationcerts.paypal.com";
    is_refused(&certificates::make("paypal.com.evil.example", (2020, 1, 1), (2040, 1, 1)), "name");
    is_refused(&certificates::make(name, (2020, 1, 1), (2021, 1, 1)), "was valid until 2021");
    is_refused(&certificates::make(name, (2030, 1, 1), (2040, 1, 1)), "is valid from 2030");
    let p256 = rcgen::KeyPair::generate().unwrap();
    let made = Made { key: PAYPAL.key.clone(), ..certificates::of(&p256, name, (2020, 1, 1), (2040, 1, 1)) };
    let paypal = receiver();
    assert_eq!(judge(&paypal, &sent(&PAYPAL, URL, now), now), unknown(URL));
    let refused = paypal.learn(URL, made.certificate.as_bytes(), now).unwrap_err().to_string();
    assert!(refused.contains("RSA"), "{refused}");
    for pem in [
        &b""[..],
        b"<html>",
        &[b'-'; 65 * 1024],
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        assert!(matches!(paypal.learn(URL, pem, now), Err(Error::Certificate { .. })));
    }
    // It expires while it is known.
    let short = certificates::make(name, (2023, 11, 14), (2023, 11, 15));
    let (paypal, headers) = (receiver(), sent(&short, URL, now));
    assert_eq!(judge(&paypal, &headers, now), unknown(URL));
    paypal.learn(URL, short.certificate.as_bytes(), now).unwrap();
    assert_eq!(judge(&paypal, &headers, now), Ok(()));
    let refused = judge(&paypal, &headers, now + Duration::from_hours(2));
    assert!(matches!(refused, Err(Error::Certificate { .. })), "{refused:?}");
}

/// Somebody else's request must not make a receiver remember, or send, without bound.
#[test]
fn strangers_make_it_ask_a_few_times_a_minute_only() {
    let (paypal, now) = (receiver(), at(NOW));
    let mut headers = sent(&PAYPAL, URL, now);
    let mut asked = 0;
    for number in 0..1_000 {
        let url = format!("https://api.paypal.com/v1/notifications/certs/CERT-{number}");
        headers.insert("paypal-cert-url", HeaderValue::from_str(&url).unwrap());
        asked += usize::from(judge(&paypal, &headers, now) == unknown(&url));
    }
    assert_eq!(asked, ASKED_MAX);
    // Nobody can plant what was not asked for.
    let refused = paypal.learn(URL, PAYPAL.certificate.as_bytes(), now);
    assert!(matches!(refused, Err(Error::Certificate { .. })), "{refused:?}");
    let later = now + ASKED_WITHIN + Duration::from_secs(1);
    assert_eq!(judge(&paypal, &sent(&PAYPAL, URL, now), later), unknown(URL));
}

#[test]
fn only_sha256_with_rsa_counts() {
    let now = at(NOW);
    for algorithm in ["SHA1withRSA", "sha256WithRSA", "none", "SHA256withRSA,SHA1withRSA"] {
        let mut headers = sent(&PAYPAL, URL, now);
        headers.insert("paypal-auth-algo", HeaderValue::from_static(algorithm));
        let refused = judge(&make(&["9XL90610J3647323C"]), &headers, now);
        assert!(matches!(refused, Err(Error::HeaderMalformed { .. })), "{refused:?}");
    }
}

#[test]
fn a_tolerance_is_kept() {
    let (now, tolerance) = (at(NOW), Duration::from_hours(72));
    let paypal = make(&["9XL90610J3647323C"]).tolerance(tolerance);
    let headers = sent(&PAYPAL, URL, now);
    assert_eq!(judge(&paypal, &headers, now + tolerance), Ok(()));
    let late = judge(&paypal, &headers, now + tolerance + Duration::from_secs(1));
    assert!(matches!(late, Err(Error::TooOld { .. })), "{late:?}");
    let early = judge(&paypal, &headers, now - tolerance - Duration::from_secs(1));
    assert!(matches!(early, Err(Error::TooNew { .. })), "{early:?}");
}

#[test]
fn without_a_key_of_its_own_it_does_not_sign() {
    let refused = receiver().sign(&Unsigned::json("1", BODY), at(NOW)).unwrap_err().to_string();
    assert!(refused.contains("a key that only it has"), "{refused}");
    assert!(PayPal::new("").is_err() && PayPal::new("a|b").is_err());
}

#[test]
fn paypal_s_library_and_ours_agree() {
    let secret = |id| format!("{id}\n{}{}", PAYPAL.key, PAYPAL.certificate);
    let by_secrets: judges::Make = |secrets| {
        let ids: Vec<&str> = secrets.iter().filter_map(|secret| secret.lines().next()).collect();
        Box::new(make(&ids))
    };
    let secrets = [&*secret("9XL90610J3647323C"), &*secret("8PT597110X687430LKGECATA")];
    if let Err(missing) = judges::agree(&Judge::Python("paypalrestsdk"), "paypal", secrets, by_secrets) {
        skip!("paypal_s_library_and_ours_agree", missing);
    }
}
