//! Square: `x-square-hmacsha256-signature: T4vT…=`.
//!
//! Signed is the notification URL and the body, with nothing between them; the key is the webhook subscription's
//! signature key as it stands. The URL is the one that the subscription was made with, to the letter. There is no
//! timestamp: what keeps a genuine webhook from being sent again is its `event_id`, which a receiver remembers.
//! Source: <https://developer.squareup.com/docs/webhooks/step3validate> and `squareup`'s `verify_signature`.
//!
//! The older `x-square-signature` (HMAC-SHA1) is not read.

use http::HeaderName;
use jiff::Timestamp;

use crate::{
    CannotSign, Error, Request, Scheme, Signed, SigningSecret, Unsigned, header, hmac::Algorithm,
    secrets::Secrets,
};

/// The header that carries the signature.
pub const HEADER: &str = "x-square-hmacsha256-signature";

const FORM: &str = "<44 characters of base64>";

/// Verifies what Square sends, and signs as Square would.
///
/// ```
/// use bowline_signature::{Request, Scheme, SigningSecret, Square, Unsigned};
/// use jiff::Timestamp;
///
/// let square = Square::new(SigningSecret::new("Ibxx_5AKakO-3qeNVR61Dw")?);
/// let (url, now) = ("https://example.com/webhooks/square", Timestamp::UNIX_EPOCH);
/// let signed = square.sign(&Unsigned::json("", b"{}").to(url), now)?;
/// let headers: http::HeaderMap = signed.headers.into_iter().collect();
/// assert_eq!(square.verify(&Request::post(&headers, &signed.body).at(url), now), Ok(()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Square {
    secrets: Secrets,
}

impl Square {
    /// With the subscription's signature key.
    pub fn new(key: SigningSecret) -> Self {
        Self { secrets: Secrets::new(key) }
    }

    /// Also accepts what this key signed: for the time in which one key replaces another.
    pub fn also_accept(self, key: SigningSecret) -> Self {
        Self { secrets: self.secrets.and(key) }
    }
}

impl Scheme for Square {
    fn verify(&self, request: &Request<'_>, _now: Timestamp) -> Result<(), Error> {
        let value = request.required(HEADER, "Square sends it with every event notification")?;
        let signature = header::base64(value, Algorithm::Sha256.bytes())
            .ok_or_else(|| header::malformed(HEADER, "has no signature of 32 bytes in base64", FORM))?;
        let url = request.signed_url()?;
        self.secrets.check(Algorithm::Sha256, &[url.as_bytes(), request.body], &[signature])
    }

    fn sign(&self, unsigned: &Unsigned<'_>, _now: Timestamp) -> Result<Signed, CannotSign> {
        let url = unsigned.url.ok_or_else(CannotSign::url_unknown)?;
        let mac = self.secrets.sign(Algorithm::Sha256, &[url.as_bytes(), unsigned.body]);
        Signed::new([(HEADER, header::to_base64(&mac))], unsigned.body)
    }

    fn headers(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static(HEADER)]
    }
}
