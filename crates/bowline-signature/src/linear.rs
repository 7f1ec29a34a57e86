//! Linear: `linear-signature: 766e1d90…`, and the time in the body.
//!
//! Signed is the body alone; the key is the webhook's signing secret as it stands. When it was sent is the body's
//! `webhookTimestamp`, in milliseconds, which is signed with it. The `linear-timestamp` header says the same and is not
//! signed: it is not read.
//! Sources: <https://linear.app/developers/webhooks#securing-webhooks>, and Linear's SDK.

use std::{collections::BTreeMap, time::Duration};

use http::HeaderName;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Number, value::RawValue};

use crate::{
    CannotSign, Error, Request, Scheme, Signed, SigningSecret, Unsigned,
    age::{self, Unit},
    body_signature::{BodySignature, Digits},
    hmac::Algorithm,
};

/// The header that carries the signature.
pub const HEADER: &str = "linear-signature";
/// How far from now a webhook may be sent unless said otherwise, to the past and to the future: what Linear's SDK
/// allows.
pub const TOLERANCE: Duration = Duration::from_secs(60);

const SIGNATURE: BodySignature = BodySignature {
    header: HEADER,
    hint: "Linear always sends it",
    algorithm: Algorithm::Sha256,
    prefix: "",
    digits: Digits::Hex,
    problem: "is not 64 hex digits",
    form: "<64 hex digits>",
};
const TIMESTAMP: &str = "webhookTimestamp";
const BODY_FORM: &str = r#"{"webhookTimestamp": <milliseconds since 1970>, …}"#;

/// Verifies what Linear sends, and signs as Linear would.
///
/// ```
/// use bowline_signature::{Linear, Request, Scheme, SigningSecret, Unsigned};
/// use jiff::Timestamp;
///
/// let now = Timestamp::from_second(1_700_000_000)?;
/// let linear = Linear::new(SigningSecret::new("lin_wh_secret")?);
///
/// let signed = linear.sign(&Unsigned::json("1", br#"{"action":"create"}"#), now)?;
/// assert_eq!(signed.body, br#"{"action":"create","webhookTimestamp":1700000000000}"#);
/// let headers: http::HeaderMap = signed.headers.into_iter().collect();
/// assert_eq!(linear.verify(&Request::post(&headers, &signed.body), now), Ok(()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Linear {
    /// Never empty; the first one signs.
    secrets: Vec<SigningSecret>,
    tolerance: Duration,
}

impl Linear {
    /// With the webhook's signing secret.
    pub fn new(secret: SigningSecret) -> Self {
        Self { secrets: vec![secret], tolerance: TOLERANCE }
    }

    /// Also accepts what this secret signed: for the time in which one secret replaces another.
    pub fn also_accept(mut self, secret: SigningSecret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// How far from now a webhook may be sent, in whole seconds, to the past and to the future; [`TOLERANCE`] unless set.
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }
}

impl Scheme for Linear {
    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<(), Error> {
        SIGNATURE.verify(&self.secrets, request)?;
        // Only now: what a stranger sends is not parsed.
        let sent_at = sent_at(request.body)?;
        age::not_too_old(sent_at, now, self.tolerance)?;
        age::not_too_new(sent_at, now, self.tolerance)
    }

    /// With the time now as the body's `webhookTimestamp`, and its fields in the order of their names.
    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<Signed, CannotSign> {
        let mut fields: BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(unsigned.body).map_err(|_| {
                CannotSign::new("the body is not a JSON object, into which Linear writes the time")
            })?;
        let now = RawValue::from_string(Unit::Milliseconds.text(now)).expect("a number is JSON");
        fields.insert(TIMESTAMP.to_owned(), now);
        let body = serde_json::to_vec(&fields).expect("texts and raw values can be written");
        SIGNATURE.sign(&self.secrets[0], &body)
    }

    fn headers(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static(HEADER)]
    }
}

fn sent_at(body: &[u8]) -> Result<Timestamp, Error> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(rename = "webhookTimestamp")]
        sent_at: Number,
    }
    let malformed = || Error::BodyMalformed { problem: "has no webhookTimestamp", form: BODY_FORM };
    // serde also reads a struct from an array, field by field.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(malformed());
    }
    let body: Body = serde_json::from_slice(body).map_err(|_| malformed())?;
    body.sent_at.as_i64().and_then(|at| Timestamp::from_millisecond(at).ok()).ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_a_whole_number_of_the_body_itself() {
        assert_eq!(
            sent_at(br#" {"a":[],"webhookTimestamp":1700000000123}"#).unwrap().as_millisecond(),
            1_700_000_000_123
        );
        for body in [
            "",
            "null",
            "[1700000000123]",
            r#""1700000000123""#,
            r#"{"data":{"webhookTimestamp":1700000000123}}"#,
            r#"{"webhookTimestamp":"1700000000123"}"#,
            r#"{"webhookTimestamp":1700000000123.5}"#,
            r#"{"webhookTimestamp":null}"#,
            r#"{"webhookTimestamp":1,"webhookTimestamp":1700000000123}"#,
            r#"{"webhookTimestamp":9223372036854775807}"#,
            r#"{"webhookTimestamp":1e400}"#,
        ] {
            assert!(matches!(sent_at(body.as_bytes()), Err(Error::BodyMalformed { .. })), "{body}");
        }
    }

    #[test]
    fn what_is_no_object_cannot_be_signed() {
        let linear = Linear::new(SigningSecret::new("secret").unwrap());
        for body in ["", "[]", "17", "{"] {
            let refused =
                linear.sign(&Unsigned::json("1", body.as_bytes()), Timestamp::UNIX_EPOCH).unwrap_err();
            assert!(refused.to_string().contains("not a JSON object"), "{refused}");
        }
    }

    #[test]
    fn a_time_that_is_there_is_replaced_and_the_rest_kept_to_the_letter() {
        let linear = Linear::new(SigningSecret::new("secret").unwrap());
        let body = br#"{"z":1.50e2, "webhookTimestamp":1,"a":"\u00e4"}"#;
        let signed = linear.sign(&Unsigned::json("1", body), Timestamp::from_second(2).unwrap()).unwrap();
        let text = String::from_utf8(signed.body).unwrap();
        assert_eq!(text, r#"{"a":"\u00e4","webhookTimestamp":2000,"z":1.50e2}"#);
    }
}
