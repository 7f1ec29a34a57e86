//! Adyen: `additionalData.hmacSignature` of every item in the body; or, for webhooks of platforms and of the Management
//! API, `hmacsignature: coqCmt/I…`.
//!
//! In the body, signed are eight fields of an item, joined by colons: `pspReference`, `originalReference`,
//! `merchantAccountCode`, `merchantReference`, `amount.value`, `amount.currency`, `eventCode`, `success`; an absent one is
//! empty. In the header, signed is the body. Either way with HMAC-SHA256, in base64; the key is the bytes that the HMAC
//! key's hex digits mean.
//! Source: <https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures>, and Adyen's
//! libraries.
//!
//! - Nothing else of an item is signed: not its `reason`, `eventDate`, `paymentMethod`, nor the rest of `additionalData`.
//! - Adyen escapes no colon. Only a `merchantReference` may have one here, so that the fields can be read in one way only.
//! - All items of a body must be signed. There is no timestamp: what keeps a genuine webhook from being sent again is
//!   `eventCode` with `pspReference`, which a receiver remembers.
//! - A new key takes time until all of Adyen has it: accept the old one as well.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderName;
use jiff::Timestamp;
use secrecy::zeroize::Zeroizing;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    BadKey, CannotSign, Error, Request, Scheme, Signed, SigningSecret, Unsigned,
    body::{self, Text},
    header,
    hmac::{self, Algorithm},
};

/// The header that carries the signature of a whole body.
pub const HEADER: &str = "hmacsignature";
/// Most items of one body. Adyen sends one, or few.
pub const ITEMS_MAX: usize = 1_000;

const FORM: &str = "<44 characters of base64>";
const BODY_FORM: &str =
    r#"{"notificationItems":[{"NotificationRequestItem":{…,"additionalData":{"hmacSignature":"…"}}}]}"#;
const SUCCESSES: [&str; 2] = ["true", "false"];

/// Verifies what Adyen sends, and signs as Adyen would.
///
/// ```
/// use bowline_signature::{Adyen, Request, Scheme, SigningSecret, Unsigned};
/// use http::HeaderMap;
/// use jiff::Timestamp;
///
/// let key = SigningSecret::new("44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056")?;
/// let adyen = Adyen::new(&key)?;
/// let now = Timestamp::from_second(1_700_000_000)?;
///
/// let body = br#"{"notificationItems":[{"NotificationRequestItem":{
///     "pspReference":"7914073381342284","merchantAccountCode":"TestMerchant","merchantReference":"TestPayment-1407325143704",
///     "amount":{"value":1130,"currency":"EUR"},"eventCode":"AUTHORISATION","success":"true"}}]}"#;
/// let signed = adyen.sign(&Unsigned::json("", body), now)?;
/// assert_eq!(adyen.verify(&Request::post(&HeaderMap::new(), &signed.body), now), Ok(()));
/// assert!(adyen.verify(&Request::post(&HeaderMap::new(), body), now).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Adyen {
    /// Never empty; the first one signs.
    keys: Vec<SigningSecret>,
}

impl Adyen {
    /// With the webhook's HMAC key: hex digits, as the Customer Area shows them once.
    ///
    /// # Errors
    /// [`BadKey`] if it is not hex.
    pub fn new(key: &SigningSecret) -> Result<Self, BadKey> {
        Ok(Self { keys: vec![parse_key(key)?] })
    }

    /// Also accepts what this key signed: for the time in which one key replaces another.
    ///
    /// # Errors
    /// [`BadKey`], as for [`new`](Self::new).
    pub fn also_accept(mut self, key: &SigningSecret) -> Result<Self, BadKey> {
        self.keys.push(parse_key(key)?);
        Ok(self)
    }

    fn matches(&self, signed: &[u8], signature: &[u8]) -> bool {
        let decoded = STANDARD.decode(signature).unwrap_or_default();
        hmac::any_matches(Algorithm::Sha256, &self.keys, &[signed], &[decoded])
    }

    fn mismatch(&self) -> Error {
        Error::Mismatch { secrets: self.keys.len() }
    }

    fn mac(&self, signed: &[u8]) -> String {
        STANDARD.encode(hmac::sign(Algorithm::Sha256, &self.keys[0], &[signed]))
    }

    fn verify_items(&self, body: &[u8]) -> Result<(), Error> {
        let body: Body<'_> = body::object(body, BODY_FORM)?;
        if body.items.is_empty() || body.items.len() > ITEMS_MAX {
            return Err(malformed("has no items, or more than a genuine one"));
        }
        // All of them are looked at, whichever is wrong.
        let mut genuine = true;
        for wrapped in &body.items {
            let wrapped: Wrapped<'_> = body::part(wrapped, BODY_FORM)?;
            let (signed, signature) = Item::read(wrapped.item)?;
            genuine &= self.matches(signed.as_bytes(), signature.as_bytes());
        }
        if genuine { Ok(()) } else { Err(self.mismatch()) }
    }
}

impl Scheme for Adyen {
    fn verify(&self, request: &Request<'_>, _now: Timestamp) -> Result<(), Error> {
        match request.headers.only(HEADER)? {
            Some(value) => {
                let signature = header::bounded(HEADER, value)?;
                if signature.is_empty() {
                    let (header, form) = (HEADER.to_owned(), FORM.into());
                    return Err(Error::HeaderMalformed { header, problem: "is empty", form });
                }
                if self.matches(request.body, signature) { Ok(()) } else { Err(self.mismatch()) }
            }
            None => self.verify_items(request.body),
        }
    }

    fn sign(&self, unsigned: &Unsigned<'_>, _now: Timestamp) -> Result<Signed, CannotSign> {
        let mut body = body::unsigned(unsigned.body, "a JSON object")?;
        let Some(items) = body.get_mut("notificationItems").and_then(Value::as_array_mut) else {
            return Signed::new([(HEADER, self.mac(unsigned.body))], unsigned.body);
        };
        for wrapped in items {
            let item = wrapped.get_mut("NotificationRequestItem").and_then(Value::as_object_mut);
            let item = item.ok_or_else(|| CannotSign::new("an item has no NotificationRequestItem"))?;
            let text = body::written(&Value::Object(item.clone()));
            let read = body::object::<Fields<'_>>(&text, BODY_FORM).and_then(Fields::signed);
            let signature = self.mac(read.map_err(|error| CannotSign::new(error.to_string()))?.as_bytes());
            let data = item.entry("additionalData").or_insert_with(|| Value::Object(serde_json::Map::new()));
            let data =
                data.as_object_mut().ok_or_else(|| CannotSign::new("additionalData is not an object"))?;
            data.insert("hmacSignature".into(), signature.into());
        }
        Ok(Signed { headers: vec![], body: body::written(&body) })
    }

    fn headers(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static(HEADER)]
    }
}

fn parse_key(key: &SigningSecret) -> Result<SigningSecret, BadKey> {
    let bytes = hex::decode(key.expose().trim_ascii()).map(Zeroizing::new).map_err(|_| {
        BadKey::new("the HMAC key is not hex digits; copy it whole when the Customer Area generates it")
    })?;
    Ok(SigningSecret::new(&*bytes)?)
}

#[derive(Deserialize)]
struct Body<'b> {
    #[serde(borrow, rename = "notificationItems")]
    items: Vec<&'b RawValue>,
}

#[derive(Deserialize)]
struct Wrapped<'b> {
    #[serde(borrow, rename = "NotificationRequestItem")]
    item: &'b RawValue,
}

#[derive(Deserialize)]
struct Item<'b> {
    #[serde(borrow, rename = "additionalData")]
    additional_data: &'b RawValue,
}

#[derive(Deserialize)]
struct AdditionalData<'b> {
    #[serde(borrow, rename = "hmacSignature")]
    signature: Cow<'b, str>,
}

impl Item<'_> {
    /// What is signed, and the signature.
    fn read(item: &RawValue) -> Result<(String, String), Error> {
        let unsigned =
            |_| malformed("has an item without a signature; generate an HMAC key for this webhook");
        let signed = body::part::<Fields<'_>>(item, BODY_FORM)?.signed()?;
        let item: Item<'_> = body::part(item, BODY_FORM).map_err(unsigned)?;
        let data: AdditionalData<'_> = body::part(item.additional_data, BODY_FORM).map_err(unsigned)?;
        let signature = data.signature.into_owned();
        // 44 characters of base64 in a genuine one.
        if signature.is_empty() || signature.len() > header::BYTES_MAX {
            return Err(malformed("has an item without a signature"));
        }
        Ok((signed, signature))
    }
}

/// The fields that are signed.
#[derive(Deserialize)]
struct Fields<'b> {
    #[serde(borrow, rename = "pspReference", default)]
    psp_reference: Option<Text<'b>>,
    #[serde(borrow, rename = "originalReference", default)]
    original_reference: Option<Text<'b>>,
    #[serde(borrow, rename = "merchantAccountCode", default)]
    merchant_account_code: Option<Text<'b>>,
    #[serde(borrow, rename = "merchantReference", default)]
    merchant_reference: Option<Text<'b>>,
    #[serde(borrow)]
    amount: &'b RawValue,
    #[serde(borrow, rename = "eventCode", default)]
    event_code: Option<Text<'b>>,
    #[serde(borrow, default)]
    success: Option<Text<'b>>,
}

#[derive(Deserialize)]
struct Amount<'b> {
    #[serde(borrow, default)]
    value: Option<Text<'b>>,
    #[serde(borrow, default)]
    currency: Option<Text<'b>>,
}

impl Fields<'_> {
    fn signed(self) -> Result<String, Error> {
        let amount: Amount<'_> = body::part(self.amount, BODY_FORM)?;
        let fields = [
            self.psp_reference,
            self.original_reference,
            self.merchant_account_code,
            self.merchant_reference,
            amount.value,
            amount.currency,
            self.event_code,
            self.success,
        ]
        .map(|field| field.map(Text::into_string).unwrap_or_default());
        let [_, _, _, _merchants_own, _, _, _, success] = &fields;
        // With one of these in the last place, no item reads as a body that was signed whole.
        if !SUCCESSES.contains(&success.as_str()) {
            return Err(malformed("has an item whose success is neither true nor false"));
        }
        let is_ambiguous = |(place, field): (usize, &String)| place != 3 && field.contains(':');
        if fields.iter().enumerate().any(is_ambiguous) {
            return Err(malformed("has a colon in a field other than merchantReference"));
        }
        Ok(fields.join(":"))
    }
}

fn malformed(problem: &'static str) -> Error {
    Error::BodyMalformed { problem, form: BODY_FORM }
}
