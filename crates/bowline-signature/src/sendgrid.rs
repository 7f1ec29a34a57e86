//! SendGrid's Event Webhook, signed: `x-twilio-email-event-webhook-signature: MEUCIGHQ…`,
//! `x-twilio-email-event-webhook-timestamp: 1600112502`.
//!
//! Signed is the timestamp as it stands in its header, and the body, with ECDSA (P-256, SHA-256; DER in base64). The key
//! is the webhook's verification key: base64 of an X.509 public key (DER), as the settings show it.
//! Source: <https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features>,
//! and SendGrid's libraries.
//!
//! - The body ends with CR LF, which is signed as well: raw bytes only.
//! - Nothing stands between timestamp and body. A timestamp is digits here, so that it is known where the body begins.
//! - SendGrid's libraries do not look at the age, and it repeats for a day: nothing is too old unless
//!   [`tolerance`](SendGrid::tolerance) is set.

use std::{fmt, time::Duration};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey,
        UnparsedPublicKey,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT},
};
use http::HeaderName;
use jiff::Timestamp;
use secrecy::zeroize::Zeroizing;

use crate::{
    BadKey, CannotSign, Error, Request, Scheme, Signed, SigningSecret, Unsigned,
    age::{self, Unit},
};

/// The header that carries the signature.
pub const HEADER: &str = "x-twilio-email-event-webhook-signature";
/// The header that carries the timestamp.
pub const TIMESTAMP_HEADER: &str = "x-twilio-email-event-webhook-timestamp";

const FORM: &str = "<base64 of a DER signature>";
const TIMESTAMP_FORM: &str = "<seconds since 1970>";
const HINT: &str =
    "SendGrid sends it only if the Event Webhook is signed: turn that on in its security features";

/// Verifies what SendGrid sends, and signs as SendGrid would where the private key is known.
///
/// ```
/// use bowline_signature::SendGrid;
///
/// let key = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpi\
///            glSI8eNEc6wEA3F+g==";
/// let sendgrid = SendGrid::new(key)?;
/// assert!(SendGrid::new("not a key").is_err());
/// # Ok::<(), bowline_signature::BadKey>(())
/// ```
#[derive(Debug, Clone)]
pub struct SendGrid {
    /// Never empty; the first one signs.
    keys: Vec<Key>,
    tolerance: Option<Duration>,
}

impl SendGrid {
    /// With the webhook's verification key: base64 of a public key (DER). A private key (base64 of PKCS #8, DER) signs as
    /// well: for tests.
    ///
    /// # Errors
    /// [`BadKey`] if it is neither.
    pub fn new(key: &str) -> Result<Self, BadKey> {
        Ok(Self { keys: vec![Key::parse(key)?], tolerance: None })
    }

    /// Also accepts what belongs to this key: for the time in which one key replaces another.
    ///
    /// # Errors
    /// [`BadKey`], as for [`new`](Self::new).
    pub fn also_accept(mut self, key: &str) -> Result<Self, BadKey> {
        self.keys.push(Key::parse(key)?);
        Ok(self)
    }

    /// How far from now a request may be signed, in whole seconds, to the past and to the future; any time unless set.
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = Some(tolerance);
        self
    }
}

impl Scheme for SendGrid {
    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<(), Error> {
        let signature = STANDARD
            .decode(request.required(HEADER, HINT)?)
            .ok()
            .filter(|signature| !signature.is_empty())
            .ok_or_else(|| malformed(HEADER, "has no signature in base64", FORM))?;
        let timestamp = request.required(TIMESTAMP_HEADER, HINT)?;
        let signed_at = Unit::Seconds
            .parse(timestamp)
            .ok_or_else(|| malformed(TIMESTAMP_HEADER, Unit::Seconds.problem(), TIMESTAMP_FORM))?;
        let signed = [timestamp, request.body].concat();
        if !self.keys.iter().any(|key| key.verifies(&signed, &signature)) {
            return Err(Error::Mismatch { secrets: self.keys.len() });
        }
        age::within(signed_at, now, self.tolerance)
    }

    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<Signed, CannotSign> {
        let timestamp = Unit::Seconds.text(now);
        let signature = self.keys[0].sign(&[timestamp.as_bytes(), unsigned.body].concat())?;
        Signed::new([(HEADER, STANDARD.encode(signature)), (TIMESTAMP_HEADER, timestamp)], unsigned.body)
    }

    fn headers(&self) -> Vec<HeaderName> {
        [HEADER, TIMESTAMP_HEADER].map(HeaderName::from_static).to_vec()
    }
}

/// A public key; or a private one, which signs as well.
#[derive(Clone)]
struct Key {
    /// DER, or an uncompressed point.
    public: Vec<u8>,
    /// PKCS #8.
    private: Option<SigningSecret>,
}

impl Key {
    fn parse(text: &str) -> Result<Self, BadKey> {
        let bad = || {
            BadKey::new(
                "the verification key is not base64 of an ECDSA P-256 public key; copy it whole from the Event Webhook's \
                 security features",
            )
        };
        let der = Zeroizing::new(STANDARD_PAD_INDIFFERENT.decode(text.trim()).map_err(|_| bad())?);
        if ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, der.as_slice()).is_ok() {
            return Ok(Self { public: der.to_vec(), private: None });
        }
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der).map_err(|_| bad())?;
        Ok(Self { public: pair.public_key().as_ref().to_vec(), private: SigningSecret::new(&*der).ok() })
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.public).verify(message, signature).is_ok()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CannotSign> {
        let private = self.private.as_ref().ok_or_else(|| {
            CannotSign::new("SendGrid signs with a key that only it has; tests make their own")
        })?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, private.expose());
        let signed = pair.expect("was a key when it was read").sign(&SystemRandom::new(), message);
        Ok(signed.map_err(|_| CannotSign::new("no random numbers can be had"))?.as_ref().to_vec())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.private.is_some() { "[private key]" } else { "[public key]" })
    }
}

fn malformed(header: &str, problem: &'static str, form: &'static str) -> Error {
    Error::HeaderMalformed { header: header.to_owned(), problem, form: form.into() }
}
