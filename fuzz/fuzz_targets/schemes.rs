//! Every scheme: what is signed here is accepted within its time, and changed in any way only if all that was signed is
//! still there; who knows another secret accepts nothing; what is refused is told without a secret.
//!
//! Input, a line each: a letter of [`SCHEMES`] and how many seconds later it arrives; the URL; the body's type; the body
//! before it is signed; and changes. `=name:value` sets a header, `+name:value` sends it once more, `-name:` leaves it
//! out, `@name:7:text` writes over what stands there, `^name:7:text` inserts, `~name:7:` flips a bit, `!name:7:2` cuts.
//! `body`, `url` and `method` are names as well. `{genuine}` is the value before, `{line}` a line's end.
#![no_main]

use std::sync::LazyLock;

use axum::http::{HeaderName, HeaderValue};
use bowline_fuzz::{
    NOW_SECONDS, fill, now, secret,
    signed::{self, Readings, Sent},
};
use bowline_signature::{
    Adyen, Bitbucket, Calendly, CertifiedKey, Discord, Error, GitHub, GitLab, Graph, Hmac, HubSpot, Intercom,
    Linear, Mailgun, Meta, Paddle, PayPal, Request, Scheme, SendGrid, Shopify, Slack, Sns, Square,
    StandardWebhooks, Stripe, Twilio, Typeform, Unsigned, Xero, Zendesk, Zoom,
};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

const ONE: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
const OTHER: &str = "DFB1EB5485895CFA84146406857104ABB4CBCABDC8AAF103A624C8F6A3EAAB00";
const PAIR: &str =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const OTHER_PAIR: &str = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
const DISCORD: [&str; 2] = [
    "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
];
const SENDGRID: [&str; 2] = [
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgY0nEM3vYhlIsvl4PXs1gv9kqhQbbUdDqT7b4ou/D94uhRANCAARlFsrcX4CmyBWB2GTEfAwaUyIA6W9207q1xfJodVH7IN1mxKK0RRQGf+xQ6XovnJygrBz6OtiQRVOMj6UYS2Gp",
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqTxd43gyp8IOEto2LdIfjRQrIbsd4SXZkLW6jDutdhXSJCWHw8REntlo7aNDthvj+y7GjUuFDb/R1NGe1OPzpA==",
];
const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:orders";
const SNS_URL: &str = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0.pem";
const PAYPAL_URL: &str = "https://api.paypal.com/v1/notifications/certs/CERT-0";

/// Longest reason: a header that is quoted, and the words around it.
const REASON_BYTES_MAX: usize = 4096 + 512;
/// What of a secret or a signature would tell something.
const PIECE_BYTES: usize = 12;

struct Case {
    /// Signs.
    sender: Box<dyn Scheme>,
    /// Accepts what the sender signed, and what somebody else did.
    receiver: Box<dyn Scheme>,
    /// Accepts what somebody else signed.
    stranger: Box<dyn Scheme>,
    signed: Box<dyn Fn(&Sent) -> Option<Vec<Readings>> + Send + Sync>,
    /// Seconds that it may be old, and ahead of the clock.
    past: Option<i64>,
    future: Option<i64>,
}

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut text = || std::str::from_utf8(lines.next().unwrap_or_default()).ok();
    let (Some(head), Some(url), Some(content_type), Some(body)) = (text(), text(), text(), text()) else {
        return;
    };
    let Some((letter, age)) = head.split_at_checked(1) else { return };
    let Some((_, case)) = CASES.iter().find(|(known, _)| *known == letter) else { return };
    let age: i64 = age.parse().unwrap_or(0);
    let Some(at) = NOW_SECONDS.checked_add(age).and_then(|second| Timestamp::from_second(second).ok()) else {
        return;
    };
    let Ok(media_type) = HeaderValue::from_str(content_type) else { return };

    let url = (!url.is_empty()).then_some(url);
    let unsigned = Unsigned { method: "POST", url, id: "evt_1", content_type, body: body.as_bytes() };
    let Ok(signed) = case.sender.sign(&unsigned, now()) else { return };
    let mut headers: axum::http::HeaderMap = signed.headers.into_iter().collect();
    headers.insert("content-type", media_type);
    let genuine = Sent { method: "POST".into(), url: url.map(ToOwned::to_owned), headers, body: signed.body };

    let is_in_time =
        case.past.is_none_or(|past| age <= past) && case.future.is_none_or(|future| -age <= future);
    let mut sent = genuine.clone();
    for change in lines {
        apply(change, &mut sent);
    }
    let verdict = judge(&*case.receiver, &sent, at);
    match &verdict {
        Ok(()) => {
            assert!(is_in_time, "{letter}: accepted {age} s later");
            assert!(
                sent.is_deep() || holds_what_was_signed(case, &genuine, &sent),
                "{letter}: {genuine:?}\n{sent:?}"
            );
        }
        // A sender signs any body, and a genuine one has a form; certificates have times of their own.
        Err(Error::BodyMalformed { .. } | Error::Certificate { .. }) => {}
        Err(error) => {
            let is_late = matches!(error, Error::TooOld { .. } | Error::TooNew { .. });
            assert!(sent != genuine || (is_late && !is_in_time), "{letter}: {error} of {genuine:?}");
        }
    }
    let stranger = judge(&*case.stranger, &sent, at);
    assert!(stranger.is_err(), "{letter}: taken for what somebody else signed: {sent:?}");
    for error in [verdict, stranger].into_iter().filter_map(Result::err) {
        tells_nothing(&error, &genuine);
    }
});

fn judge(scheme: &dyn Scheme, sent: &Sent, at: Timestamp) -> Result<(), Error> {
    let (method, url) = (sent.method.as_str(), sent.url.as_deref());
    scheme.verify(&Request { method, url, headers: &sent.headers, body: &sent.body }, at)
}

/// Each part that is signed was signed.
fn holds_what_was_signed(case: &Case, genuine: &Sent, sent: &Sent) -> bool {
    let (Some(was), Some(is)) = ((case.signed)(genuine), (case.signed)(sent)) else { return false };
    let was = was.concat();
    !is.is_empty() && is.iter().all(|readings| readings.iter().any(|reading| was.contains(reading)))
}

fn tells_nothing(error: &Error, genuine: &Sent) {
    let text = error.to_string();
    assert!(!text.is_empty() && text.len() <= REASON_BYTES_MAX, "{} bytes", text.len());
    // An address that is not known yet is told: it is to be fetched.
    if matches!(error, Error::CertificateUnknown { .. }) {
        return;
    }
    let proves = |name: &str| ["sig", "hmac", "token"].iter().any(|part| name.contains(part));
    let signatures = genuine.headers.iter().filter(|(name, _)| proves(name.as_str()));
    let secrets = signatures.filter_map(|(_, value)| value.to_str().ok()).chain([ONE, OTHER, PAIR]);
    for secret in secrets.chain(DISCORD).chain(SENDGRID) {
        let mut pieces = secret.as_bytes().windows(PIECE_BYTES).step_by(PIECE_BYTES / 2);
        assert!(
            !pieces.any(|piece| text.as_bytes().windows(PIECE_BYTES).any(|part| part == piece)),
            "{text}"
        );
    }
}

fn apply(change: &[u8], sent: &mut Sent) {
    let Some((how, change)) = change.split_first() else { return };
    let mut parts = change.splitn(2, |byte| *byte == b':');
    let (Some(name), Some(rest)) = (parts.next(), parts.next()) else { return };
    let Ok(name) = std::str::from_utf8(name) else { return };
    let before = match name {
        "body" => sent.body.clone(),
        "url" => sent.url.clone().unwrap_or_default().into_bytes(),
        "method" => sent.method.clone().into_bytes(),
        _ => sent.headers.get(name).map(|value| value.as_bytes().to_vec()).unwrap_or_default(),
    };
    let words: &[(&str, &[u8])] = &[("{genuine}", &before), ("{line}", b"\n")];
    let Some(value) = changed(*how, &before, rest, words) else { return };
    match name {
        "body" => sent.body = value,
        "url" => sent.url = String::from_utf8(value).ok().filter(|_| *how != b'-'),
        "method" => sent.method = String::from_utf8(value).unwrap_or_default(),
        _ => {
            let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(&value)) else {
                return;
            };
            match how {
                b'-' => drop(sent.headers.remove(name)),
                b'+' => drop(sent.headers.append(name, value)),
                _ => drop(sent.headers.insert(name, value)),
            }
        }
    }
}

fn changed(how: u8, before: &[u8], rest: &[u8], words: &[(&str, &[u8])]) -> Option<Vec<u8>> {
    if matches!(how, b'=' | b'+' | b'-') {
        return Some(fill(rest, words));
    }
    let colon = rest.iter().position(|byte| *byte == b':')?;
    let place: usize = std::str::from_utf8(&rest[..colon]).ok()?.parse().ok()?;
    let text = fill(&rest[colon + 1..], words);
    let mut value = before.to_vec();
    let at = place % (value.len() + 1);
    match how {
        b'^' => drop(value.splice(at..at, text)),
        b'@' => drop(value.splice(at..(at + text.len()).min(before.len()), text)),
        b'!' => {
            let bytes: usize = std::str::from_utf8(&text).ok()?.parse().ok()?;
            value.drain(at..at.saturating_add(bytes).min(before.len()));
        }
        b'~' => *value.get_mut(place / 8)? ^= 1 << (place % 8),
        _ => return None,
    }
    Some(value)
}

static CASES: LazyLock<Vec<(&'static str, Case)>> = LazyLock::new(|| {
    // Both ways of saying the same: `new(secret)`, `also_accept(secret)`.
    macro_rules! plain {
        ($scheme:ident) => {
            [
                Box::new($scheme::new(secret(ONE))) as Box<dyn Scheme>,
                Box::new($scheme::new(secret(OTHER)).also_accept(secret(ONE))),
                Box::new($scheme::new(secret(OTHER))),
            ]
        };
    }
    macro_rules! parsed {
        ($new:expr, $one:expr, $other:expr) => {
            [
                Box::new($new($one).expect("a key")) as Box<dyn Scheme>,
                Box::new($new($other).and_then(|made| made.also_accept($one)).ok().expect("keys")),
                Box::new($new($other).expect("a key")),
            ]
        };
    }
    let key = |url| {
        let pem = |file: &str| file.to_owned();
        let private = pem(include_str!("../../crates/bowline-ingress/src/providers/test_key/key.pem"));
        let certificate =
            pem(include_str!("../../crates/bowline-ingress/src/providers/test_key/certificate.pem"));
        CertifiedKey::new(url, private, certificate).expect("a key and its certificate")
    };
    let paypal = |ids: &[&str]| {
        let first = PayPal::new(ids[0]).expect("an id").signing_with(key(PAYPAL_URL));
        let all = ids[1..].iter().fold(first, |paypal, id| paypal.also_accept(id).expect("an id"));
        Box::new(all) as Box<dyn Scheme>
    };
    let sns = |topic: &str| {
        Box::new(Sns::new([topic]).expect("a topic").signing_with(key(SNS_URL))) as Box<dyn Scheme>
    };
    let graph = |one: &str, more: &[&str]| {
        let first = Graph::new(secret(one)).expect("short");
        let all = more.iter().fold(first, |graph, more| graph.also_accept(secret(more)).expect("short"));
        Box::new(all) as Box<dyn Scheme>
    };
    let hmac = |one: &str, more: &[&str]| {
        let first = Hmac::sha512("x-signature", secret(one)).base64().several_signatures();
        let timed = first.prefix("v0=").signed_prefix("v0:").timestamp("x-time", ":").milliseconds();
        Box::new(more.iter().fold(timed, |hmac, more| hmac.also_accept(secret(more)))) as Box<dyn Scheme>
    };
    let (one, other) = (&secret(ONE), &secret(OTHER));
    let (pair, other_pair) = (&secret(PAIR), &secret(OTHER_PAIR));
    let shown = |token: &str| GitLab::secret_token(secret(token));
    vec![
        ("a", case(parsed!(Adyen::new, one, other), signed::adyen, None, None)),
        ("b", case(plain!(Bitbucket), signed::body, None, None)),
        ("c", case(plain!(Calendly), signed::stamped("calendly-webhook-signature"), Some(180), None)),
        (
            "d",
            case(
                parsed!(Discord::new, DISCORD[0], DISCORD[1]),
                signed::timed("", "x-signature-timestamp", ""),
                None,
                None,
            ),
        ),
        (
            "e",
            case(
                parsed!(SendGrid::new, SENDGRID[0], SENDGRID[1]),
                signed::timed("", "x-twilio-email-event-webhook-timestamp", ""),
                None,
                None,
            ),
        ),
        (
            "f",
            case(
                [
                    Box::new(shown(ONE)),
                    Box::new(shown(OTHER).also_accept(one).expect("any token")),
                    Box::new(shown(OTHER)),
                ],
                signed::token("x-gitlab-token"),
                None,
                None,
            ),
        ),
        ("g", case(plain!(GitHub), signed::body, None, None)),
        ("h", case(plain!(HubSpot), signed::hubspot, Some(300), None)),
        ("i", case(plain!(Intercom), signed::body, None, None)),
        ("j", case(parsed!(GitLab::signing_token, one, other), signed::standard, Some(300), Some(300))),
        (
            "k",
            case(plain!(Slack), signed::timed("v0:", "x-slack-request-timestamp", ":"), Some(300), Some(300)),
        ),
        ("l", case(plain!(Linear), signed::body, Some(60), Some(60))),
        ("m", case(plain!(Meta), signed::body, None, None)),
        ("n", case(plain!(Mailgun), signed::mailgun, None, None)),
        (
            "o",
            case(
                [paypal(&["ONE"]), paypal(&["OTHER", "ONE"]), paypal(&["OTHER"])],
                signed::paypal,
                None,
                None,
            ),
        ),
        ("p", case(plain!(Paddle), signed::paddle, Some(5), Some(5))),
        ("q", case(plain!(Square), signed::url_and_body, None, None)),
        (
            "r",
            case(
                [hmac(ONE, &[]), hmac(OTHER, &[ONE]), hmac(OTHER, &[])],
                signed::timed("v0:", "x-time", ":"),
                Some(300),
                Some(300),
            ),
        ),
        ("s", case(plain!(Stripe), signed::stamped("stripe-signature"), Some(300), None)),
        ("t", case(plain!(Twilio), signed::twilio, None, None)),
        (
            "u",
            case(
                [sns(TOPIC), sns(TOPIC), sns("arn:aws:sns:us-east-1:123456789012:others")],
                signed::sns,
                None,
                None,
            ),
        ),
        ("v", case(parsed!(StandardWebhooks::new, pair, other_pair), signed::standard, Some(300), Some(300))),
        ("w", case(parsed!(StandardWebhooks::new, one, other), signed::standard, Some(300), Some(300))),
        ("x", case(plain!(Xero), signed::body, None, None)),
        ("y", case(plain!(Typeform), signed::body, None, None)),
        ("z", case(plain!(Zoom), signed::timed("v0:", "x-zm-request-timestamp", ":"), None, None)),
        (
            "D",
            case(
                plain!(Zendesk),
                signed::timed("", "x-zendesk-webhook-signature-timestamp", ""),
                Some(300),
                Some(300),
            ),
        ),
        ("G", case([graph(ONE, &[]), graph(OTHER, &[ONE]), graph(OTHER, &[])], signed::graph, None, None)),
        ("S", case(plain!(Shopify), signed::body, None, None)),
    ]
});

fn case(
    [sender, receiver, stranger]: [Box<dyn Scheme>; 3],
    signed: impl Fn(&Sent) -> Option<Vec<Readings>> + Send + Sync + 'static,
    past: Option<i64>,
    future: Option<i64>,
) -> Case {
    Case { sender, receiver, stranger, signed: Box::new(signed), past, future }
}
