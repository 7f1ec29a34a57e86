//! Mailgun's webhooks: `{"signature":{"timestamp":"1529006854","token":"a8ce0edb…","signature":"d2271d12…"},"event-data":{…}}`.
//!
//! Signed are timestamp and token, one after the other, with HMAC-SHA256, in hex; the key is the account's webhook signing
//! key. Events of a subaccount have a `parent-signature` as well, by the key of its primary account.
//! Source: <https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks>.
//!
//! - **The event itself is not signed.** Whoever has seen one genuine request can put any other event beside its
//!   signature. What keeps that out is that a token counts once: a receiver must remember tokens, not the ids of events.
//! - Nothing stands between timestamp and token. A token has 50 characters here, as the docs say, so that there is one way
//!   only to take them apart.
//! - The docs leave the age to the receiver and warn of delays: nothing is too old unless
//!   [`tolerance`](Mailgun::tolerance) is set.

use std::{borrow::Cow, time::Duration};

use http::HeaderName;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use sha2::{Digest, Sha256};

use crate::{
    CannotSign, Error, Request, Scheme, Signed, SigningSecret, Unsigned,
    age::{self, Unit},
    body::{self, Text},
    header,
    hmac::{self, Algorithm},
};

/// Characters of a token.
pub const TOKEN_BYTES: usize = 50;

const BODY_FORM: &str = r#"{"signature":{"timestamp":"<seconds>","token":"<50 characters>","signature":"<64 hex digits>"},"event-data":{…}}"#;

/// Verifies what Mailgun sends, and signs as Mailgun would.
///
/// ```
/// use bowline_signature::{Mailgun, Request, Scheme, SigningSecret, Unsigned};
/// use http::HeaderMap;
/// use jiff::Timestamp;
///
/// let mailgun = Mailgun::new(SigningSecret::new("key-1")?);
/// let now = Timestamp::from_second(1_700_000_000)?;
/// let signed = mailgun.sign(&Unsigned::json("evt-1", br#"{"event-data":{"event":"opened"}}"#), now)?;
/// assert_eq!(mailgun.verify(&Request::post(&HeaderMap::new(), &signed.body), now), Ok(()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Mailgun {
    /// Never empty; the first one signs.
    secrets: Vec<SigningSecret>,
    tolerance: Option<Duration>,
}

impl Mailgun {
    /// With the account's HTTP webhook signing key.
    pub fn new(secret: SigningSecret) -> Self {
        Self { secrets: vec![secret], tolerance: None }
    }

    /// Also accepts what this key signed: for the time in which one key replaces another.
    pub fn also_accept(mut self, secret: SigningSecret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// How far from now a request may be signed, in whole seconds, to the past and to the future; any time unless set.
    /// Mailgun repeats for 8 hours.
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = Some(tolerance);
        self
    }
}

impl Scheme for Mailgun {
    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<(), Error> {
        let body: Body<'_> = body::object(request.body, BODY_FORM)?;
        let block: Block<'_> = body::part(body.signature, BODY_FORM)?;
        let timestamp = block.timestamp.into_string();
        let signed_at = Unit::Seconds
            .parse(timestamp.as_bytes())
            .ok_or_else(|| malformed("has a timestamp that is not a number of seconds"))?;
        if block.token.len() != TOKEN_BYTES || !block.token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(malformed("has a token that is not 50 visible ASCII characters"));
        }
        let candidates: Vec<_> = [Some(block.signature), block.parent_signature]
            .into_iter()
            .flatten()
            .filter_map(|text| header::hex(text.as_bytes(), Algorithm::Sha256.bytes()))
            .collect();
        if candidates.is_empty() {
            return Err(malformed("has no signature of 64 hex digits"));
        }
        let signed = [timestamp.as_bytes(), block.token.as_bytes()];
        if !hmac::any_matches(Algorithm::Sha256, &self.secrets, &signed, &candidates) {
            return Err(Error::Mismatch { secrets: self.secrets.len() });
        }
        age::within(signed_at, now, self.tolerance)
    }

    /// The id is the token if it has the form of one, else the token is made of it.
    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<Signed, CannotSign> {
        let mut body = body::unsigned(unsigned.body, "a JSON object with event-data")?;
        let timestamp = Unit::Seconds.text(now);
        let token = token(unsigned.id);
        let signed = [timestamp.as_bytes(), token.as_bytes()];
        let signature = hex::encode(hmac::sign(Algorithm::Sha256, &self.secrets[0], &signed));
        body["signature"] = json!({"timestamp": timestamp, "token": token, "signature": signature});
        Ok(Signed { headers: vec![], body: body::written(&body) })
    }

    fn headers(&self) -> Vec<HeaderName> {
        vec![]
    }
}

fn token(id: &str) -> String {
    if id.len() == TOKEN_BYTES && id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return id.to_owned();
    }
    let mut token = hex::encode(Sha256::digest(id));
    token.truncate(TOKEN_BYTES);
    token
}

#[derive(Deserialize)]
struct Body<'b> {
    #[serde(borrow)]
    signature: &'b RawValue,
}

#[derive(Deserialize)]
struct Block<'b> {
    #[serde(borrow)]
    timestamp: Text<'b>,
    #[serde(borrow)]
    token: Cow<'b, str>,
    #[serde(borrow)]
    signature: Cow<'b, str>,
    #[serde(borrow, rename = "parent-signature", default)]
    parent_signature: Option<Cow<'b, str>>,
}

fn malformed(problem: &'static str) -> Error {
    Error::BodyMalformed { problem, form: BODY_FORM }
}
