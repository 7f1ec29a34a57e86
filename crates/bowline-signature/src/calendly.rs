//! Calendly: `calendly-webhook-signature: t=1492774577,v1=5257a869…`.
//!
//! Signed is the timestamp as it stands in the header, a dot, and the body; the key is the webhook's signing key as it
//! stands.
//! Source: <https://developer.calendly.com/api-docs/overview/webhooks/webhook-signatures>.

use std::time::Duration;

use http::HeaderName;
use jiff::Timestamp;

use crate::{
    CannotSign, Error, Request, Scheme, Signed, SigningSecret, Unsigned,
    age::{self, Unit},
    hmac::{self, Algorithm},
    stamped::Stamped,
};

/// The header that carries the signature.
pub const HEADER: &str = "calendly-webhook-signature";
/// How old a webhook may be unless said otherwise: what the examples of Calendly's documentation allow.
pub const TOLERANCE: Duration = Duration::from_secs(180);

/// Verifies what Calendly sends, and signs as Calendly would.
///
/// A timestamp in the future is accepted, as by Calendly's examples: it is signed, so only Calendly can have set it, and a
/// machine whose clock is slow must not refuse all of its webhooks.
///
/// ```
/// use bowline_signature::{Calendly, Request, Scheme, SigningSecret, Unsigned};
/// use jiff::Timestamp;
///
/// let now = Timestamp::from_second(1_700_000_000)?;
/// let calendly = Calendly::new(SigningSecret::new("signing-key")?);
///
/// let signed = calendly.sign(&Unsigned::json("1", b"{}"), now)?;
/// let headers: http::HeaderMap = signed.headers.into_iter().collect();
/// assert_eq!(calendly.verify(&Request::post(&headers, b"{}"), now), Ok(()));
/// assert!(calendly.verify(&Request::post(&headers, b"{ }"), now).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Calendly {
    /// Never empty; the first one signs.
    secrets: Vec<SigningSecret>,
    tolerance: Duration,
}

impl Calendly {
    /// With the webhook's signing key.
    pub fn new(secret: SigningSecret) -> Self {
        Self { secrets: vec![secret], tolerance: TOLERANCE }
    }

    /// Also accepts what this key signed: for the time in which one key replaces another.
    pub fn also_accept(mut self, secret: SigningSecret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// How old a webhook may be, in whole seconds; [`TOLERANCE`] unless set.
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }
}

impl Scheme for Calendly {
    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<(), Error> {
        let hint =
            "Calendly sends it only if the webhook has a signing key: give one when the webhook is made";
        let header = Stamped::parse(HEADER, request.required(HEADER, hint)?)?;
        let signed = [header.timestamp_text, b".", request.body];
        if !hmac::any_matches(Algorithm::Sha256, &self.secrets, &signed, &header.signatures) {
            return Err(Error::Mismatch { secrets: self.secrets.len() });
        }
        age::not_too_old(header.timestamp, now, self.tolerance)
    }

    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<Signed, CannotSign> {
        let timestamp = Unit::Seconds.text(now);
        let mac =
            hmac::sign(Algorithm::Sha256, &self.secrets[0], &[timestamp.as_bytes(), b".", unsigned.body]);
        Signed::new([(HEADER, format!("t={timestamp},v1={}", hex::encode(mac)))], unsigned.body)
    }

    fn headers(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static(HEADER)]
    }
}
