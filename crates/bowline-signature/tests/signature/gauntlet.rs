//! What every scheme must withstand, whoever's it is: each sender's tests run it through the same cases.
//!
//! That the schemes agree with those of their senders is shown elsewhere (official libraries, published vectors); here it
//! is shown that nothing else than what was signed is taken, and that nothing a stranger sends breaks a verifier.

use std::time::Duration;

use bowline_signature::{Error, Request, Scheme, SigningSecret, Stripe, Unsigned};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use crate::at;

const NOW: i64 = 1_700_000_000;
const URL: &str = "https://hooks.example.com/webhooks/in?tenant=7";

/// What there is to know of a scheme.
pub(crate) struct Runner {
    /// Accepts what these secrets signed; the first one signs.
    pub(crate) make: fn(&[&str]) -> Box<dyn Scheme>,
    /// Three secrets (or private keys) in the sender's form.
    pub(crate) secrets: [&'static str; 3],
    pub(crate) content_type: &'static str,
    pub(crate) body: &'static [u8],
    /// Headers that must not be changed, one by one, without being noticed: those that are signed or sign.
    pub(crate) signed_headers: &'static [&'static str],
    /// How old, and how far in the future, a request may be; `None`: no time is signed.
    pub(crate) past: Option<Duration>,
    pub(crate) future: Option<Duration>,
    /// Whether the URL is signed.
    pub(crate) signs_url: bool,
}

pub(crate) const JSON: &str = "application/json";
pub(crate) const BODY: &[u8] = br#"{"id":"evt_1","type":"order.paid","data":{"object":{"n":1}}}"#;

#[test]
fn stripe() {
    run(&Runner {
        make: |secrets| {
            let mut secrets = secrets.iter().map(|secret| SigningSecret::new(secret).unwrap());
            let first = Stripe::new(secrets.next().unwrap());
            Box::new(secrets.fold(first, Stripe::also_accept))
        },
        secrets: ["whsec_one", "whsec_two", "whsec_three"],
        content_type: JSON,
        body: BODY,
        signed_headers: &["stripe-signature"],
        past: Some(bowline_signature::stripe::TOLERANCE),
        future: None,
        signs_url: false,
    });
}

/// One genuine request, and all that can be done to it.
pub(crate) fn run(runner: &Runner) {
    run_where(runner, |_genuine, _tampered| false);
}

/// As [`run`], for senders that do not sign every byte of a body: `same` says whether all that is signed in the one is
/// in the other as well.
pub(crate) fn run_where(runner: &Runner, same: fn(&[u8], &[u8]) -> bool) {
    let [one, two, three] = runner.secrets;
    let (scheme, now) = ((runner.make)(&[one]), at(NOW));
    let genuine = Sent::new(runner, &*scheme, now);
    assert_eq!(genuine.judged_by(&*scheme, now), Ok(()), "genuine");
    assert_eq!(genuine.judged_by(&*scheme, now), Ok(()), "a replay is for the receiver's memory to see");

    tampered_bodies(&*scheme, &genuine, same);
    tampered_headers(runner, &*scheme, &genuine);
    strange_headers(runner, &*scheme, &genuine);
    if runner.signs_url {
        tampered_urls(&*scheme, &genuine);
    }
    ages(runner, &*scheme, &genuine);

    // Secrets.
    let other = (runner.make)(&[two]);
    assert!(genuine.judged_by(&*other, now).is_err(), "wrong secret");
    let rotating = (runner.make)(&[two, one]);
    assert_eq!(genuine.judged_by(&*rotating, now), Ok(()), "signed with the old secret");
    let new = Sent::new(runner, &*rotating, now);
    assert_eq!(new.judged_by(&*other, now), Ok(()), "the first secret signs");
    assert_eq!(new.judged_by(&*rotating, now), Ok(()), "signed with the new secret");
    assert!(new.judged_by(&*(runner.make)(&[three, one]), now).is_err(), "signed with neither");

    // What is printed tells nothing.
    let printed = format!("{scheme:?}");
    assert!(runner.secrets.iter().all(|secret| !printed.contains(secret)), "{printed}");
    // Some senders have two names for it.
    let is_sent = |name: &HeaderName| genuine.headers.contains_key(name);
    assert!(runner.signed_headers.is_empty() || scheme.headers().iter().any(is_sent), "none is sent");
}

fn tampered_bodies(scheme: &dyn Scheme, genuine: &Sent, same: fn(&[u8], &[u8]) -> bool) {
    let refused = |body: Vec<u8>, what: &str| {
        let tampered = Sent { body, ..genuine.clone() };
        if !same(&genuine.body, &tampered.body) {
            tampered.is_refused_by(scheme, what);
        }
    };
    for index in 0..genuine.body.len() {
        let mut body = genuine.body.clone();
        body[index] ^= 1;
        refused(body, &format!("byte {index} of the body changed"));
    }
    refused([&*genuine.body, b" "].concat(), "a byte more");
    refused(genuine.body[..genuine.body.len() - 1].to_vec(), "a byte less");
    refused(vec![], "no body");
}

fn tampered_headers(runner: &Runner, scheme: &dyn Scheme, genuine: &Sent) {
    for name in runner.signed_headers {
        let value =
            genuine.headers.get(*name).unwrap_or_else(|| panic!("{name} is sent")).as_bytes().to_vec();
        for index in 0..value.len() {
            let mut changed = value.clone();
            changed[index] = if changed[index] == b'0' { b'1' } else { b'0' };
            // Hex counts in either case, and so on: what still means the same is still genuine.
            if changed != value {
                genuine.with(name, &changed).is_refused_by(scheme, &format!("{name}: byte {index} changed"));
            }
        }
        let mut cut = value.clone();
        cut.pop();
        genuine.with(name, &cut).is_refused_by(scheme, &format!("{name} cut"));
        genuine.with(name, b"").is_refused_by(scheme, &format!("{name} empty"));
        genuine.without(name).is_refused_by(scheme, &format!("{name} missing"));
        let mut doubled = genuine.clone();
        doubled.headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(&value).unwrap());
        let refused = doubled.is_refused_by(scheme, &format!("{name} doubled"));
        assert_eq!(refused, Error::HeaderTwice { header: (*name).to_owned() });
    }
}

fn strange_headers(runner: &Runner, scheme: &dyn Scheme, genuine: &Sent) {
    let long = vec![b'a'; 1024 * 1024];
    let many = "v1=00,v1,t=1,=,".repeat(200);
    for name in runner.signed_headers {
        for strange in [&long, many.as_bytes(), b"\xff\xfe", b"=", b",", b" ", b"v1=", b"sha256="] {
            genuine.with(name, strange).is_refused_by(scheme, &format!("{name} is strange"));
        }
    }
}

fn tampered_urls(scheme: &dyn Scheme, genuine: &Sent) {
    let other =
        ["http://hooks.example.com/webhooks/in?tenant=7", "https://hooks.example.com/webhooks/in?tenant=8"];
    for url in other
        .into_iter()
        .chain(["https://hooks.example.com/webhooks/in", "https://evil.example.com/webhooks/in?tenant=7"])
    {
        let tampered = Sent { url: Some(url), ..genuine.clone() };
        tampered.is_refused_by(scheme, url);
    }
    let refused = Sent { url: None, ..genuine.clone() }.is_refused_by(scheme, "no URL");
    assert_eq!(refused, Error::UrlUnknown);
}

fn ages(runner: &Runner, scheme: &dyn Scheme, genuine: &Sent) {
    let now = at(NOW);
    let long_after = now + Duration::from_hours(24 * 365);
    match runner.past {
        Some(past) => {
            assert_eq!(genuine.judged_by(scheme, now + past), Ok(()), "as old as it may be");
            let stale = genuine.judged_by(scheme, now + past + Duration::from_secs(1));
            assert!(matches!(stale, Err(Error::TooOld { .. })), "{stale:?}");
        }
        None => assert_eq!(genuine.judged_by(scheme, long_after), Ok(()), "no time is signed"),
    }
    match runner.future {
        Some(future) => {
            assert_eq!(genuine.judged_by(scheme, now - future), Ok(()), "as far ahead as it may be");
            let early = genuine.judged_by(scheme, now - future - Duration::from_secs(1));
            assert!(matches!(early, Err(Error::TooNew { .. })), "{early:?}");
        }
        None => assert_eq!(
            genuine.judged_by(scheme, now - Duration::from_hours(1)),
            Ok(()),
            "ahead of this clock"
        ),
    }
}

/// A request on its way.
#[derive(Clone)]
struct Sent {
    url: Option<&'static str>,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Sent {
    fn new(runner: &Runner, scheme: &dyn Scheme, now: Timestamp) -> Self {
        let unsigned = Unsigned {
            method: "POST",
            url: Some(URL),
            id: "evt_1",
            content_type: runner.content_type,
            body: runner.body,
        };
        let signed = scheme.sign(&unsigned, now).unwrap();
        let mut headers: HeaderMap = signed.headers.into_iter().collect();
        headers.insert("content-type", HeaderValue::from_static(runner.content_type));
        Self { url: Some(URL), headers, body: signed.body }
    }

    fn with(&self, name: &str, value: &[u8]) -> Self {
        let mut with = self.clone();
        let name: HeaderName = name.parse().unwrap();
        with.headers.insert(name, HeaderValue::from_bytes(value).unwrap());
        with
    }

    fn without(&self, name: &str) -> Self {
        let mut without = self.clone();
        without.headers.remove(name);
        without
    }

    fn judged_by(&self, scheme: &dyn Scheme, now: Timestamp) -> Result<(), Error> {
        let request = Request { method: "POST", url: self.url, headers: &self.headers, body: &self.body };
        scheme.verify(&request, now)
    }

    fn is_refused_by(&self, scheme: &dyn Scheme, what: &str) -> Error {
        match self.judged_by(scheme, at(NOW)) {
            Ok(()) => panic!("taken for genuine: {what}"),
            Err(error) => error,
        }
    }
}
