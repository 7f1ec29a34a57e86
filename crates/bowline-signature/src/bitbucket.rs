//! Bitbucket, Cloud and Data Center: `x-hub-signature: sha256=a4771c39…`.
//!
//! Signed is the body alone; the key is the webhook's secret as it stands. There is no timestamp: what keeps a genuine
//! webhook from being sent again is the receiver's memory. The header's name is the one under which others send
//! HMAC-SHA1 (GitHub's old one, Intercom's); only SHA-256 is taken here.
//! Sources: <https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/#Secure-webhooks>,
//! <https://confluence.atlassian.com/bitbucketserver/event-payload-938025882.html>.

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
    hint: "Bitbucket sends it only if the webhook has a secret: set one in the webhook's settings",
    algorithm: Algorithm::Sha256,
    prefix: "sha256=",
    digits: Digits::Hex,
    problem: "is not sha256= and 64 hex digits",
    form: "sha256=<64 hex digits>",
};

/// Verifies what Bitbucket sends, and signs as Bitbucket would.
///
/// ```
/// use bowline_signature::{Bitbucket, Request, Scheme, SigningSecret, Unsigned};
/// use jiff::Timestamp;
///
/// let now = Timestamp::from_second(1_700_000_000)?;
/// let bitbucket = Bitbucket::new(SigningSecret::new("It's a Secret to Everybody")?);
///
/// let signed = bitbucket.sign(&Unsigned::json("1", b"{}"), now)?;
/// let headers: http::HeaderMap = signed.headers.into_iter().collect();
/// assert_eq!(bitbucket.verify(&Request::post(&headers, b"{}"), now), Ok(()));
/// assert!(bitbucket.verify(&Request::post(&headers, b"{ }"), now).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Bitbucket {
    /// Never empty; the first one signs.
    secrets: Vec<SigningSecret>,
}

impl Bitbucket {
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

impl Scheme for Bitbucket {
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
