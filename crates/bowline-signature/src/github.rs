//! GitHub: `x-hub-signature-256: sha256=757107ea…`.
//!
//! Signed is the body alone; the key is the webhook's secret as it stands. There is no timestamp: what keeps a genuine
//! webhook from being sent again is its `x-github-delivery`, which a receiver remembers.
//! Source: <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>.

use http::HeaderName;
use jiff::Timestamp;

use crate::{
    CannotSign, Error, Request, Scheme, Signed, SigningSecret, Unsigned, header,
    hmac::{self, Algorithm},
};

/// The header that carries the signature.
pub const HEADER: &str = "x-hub-signature-256";

const FORM: &str = "sha256=<64 hex digits>";

/// Verifies what GitHub sends, and signs as GitHub would.
///
/// ```
/// use bowline_signature::{GitHub, SigningSecret};
///
/// let github = GitHub::new(SigningSecret::new("It's a Secret to Everybody")?);
/// let header = github.sign(b"Hello, World!");
/// assert_eq!(github.verify(Some(header.as_bytes()), b"Hello, World!"), Ok(()));
/// # Ok::<(), bowline_signature::EmptySecret>(())
/// ```
#[derive(Debug, Clone)]
pub struct GitHub {
    /// Never empty; the first one signs.
    secrets: Vec<SigningSecret>,
}

impl GitHub {
    /// With the webhook's secret.
    pub fn new(secret: SigningSecret) -> Self {
        Self { secrets: vec![secret] }
    }

    /// Also accepts what this secret signed: for the time in which one secret replaces another.
    pub fn also_accept(mut self, secret: SigningSecret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// Whether GitHub sent this body with this `x-hub-signature-256` (`None`: there is no such header).
    ///
    /// `body` is the raw body: parsed and written again, it no longer fits. The older `x-hub-signature` (SHA-1) is not
    /// read.
    ///
    /// # Errors
    /// [`Error`], whose text may be logged and sent back.
    pub fn verify(&self, header: Option<&[u8]>, body: &[u8]) -> Result<(), Error> {
        let header = header.ok_or_else(|| Error::HeaderMissing {
            header: HEADER.to_owned(),
            hint: "GitHub sends it only if the webhook has a secret: set one in the webhook's settings",
        })?;
        let signature = parse(header::bounded(HEADER, header)?)?;
        if hmac::any_matches(Algorithm::Sha256, &self.secrets, &[body], &[signature]) {
            Ok(())
        } else {
            Err(Error::Mismatch { secrets: self.secrets.len() })
        }
    }

    /// The value of the `x-hub-signature-256` header with which GitHub would send this body.
    pub fn sign(&self, body: &[u8]) -> String {
        format!("sha256={}", hex::encode(hmac::sign(Algorithm::Sha256, &self.secrets[0], &[body])))
    }
}

impl Scheme for GitHub {
    fn verify(&self, request: &Request<'_>, _now: Timestamp) -> Result<(), Error> {
        GitHub::verify(self, request.headers.only(HEADER)?, request.body)
    }

    fn sign(&self, unsigned: &Unsigned<'_>, _now: Timestamp) -> Result<Signed, CannotSign> {
        Signed::new([(HEADER, GitHub::sign(self, unsigned.body))], unsigned.body)
    }

    fn headers(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static(HEADER)]
    }
}

fn parse(header: &[u8]) -> Result<Vec<u8>, Error> {
    let malformed =
        |problem| Error::HeaderMalformed { header: HEADER.to_owned(), problem, form: FORM.into() };
    let digits = header.strip_prefix(b"sha256=").ok_or_else(|| malformed("does not begin with sha256="))?;
    header::hex(digits, Algorithm::Sha256.bytes())
        .ok_or_else(|| malformed("has no signature of 64 hex digits"))
}
