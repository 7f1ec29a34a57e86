//! Zoom: `x-zm-signature: v0=a05d830f…` and `x-zm-request-timestamp`.
//!
//! Signed is `v0:timestamp:body`, where the timestamp is a number as it stands in the header; the key is the app's secret
//! token as it stands. Zoom's documentation sets no limit to the age, and does not say whether a retry, up to 85 minutes
//! later, is signed anew: none is looked at here, and what keeps a genuine webhook from being sent again is what a
//! receiver remembers.
//! Source: <https://developers.zoom.us/docs/api/webhooks/#verify-with-zooms-header> and `@zoom/rivet`.
//!
//! A new endpoint is asked to show that it knows the token: [`validate`](Zoom::validate).

use http::HeaderName;
use jiff::Timestamp;

use crate::{
    CannotSign, Error, Request, Scheme, Signed, SigningSecret, Unsigned, age::Unit, header, hmac::Algorithm,
    secrets::Secrets,
};

/// The header that carries the signature.
pub const HEADER: &str = "x-zm-signature";
/// The header that says when it was signed.
pub const TIMESTAMP_HEADER: &str = "x-zm-request-timestamp";

/// Longest timestamp: what fits into 64 bits.
const TIMESTAMP_DIGITS_MAX: usize = 20;

const FORM: &str = "v0=<64 hex digits>";
const TIMESTAMP_FORM: &str = "<digits>";
const HINT: &str = "Zoom sends it with every event notification";

/// Verifies what Zoom sends, and signs as Zoom would.
///
/// ```
/// use bowline_signature::{Request, Scheme, SigningSecret, Unsigned, Zoom};
/// use jiff::Timestamp;
///
/// let zoom = Zoom::new(SigningSecret::new("secret token")?);
/// let now = Timestamp::from_second(1_658_940_994)?;
/// let signed = zoom.sign(&Unsigned::json("", br#"{"event":"meeting.started"}"#), now)?;
/// let headers: http::HeaderMap = signed.headers.into_iter().collect();
/// assert_eq!(zoom.verify(&Request::post(&headers, &signed.body), now), Ok(()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Zoom {
    secrets: Secrets,
}

impl Zoom {
    /// With the app's secret token.
    pub fn new(token: SigningSecret) -> Self {
        Self { secrets: Secrets::new(token) }
    }

    /// Also accepts what this token signed: for the time in which one token replaces another.
    pub fn also_accept(self, token: SigningSecret) -> Self {
        Self { secrets: self.secrets.and(token) }
    }

    /// What answers an `endpoint.url_validation` with that `plainToken`: its HMAC in hex, the `encryptedToken`. Made with
    /// the first token. Only for what was [verified](Scheme::verify): else whoever asks can have anything signed.
    pub fn validate(&self, plain_token: &str) -> String {
        hex::encode(self.secrets.sign(Algorithm::Sha256, &[plain_token.as_bytes()]))
    }
}

impl Scheme for Zoom {
    fn verify(&self, request: &Request<'_>, _now: Timestamp) -> Result<(), Error> {
        let signature = parse(request.required(HEADER, HINT)?)?;
        let timestamp = request.required(TIMESTAMP_HEADER, HINT)?;
        // A number, so that nobody moves the colon between it and the body.
        if !is_number(timestamp) {
            return Err(header::malformed(TIMESTAMP_HEADER, "is not a number", TIMESTAMP_FORM));
        }
        let parts = [b"v0:", timestamp, b":", request.body];
        self.secrets.check(Algorithm::Sha256, &parts, &[signature])
    }

    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<Signed, CannotSign> {
        let timestamp = Unit::Seconds.text(now);
        let mac = self.secrets.sign(Algorithm::Sha256, &[b"v0:", timestamp.as_bytes(), b":", unsigned.body]);
        let signature = format!("v0={}", hex::encode(mac));
        Signed::new([(HEADER, signature), (TIMESTAMP_HEADER, timestamp)], unsigned.body)
    }

    fn headers(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static(HEADER)]
    }
}

fn is_number(text: &[u8]) -> bool {
    (1..=TIMESTAMP_DIGITS_MAX).contains(&text.len()) && text.iter().all(u8::is_ascii_digit)
}

fn parse(value: &[u8]) -> Result<Vec<u8>, Error> {
    let digits = value
        .strip_prefix(b"v0=")
        .ok_or_else(|| header::malformed(HEADER, "does not begin with v0=", FORM))?;
    header::hex(digits, Algorithm::Sha256.bytes())
        .ok_or_else(|| header::malformed(HEADER, "has no signature of 64 hex digits", FORM))
}
