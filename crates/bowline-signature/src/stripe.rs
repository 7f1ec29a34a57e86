//! Stripe: `stripe-signature: t=1492774577,v1=5257a869…`.
//!
//! Signed is the timestamp as it stands in the header, a dot, and the body; the key is the whole `whsec_…` string.
//! Source: <https://docs.stripe.com/webhooks#verify-manually> and Stripe's SDKs.

use std::time::Duration;

use http::HeaderName;
use jiff::Timestamp;

use crate::{
    CannotSign, Error, Request, Scheme, Signed, SigningSecret, Unsigned,
    age::{self, Unit},
    header,
    hmac::{self, Algorithm},
    stamped::Stamped,
};

/// The header that carries the signature.
pub const HEADER: &str = "stripe-signature";
/// How old a webhook may be unless said otherwise: what Stripe's SDKs allow.
pub const TOLERANCE: Duration = Duration::from_secs(300);
/// Longest header that is looked at. Stripe's are about 200 bytes long.
pub const HEADER_BYTES_MAX: usize = header::BYTES_MAX;
/// Most `v1` signatures that are compared. Stripe sends one for each secret that is valid at the time: two while one
/// is being replaced.
pub const SIGNATURES_MAX: usize = header::SIGNATURES_MAX;

/// Verifies what Stripe sends, and signs as Stripe would.
#[derive(Debug, Clone)]
pub struct Stripe {
    /// Never empty; the first one signs.
    secrets: Vec<SigningSecret>,
    tolerance: Duration,
}

impl Stripe {
    /// With the signing secret of one endpoint: the whole `whsec_…` string.
    pub fn new(secret: SigningSecret) -> Self {
        Self { secrets: vec![secret], tolerance: TOLERANCE }
    }

    /// Also accepts what this secret signed: for the time in which one secret replaces another.
    pub fn also_accept(mut self, secret: SigningSecret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// How old a webhook may be, in whole seconds; [`TOLERANCE`] unless set.
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Whether Stripe sent this body with this `stripe-signature`; and if so, when it signed.
    ///
    /// `body` is the raw body: parsed and written again, it no longer fits. Signatures of other schemes than `v1` are
    /// ignored. A timestamp in the future is accepted, as by Stripe's SDKs: it is signed, so only Stripe can have set
    /// it, and a machine whose clock is slow must not refuse all of its webhooks.
    ///
    /// # Errors
    /// [`Error`], whose text may be logged and sent back.
    pub fn verify(&self, header: impl AsRef<[u8]>, body: &[u8], now: Timestamp) -> Result<Timestamp, Error> {
        let header = Stamped::parse(HEADER, header.as_ref())?;
        let signed = [header.timestamp_text, b".", body];
        if !hmac::any_matches(Algorithm::Sha256, &self.secrets, &signed, &header.signatures) {
            return Err(Error::Mismatch { secrets: self.secrets.len() });
        }
        // Last, so that only who knows a secret learns anything of this machine's clock.
        age::not_too_old(header.timestamp, now, self.tolerance)?;
        Ok(header.timestamp)
    }

    /// The value of the `stripe-signature` header with which Stripe would send this body now.
    pub fn sign(&self, body: &[u8], now: Timestamp) -> String {
        let timestamp = Unit::Seconds.text(now);
        let mac = hmac::sign(Algorithm::Sha256, &self.secrets[0], &[timestamp.as_bytes(), b".", body]);
        format!("t={timestamp},v1={}", hex::encode(mac))
    }
}

impl Scheme for Stripe {
    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<(), Error> {
        let header = request.required(HEADER, "Stripe always sends it")?;
        Stripe::verify(self, header, request.body, now).map(|_signed_at| ())
    }

    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<Signed, CannotSign> {
        Signed::new([(HEADER, Stripe::sign(self, unsigned.body, now))], unsigned.body)
    }

    fn headers(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static(HEADER)]
    }
}
