//! Typeform: `typeform-signature: sha256=<base64>`.
//!
//! Signed is the body alone, with whatever ends it; the key is the webhook's secret as it stands. Base64 stands after
//! `sha256=`, and not the hex of other senders. There is no timestamp: what keeps a genuine webhook from being sent again
//! is the receiver's memory of its `event_id`.
//! Source: <https://www.typeform.com/developers/webhooks/secure-your-webhooks/>.

use http::HeaderName;
use jiff::Timestamp;

use crate::{
    CannotSign, Error, Request, Scheme, Signed, SigningSecret, Unsigned,
    body_signature::{BodySignature, Digits},
    hmac::Algorithm,
};

/// The header that carries the signature.
pub const HEADER: &str = "typeform-signature";

const SIGNATURE: BodySignature = BodySignature {
    header: HEADER,
    hint: "Typeform sends it only if the webhook has a secret: set one in the webhook's settings",
    algorithm: Algorithm::Sha256,
    prefix: "sha256=",
    digits: Digits::Base64,
    problem: "is not sha256= and 44 characters of base64",
    form: "sha256=<44 characters of base64>",
};

/// Verifies what Typeform sends, and signs as Typeform would.
///
/// ```
/// use bowline_signature::{Typeform, Request, Scheme, SigningSecret, Unsigned};
/// use jiff::Timestamp;
///
/// let now = Timestamp::from_second(1_700_000_000)?;
/// let typeform = Typeform::new(SigningSecret::new("secret")?);
///
/// let signed = typeform.sign(&Unsigned::json("1", b"{}"), now)?;
/// let headers: http::HeaderMap = signed.headers.into_iter().collect();
/// assert_eq!(typeform.verify(&Request::post(&headers, b"{}"), now), Ok(()));
/// assert!(typeform.verify(&Request::post(&headers, b"{ }"), now).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Typeform {
    /// Never empty; the first one signs.
    secrets: Vec<SigningSecret>,
}

impl Typeform {
    /// With the webhook's secret.
    pub fn new(secret: SigningSecret) -> Self {
        Self { secrets: vec![secret] }
    }

    /// Also accepts what this secret signed: for the time in which one secret replaces another.
    pub fn also_accept(mut self, secret: SigningSecret) -> Self {
        self.secrets.push(secret);
        self
    }
}

impl Scheme for Typeform {
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
