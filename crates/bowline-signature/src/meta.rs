//! Meta (Facebook, Instagram, Messenger, WhatsApp): `x-hub-signature-256: sha256=757107ea…`.
//!
//! Signed is the body alone, as it is sent: Meta writes other characters than ASCII as `\u00e4`, and signs them so. Read
//! as text and written anew, they no longer fit. The key is the app secret as it stands. There is no timestamp: what keeps
//! a genuine webhook from being sent again is the receiver's memory. The older `x-hub-signature` (SHA-1), which comes
//! beside it, is not read.
//! Source: <https://developers.facebook.com/docs/graph-api/webhooks/getting-started#validate-payloads>.

use http::HeaderName;
use jiff::Timestamp;

use crate::{
    CannotSign, Error, Request, Scheme, Signed, SigningSecret, Unsigned,
    body_signature::{BodySignature, Digits},
    hmac::Algorithm,
};

/// The header that carries the signature.
pub const HEADER: &str = "x-hub-signature-256";

const SIGNATURE: BodySignature = BodySignature {
    header: HEADER,
    hint: "Meta always sends it",
    algorithm: Algorithm::Sha256,
    prefix: "sha256=",
    digits: Digits::Hex,
    problem: "is not sha256= and 64 hex digits",
    form: "sha256=<64 hex digits>",
};

/// Verifies what Meta sends, and signs as Meta would.
///
/// ```
/// use bowline_signature::{Meta, Request, Scheme, SigningSecret, Unsigned};
/// use jiff::Timestamp;
///
/// let now = Timestamp::from_second(1_700_000_000)?;
/// let meta = Meta::new(SigningSecret::new("app-secret")?);
///
/// let signed = meta.sign(&Unsigned::json("1", b"{}"), now)?;
/// let headers: http::HeaderMap = signed.headers.into_iter().collect();
/// assert_eq!(meta.verify(&Request::post(&headers, b"{}"), now), Ok(()));
/// assert!(meta.verify(&Request::post(&headers, b"{ }"), now).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Meta {
    /// Never empty; the first one signs.
    secrets: Vec<SigningSecret>,
}

impl Meta {
    /// With the app secret.
    pub fn new(secret: SigningSecret) -> Self {
        Self { secrets: vec![secret] }
    }

    /// Also accepts what this secret signed: for the time in which one secret replaces another.
    pub fn also_accept(mut self, secret: SigningSecret) -> Self {
        self.secrets.push(secret);
        self
    }
}

impl Scheme for Meta {
    fn verify(&self, request: &Request<'_>, _now: Timestamp) -> Result<(), Error> {
        SIGNATURE.verify(&self.secrets, request)
    }

    fn sign(&self, unsigned: &Unsigned<'_>, _now: Timestamp) -> Result<Signed, CannotSign> {
        SIGNATURE.sign(&self.secrets[0], unsigned.body)
    }

    fn headers(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static(HEADER)]
    }
}
