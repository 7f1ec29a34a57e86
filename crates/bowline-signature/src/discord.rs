//! Discord, webhook events and interactions: `x-signature-ed25519: 3a7c…`, `x-signature-timestamp: 1700000000`.
//!
//! Signed is the timestamp as it stands in its header, and the body, with Ed25519. The key is the application's public
//! key, 64 hex digits, of which there is one: Discord rotates none.
//! Source: <https://discord.com/developers/docs/interactions/overview#setting-up-an-endpoint-validating-security-request-headers>,
//! and Discord's `discord-interactions`.
//!
//! - Nothing stands between timestamp and body. A timestamp is digits here, so that it is known where the body begins.
//! - Discord's libraries do not look at the age, and its docs name none: nothing is too old unless
//!   [`tolerance`](Discord::tolerance) is set. Remember the ids of interactions.
//! - Discord sends requests with bad signatures on purpose, and wants 401 for them.

use std::time::Duration;

use http::HeaderName;
use jiff::Timestamp;

use crate::{
    BadKey, CannotSign, Error, Request, Scheme, Signed, Unsigned,
    age::{self, Unit},
    ed25519::{self, Key},
    header,
};

/// The header that carries the signature.
pub const HEADER: &str = "x-signature-ed25519";
/// The header that carries the timestamp.
pub const TIMESTAMP_HEADER: &str = "x-signature-timestamp";

const FORM: &str = "<128 hex digits>";
const TIMESTAMP_FORM: &str = "<seconds since 1970>";
const HINT: &str = "Discord always sends it";

/// Verifies what Discord sends, and signs as Discord would where the private key is known.
///
/// ```
/// use bowline_signature::{Discord, Request, Scheme};
/// use http::{HeaderMap, HeaderValue};
/// use jiff::Timestamp;
///
/// let discord = Discord::new("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")?;
///
/// // What Discord sends on purpose.
/// let mut headers = HeaderMap::new();
/// headers.insert("x-signature-timestamp", HeaderValue::from_static("1700000000"));
/// headers.insert("x-signature-ed25519", HeaderValue::from_str(&"0".repeat(128))?);
/// let now = Timestamp::from_second(1_700_000_000)?;
/// assert!(discord.verify(&Request::post(&headers, br#"{"type":1}"#), now).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Discord {
    /// Never empty; the first one signs.
    keys: Vec<Key>,
    tolerance: Option<Duration>,
}

impl Discord {
    /// With the application's public key: 64 hex digits. A key pair, 128 hex digits (seed, then public key), signs as
    /// well: for tests.
    ///
    /// # Errors
    /// [`BadKey`] if it is neither.
    pub fn new(key: &str) -> Result<Self, BadKey> {
        Ok(Self { keys: vec![parse_key(key)?], tolerance: None })
    }

    /// Also accepts what belongs to this key: for an address that two applications use.
    ///
    /// # Errors
    /// [`BadKey`], as for [`new`](Self::new).
    pub fn also_accept(mut self, key: &str) -> Result<Self, BadKey> {
        self.keys.push(parse_key(key)?);
        Ok(self)
    }

    /// How far from now a request may be signed, in whole seconds, to the past and to the future; any time unless set.
    /// Discord repeats webhook events for up to 10 minutes.
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = Some(tolerance);
        self
    }
}

impl Scheme for Discord {
    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<(), Error> {
        let signature = request.required(HEADER, HINT)?;
        let signature = header::hex(signature, ed25519::SIGNATURE_BYTES)
            .ok_or_else(|| malformed(HEADER, "has no signature of 128 hex digits", FORM))?;
        let timestamp = request.required(TIMESTAMP_HEADER, HINT)?;
        let signed_at = Unit::Seconds
            .parse(timestamp)
            .ok_or_else(|| malformed(TIMESTAMP_HEADER, Unit::Seconds.problem(), TIMESTAMP_FORM))?;
        if !ed25519::any_verifies(&self.keys, &[timestamp, request.body].concat(), &[signature]) {
            return Err(Error::Mismatch { secrets: self.keys.len() });
        }
        age::within(signed_at, now, self.tolerance)
    }

    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<Signed, CannotSign> {
        let timestamp = Unit::Seconds.text(now);
        let signature = self.keys[0].sign(&[timestamp.as_bytes(), unsigned.body].concat());
        let signature = signature.ok_or_else(|| {
            CannotSign::new("Discord signs with a key that only it has; tests make their own")
        })?;
        Signed::new([(HEADER, hex::encode(signature)), (TIMESTAMP_HEADER, timestamp)], unsigned.body)
    }

    fn headers(&self) -> Vec<HeaderName> {
        [HEADER, TIMESTAMP_HEADER].map(HeaderName::from_static).to_vec()
    }
}

fn parse_key(key: &str) -> Result<Key, BadKey> {
    let bad = || {
        BadKey::new(
            "the public key is not 64 hex digits; copy it whole from the application's General Information in \
             Discord's developer portal",
        )
    };
    let bytes = hex::decode(key.trim()).map_err(|_| bad())?;
    match <[u8; ed25519::KEY_BYTES]>::try_from(bytes.as_slice()) {
        Ok(public) => Ok(Key::public(public)),
        Err(_longer_or_shorter) => Key::pair(&bytes).ok_or_else(bad),
    }
}

fn malformed(header: &str, problem: &'static str, form: &'static str) -> Error {
    Error::HeaderMalformed { header: header.to_owned(), problem, form: form.into() }
}
