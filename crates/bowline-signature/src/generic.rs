//! An HMAC as most senders make one, with its details set: which hash, which header, which form.
//!
//! Signed is the body; or a timestamp from a header of its own, a separator, and the body, with a fixed text before
//! them if the sender has one. For senders whose scheme has no module here.

use std::time::Duration;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT},
};
use http::{HeaderName, HeaderValue};
use jiff::Timestamp;

use crate::{
    CannotSign, Error, Request, Scheme, Signed, SigningSecret, Unsigned,
    age::{self, Unit},
    header::{self, Candidates},
    hmac::{self, Algorithm},
};

/// How far from now something may be signed unless said otherwise, to the past and to the future.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// Verifies HMACs of a given form, and signs in it.
///
/// Without [`timestamp`](Self::timestamp), a genuine request is genuine for ever: who may not accept it twice must
/// remember its id.
///
/// # Example: as Slack signs
/// ```
/// use bowline_signature::{Hmac, SigningSecret};
/// use jiff::Timestamp;
///
/// let slack = Hmac::sha256("X-Slack-Signature", SigningSecret::new("8f742231b10e8888abcd99yyyzzz85a5")?)
///     .prefix("v0=")
///     .timestamp("X-Slack-Request-Timestamp", ":")
///     .signed_prefix("v0:");
///
/// let now = Timestamp::from_second(1_531_420_618)?;
/// let signed = slack.sign(b"token=xyz", now);
/// let header = |name: &str| signed.iter().find(|pair| pair.0 == name).map(|pair| pair.1.as_bytes());
/// assert_eq!(slack.verify(header, b"token=xyz", now), Ok(Some(now)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Hmac {
    algorithm: Algorithm,
    header: String,
    /// Never empty; the first one signs.
    secrets: Vec<SigningSecret>,
    encoding: Encoding,
    prefix: String,
    signatures: Signatures,
    signed_prefix: String,
    timestamp: Option<Stamp>,
    unit: Unit,
    tolerance: Duration,
}

#[derive(Debug, Clone, Copy)]
enum Encoding {
    Hex,
    Base64,
}

#[derive(Debug, Clone, Copy)]
enum Signatures {
    One,
    List,
}

#[derive(Debug, Clone)]
struct Stamp {
    header: String,
    separator: String,
}

impl Hmac {
    /// HMAC-SHA256 of the body, in hex, in that header. `secret` is the key as it stands.
    pub fn sha256(header: &str, secret: SigningSecret) -> Self {
        Self::new(Algorithm::Sha256, header, secret)
    }

    /// As [`sha256`](Self::sha256), with HMAC-SHA512.
    pub fn sha512(header: &str, secret: SigningSecret) -> Self {
        Self::new(Algorithm::Sha512, header, secret)
    }

    /// As [`sha256`](Self::sha256), with HMAC-SHA1: for senders that have nothing better.
    pub fn sha1(header: &str, secret: SigningSecret) -> Self {
        Self::new(Algorithm::Sha1, header, secret)
    }

    fn new(algorithm: Algorithm, header: &str, secret: SigningSecret) -> Self {
        Self {
            algorithm,
            header: header.to_ascii_lowercase(),
            secrets: vec![secret],
            encoding: Encoding::Hex,
            prefix: String::new(),
            signatures: Signatures::One,
            signed_prefix: String::new(),
            timestamp: None,
            unit: Unit::Seconds,
            tolerance: TOLERANCE,
        }
    }

    /// Also accepts what this secret signed: for the time in which one secret replaces another.
    pub fn also_accept(mut self, secret: SigningSecret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// What stands before the signature in its header, e.g. `sha256=`. A signature without it is none.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The signature is in base64 (RFC 4648 §4, with padding or without) and not in hex.
    pub fn base64(mut self) -> Self {
        self.encoding = Encoding::Base64;
        self
    }

    /// The header may hold several signatures, separated by commas or spaces: one that fits is enough.
    pub fn several_signatures(mut self) -> Self {
        self.signatures = Signatures::List;
        self
    }

    /// Signed is this header's value, then `separator`, then the body. The value is a number of seconds since 1970
    /// unless it is of [`milliseconds`](Self::milliseconds).
    pub fn timestamp(mut self, header: &str, separator: impl Into<String>) -> Self {
        self.timestamp = Some(Stamp { header: header.to_ascii_lowercase(), separator: separator.into() });
        self
    }

    /// The timestamp counts milliseconds.
    pub fn milliseconds(mut self) -> Self {
        self.unit = Unit::Milliseconds;
        self
    }

    /// A fixed text before all that is signed, e.g. `v0:`.
    pub fn signed_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.signed_prefix = prefix.into();
        self
    }

    /// How far from now the timestamp may be, in whole seconds, to the past and to the future; [`TOLERANCE`] unless
    /// set.
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Whether someone who knows a secret sent this body with these headers; and if there is a timestamp, when.
    ///
    /// `header` gives a header's value by its lower-case name. `body` is the raw body: parsed and written again, it no
    /// longer fits.
    ///
    /// # Errors
    /// [`Error`], whose text may be logged and sent back.
    pub fn verify<'h>(
        &self,
        header: impl Fn(&str) -> Option<&'h [u8]>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        let candidates = self.parse_signatures(self.present(&self.header, header(&self.header))?)?;
        let Some(stamp) = &self.timestamp else {
            self.check(&[self.signed_prefix.as_bytes(), body], &candidates)?;
            return Ok(None);
        };
        let text = self.present(&stamp.header, header(&stamp.header))?;
        let signed_at = self.unit.parse(text).ok_or_else(|| Error::HeaderMalformed {
            header: stamp.header.clone(),
            problem: self.unit.problem(),
            form: self.timestamp_form().into(),
        })?;
        self.check(&[self.signed_prefix.as_bytes(), text, stamp.separator.as_bytes(), body], &candidates)?;
        // Last, so that only who knows a secret learns anything of this machine's clock.
        age::not_too_old(signed_at, now, self.tolerance)?;
        age::not_too_new(signed_at, now, self.tolerance)?;
        Ok(Some(signed_at))
    }

    /// The headers (lower-case name and value) with which the sender would send this body now.
    pub fn sign(&self, body: &[u8], now: Timestamp) -> Vec<(String, String)> {
        let stamp = self.timestamp.as_ref().map(|stamp| (stamp, self.unit.text(now)));
        let mut signed = vec![self.signed_prefix.as_bytes()];
        if let Some((stamp, text)) = &stamp {
            signed.extend([text.as_bytes(), stamp.separator.as_bytes()]);
        }
        signed.push(body);
        let mac = hmac::sign(self.algorithm, &self.secrets[0], &signed);
        let encoded = match self.encoding {
            Encoding::Hex => hex::encode(mac),
            Encoding::Base64 => STANDARD.encode(mac),
        };
        let signature = (self.header.to_string(), format!("{}{encoded}", self.prefix));
        [signature].into_iter().chain(stamp.map(|(stamp, text)| (stamp.header.to_string(), text))).collect()
    }

    fn present<'h>(&self, name: &str, value: Option<&'h [u8]>) -> Result<&'h [u8], Error> {
        let hint = "check that the sender signs, and under which name";
        header::bounded(name, value.ok_or_else(|| Error::HeaderMissing { header: name.to_owned(), hint })?)
    }

    fn parse_signatures(&self, header: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let mut candidates = Candidates::new();
        match self.signatures {
            Signatures::One => self.parse_signature(header, &mut candidates)?,
            Signatures::List => {
                for item in header.split(|byte| matches!(byte, b',' | b' ')) {
                    self.parse_signature(item, &mut candidates)?;
                }
            }
        }
        candidates.decoded().ok_or_else(|| Error::HeaderMalformed {
            header: self.header.clone(),
            problem: "has no signature",
            form: self.signature_form(),
        })
    }

    /// What does not begin with the prefix is no signature of this scheme, and does not count as one.
    fn parse_signature(&self, item: &[u8], candidates: &mut Candidates) -> Result<(), Error> {
        match item.strip_prefix(self.prefix.as_bytes()) {
            None | Some(b"") => Ok(()),
            Some(text) => candidates.push(&self.header, self.decode(text)),
        }
    }

    fn decode(&self, text: &[u8]) -> Option<Vec<u8>> {
        let bytes = self.algorithm.bytes();
        match self.encoding {
            Encoding::Hex => header::hex(text, bytes),
            Encoding::Base64 => {
                STANDARD_PAD_INDIFFERENT.decode(text).ok().filter(|decoded| decoded.len() == bytes)
            }
        }
    }

    fn check(&self, signed: &[&[u8]], candidates: &[Vec<u8>]) -> Result<(), Error> {
        if hmac::any_matches(self.algorithm, &self.secrets, signed, candidates) {
            Ok(())
        } else {
            Err(Error::Mismatch { secrets: self.secrets.len() })
        }
    }

    fn signature_form(&self) -> String {
        let (bytes, prefix) = (self.algorithm.bytes(), &self.prefix);
        match self.encoding {
            Encoding::Hex => format!("{prefix}<{} hex digits>", 2 * bytes),
            Encoding::Base64 => format!("{prefix}<{bytes} bytes in base64>"),
        }
    }

    fn timestamp_form(&self) -> &'static str {
        match self.unit {
            Unit::Seconds => "<seconds since 1970>",
            Unit::Milliseconds => "<milliseconds since 1970>",
        }
    }
}

impl Scheme for Hmac {
    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<(), Error> {
        request.looked_up(|header| Hmac::verify(self, header, request.body, now)).map(|_signed_at| ())
    }

    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<Signed, CannotSign> {
        let headers = Hmac::sign(self, unsigned.body, now).into_iter().map(pair);
        Ok(Signed { headers: headers.collect::<Result<_, _>>()?, body: unsigned.body.to_vec() })
    }

    fn headers(&self) -> Vec<HeaderName> {
        HeaderName::try_from(&self.header).into_iter().collect()
    }
}

fn pair((name, value): (String, String)) -> Result<(HeaderName, HeaderValue), CannotSign> {
    let parsed = HeaderName::try_from(&name).ok().zip(HeaderValue::try_from(value).ok());
    parsed.ok_or_else(|| CannotSign::new(format!("{name:?} and what belongs into it are no header")))
}
