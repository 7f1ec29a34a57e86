//! Twilio: `x-twilio-signature: RSOYDt4T…=`.
//!
//! Signed is the URL that Twilio was given, with its query; and after it, with nothing between them, the names and values
//! of the form, sorted, equal values of one name once. For a body of another type the URL's query has a `bodySHA256`, and
//! the URL alone is signed. The key is the account's auth token as it stands, under HMAC-SHA1; or a shared key, under
//! HMAC-SHA256, if `x-twilio-webhooks-signature-settings` says so. The URL may have been signed with its port or without
//! it: both are tried, as by Twilio's libraries.
//! Source: <https://www.twilio.com/docs/usage/security#validating-requests> and `twilio`'s `RequestValidator`.
//!
//! There is no timestamp: what keeps a genuine request from being sent again is what a receiver remembers. And the form's
//! fields are signed without what separates them: `a=bc` and `ab=c` have one signature, and a field that came once may
//! be sent twice. Whoever recorded a request, with TLS nobody but Twilio and this server, could use that.

use http::HeaderName;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{
    CannotSign, Error, Request, Scheme, Signed, SigningSecret, Unsigned, form, header, hmac::Algorithm,
    secrets::Secrets,
};

/// The header that carries the signature.
pub const HEADER: &str = "x-twilio-signature";
/// The header that says with which algorithm it was made, if not with HMAC-SHA1.
pub const SETTINGS_HEADER: &str = "x-twilio-webhooks-signature-settings";
/// The parameter of the URL that has the digest of a body that is no form.
pub const BODY_DIGEST: &str = "bodySHA256";

const FORM: &str = "base64 of 20 bytes, or of 32 with HMAC_SHA256";
const SETTINGS_FORM: &str = "key=<id>,algorithm=HMAC_SHA256";

/// Verifies what Twilio sends, and signs as Twilio would.
///
/// ```
/// use bowline_signature::{Request, Scheme, SigningSecret, Twilio, Unsigned, form};
/// use jiff::Timestamp;
///
/// let twilio = Twilio::new(SigningSecret::new("auth token")?);
/// let (url, now) = ("https://example.com/sms?from=twilio", Timestamp::UNIX_EPOCH);
/// let unsigned = Unsigned { content_type: form::MEDIA_TYPE, ..Unsigned::json("", b"From=%2B15550100&Body=Hi") };
/// let mut headers: http::HeaderMap = twilio.sign(&unsigned.to(url), now)?.headers.into_iter().collect();
/// headers.insert("content-type", form::MEDIA_TYPE.parse()?);
/// assert_eq!(twilio.verify(&Request::post(&headers, unsigned.body).at(url), now), Ok(()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Twilio {
    secrets: Secrets,
}

impl Twilio {
    /// With the account's auth token, or the shared key that signs instead of it.
    pub fn new(token: SigningSecret) -> Self {
        Self { secrets: Secrets::new(token) }
    }

    /// Also accepts what this token signed: for the time in which one token replaces another.
    pub fn also_accept(self, token: SigningSecret) -> Self {
        Self { secrets: self.secrets.and(token) }
    }
}

impl Scheme for Twilio {
    fn verify(&self, request: &Request<'_>, _now: Timestamp) -> Result<(), Error> {
        let algorithm = algorithm(request)?;
        let value = request.required(HEADER, "Twilio sends it with every webhook")?;
        let signature = header::base64(value, algorithm.bytes())
            .ok_or_else(|| header::malformed(HEADER, "has no signature in base64", FORM))?;
        let url = request.signed_url()?;
        let content_type = request.headers.only("content-type")?.unwrap_or_default();
        let fields = signed_fields(url, content_type, request.body)?;
        let (plain, with_port) = ports(url);
        let readings = [[plain.as_bytes(), fields.as_bytes()], [with_port.as_bytes(), fields.as_bytes()]];
        self.secrets.check_readings(algorithm, &readings.each_ref().map(|parts| &parts[..]), &[signature])
    }

    fn sign(&self, unsigned: &Unsigned<'_>, _now: Timestamp) -> Result<Signed, CannotSign> {
        let url = unsigned.url.ok_or_else(CannotSign::url_unknown)?;
        let fields = signed_fields(url, unsigned.content_type.as_bytes(), unsigned.body)
            .map_err(|error| CannotSign::new(error.to_string()))?;
        let mac = self.secrets.sign(Algorithm::Sha1, &[url.as_bytes(), fields.as_bytes()]);
        Signed::new([(HEADER, header::to_base64(&mac))], unsigned.body)
    }

    fn headers(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static(HEADER)]
    }
}

/// The header is not signed, and need not be: a signature of the one length fits nothing of the other.
fn algorithm(request: &Request<'_>) -> Result<Algorithm, Error> {
    let Some(settings) = request.headers.only(SETTINGS_HEADER)? else { return Ok(Algorithm::Sha1) };
    let settings = header::bounded(SETTINGS_HEADER, settings)?;
    let items = settings.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let named = items.filter_map(|item| item.strip_prefix(b"algorithm=")).next_back();
    match named {
        None | Some(b"HMAC_SHA1") => Ok(Algorithm::Sha1),
        Some(b"HMAC_SHA256") => Ok(Algorithm::Sha256),
        Some(_) => {
            Err(header::malformed(SETTINGS_HEADER, "names an algorithm that is not known", SETTINGS_FORM))
        }
    }
}

/// What is signed after the URL.
///
/// A URL with a digest is taken at its word whatever the body's type is said to be: else the signature of a body that is
/// no form would fit a form without fields.
fn signed_fields(url: &str, content_type: &[u8], body: &[u8]) -> Result<String, Error> {
    if let Some(digest) = body_digest(url) {
        let expected = header::hex(digest.as_bytes(), Algorithm::Sha256.bytes());
        let fits =
            expected.is_some_and(|expected| bool::from(Sha256::digest(body).as_slice().ct_eq(&expected)));
        return if fits { Ok(String::new()) } else { Err(not_the_body_signed()) };
    }
    if !form::is_form(content_type) {
        return Err(Error::BodyMalformed {
            problem: "is no form, and the URL has no bodySHA256",
            form: form::MEDIA_TYPE,
        });
    }
    let mut fields = form::fields(body)?;
    fields.sort();
    fields.dedup();
    Ok(fields.into_iter().flat_map(|(name, value)| [name, value]).collect())
}

fn not_the_body_signed() -> Error {
    Error::BodyMalformed {
        problem: "does not have the digest that the URL's bodySHA256 says",
        form: "whatever Twilio sent, not rewritten on the way",
    }
}

/// The first of that name, as Twilio's libraries read it.
fn body_digest(url: &str) -> Option<&str> {
    let parameters = url.split_once('?')?.1.split('&').filter_map(|parameter| parameter.split_once('='));
    parameters.into_iter().find(|(name, _)| *name == BODY_DIGEST).map(|(_, digest)| digest)
}

/// The URL without its port, and with it: the scheme's own one if it has none.
fn ports(url: &str) -> (String, String) {
    let Some((scheme, rest)) = url.split_once("://") else { return (url.to_owned(), url.to_owned()) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // The colons within an IPv6 address are followed by its bracket.
    let colon = authority.rfind(':').filter(|colon| !authority[*colon..].contains(']'));
    match colon {
        Some(colon) => (format!("{scheme}://{}{path}", &authority[..colon]), url.to_owned()),
        None => {
            let port = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
            (url.to_owned(), format!("{scheme}://{authority}:{port}{path}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_with_its_port_and_without_it() {
        for (url, plain, with_port) in [
            ("https://a.example/x?y=1:2", "https://a.example/x?y=1:2", "https://a.example:443/x?y=1:2"),
            ("http://a.example", "http://a.example", "http://a.example:80"),
            ("https://a.example:8443/x", "https://a.example/x", "https://a.example:8443/x"),
            ("https://[::1]/x", "https://[::1]/x", "https://[::1]:443/x"),
            ("https://[::1]:81/x", "https://[::1]/x", "https://[::1]:81/x"),
            ("a.example", "a.example", "a.example"),
        ] {
            assert_eq!(ports(url), (plain.to_owned(), with_port.to_owned()), "{url}");
        }
    }

    #[test]
    fn the_digest_is_found_in_the_query_and_nowhere_else() {
        for (url, expected) in [
            ("https://a.example/x?bodySHA256=ab", Some("ab")),
            ("https://a.example/x?y=1&bodySHA256=ab&z=2", Some("ab")),
            ("https://a.example/x?bodySHA256=ab&bodySHA256=cd", Some("ab")),
            ("https://a.example/x?bodySHA256=", Some("")),
            ("https://a.example/bodySHA256=ab", None),
            ("https://a.example/x?xbodySHA256=ab", None),
            ("https://a.example/x", None),
        ] {
            assert_eq!(body_digest(url), expected, "{url}");
        }
    }
}
