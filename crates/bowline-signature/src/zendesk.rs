//! Zendesk: `x-zendesk-webhook-signature` and `x-zendesk-webhook-signature-timestamp`.
//!
//! Signed is the timestamp as it stands in its header and, without anything between, the body, which may be empty; the key
//! is the webhook's signing secret as it stands, though it looks like base64. Zendesk says neither how old a webhook may
//! be nor whether attempts are signed anew; it makes all of them within minutes.
//! Source: <https://developer.zendesk.com/documentation/webhooks/verifying/>.
//!
//! What Zendesk's form for a new webhook sends as a test, before there is one, is signed with a secret that everybody
//! knows: refused, as it must be.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderName;
use jiff::Timestamp;

use crate::{
    CannotSign, Error, Request, Scheme, Signed, SigningSecret, Unsigned, age, header,
    hmac::{self, Algorithm},
};

/// The header that carries the signature.
pub const HEADER: &str = "x-zendesk-webhook-signature";
/// The header that says when it was signed.
pub const TIMESTAMP_HEADER: &str = "x-zendesk-webhook-signature-timestamp";
/// How far from now a webhook may be signed unless said otherwise, to the past and to the future.
pub const TOLERANCE: Duration = Duration::from_secs(300);

const HINT: &str = "Zendesk always sends it";
const FORM: &str = "<44 characters of base64>";
const TIMESTAMP_FORM: &str = "2021-03-25T05:09:27Z";

/// Verifies what Zendesk sends, and signs as Zendesk would.
///
/// ```
/// use bowline_signature::{Request, Scheme, SigningSecret, Unsigned, Zendesk};
/// use jiff::Timestamp;
///
/// let now = Timestamp::from_second(1_700_000_000)?;
/// let zendesk = Zendesk::new(SigningSecret::new("signing-secret")?);
///
/// let signed = zendesk.sign(&Unsigned::json("1", b"{}"), now)?;
/// let headers: http::HeaderMap = signed.headers.into_iter().collect();
/// assert_eq!(headers["x-zendesk-webhook-signature-timestamp"], "2023-11-14T22:13:20Z");
/// assert_eq!(zendesk.verify(&Request::post(&headers, b"{}"), now), Ok(()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Zendesk {
    /// Never empty; the first one signs.
    secrets: Vec<SigningSecret>,
    tolerance: Duration,
}

impl Zendesk {
    /// With the webhook's signing secret: the text that Zendesk shows, not decoded.
    pub fn new(secret: SigningSecret) -> Self {
        Self { secrets: vec![secret], tolerance: TOLERANCE }
    }

    /// Also accepts what this secret signed: for the time in which one secret replaces another.
    pub fn also_accept(mut self, secret: SigningSecret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// How far from now a webhook may be signed, in whole seconds, to the past and to the future; [`TOLERANCE`] unless
    /// set.
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }
}

impl Scheme for Zendesk {
    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<(), Error> {
        let timestamp = request.required(TIMESTAMP_HEADER, HINT)?;
        let signed_at = parse_timestamp(timestamp)?;
        let signature = header::base64(request.required(HEADER, HINT)?, Algorithm::Sha256.bytes())
            .ok_or_else(|| malformed(HEADER, "is not 44 characters of base64", FORM))?;
        if !hmac::any_matches(Algorithm::Sha256, &self.secrets, &[timestamp, request.body], &[signature]) {
            return Err(Error::Mismatch { secrets: self.secrets.len() });
        }
        age::not_too_old(signed_at, now, self.tolerance)?;
        age::not_too_new(signed_at, now, self.tolerance)
    }

    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<Signed, CannotSign> {
        let timestamp = format!("{now:.0}");
        let mac = hmac::sign(Algorithm::Sha256, &self.secrets[0], &[timestamp.as_bytes(), unsigned.body]);
        Signed::new([(HEADER, STANDARD.encode(mac)), (TIMESTAMP_HEADER, timestamp)], unsigned.body)
    }

    fn headers(&self) -> Vec<HeaderName> {
        [HEADER, TIMESTAMP_HEADER].map(HeaderName::from_static).to_vec()
    }
}

fn parse_timestamp(text: &[u8]) -> Result<Timestamp, Error> {
    let at = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    at.ok_or_else(|| malformed(TIMESTAMP_HEADER, "is not a time of ISO 8601", TIMESTAMP_FORM))
}

fn malformed(header: &str, problem: &'static str, form: &str) -> Error {
    Error::HeaderMalformed { header: header.to_owned(), problem, form: form.into() }
}
