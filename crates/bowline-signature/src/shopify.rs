//! Shopify: `x-shopify-hmac-sha256: 2NVaU…=`.
//!
//! Signed is the body alone; the key is the app's client secret as it stands, or for webhooks that were made in a shop's
//! settings the secret shown there. Shopify's Events, which are to follow its webhooks, carry the same signature under
//! the name `shopify-hmac-sha256`: that header is read if the other one is not there, as Shopify's library reads both.
//! There is no timestamp: what keeps a genuine webhook from being sent again is its id, which a receiver remembers.
//! Source: <https://shopify.dev/docs/apps/build/webhooks/subscribe/https> and `@shopify/shopify-api`.
//!
//! While an app has several client secrets, Shopify signs with the oldest that is not revoked, and was seen to go on for
//! half an hour after it was revoked (<https://github.com/Shopify/shopify-app-js/issues/3183>): accept the old one for
//! longer than that.

use http::HeaderName;
use jiff::Timestamp;

use crate::{
    CannotSign, Error, Request, Scheme, Signed, SigningSecret, Unsigned, header, hmac::Algorithm,
    secrets::Secrets,
};

/// The header that carries a webhook's signature.
pub const HEADER: &str = "x-shopify-hmac-sha256";
/// The header that carries the signature of one of Shopify's Events.
pub const EVENTS_HEADER: &str = "shopify-hmac-sha256";

const FORM: &str = "<44 characters of base64>";

/// Verifies what Shopify sends, and signs as Shopify would.
///
/// ```
/// use bowline_signature::{Request, Scheme, Shopify, SigningSecret, Unsigned};
/// use jiff::Timestamp;
///
/// let shopify = Shopify::new(SigningSecret::new("hush")?);
/// let signed = shopify.sign(&Unsigned::json("", b"{}"), Timestamp::UNIX_EPOCH)?;
/// let headers: http::HeaderMap = signed.headers.into_iter().collect();
/// assert_eq!(shopify.verify(&Request::post(&headers, &signed.body), Timestamp::UNIX_EPOCH), Ok(()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Shopify {
    secrets: Secrets,
}

impl Shopify {
    /// With the app's client secret.
    pub fn new(secret: SigningSecret) -> Self {
        Self { secrets: Secrets::new(secret) }
    }

    /// Also accepts what this secret signed: for the time in which one secret replaces another.
    pub fn also_accept(self, secret: SigningSecret) -> Self {
        Self { secrets: self.secrets.and(secret) }
    }
}

impl Scheme for Shopify {
    fn verify(&self, request: &Request<'_>, _now: Timestamp) -> Result<(), Error> {
        let hint = "Shopify signs all webhooks that it sends to an app's URL";
        let name = match (request.headers.only(HEADER)?, request.headers.only(EVENTS_HEADER)?) {
            (None, Some(_)) => EVENTS_HEADER,
            (Some(_), _) | (None, None) => HEADER,
        };
        let signature = header::base64(request.required(name, hint)?, Algorithm::Sha256.bytes())
            .ok_or_else(|| header::malformed(name, "has no signature of 32 bytes in base64", FORM))?;
        self.secrets.check(Algorithm::Sha256, &[request.body], &[signature])
    }

    fn sign(&self, unsigned: &Unsigned<'_>, _now: Timestamp) -> Result<Signed, CannotSign> {
        let mac = self.secrets.sign(Algorithm::Sha256, &[unsigned.body]);
        Signed::new([(HEADER, header::to_base64(&mac))], unsigned.body)
    }

    fn headers(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static(HEADER), HeaderName::from_static(EVENTS_HEADER)]
    }
}
