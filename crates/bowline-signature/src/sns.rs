//! Amazon SNS over HTTPS: `Signature`, `SignatureVersion` and `SigningCertURL` in the body.
//!
//! Signed are fixed fields, each as its name, a newline, its value, a newline: `Message`, `MessageId`, `Subject` if there
//! is one, `Timestamp`, `TopicArn`, `Type` of a notification; `Message`, `MessageId`, `SubscribeURL`, `Timestamp`, `Token`,
//! `TopicArn`, `Type` of what confirms a subscription or its end. With RSA (PKCS #1 v1.5), over SHA-1 in version 1 and
//! SHA-256 in version 2. The key is that of the certificate at `SigningCertURL`.
//! Source: <https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message-verify-message-signature.html>, and
//! AWS's validators for PHP, JavaScript and Java.
//!
//! - **Every topic of every account is signed with the same key.** Only topics that are named here are taken.
//! - The certificate's address is `https://sns.<region>.amazonaws.com/SimpleNotificationService-….pem` (or
//!   `.amazonaws.com.cn`), and nothing else. One of its names is SNS's, and it is valid now.
//! - `MessageAttributes` and `UnsubscribeURL` are not signed. Raw messages are not signed at all, and never taken.
//! - Only `Message` may have several lines here, so that what was signed can be read in one way only.
//! - A message is confirmed by who GETs its `SubscribeURL`: see [`subscribe_url`](Sns::subscribe_url).
//! - Nothing is too old: SNS repeats under the same `MessageId`, which a receiver remembers.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderName;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    BadKey, CannotSign, CertifiedKey, Error, Request, Scheme, Signed, Unsigned, body,
    certificate::{self, Certificates, Hash},
};

/// The type of what asks to confirm a subscription.
pub const SUBSCRIPTION_CONFIRMATION: &str = "SubscriptionConfirmation";
/// The type of what tells the end of a subscription.
pub const UNSUBSCRIBE_CONFIRMATION: &str = "UnsubscribeConfirmation";
/// The type of a message.
pub const NOTIFICATION: &str = "Notification";

const BODY_FORM: &str = r#"{"Type":"Notification","MessageId":"…","TopicArn":"arn:aws:sns:…","Message":"…","Timestamp":"…","SignatureVersion":"2","Signature":"<base64>","SigningCertURL":"https://sns.<region>.amazonaws.com/….pem"}"#;
const CERTIFICATE_PREFIX: &str = "SimpleNotificationService-";

/// Verifies what SNS sends for certain topics, and signs as SNS would with a [key of its own](Sns::signing_with).
///
/// ```
/// use bowline_signature::{Error, Request, Scheme, Sns};
/// use http::HeaderMap;
/// use jiff::Timestamp;
///
/// let sns = Sns::new(["arn:aws:sns:us-east-1:123456789012:orders"])?;
/// let now = Timestamp::from_second(1_700_000_000)?;
/// let judge = |body: &str| sns.verify(&Request::post(&HeaderMap::new(), body.as_bytes()), now);
///
/// let body = r#"{"Type":"Notification","MessageId":"1","TopicArn":"arn:aws:sns:us-east-1:123456789012:orders",
///     "Message":"hello","Timestamp":"2023-11-14T22:13:20.000Z","SignatureVersion":"2","Signature":"QUJD",
///     "SigningCertURL":"https://sns.us-east-1.amazonaws.com/SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem"}"#;
/// // Its host was checked: fetch it, tell `sns.learn(&url, &pem, now)`, and verify again.
/// assert!(matches!(judge(body), Err(Error::CertificateUnknown { .. })));
/// // Never fetched.
/// assert!(matches!(judge(&body.replace("https://sns.", "https://evil.example/sns.")), Err(Error::Certificate { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sns {
    topics: Vec<String>,
    certificates: Certificates,
    key: Option<CertifiedKey>,
}

impl Sns {
    /// With the ARNs of the topics whose messages are taken.
    ///
    /// # Errors
    /// [`BadKey`] if there is none, or one is not that of a topic.
    pub fn new<T: Into<String>>(topics: impl IntoIterator<Item = T>) -> Result<Self, BadKey> {
        let topics: Vec<String> = topics.into_iter().map(Into::into).collect();
        if topics.is_empty() {
            return Err(BadKey::new("no topic is named; name each one whose messages are taken, by its ARN"));
        }
        if let Some(topic) = topics.iter().find(|topic| !is_topic(topic)) {
            let form = "arn:aws:sns:<region>:<account>:<name>";
            return Err(BadKey::new(format!(
                "{topic:?} is not the ARN of a topic; expected the form {form}"
            )));
        }
        Ok(Self { topics, certificates: Certificates::new(is_sns), key: None })
    }

    /// Signs with this key, and knows its certificate: for tests.
    pub fn signing_with(mut self, key: CertifiedKey) -> Self {
        self.key = Some(key);
        self
    }

    /// What stood at the address that [`Error::CertificateUnknown`] named.
    ///
    /// # Errors
    /// [`Error::Certificate`] if it is no certificate of SNS, is not valid now, or was not asked for.
    pub fn learn(&self, url: &str, pem: &[u8], now: Timestamp) -> Result<(), Error> {
        self.certificates.learn(url, pem, now)
    }

    /// The address that confirms a subscription when it is asked for with GET, if that is what a body, which was
    /// verified, is for.
    ///
    /// # Errors
    /// [`Error::BodyMalformed`] if it is not at `https://sns.<region>.amazonaws.com/` (or `.amazonaws.com.cn`).
    pub fn subscribe_url(&self, verified: &[u8]) -> Result<Option<String>, Error> {
        let message: Message<'_> = body::object(verified, BODY_FORM)?;
        if message.kind != SUBSCRIPTION_CONFIRMATION {
            return Ok(None);
        }
        let url = message.subscribe_url.unwrap_or_default().into_owned();
        match certificate::path_at(&url, is_sns_host) {
            Some(_path) => Ok(Some(url)),
            None => Err(malformed("has a SubscribeURL that is not SNS's: it is not asked for")),
        }
    }

    /// The address of what verifies a message, if it is one that is fetched.
    fn check_url(url: &str) -> Result<(), Error> {
        let name = certificate::path_at(url, is_sns_host)
            .and_then(|path| path.strip_prefix(CERTIFICATE_PREFIX)?.strip_suffix(".pem"));
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if name.is_some_and(is_name) {
            return Ok(());
        }
        Err(certificate::problem(format!(
            "is not at https://sns.<region>.amazonaws.com/{CERTIFICATE_PREFIX}….pem: it is not fetched"
        )))
    }
}

impl Scheme for Sns {
    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<(), Error> {
        let message: Message<'_> = body::object(request.body, BODY_FORM)?;
        let hash = match message.signature_version.as_deref() {
            Some("1") => Hash::Sha1,
            Some("2") => Hash::Sha256,
            Some(_) | None => return Err(malformed("has a SignatureVersion that is neither 1 nor 2")),
        };
        let signature = STANDARD.decode(message.signature.as_deref().unwrap_or_default()).ok();
        let signature = signature
            .filter(|signature| !signature.is_empty())
            .ok_or_else(|| malformed("has no Signature in base64"))?;
        let url = message.certificate_url.as_deref().unwrap_or_default();
        let signed = message.signed()?;
        if !self.topics.contains(&message.topic) {
            return Err(malformed("is of a topic that is not taken here; name it if it should be"));
        }
        Self::check_url(url)?;
        let certificate = match self.key.as_ref().and_then(|key| key.certificate(url, now)) {
            Some(own) => own?,
            None => self.certificates.find(url, now)?,
        };
        if certificate.verifies(hash, signed.as_bytes(), &signature) {
            Ok(())
        } else {
            Err(Error::Mismatch { secrets: 1 })
        }
    }

    fn sign(&self, unsigned: &Unsigned<'_>, _now: Timestamp) -> Result<Signed, CannotSign> {
        let key = self
            .key
            .as_ref()
            .ok_or_else(|| CannotSign::new("SNS signs with a key that only AWS has; tests make their own"))?;
        let mut body = body::unsigned(unsigned.body, "a message of SNS")?;
        let text = body::written(&body);
        let message = body::object::<Message<'_>>(&text, BODY_FORM).and_then(|message| message.signed());
        let signature = key.sign(message.map_err(|error| CannotSign::new(error.to_string()))?.as_bytes());
        let fields = [
            ("SignatureVersion", "2".to_owned()),
            ("Signature", STANDARD.encode(signature)),
            ("SigningCertURL", key.url().to_owned()),
        ];
        for (name, value) in fields {
            body[name] = Value::String(value);
        }
        Ok(Signed { headers: vec![], body: body::written(&body) })
    }

    fn headers(&self) -> Vec<HeaderName> {
        vec![]
    }
}

/// What is read of a message. A field that comes twice is an error.
#[derive(Deserialize)]
struct Message<'b> {
    #[serde(borrow, rename = "Type")]
    kind: Cow<'b, str>,
    #[serde(borrow, rename = "MessageId")]
    id: Cow<'b, str>,
    #[serde(rename = "TopicArn")]
    topic: String,
    #[serde(borrow, rename = "Subject", default)]
    subject: Option<Cow<'b, str>>,
    #[serde(borrow, rename = "Message")]
    message: Cow<'b, str>,
    #[serde(borrow, rename = "Timestamp")]
    timestamp: Cow<'b, str>,
    #[serde(borrow, rename = "Token", default)]
    token: Option<Cow<'b, str>>,
    #[serde(borrow, rename = "SubscribeURL", default)]
    subscribe_url: Option<Cow<'b, str>>,
    #[serde(borrow, rename = "SignatureVersion", default)]
    signature_version: Option<Cow<'b, str>>,
    #[serde(borrow, rename = "Signature", default)]
    signature: Option<Cow<'b, str>>,
    #[serde(borrow, rename = "SigningCertURL", default)]
    certificate_url: Option<Cow<'b, str>>,
}

impl Message<'_> {
    fn signed(&self) -> Result<String, Error> {
        let mut fields = vec![("Message", Some(&*self.message)), ("MessageId", Some(&*self.id))];
        match &*self.kind {
            // Absent and null are the same.
            NOTIFICATION => {
                if let Some(subject) = self.subject.as_deref() {
                    fields.push(("Subject", Some(subject)));
                }
                fields.push(("Timestamp", Some(&*self.timestamp)));
            }
            SUBSCRIPTION_CONFIRMATION | UNSUBSCRIBE_CONFIRMATION => fields.extend([
                ("SubscribeURL", self.subscribe_url.as_deref()),
                ("Timestamp", Some(&*self.timestamp)),
                ("Token", self.token.as_deref()),
            ]),
            _of_another => return Err(malformed("has a Type that SNS does not send")),
        }
        fields.extend([("TopicArn", Some(&*self.topic)), ("Type", Some(&*self.kind))]);
        let mut signed = String::new();
        for (name, value) in fields {
            let value = value.ok_or_else(|| malformed("lacks a field that is signed"))?;
            if name != "Message" && value.contains('\n') {
                return Err(malformed("has several lines in a field other than Message"));
            }
            signed.extend([name, "\n", value, "\n"]);
        }
        Ok(signed)
    }
}

/// `sns.us-east-1.amazonaws.com`, `sns.cn-north-1.amazonaws.com.cn`.
fn is_sns_host(host: &str) -> bool {
    let host = host.strip_suffix(".cn").unwrap_or(host);
    let region = host.strip_prefix("sns.").and_then(|host| host.strip_suffix(".amazonaws.com"));
    let is_region = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    region.is_some_and(|region| region.len() >= 3 && region.bytes().all(is_region))
}

/// `sns.amazonaws.com`, `sns-us-gov-west-1.amazonaws.com`, `sns-signing.ap-east-1.amazonaws.com`, and of China: as AWS's
/// SDK for Java knows them.
fn is_sns(name: &str) -> bool {
    let name = name.strip_suffix(".cn").unwrap_or(name);
    let first = name.strip_suffix(".amazonaws.com");
    first.is_some_and(|first| first == "sns" || first.starts_with("sns.") || first.starts_with("sns-"))
}

fn is_topic(arn: &str) -> bool {
    let parts: Vec<&str> = arn.split(':').collect();
    matches!(parts.as_slice(), ["arn", partition, "sns", region, account, name]
        if partition.starts_with("aws") && !region.is_empty() && !account.is_empty() && !name.is_empty())
        && arn.bytes().all(|byte| byte.is_ascii_graphic())
}

fn malformed(problem: &'static str) -> Error {
    Error::BodyMalformed { problem, form: BODY_FORM }
}
