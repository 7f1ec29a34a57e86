//! PayPal's webhooks: `paypal-transmission-id`, `paypal-transmission-time`, `paypal-transmission-sig`, `paypal-cert-url`,
//! `paypal-auth-algo: SHA256withRSA`.
//!
//! Signed is `id|time|webhook id|CRC-32 of the body, in decimal`, with RSA (PKCS #1 v1.5, SHA-256), in base64. The key is
//! that of the certificate at `paypal-cert-url`; the webhook's id is known from the developer dashboard.
//! Source: <https://developer.paypal.com/api/rest/webhooks/rest/#link-selfverificationmethod>, and PayPal's
//! `paypalrestsdk`.
//!
//! - **A CRC-32 is no digest.** Whoever has seen one genuine request can make another body with the same CRC-32, which is
//!   then taken for genuine. What is in the body is safe from strangers only as long as genuine requests are: take them
//!   over TLS only, and ask PayPal's API where more is at stake.
//! - The certificate's address is `https://api.paypal.com/v1/notifications/certs/…`, and nothing else;
//!   `api.sandbox.paypal.com` for [`sandbox`](PayPal::sandbox). Its name ends with `.paypal.com`, and it is valid now.
//! - No age is documented, and PayPal repeats for three days: nothing is too old unless
//!   [`tolerance`](PayPal::tolerance) is set.
//! - Other algorithms than SHA256withRSA are refused.

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderName;
use jiff::Timestamp;

use crate::{
    BadKey, CannotSign, CertifiedKey, Error, Request, Scheme, Signed, Unsigned, age,
    certificate::{self, Certificates, Hash},
};

/// The headers: id, time, signature, certificate's address, algorithm.
pub const HEADERS: [&str; 5] = [
    "paypal-transmission-id",
    "paypal-transmission-time",
    "paypal-transmission-sig",
    "paypal-cert-url",
    "paypal-auth-algo",
];
/// Longest id of a webhook. PayPal's have 17 characters.
pub const WEBHOOK_ID_BYTES_MAX: usize = 64;

const ALGORITHM: &str = "SHA256withRSA";
const LIVE_HOST: &str = "api.paypal.com";
const SANDBOX_HOST: &str = "api.sandbox.paypal.com";
const CERTIFICATES_PATH: &str = "v1/notifications/certs/";
const HINT: &str = "PayPal always sends it";

/// Verifies what PayPal sends, and signs as PayPal would with a [key of its own](PayPal::signing_with).
///
/// The certificate has to be fetched, once a day:
/// ```
/// use bowline_signature::{Error, PayPal, Request, Scheme};
/// use http::{HeaderMap, HeaderValue};
/// use jiff::Timestamp;
///
/// let paypal = PayPal::new("9XL90610J3647323C")?;
/// let now = Timestamp::from_second(1_700_000_000)?;
/// let mut headers = HeaderMap::new();
/// for (name, value) in [
///     ("paypal-transmission-id", "d938e770-8046-11e6-8103-6b62a8a99ac4"),
///     ("paypal-transmission-time", "2023-11-14T22:13:20Z"),
///     ("paypal-transmission-sig", "eDOnWUj9FXOnr2naQnrdL7bhgejVSTwR"),
///     ("paypal-cert-url", "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-a5cafa77"),
///     ("paypal-auth-algo", "SHA256withRSA"),
/// ] {
///     headers.insert(name, HeaderValue::from_static(value));
/// }
/// let request = Request::post(&headers, b"{}");
/// if let Err(Error::CertificateUnknown { url }) = paypal.verify(&request, now) {
///     // Its host was checked. Fetch it, tell `paypal.learn(&url, &pem, now)`, and verify again.
///     assert!(url.starts_with("https://api.paypal.com/"));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct PayPal {
    /// Never empty; the first one signs.
    webhook_ids: Vec<WebhookId>,
    host: &'static str,
    certificates: Certificates,
    key: Option<CertifiedKey>,
    tolerance: Option<Duration>,
}

impl PayPal {
    /// With the webhook's id, from the developer dashboard.
    ///
    /// # Errors
    /// [`BadKey`] if it is none.
    pub fn new(webhook_id: &str) -> Result<Self, BadKey> {
        Ok(Self {
            webhook_ids: vec![checked(webhook_id)?],
            host: LIVE_HOST,
            certificates: Certificates::new(|name| name.to_ascii_lowercase().ends_with(".paypal.com")),
            key: None,
            tolerance: None,
        })
    }

    /// Also accepts what was sent for this webhook: while one replaces another.
    ///
    /// # Errors
    /// [`BadKey`], as for [`new`](Self::new).
    pub fn also_accept(mut self, webhook_id: &str) -> Result<Self, BadKey> {
        self.webhook_ids.push(checked(webhook_id)?);
        Ok(self)
    }

    /// Of the sandbox, and not of the live system.
    pub fn sandbox(mut self) -> Self {
        self.host = SANDBOX_HOST;
        self
    }

    /// How far from now a request may be signed, in whole seconds, to the past and to the future; any time unless set.
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = Some(tolerance);
        self
    }

    /// Signs with this key, and knows its certificate: for tests.
    pub fn signing_with(mut self, key: CertifiedKey) -> Self {
        self.key = Some(key);
        self
    }

    /// What stood at the address that [`Error::CertificateUnknown`] named.
    ///
    /// # Errors
    /// [`Error::Certificate`] if it is no certificate of PayPal, is not valid now, or was not asked for.
    pub fn learn(&self, url: &str, pem: &[u8], now: Timestamp) -> Result<(), Error> {
        self.certificates.learn(url, pem, now)
    }

    fn check_url(&self, url: &str) -> Result<(), Error> {
        let path = certificate::path_at(url, |host| host == self.host);
        let name = path.and_then(|path| path.strip_prefix(CERTIFICATES_PATH));
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if name.is_some_and(is_name) {
            return Ok(());
        }
        Err(certificate::problem(format!(
            "is not at https://{}/{CERTIFICATES_PATH}…: it is not fetched",
            self.host
        )))
    }
}

impl Scheme for PayPal {
    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<(), Error> {
        let sent = Sent::read(request)?;
        self.check_url(sent.url)?;
        let certificate = match self.key.as_ref().and_then(|key| key.certificate(sent.url, now)) {
            Some(own) => own?,
            None => self.certificates.find(sent.url, now)?,
        };
        let checksum = crc32fast::hash(request.body);
        let fits = |webhook_id: &WebhookId| {
            let signed = signed(sent.id, sent.time, webhook_id, checksum);
            certificate.verifies(Hash::Sha256, signed.as_bytes(), &sent.signature)
        };
        if !self.webhook_ids.iter().any(fits) {
            return Err(Error::Mismatch { secrets: self.webhook_ids.len() });
        }
        age::within(sent.signed_at, now, self.tolerance)
    }

    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<Signed, CannotSign> {
        let key = self.key.as_ref().ok_or_else(|| {
            CannotSign::new("PayPal signs with a key that only it has; tests make their own")
        })?;
        let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let signed = signed(unsigned.id, &time, &self.webhook_ids[0], crc32fast::hash(unsigned.body));
        let signature = STANDARD.encode(key.sign(signed.as_bytes()));
        let values = [unsigned.id, &time, &signature, key.url(), ALGORITHM];
        Signed::new(HEADERS.into_iter().zip(values), unsigned.body)
    }

    fn headers(&self) -> Vec<HeaderName> {
        HEADERS.map(HeaderName::from_static).to_vec()
    }
}

/// No secret, and nobody else's business.
#[derive(Clone)]
struct WebhookId(String);

impl fmt::Debug for WebhookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[webhook id]")
    }
}

/// The headers taken apart; nothing in them is trusted yet.
struct Sent<'h> {
    id: &'h str,
    time: &'h str,
    signed_at: Timestamp,
    signature: Vec<u8>,
    url: &'h str,
}

impl<'h> Sent<'h> {
    fn read(request: &Request<'h>) -> Result<Self, Error> {
        let [id_name, time_name, signature_name, url_name, algorithm_name] = HEADERS;
        let id = text(request, id_name)?;
        if id.is_empty() || id.contains('|') {
            return Err(malformed(id_name, "is empty or has a bar", "<id of the transmission>"));
        }
        let time = text(request, time_name)?;
        let signed_at = Some(time).filter(|time| !time.contains('|')).and_then(|time| time.parse().ok());
        let signed_at =
            signed_at.ok_or_else(|| malformed(time_name, "is no time", "2016-09-21T22:00:46Z"))?;
        let signature = STANDARD.decode(text(request, signature_name)?).ok();
        let signature = signature
            .filter(|signature| !signature.is_empty())
            .ok_or_else(|| malformed(signature_name, "has no signature in base64", "<base64>"))?;
        if text(request, algorithm_name)? != ALGORITHM {
            return Err(malformed(algorithm_name, "names another algorithm", ALGORITHM));
        }
        Ok(Self { id, time, signed_at, signature, url: text(request, url_name)? })
    }
}

fn text<'h>(request: &Request<'h>, name: &'static str) -> Result<&'h str, Error> {
    let value = request.required(name, HINT)?;
    std::str::from_utf8(value).map_err(|_| malformed(name, "is not UTF-8", "<text>"))
}

fn signed(id: &str, time: &str, webhook_id: &WebhookId, checksum: u32) -> String {
    format!("{id}|{time}|{}|{checksum}", webhook_id.0)
}

fn checked(webhook_id: &str) -> Result<WebhookId, BadKey> {
    let id = webhook_id.trim();
    let is_id = !id.is_empty()
        && id.len() <= WEBHOOK_ID_BYTES_MAX
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let problem = "the webhook's id is not letters and digits; copy it from the app's webhooks in PayPal's developer dashboard";
    if is_id { Ok(WebhookId(id.to_owned())) } else { Err(BadKey::new(problem)) }
}

fn malformed(header: &str, problem: &'static str, form: &'static str) -> Error {
    Error::HeaderMalformed { header: header.to_owned(), problem, form: form.into() }
}
