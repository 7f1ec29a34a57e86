//! Xero: `x-xero-signature: <base64>`.
//!
//! Signed is the body alone; the key is the webhook key of the app as it stands. There is no timestamp: what keeps a
//! genuine webhook from being sent again is the receiver's memory. Xero's *intent to receive* sends bodies that are signed
//! rightly and wrongly on purpose, and wants 200 for the ones and 401 for the others, both without a body.
//! Source: <https://developer.xero.com/documentation/guides/webhooks/configuring-your-server/>.

use http::HeaderName;
use jiff::Timestamp;

use crate::{
    CannotSign, Error, Request, Scheme, Signed, SigningSecret, Unsigned,
    body_signature::{BodySignature, Digits},
    hmac::Algorithm,
};

/// The header that carries the signature.
pub const HEADER: &str = "x-xero-signature";

const SIGNATURE: BodySignature = BodySignature {
    header: HEADER,
    hint: "Xero always sends it",
    algorithm: Algorithm::Sha256,
    prefix: "",
    digits: Digits::Base64,
    problem: "is not 44 characters of base64",
    form: "<44 characters of base64>",
};

/// Verifies what Xero sends, and signs as Xero would.
///
/// ```
/// use bowline_signature::{Xero, Request, Scheme, SigningSecret, Unsigned};
/// use jiff::Timestamp;
///
/// let now = Timestamp::from_second(1_700_000_000)?;
/// let xero = Xero::new(SigningSecret::new("d2ViaG9vayBrZXk=")?);
///
/// let signed = xero.sign(&Unsigned::json("1", b"{}"), now)?;
/// let headers: http::HeaderMap = signed.headers.into_iter().collect();
/// assert_eq!(xero.verify(&Request::post(&headers, b"{}"), now), Ok(()));
/// assert!(xero.verify(&Request::post(&headers, b"{ }"), now).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Xero {
    /// Never empty; the first one signs.
    secrets: Vec<SigningSecret>,
}

impl Xero {
    /// With the app's webhook key: the text that Xero shows, not decoded.
    pub fn new(secret: SigningSecret) -> Self {
        Self { secrets: vec![secret] }
    }

    /// Also accepts what this secret signed: for the time in which one secret replaces another.
    pub fn also_accept(mut self, secret: SigningSecret) -> Self {
        self.secrets.push(secret);
        self
    }
}

impl Scheme for Xero {
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
