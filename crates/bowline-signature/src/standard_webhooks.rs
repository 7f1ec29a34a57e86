//! Standard Webhooks, versions 1 and 1a, and Svix: `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,K5oZfzN9…`.
//!
//! Signed is `id.timestamp.body`. Version 1 is an HMAC-SHA256, whose key is what the secret means in base64, after its
//! `whsec_`. Version 1a is an Ed25519 signature: receivers have the public key (`whpk_`, 32 bytes in base64), senders the
//! pair (`whsk_`, seed and public key, 64 bytes in base64). Svix sends the same under the names `svix-id`,
//! `svix-timestamp`, `svix-signature`.
//! Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.
//!
//! Where the specification leaves room:
//!
//! - An id with a full stop is refused. The specification forbids senders to make one, since `a.1.2` could then be the
//!   id `a` at `1` or the id `a.1` at `2`, and a signature for the one would fit the other.
//! - A timestamp is digits, and signed as it stands in the header.
//! - A body need not be UTF-8.
//! - A signature is compared with the keys of its version only, and one that fits is enough: a sender may change from one
//!   version to the other, and a receiver that was given a public key takes no HMAC for it.
//! - A secret's key has at least 16 bytes. The specification asks senders for 24 to 64; fewer than 16 can be guessed.

use std::time::Duration;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use http::HeaderName;
use jiff::Timestamp;
use secrecy::zeroize::Zeroizing;

use crate::{
    CannotSign, Error, Request, Scheme, Signed, SigningSecret, Unsigned,
    age::{self, Unit},
    ed25519,
    header::{self, Candidates},
    hmac::{self, Algorithm},
};

/// The headers by the names of the specification: id, timestamp, signature.
pub const HEADERS: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];
/// The headers by Svix's names: id, timestamp, signature.
pub const SVIX_HEADERS: [&str; 3] = ["svix-id", "svix-timestamp", "svix-signature"];
/// How far from now a webhook may be signed unless said otherwise, to the past and to the future: what the official
/// libraries allow.
pub const TOLERANCE: Duration = Duration::from_secs(300);
/// Longest id.
pub const ID_BYTES_MAX: usize = 512;
/// Shortest key.
pub const KEY_BYTES_MIN: usize = 16;

const ID_FORM: &str = "up to 512 visible ASCII characters without a full stop";
const TIMESTAMP_FORM: &str = "<seconds since 1970>";
const SIGNATURE_FORM: &str = "v1,<44 characters of base64> or v1a,<88 characters of base64>";
const SECRET_PREFIX: &str = "whsec_";
const PUBLIC_KEY_PREFIX: &str = "whpk_";
const KEY_PAIR_PREFIX: &str = "whsk_";

/// As senders and the official libraries write secrets: with padding or without it.
const SECRET_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Verifies what senders of Standard Webhooks and Svix send, and signs as they would.
///
/// ```
/// use bowline_signature::{SigningSecret, StandardWebhooks};
/// use jiff::Timestamp;
///
/// let now = Timestamp::from_second(1_700_000_000)?;
/// let webhooks = StandardWebhooks::new(&SigningSecret::new("whsec_dHdlbnR5LWZvdXIgYnl0ZXMgb2Yga2V5")?)?;
///
/// let signed = webhooks.sign("msg_1", b"{}", now)?;
/// let header = |name: &str| signed.iter().find(|pair| pair.0 == name).map(|pair| pair.1.as_bytes());
/// assert_eq!(webhooks.verify(header, b"{}", now)?.id, "msg_1");
/// assert!(webhooks.verify(header, b"{ }", now).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct StandardWebhooks {
    /// What signs: the first secret or key that was given.
    first: First,
    secrets: Vec<SigningSecret>,
    keys: Vec<ed25519::Key>,
    tolerance: Duration,
}

#[derive(Debug, Clone, Copy)]
enum First {
    Secret,
    Key,
}

/// What a genuine webhook's headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Genuine<'h> {
    /// The id under which the sender knows the event: the same on every redelivery.
    pub id: &'h str,
    /// When this delivery was signed.
    pub signed_at: Timestamp,
}

impl StandardWebhooks {
    /// With the endpoint's secret: base64, with or without its `whsec_`; or the sender's public key, with its `whpk_`,
    /// which verifies only. A pair, with its `whsk_`, verifies and signs.
    ///
    /// # Errors
    /// [`InvalidSecret`], which does not show it.
    pub fn new(secret: &SigningSecret) -> Result<Self, InvalidSecret> {
        let empty = Self { first: First::Secret, secrets: vec![], keys: vec![], tolerance: TOLERANCE };
        let made = empty.also_accept(secret)?;
        let first = if made.keys.is_empty() { First::Secret } else { First::Key };
        Ok(Self { first, ..made })
    }

    /// Also accepts what this secret signed: for the time in which one secret replaces another.
    ///
    /// # Errors
    /// [`InvalidSecret`], which does not show it.
    pub fn also_accept(mut self, secret: &SigningSecret) -> Result<Self, InvalidSecret> {
        match parse_secret(secret)? {
            Secret::Symmetric(key) => self.secrets.push(key),
            Secret::Asymmetric(key) => self.keys.push(key),
        }
        Ok(self)
    }

    /// How far from now a webhook may be signed, in whole seconds, to the past and to the future; [`TOLERANCE`] unless
    /// set.
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Whether the sender sent this body with these headers; and if so, under which id, and when.
    ///
    /// `header` gives a header's value by its lower-case name. The `webhook-*` headers are read, or else the `svix-*`
    /// ones, never some of each. `body` is the raw body: parsed and written again, it no longer fits. Signatures of
    /// other versions than `v1` and `v1a` are ignored.
    ///
    /// # Errors
    /// [`Error`], whose text may be logged and sent back.
    pub fn verify<'h>(
        &self,
        header: impl Fn(&str) -> Option<&'h [u8]>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Genuine<'h>, Error> {
        let headers = Headers::read(header)?;
        let signed = [headers.id.as_bytes(), b".", headers.timestamp_text, b".", body];
        let Signatures { macs, asymmetric } = &headers.signatures;
        let fits = hmac::any_matches(Algorithm::Sha256, &self.secrets, &signed, macs)
            || !(self.keys.is_empty() || asymmetric.is_empty())
                && ed25519::any_verifies(&self.keys, &signed.concat(), asymmetric);
        if !fits {
            return Err(Error::Mismatch { secrets: self.secrets.len() + self.keys.len() });
        }
        // Last, so that only who knows a secret learns anything of this machine's clock.
        age::not_too_old(headers.signed_at, now, self.tolerance)?;
        age::not_too_new(headers.signed_at, now, self.tolerance)?;
        Ok(Genuine { id: headers.id, signed_at: headers.signed_at })
    }

    /// The headers (name and value) with which a sender would send this body now, under that id.
    ///
    /// # Errors
    /// [`CannotSign`] if a receiver would refuse the id, or if what was given first is a public key.
    pub fn sign(
        &self,
        id: &str,
        body: &[u8],
        now: Timestamp,
    ) -> Result<[(&'static str, String); 3], CannotSign> {
        let [id_name, timestamp_name, signature_name] = HEADERS;
        let id = parse_id(id_name, id.as_bytes()).map_err(|error| CannotSign::new(error.to_string()))?;
        let timestamp = Unit::Seconds.text(now);
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
        let signature = match self.first {
            First::Secret => {
                format!("v1,{}", STANDARD.encode(hmac::sign(Algorithm::Sha256, &self.secrets[0], &signed)))
            }
            First::Key => {
                let public =
                    || CannotSign::new("the sender signs with a key that only it has; tests make their own");
                format!("v1a,{}", STANDARD.encode(self.keys[0].sign(&signed.concat()).ok_or_else(public)?))
            }
        };
        Ok([(id_name, id.to_owned()), (timestamp_name, timestamp), (signature_name, signature)])
    }
}

impl Scheme for StandardWebhooks {
    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<(), Error> {
        request
            .looked_up(|header| StandardWebhooks::verify(self, header, request.body, now))
            .map(|_genuine| ())
    }

    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<Signed, CannotSign> {
        Signed::new(StandardWebhooks::sign(self, unsigned.id, unsigned.body, now)?, unsigned.body)
    }

    fn headers(&self) -> Vec<HeaderName> {
        let ([_, _, ours], [_, _, svix]) = (HEADERS, SVIX_HEADERS);
        [ours, svix].map(HeaderName::from_static).to_vec()
    }
}

/// The headers taken apart; nothing in them is trusted yet.
struct Headers<'h> {
    id: &'h str,
    timestamp_text: &'h [u8],
    signed_at: Timestamp,
    signatures: Signatures,
}

/// Those that could be decoded; at least one.
struct Signatures {
    macs: Vec<Vec<u8>>,
    asymmetric: Vec<Vec<u8>>,
}

impl<'h> Headers<'h> {
    fn read(header: impl Fn(&str) -> Option<&'h [u8]>) -> Result<Self, Error> {
        let ours = HEADERS.map(&header);
        let svix = SVIX_HEADERS.map(&header);
        let is_svix =
            ours.contains(&None) && (!svix.contains(&None) || ours == [None; 3] && svix != [None; 3]);
        let (names, values) = if is_svix { (SVIX_HEADERS, svix) } else { (HEADERS, ours) };
        let [id_name, timestamp_name, signature_name] = names;
        let [id, timestamp, signature] = values;

        let id = parse_id(id_name, present(id_name, id)?)?;
        let timestamp_text = present(timestamp_name, timestamp)?;
        let signed_at = Unit::Seconds
            .parse(timestamp_text)
            .ok_or_else(|| malformed(timestamp_name, Unit::Seconds.problem(), TIMESTAMP_FORM))?;
        let signatures = parse_signatures(signature_name, present(signature_name, signature)?)?;
        Ok(Self { id, timestamp_text, signed_at, signatures })
    }
}

fn present<'h>(name: &str, value: Option<&'h [u8]>) -> Result<&'h [u8], Error> {
    let hint =
        "Standard Webhooks have webhook-id, webhook-timestamp and webhook-signature (or the same as svix-*)";
    header::bounded(name, value.ok_or_else(|| Error::HeaderMissing { header: name.to_owned(), hint })?)
}

fn parse_id<'h>(name: &str, id: &'h [u8]) -> Result<&'h str, Error> {
    let problem = match id {
        [] => "is empty",
        id if id.len() > ID_BYTES_MAX => "is too long",
        id if id.contains(&b'.') => "has a full stop, which makes what was signed ambiguous",
        id => match std::str::from_utf8(id) {
            Ok(text) if id.iter().all(u8::is_ascii_graphic) => return Ok(text),
            Ok(_) | Err(_) => "has spaces, control characters or others than ASCII",
        },
    };
    Err(malformed(name, problem, ID_FORM))
}

fn parse_signatures(name: &str, list: &[u8]) -> Result<Signatures, Error> {
    // Together they are not more than a genuine sender sends.
    let mut signatures = Candidates::new();
    for item in list.split(|byte| *byte == b' ') {
        // Others may come: nobody must be able to make a receiver take one of them for one of these. Their lengths tell
        // the two apart below.
        let (text, bytes) = match (item.strip_prefix(b"v1,"), item.strip_prefix(b"v1a,")) {
            (Some(mac), _) => (mac, Algorithm::Sha256.bytes()),
            (None, Some(signature)) => (signature, ed25519::SIGNATURE_BYTES),
            (None, None) => continue,
        };
        signatures.push(name, STANDARD.decode(text).ok().filter(|decoded| decoded.len() == bytes))?;
    }
    let none =
        || malformed(name, "has no v1 signature of 44 characters and no v1a one of 88", SIGNATURE_FORM);
    let decoded = signatures.decoded().ok_or_else(none)?;
    let (macs, asymmetric) =
        decoded.into_iter().partition(|signature| signature.len() == Algorithm::Sha256.bytes());
    Ok(Signatures { macs, asymmetric })
}

fn malformed(name: &str, problem: &'static str, form: &'static str) -> Error {
    Error::HeaderMalformed { header: name.to_owned(), problem, form: form.into() }
}

enum Secret {
    Symmetric(SigningSecret),
    Asymmetric(ed25519::Key),
}

fn parse_secret(secret: &SigningSecret) -> Result<Secret, InvalidSecret> {
    let text = std::str::from_utf8(secret.expose()).map_err(|_| InvalidSecret::NotBase64)?.trim_ascii();
    let decode = |encoded| SECRET_BASE64.decode(encoded).map(Zeroizing::new);
    if let Some(encoded) = text.strip_prefix(PUBLIC_KEY_PREFIX) {
        let key = decode(encoded).ok().and_then(|key| key.as_slice().try_into().ok());
        return key.map(ed25519::Key::public).map(Secret::Asymmetric).ok_or(InvalidSecret::NotEd25519);
    }
    if let Some(encoded) = text.strip_prefix(KEY_PAIR_PREFIX) {
        let pair = decode(encoded).ok().and_then(|pair| ed25519::Key::pair(&pair));
        return pair.map(Secret::Asymmetric).ok_or(InvalidSecret::NotEd25519);
    }
    let encoded = text.strip_prefix(SECRET_PREFIX).unwrap_or(text);
    let key = decode(encoded).map_err(|_| InvalidSecret::NotBase64)?;
    let bytes = key.len();
    let too_short = InvalidSecret::TooShort { bytes };
    if bytes < KEY_BYTES_MIN {
        return Err(too_short);
    }
    SigningSecret::new(&*key).map(Secret::Symmetric).map_err(|_| too_short)
}

/// Why a secret is none of Standard Webhooks. Shows nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// It is not base64, with or without `whsec_` before it.
    #[error("the signing secret is not base64; copy it whole from the sender's settings, as whsec_…")]
    NotBase64,
    /// It is to be a key of the asymmetric version, and is none.
    #[error(
        "the key is not the 32 bytes of an Ed25519 public key (whpk_…), nor the 64 of a pair (whsk_…), in base64; copy it \
         whole from the sender's settings"
    )]
    NotEd25519,
    /// It can be guessed.
    #[error(
        "the signing secret is a key of {bytes} bytes (at least {KEY_BYTES_MIN}); copy it whole from the sender's \
         settings, or let the sender make one of 24 to 64"
    )]
    TooShort {
        /// How many bytes it means.
        bytes: usize,
    },
}
