//! Paddle (Billing): `paddle-signature: ts=1671552777;h1=eb4d0dc8…`.
//!
//! Signed is `ts:body`, where `ts` is seconds since 1970 as they stand in the header; the key is the notification
//! destination's secret as it stands: the whole `pdl_ntfset_…` string. While one secret replaces another, the header has
//! several `h1`.
//! Source: <https://developer.paddle.com/webhooks/signature-verification> and `paddle-python-sdk`'s `Verifier`.

use std::time::Duration;

use http::HeaderName;
use jiff::Timestamp;

use crate::{
    CannotSign, Error, Request, Scheme, Signed, SigningSecret, Unsigned,
    age::{self, Unit},
    header::{self, Candidates},
    hmac::Algorithm,
    secrets::Secrets,
};

/// The header that carries the signature.
pub const HEADER: &str = "paddle-signature";
/// How far from now a webhook may be signed unless said otherwise, to the past and to the future: what Paddle's SDKs
/// allow. It is little: keep this machine's clock right, or allow more.
pub const TOLERANCE: Duration = Duration::from_secs(5);

const FORM: &str = "ts=<seconds>;h1=<64 hex digits>";

/// Verifies what Paddle sends, and signs as Paddle would.
///
/// ```
/// use bowline_signature::{Paddle, Request, Scheme, SigningSecret, Unsigned};
/// use jiff::Timestamp;
///
/// let paddle = Paddle::new(SigningSecret::new("pdl_ntfset_01hs0t3tw21j988db1pam5xg8m_GrOW")?);
/// let now = Timestamp::from_second(1_671_552_777)?;
/// let signed = paddle.sign(&Unsigned::json("", b"{}"), now)?;
/// let headers: http::HeaderMap = signed.headers.into_iter().collect();
/// assert_eq!(paddle.verify(&Request::post(&headers, &signed.body), now), Ok(()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Paddle {
    secrets: Secrets,
    tolerance: Duration,
}

impl Paddle {
    /// With the notification destination's secret: the whole `pdl_ntfset_…` string.
    pub fn new(secret: SigningSecret) -> Self {
        Self { secrets: Secrets::new(secret), tolerance: TOLERANCE }
    }

    /// Also accepts what this secret signed: for the time in which one secret replaces another.
    pub fn also_accept(self, secret: SigningSecret) -> Self {
        Self { secrets: self.secrets.and(secret), ..self }
    }

    /// How far from now a webhook may be signed, in whole seconds, to the past and to the future; [`TOLERANCE`] unless
    /// set.
    pub fn tolerance(self, tolerance: Duration) -> Self {
        Self { tolerance, ..self }
    }
}

impl Scheme for Paddle {
    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<(), Error> {
        let header = parse(request.required(HEADER, "Paddle sends it with every notification")?)?;
        let parts = [header.timestamp_text, b":", request.body];
        self.secrets.check(Algorithm::Sha256, &parts, &header.signatures)?;
        age::not_too_old(header.timestamp, now, self.tolerance)?;
        age::not_too_new(header.timestamp, now, self.tolerance)
    }

    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<Signed, CannotSign> {
        let timestamp = Unit::Seconds.text(now);
        let mac = self.secrets.sign(Algorithm::Sha256, &[timestamp.as_bytes(), b":", unsigned.body]);
        Signed::new([(HEADER, format!("ts={timestamp};h1={}", hex::encode(mac)))], unsigned.body)
    }

    fn headers(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static(HEADER)]
    }
}

/// A header taken apart; nothing in it is trusted yet.
struct Header<'a> {
    timestamp_text: &'a [u8],
    timestamp: Timestamp,
    signatures: Vec<Vec<u8>>,
}

fn parse(value: &[u8]) -> Result<Header<'_>, Error> {
    let malformed = |problem| header::malformed(HEADER, problem, FORM);
    let mut timestamp_text = None;
    let mut signatures = Candidates::new();
    for item in value.split(|byte| *byte == b';') {
        let item = item.trim_ascii();
        if let Some(text) = item.strip_prefix(b"ts=") {
            if timestamp_text.replace(text).is_some() {
                return Err(malformed("has more than one timestamp"));
            }
        } else if let Some(digits) = item.strip_prefix(b"h1=") {
            signatures.push(HEADER, header::hex(digits, Algorithm::Sha256.bytes()))?;
        }
        // Paddle may add other schemes: a weaker one must not be taken for this one.
    }
    let timestamp_text = timestamp_text.ok_or_else(|| malformed("has no timestamp"))?;
    let timestamp = Unit::Seconds.parse(timestamp_text).ok_or_else(|| malformed(Unit::Seconds.problem()))?;
    let signatures = signatures.decoded().ok_or_else(|| malformed("has no h1 signature of 64 hex digits"))?;
    Ok(Header { timestamp_text, timestamp, signatures })
}
