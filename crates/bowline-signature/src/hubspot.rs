//! HubSpot, version 3: `x-hubspot-signature-v3: K36dawei…=` and `x-hubspot-request-timestamp`.
//!
//! Signed is `methodURLbodytimestamp`, with nothing between them, where the timestamp is milliseconds since 1970 as they
//! stand in the header; the key is the app's client secret as it stands. Older versions of the signature
//! (`x-hubspot-signature`), which HubSpot sends as well, are not read: they have no timestamp, and are no HMACs.
//! Source: <https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests> and the `Signature`
//! of `hubspot-api-client`.
//!
//! The documentation says to [decode](DECODED) some escapes of the URL first, and HubSpot's libraries sign it as it is:
//! either is accepted, which is the same for URLs without escapes. Register URLs without a query, and nothing can differ.

use std::time::Duration;

use http::HeaderName;
use jiff::Timestamp;

use crate::{
    CannotSign, Error, Request, Scheme, Signed, SigningSecret, Unsigned,
    age::{self, Unit},
    header,
    hmac::Algorithm,
    secrets::Secrets,
};

/// The header that carries the signature.
pub const HEADER: &str = "x-hubspot-signature-v3";
/// The header that says when it was signed.
pub const TIMESTAMP_HEADER: &str = "x-hubspot-request-timestamp";
/// How old a request may be unless said otherwise: what HubSpot's documentation and its libraries allow.
pub const TOLERANCE: Duration = Duration::from_secs(300);
/// The characters that are not escaped in the URL that is signed.
pub const DECODED: &[u8] = b":/?@!$'()*,;";

const FORM: &str = "<44 characters of base64>";
const TIMESTAMP_FORM: &str = "<milliseconds since 1970>";
const HINT: &str =
    "HubSpot sends it with every request to an app; workflows' webhooks of other kinds have none";

/// Verifies what HubSpot sends, and signs as HubSpot would.
///
/// ```
/// use bowline_signature::{HubSpot, Request, Scheme, SigningSecret, Unsigned};
/// use jiff::Timestamp;
///
/// let hubspot = HubSpot::new(SigningSecret::new("yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy")?);
/// let (url, now) = ("https://www.example.com/webhook_uri", Timestamp::from_second(1_693_657_560)?);
/// let signed = hubspot.sign(&Unsigned::json("", b"[]").to(url), now)?;
/// let headers: http::HeaderMap = signed.headers.into_iter().collect();
/// assert_eq!(hubspot.verify(&Request::post(&headers, &signed.body).at(url), now), Ok(()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct HubSpot {
    secrets: Secrets,
    tolerance: Duration,
}

impl HubSpot {
    /// With the app's client secret.
    pub fn new(secret: SigningSecret) -> Self {
        Self { secrets: Secrets::new(secret), tolerance: TOLERANCE }
    }

    /// Also accepts what this secret signed: for the time in which one secret replaces another.
    pub fn also_accept(self, secret: SigningSecret) -> Self {
        Self { secrets: self.secrets.and(secret), ..self }
    }

    /// How old a request may be, in whole seconds; [`TOLERANCE`] unless set.
    pub fn tolerance(self, tolerance: Duration) -> Self {
        Self { tolerance, ..self }
    }
}

impl Scheme for HubSpot {
    /// A timestamp in the future is accepted, as by HubSpot's libraries: it is signed, so only HubSpot can have set it.
    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<(), Error> {
        let signature = header::base64(request.required(HEADER, HINT)?, Algorithm::Sha256.bytes())
            .ok_or_else(|| header::malformed(HEADER, "has no signature of 32 bytes in base64", FORM))?;
        let text = request.required(TIMESTAMP_HEADER, HINT)?;
        let signed_at = Unit::Milliseconds.parse(text).ok_or_else(|| {
            header::malformed(TIMESTAMP_HEADER, Unit::Milliseconds.problem(), TIMESTAMP_FORM)
        })?;
        let (method, url) = (request.method.as_bytes(), request.signed_url()?);
        let decoded = decoded(url);
        let as_documented = [method, decoded.as_slice(), request.body, text];
        let as_it_is = [method, url.as_bytes(), request.body, text];
        self.secrets.check_readings(Algorithm::Sha256, &[&as_documented, &as_it_is], &[signature])?;
        age::not_too_old(signed_at, now, self.tolerance)
    }

    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<Signed, CannotSign> {
        let url = unsigned.url.ok_or_else(CannotSign::url_unknown)?;
        let timestamp = Unit::Milliseconds.text(now);
        let parts = [unsigned.method.as_bytes(), &decoded(url), unsigned.body, timestamp.as_bytes()];
        let mac = self.secrets.sign(Algorithm::Sha256, &parts);
        Signed::new([(HEADER, header::to_base64(&mac)), (TIMESTAMP_HEADER, timestamp)], unsigned.body)
    }

    fn headers(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static(HEADER)]
    }
}

/// The URL with those escapes decoded, and no others.
fn decoded(url: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(url.len());
    let mut rest = url.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let mut byte = [0];
        let is_escape =
            *first == b'%' && after.len() >= 2 && hex::decode_to_slice(&after[..2], &mut byte).is_ok();
        if is_escape && DECODED.contains(&byte[0]) {
            decoded.push(byte[0]);
            rest = &after[2..];
        } else {
            decoded.push(*first);
            rest = after;
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_escapes_that_the_documentation_lists_are_decoded_and_no_others() {
        for (url, expected) in [
            ("https://a.example/x?y=1", "https://a.example/x?y=1"),
            ("https://a.example/%3A%2F%3F%40%21%24%27%28%29%2A%2C%3B", "https://a.example/:/?@!$'()*,;"),
            ("/%3a%2f", "/:/"),
            ("/%20%26%3D%25%2B%C3%A9", "/%20%26%3D%25%2B%C3%A9"),
            ("/%253A", "/%253A"),
            ("/%3%3A%", "/%3:%"),
        ] {
            assert_eq!(String::from_utf8(decoded(url)).unwrap(), expected, "{url}");
        }
    }
}
