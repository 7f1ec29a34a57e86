//! Intercom: `x-hub-signature: sha1=21ff2e14…`.
//!
//! Signed is the body alone, with HMAC-SHA1; the key is the app's client secret as it stands. There is no timestamp: what
//! keeps a genuine webhook from being sent again is the receiver's memory of its `id`.
//! Source: <https://developers.intercom.com/docs/references/webhooks/webhook-models>, "Signed notifications".

use http::HeaderName;
use jiff::Timestamp;

use crate::{
    CannotSign, Error, Request, Scheme, Signed, SigningSecret, Unsigned,
    body_signature::{BodySignature, Digits},
    hmac::Algorithm,
};

/// The header that carries the signature.
pub const HEADER: &str = "x-hub-signature";

const SIGNATURE: BodySignature = BodySignature {
    header: HEADER,
    hint: "Intercom signs with the client secret of the app that subscribes",
    algorithm: Algorithm::Sha1,
    prefix: "sha1=",
    digits: Digits::Hex,
    problem: "is not sha1= and 40 hex digits",
    form: "sha1=<40 hex digits>",
};

/// Verifies what Intercom sends, and signs as Intercom would.
///
/// ```
/// use bowline_signature::{Intercom, Request, Scheme, SigningSecret, Unsigned};
/// use jiff::Timestamp;
///
/// let now = Timestamp::from_second(1_700_000_000)?;
/// let intercom = Intercom::new(SigningSecret::new("client-secret")?);
///
/// let signed = intercom.sign(&Unsigned::json("1", b"{}"), now)?;
/// let headers: http::HeaderMap = signed.headers.into_iter().collect();
/// assert_eq!(intercom.verify(&Request::post(&headers, b"{}"), now), Ok(()));
/// assert!(intercom.verify(&Request::post(&headers, b"{ }"), now).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Intercom {
    /// Never empty; the first one signs.
    secrets: Vec<SigningSecret>,
}

impl Intercom {
    /// With the app's client secret.
    pub fn new(secret: SigningSecret) -> Self {
        Self { secrets: vec![secret] }
    }

    /// Also accepts what this secret signed: for the time in which one secret replaces another.
    pub fn also_accept(mut self, secret: SigningSecret) -> Self {
        self.secrets.push(secret);
        self
    }
}

impl Scheme for Intercom {
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
