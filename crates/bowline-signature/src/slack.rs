//! Slack: `x-slack-signature: v0=a2114d57…` and `x-slack-request-timestamp`.
//!
//! Signed is `v0:timestamp:body`, where the timestamp is seconds since 1970 as they stand in the header; the key is the
//! app's signing secret as it stands, not its verification token. Events, slash commands and interactions are signed in
//! the same way, whatever the body's type.
//! Source: <https://docs.slack.dev/authentication/verifying-requests-from-slack/> and `slack_sdk`'s `SignatureVerifier`.

use std::time::Duration;

use http::HeaderName;
use jiff::Timestamp;

use crate::{
    CannotSign, Error, Request, Scheme, Signed, SigningSecret, Unsigned,
    age::{self, Unit},
    header,
    hmac::Algorithm,
    secrets::Secrets,
};

/// The header that carries the signature.
pub const HEADER: &str = "x-slack-signature";
/// The header that says when it was signed.
pub const TIMESTAMP_HEADER: &str = "x-slack-request-timestamp";
/// How far from now a request may be signed unless said otherwise, to the past and to the future: what Slack's
/// documentation and its SDKs allow.
pub const TOLERANCE: Duration = Duration::from_secs(300);

const FORM: &str = "v0=<64 hex digits>";
const TIMESTAMP_FORM: &str = "<seconds since 1970>";
const HINT: &str = "Slack sends it with every request to an app's URLs";

/// Verifies what Slack sends, and signs as Slack would.
///
/// ```
/// use bowline_signature::{Request, Scheme, SigningSecret, Slack, Unsigned};
/// use jiff::Timestamp;
///
/// let slack = Slack::new(SigningSecret::new("8f742231b10e8888abcd99yyyzzz85a5")?);
/// let now = Timestamp::from_second(1_531_420_618)?;
/// let signed = slack.sign(&Unsigned::json("", br#"{"type":"event_callback"}"#), now)?;
/// let headers: http::HeaderMap = signed.headers.into_iter().collect();
/// assert_eq!(slack.verify(&Request::post(&headers, &signed.body), now), Ok(()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Slack {
    secrets: Secrets,
    tolerance: Duration,
}

impl Slack {
    /// With the app's signing secret.
    pub fn new(secret: SigningSecret) -> Self {
        Self { secrets: Secrets::new(secret), tolerance: TOLERANCE }
    }

    /// Also accepts what this secret signed: for the time in which one secret replaces another.
    pub fn also_accept(self, secret: SigningSecret) -> Self {
        Self { secrets: self.secrets.and(secret), ..self }
    }

    /// How far from now a request may be signed, in whole seconds, to the past and to the future; [`TOLERANCE`] unless
    /// set.
    pub fn tolerance(self, tolerance: Duration) -> Self {
        Self { tolerance, ..self }
    }
}

impl Scheme for Slack {
    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<(), Error> {
        let signature = parse(request.required(HEADER, HINT)?)?;
        let text = request.required(TIMESTAMP_HEADER, HINT)?;
        let signed_at = Unit::Seconds
            .parse(text)
            .ok_or_else(|| header::malformed(TIMESTAMP_HEADER, Unit::Seconds.problem(), TIMESTAMP_FORM))?;
        self.secrets.check(Algorithm::Sha256, &[b"v0:", text, b":", request.body], &[signature])?;
        age::not_too_old(signed_at, now, self.tolerance)?;
        age::not_too_new(signed_at, now, self.tolerance)
    }

    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<Signed, CannotSign> {
        let timestamp = Unit::Seconds.text(now);
        let mac = self.secrets.sign(Algorithm::Sha256, &[b"v0:", timestamp.as_bytes(), b":", unsigned.body]);
        let signature = format!("v0={}", hex::encode(mac));
        Signed::new([(HEADER, signature), (TIMESTAMP_HEADER, timestamp)], unsigned.body)
    }

    fn headers(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static(HEADER)]
    }
}

fn parse(value: &[u8]) -> Result<Vec<u8>, Error> {
    let digits = value
        .strip_prefix(b"v0=")
        .ok_or_else(|| header::malformed(HEADER, "does not begin with v0=", FORM))?;
    header::hex(digits, Algorithm::Sha256.bytes())
        .ok_or_else(|| header::malformed(HEADER, "has no signature of 64 hex digits", FORM))
}
