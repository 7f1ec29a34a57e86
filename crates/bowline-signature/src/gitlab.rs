//! GitLab: signed since 2026, with `webhook-id`, `webhook-timestamp` and `webhook-signature` as
//! [Standard Webhooks](crate::standard_webhooks) has them; before, and still, the *secret token* itself in
//! `x-gitlab-token`.
//!
//! With a *signing token* (`whsec_…`) all that Standard Webhooks promises holds: signed is `id.timestamp.body`, where the
//! id is also the `Idempotency-Key`; 300 s to the past and to the future. With a secret token nothing is signed: it shows
//! who sends, not what, and whoever sees one request can make others. A webhook may have both tokens, and then sends
//! both. What is accepted here is what this verifier was made for, never the weaker of the two.
//! Source: <https://docs.gitlab.com/user/project/integrations/webhooks/>.

use std::time::Duration;

use http::HeaderName;
use jiff::Timestamp;

use crate::{
    ApiKey, CannotSign, Error, Request, Scheme, Signed, SigningSecret, StandardWebhooks, Unsigned,
    standard_webhooks::{self, InvalidSecret},
};

/// The header that carries the secret token.
pub const TOKEN_HEADER: &str = "x-gitlab-token";
/// The headers of the signature: id, timestamp, signature.
pub const HEADERS: [&str; 3] = standard_webhooks::HEADERS;
/// How far from now a webhook may be signed unless said otherwise, to the past and to the future.
pub const TOLERANCE: Duration = standard_webhooks::TOLERANCE;

/// Verifies what GitLab sends, and signs as GitLab would.
///
/// ```
/// use bowline_signature::{GitLab, Request, Scheme, SigningSecret, Unsigned};
/// use jiff::Timestamp;
///
/// let now = Timestamp::from_second(1_700_000_000)?;
/// let token = SigningSecret::new("whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q=")?;
/// let gitlab = GitLab::signing_token(&token)?;
///
/// let id = "f5e5f430-f57b-4e6e-9fac-d9128cd7232f";
/// let signed = gitlab.sign(&Unsigned::json(id, b"{}"), now)?;
/// let headers: http::HeaderMap = signed.headers.into_iter().collect();
/// assert_eq!(gitlab.verify(&Request::post(&headers, b"{}"), now), Ok(()));
/// assert!(gitlab.verify(&Request::post(&headers, b"{ }"), now).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct GitLab {
    proof: Proof,
}

#[derive(Debug, Clone)]
enum Proof {
    Signed(StandardWebhooks),
    Shown(ApiKey),
}

impl GitLab {
    /// With the webhook's signing token: `whsec_…`.
    ///
    /// # Errors
    /// [`InvalidSecret`], which does not show it.
    pub fn signing_token(token: &SigningSecret) -> Result<Self, InvalidSecret> {
        Ok(Self { proof: Proof::Signed(StandardWebhooks::new(token)?) })
    }

    /// With the webhook's secret token, which it sends as it stands.
    pub fn secret_token(token: SigningSecret) -> Self {
        Self { proof: Proof::Shown(ApiKey::new(TOKEN_HEADER, token)) }
    }

    /// Also accepts this token, of the same sort: for the time in which one replaces another.
    ///
    /// # Errors
    /// [`InvalidSecret`], which does not show it; secret tokens are all valid.
    pub fn also_accept(self, token: &SigningSecret) -> Result<Self, InvalidSecret> {
        let proof = match self.proof {
            Proof::Signed(webhooks) => Proof::Signed(webhooks.also_accept(token)?),
            Proof::Shown(key) => Proof::Shown(key.also_accept(token.clone())),
        };
        Ok(Self { proof })
    }

    /// How far from now a webhook may be signed, in whole seconds, to the past and to the future; [`TOLERANCE`] unless
    /// set. Where nothing is signed it means nothing.
    pub fn tolerance(self, tolerance: Duration) -> Self {
        let proof = match self.proof {
            Proof::Signed(webhooks) => Proof::Signed(webhooks.tolerance(tolerance)),
            Proof::Shown(key) => Proof::Shown(key),
        };
        Self { proof }
    }

    /// Whether it is the body that is shown to be GitLab's, and not the sender alone.
    pub fn is_signed(&self) -> bool {
        matches!(self.proof, Proof::Signed(_))
    }
}

impl Scheme for GitLab {
    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<(), Error> {
        match &self.proof {
            Proof::Signed(webhooks) => {
                let [id, timestamp, signature] = HEADERS;
                let hint = "GitLab sends it only if the webhook has a signing token: make one in the webhook's settings";
                let headers = [
                    (id, request.required(id, hint)?),
                    (timestamp, request.required(timestamp, hint)?),
                    (signature, request.required(signature, hint)?),
                ];
                let header =
                    |name: &str| headers.iter().find(|header| header.0 == name).map(|header| header.1);
                StandardWebhooks::verify(webhooks, header, request.body, now).map(|_genuine| ())
            }
            Proof::Shown(key) => {
                let hint = "GitLab sends it only if the webhook has a secret token: set one in the webhook's settings";
                key.verify(Some(request.required(TOKEN_HEADER, hint)?))
            }
        }
    }

    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<Signed, CannotSign> {
        match &self.proof {
            Proof::Signed(webhooks) => {
                let headers = StandardWebhooks::sign(webhooks, unsigned.id, unsigned.body, now)
                    .map_err(|refused| CannotSign::new(refused.to_string()))?;
                Signed::new(headers, unsigned.body)
            }
            Proof::Shown(key) => {
                let token = String::from_utf8(key.present())
                    .map_err(|_| CannotSign::new("the secret token is not UTF-8, as GitLab's are"))?;
                Signed::new([(TOKEN_HEADER, token)], unsigned.body)
            }
        }
    }

    fn headers(&self) -> Vec<HeaderName> {
        match &self.proof {
            Proof::Signed(_) => HEADERS.map(HeaderName::from_static).to_vec(),
            Proof::Shown(_) => vec![HeaderName::from_static(TOKEN_HEADER)],
        }
    }
}
