//! An HMAC as most remotes want one, with its details set.

use aws_lc_rs::hmac::{self, Algorithm, Context, Key};
use base64::{Engine, prelude::BASE64_STANDARD};
use bowline_model::Secret;
use jiff::Timestamp;

use super::{Sign, Signable, SigningSetup, Wanted, header_name, template::Template};

/// Signs with an HMAC: which hash, which header, over what, in which form.
///
/// | Option | Default |
/// |---|---|
/// | [`secret_env`](Self::secret_env), [`secret`](Self::secret) | none; one is needed |
/// | [`prefix`](Self::prefix) | nothing before the signature |
/// | [`base64`](Self::base64) | hex |
/// | [`timestamp_header`](Self::timestamp_header), [`milliseconds`](Self::milliseconds) | the time is not sent |
/// | [`signs`](Self::signs) | `{body}`; with a timestamp's header `{timestamp}.{body}` |
///
/// # A signature over method, target, time and body
/// ```
/// use bowline_client::{Api, HmacSigning};
///
/// let signing = HmacSigning::sha256("X-Signature")
///     .secret_env("PARTNER_SECRET")
///     .prefix("v1=")
///     .timestamp_header("X-Timestamp")
///     .signs("{method}\n{target}\n{timestamp}\n{body}");
/// let partner = Api::new("partner").base_url("https://partner.example.com").sign(signing);
/// ```
#[derive(Debug, Clone)]
pub struct HmacSigning {
    algorithm: Algorithm,
    header: String,
    secret: Wanted,
    prefix: String,
    encoding: Encoding,
    timestamp: Option<String>,
    unit: Unit,
    signs: Option<String>,
    /// Read from `signs` when it is set up.
    template: Option<Template>,
}

#[derive(Debug, Clone, Copy)]
enum Encoding {
    Hex,
    Base64,
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    Seconds,
    Milliseconds,
}

impl HmacSigning {
    /// HMAC-SHA256, in that header.
    pub fn sha256(header: &str) -> Self {
        Self::new(hmac::HMAC_SHA256, header)
    }

    /// HMAC-SHA384, in that header.
    ///
    /// # SHA-384
    /// ```
    /// let signing = bowline_client::HmacSigning::sha384("X-Signature").secret_env("PARTNER_SECRET");
    /// ```
    pub fn sha384(header: &str) -> Self {
        Self::new(hmac::HMAC_SHA384, header)
    }

    /// HMAC-SHA512, in that header.
    ///
    /// # SHA-512
    /// ```
    /// let signing = bowline_client::HmacSigning::sha512("X-Signature").secret_env("PARTNER_SECRET");
    /// ```
    pub fn sha512(header: &str) -> Self {
        Self::new(hmac::HMAC_SHA512, header)
    }

    /// HMAC-SHA1, in that header: for remotes that know nothing better.
    ///
    /// # An old partner
    /// ```
    /// let signing = bowline_client::HmacSigning::sha1("X-Signature").secret_env("PARTNER_SECRET");
    /// ```
    pub fn sha1(header: &str) -> Self {
        Self::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, header)
    }

    fn new(algorithm: Algorithm, header: &str) -> Self {
        Self {
            algorithm,
            header: header.to_owned(),
            secret: Wanted::Nothing,
            prefix: String::new(),
            encoding: Encoding::Hex,
            timestamp: None,
            unit: Unit::Seconds,
            signs: None,
            template: None,
        }
    }

    /// The key, as it stands in that variable, or in the file that its `NAME_FILE` names.
    pub fn secret_env(mut self, variable: &str) -> Self {
        self.secret = Wanted::Variable(variable.to_owned());
        self
    }

    /// The key, as it stands.
    ///
    /// # A key at hand
    /// ```
    /// let key = bowline_model::Secret::new("51a9c0de");
    /// let signing = bowline_client::HmacSigning::sha256("X-Signature").secret(key);
    /// ```
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secret = Wanted::Fixed(secret);
        self
    }

    /// What stands before the signature in its header, as `sha256=`.
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.to_owned();
        self
    }

    /// The signature is in base64 (RFC 4648 §4, with padding) and not in hex.
    ///
    /// # As Shopify writes it
    /// ```
    /// let signing = bowline_client::HmacSigning::sha256("X-Signature").secret_env("PARTNER_SECRET").base64();
    /// ```
    pub fn base64(mut self) -> Self {
        self.encoding = Encoding::Base64;
        self
    }

    /// Sends the time, in seconds since 1970, in that header.
    pub fn timestamp_header(mut self, header: &str) -> Self {
        self.timestamp = Some(header.to_owned());
        self
    }

    /// The time is in milliseconds.
    ///
    /// # A partner that counts finely
    /// ```
    /// let signing = bowline_client::HmacSigning::sha256("X-Signature")
    ///     .secret_env("PARTNER_SECRET")
    ///     .timestamp_header("X-Timestamp")
    ///     .milliseconds();
    /// ```
    pub fn milliseconds(mut self) -> Self {
        self.unit = Unit::Milliseconds;
        self
    }

    /// What is signed: text, with `{method}`, `{host}` (with its port, if it is not the scheme's own), `{path}`,
    /// `{query}`, `{target}` (path and query), `{timestamp}`, `{key}` (the idempotency key), `{body_sha256}` (in hex)
    /// and `{body}` in it. Path and query are as they are sent, encoded.
    pub fn signs(mut self, template: &str) -> Self {
        self.signs = Some(template.to_owned());
        self
    }

    fn template(&self) -> Result<Template, String> {
        let default = if self.timestamp.is_some() { "{timestamp}.{body}" } else { "{body}" };
        let template = Template::read(self.signs.as_deref().unwrap_or(default))?;
        header_name(&self.header)?;
        match &self.timestamp {
            Some(header) => header_name(header).map(|_| template),
            None if template.has_timestamp() => {
                Err("signs {timestamp}, but does not send it: add .timestamp_header(\"X-Timestamp\")".into())
            }
            None => Ok(template),
        }
    }
}

impl Sign for HmacSigning {
    fn set_up(&mut self, setup: &mut SigningSetup<'_>) {
        self.secret.find(setup, "signing secret", |variable| format!("test-{variable}"));
        match self.template() {
            Ok(template) => self.template = Some(template),
            Err(what) => setup.problem(None, what),
        }
    }

    fn sign(&self, request: &mut Signable<'_>, now: Timestamp) -> Result<(), String> {
        let template = self.template.clone().map_or_else(|| self.template(), Ok)?;
        let timestamp = match self.unit {
            Unit::Seconds => now.as_second().to_string(),
            Unit::Milliseconds => now.as_millisecond().to_string(),
        };
        let secret = self.secret.current()?;
        let mut mac = Context::with_key(&Key::new(self.algorithm, secret.expose().as_bytes()));
        template.fill(request, &timestamp, |part| mac.update(part))?;
        let signature = mac.sign();
        let signature = match self.encoding {
            Encoding::Hex => hex::encode(signature),
            Encoding::Base64 => BASE64_STANDARD.encode(signature),
        };
        if let Some(header) = &self.timestamp {
            request.set_header(header, &timestamp)?;
        }
        request.set_header(&self.header, &format!("{}{signature}", self.prefix))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use reqwest::{Method, header::HeaderMap};

    use super::*;

    /// RFC 4231 and RFC 2202, test case 2.
    #[test]
    fn is_the_hmac_of_the_rfcs() {
        for (signing, expected) in [
            (HmacSigning::sha1("s"), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (HmacSigning::sha256("s"), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (
                HmacSigning::sha384("s"),
                "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
            ),
            (
                HmacSigning::sha512("s"),
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fd\
                 caeab1a34d4a6b4b636e070a38bce737",
            ),
        ] {
            let (method, mut url, mut headers) =
                (Method::POST, "https://a.example/".parse().unwrap(), HeaderMap::new());
            let body = Bytes::from_static(b"what do ya want for nothing?");
            let mut request = Signable {
                method: &method,
                url: &mut url,
                headers: &mut headers,
                body: Some(&body),
                key: "key-1",
            };
            signing.secret(Secret::new("Jefe")).sign(&mut request, Timestamp::UNIX_EPOCH).unwrap();
            assert_eq!(headers["s"], expected);
            assert!(headers["s"].is_sensitive());
        }
    }
}
