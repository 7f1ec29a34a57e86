//! AWS Signature Version 4, in the headers.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        self, PayloadChecksumKind, PercentEncodingMode, SessionTokenMode, SignableBody, SignableRequest,
        SigningSettings, UriPathNormalizationMode,
    },
    sign::v4,
};
use bowline_model::Secret;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use url::Url;

use super::{Sign, Signable, SigningSetup, Wanted};
use crate::{
    address,
    live::{self, LiveSecret},
};

/// Signs as AWS wants it (Signature Version 4, in the headers), for one service in one region.
///
/// | Option | Default |
/// |---|---|
/// | [`keys_env`](Self::keys_env), [`keys`](Self::keys) | the variables `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` |
/// | [`session_token_env`](Self::session_token_env), [`session_token`](Self::session_token) | `AWS_SESSION_TOKEN`, if it is set and the keys come from their default variables |
/// | [`unsigned_session_token`](Self::unsigned_session_token) | the session token is signed |
/// | [`payload_hash_header`](Self::payload_hash_header) | sent to S3, and with a body that is a stream (`UNSIGNED-PAYLOAD`) |
/// | [`paths_as_sent`](Self::paths_as_sent) | for S3 |
///
/// Every variable may be a `NAME_FILE`, too, whose changes are seen at the next attempt. For the services `s3`,
/// `s3express`, `s3-outposts` and `s3-object-lambda`, paths are encoded once and not normalised, as they want it.
///
/// # An API behind AWS's gateway
/// ```
/// use bowline_client::{Api, SigV4};
///
/// let orders = Api::new("orders")
///     .base_url("https://orders.execute-api.eu-central-1.amazonaws.com/prod")
///     .sign(SigV4::new("execute-api", "eu-central-1"));
/// ```
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
#[derive(Debug, Clone)]
pub struct SigV4 {
    service: String,
    region: String,
    id: Wanted,
    secret: Wanted,
    token: Token,
    token_mode: SessionTokenMode,
    hash: PayloadChecksumKind,
    paths: Paths,
}

/// What of a path is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paths {
    /// Without `.`, `..` and empty segments, and encoded once more than it is sent.
    Normalised,
    /// As it is sent, which has everything encoded that can be.
    AsSent,
}

#[derive(Debug, Clone)]
enum Token {
    None,
    IfSet(&'static str),
    Wanted(Wanted),
}

impl SigV4 {
    /// For that service, in that region: `SigV4::new("s3", "eu-central-1")`.
    pub fn new(service: &str, region: &str) -> Self {
        Self {
            service: service.to_owned(),
            region: region.to_owned(),
            id: Wanted::Variable("AWS_ACCESS_KEY_ID".into()),
            secret: Wanted::Variable("AWS_SECRET_ACCESS_KEY".into()),
            token: Token::IfSet("AWS_SESSION_TOKEN"),
            token_mode: SessionTokenMode::Include,
            hash: if is_s3(service) {
                PayloadChecksumKind::XAmzSha256
            } else {
                PayloadChecksumKind::NoHeader
            },
            paths: if is_s3(service) { Paths::AsSent } else { Paths::Normalised },
        }
    }

    /// The keys are in those variables: the access key's id, and the secret.
    ///
    /// # Keys under other names
    /// ```
    /// let signing = bowline_client::SigV4::new("s3", "eu-central-1").keys_env("BACKUP_KEY_ID", "BACKUP_SECRET");
    /// ```
    pub fn keys_env(mut self, id_variable: &str, secret_variable: &str) -> Self {
        self.id = Wanted::Variable(id_variable.to_owned());
        self.secret = Wanted::Variable(secret_variable.to_owned());
        self.token = Token::None;
        self
    }

    /// The keys: the access key's id, and the secret.
    ///
    /// # Keys at hand
    /// ```
    /// use bowline_model::Secret;
    ///
    /// let (id, secret) = (Secret::new("AKIDEXAMPLE"), Secret::new("wJalrXUtnFEMI"));
    /// let signing = bowline_client::SigV4::new("s3", "eu-central-1").keys(id, secret);
    /// ```
    pub fn keys(mut self, id: Secret, secret: Secret) -> Self {
        (self.id, self.secret, self.token) = (Wanted::Fixed(id), Wanted::Fixed(secret), Token::None);
        self
    }

    /// The keys are temporary ones, and this variable has the token that belongs to them. Goes after the keys.
    ///
    /// # Temporary keys
    /// ```
    /// let signing = bowline_client::SigV4::new("s3", "eu-central-1")
    ///     .keys_env("BACKUP_KEY_ID", "BACKUP_SECRET")
    ///     .session_token_env("BACKUP_SESSION_TOKEN");
    /// ```
    pub fn session_token_env(mut self, variable: &str) -> Self {
        self.token = Token::Wanted(Wanted::Variable(variable.to_owned()));
        self
    }

    /// The keys are temporary ones, with that token. Goes after the keys.
    ///
    /// # Temporary keys at hand
    /// ```
    /// use bowline_model::Secret;
    ///
    /// let (id, secret) = (Secret::new("AKIDEXAMPLE"), Secret::new("wJalrXUtnFEMI"));
    /// let signing =
    ///     bowline_client::SigV4::new("s3", "eu-central-1").keys(id, secret).session_token(Secret::new("FwoGZXIvYXdz"));
    /// ```
    pub fn session_token(mut self, token: Secret) -> Self {
        self.token = Token::Wanted(Wanted::Fixed(token));
        self
    }

    /// The session token is sent, but not signed, as some services want it (AWS IoT).
    ///
    /// # AWS IoT
    /// ```
    /// let signing = bowline_client::SigV4::new("iotdata", "eu-central-1").unsigned_session_token();
    /// ```
    pub fn unsigned_session_token(mut self) -> Self {
        self.token_mode = SessionTokenMode::Exclude;
        self
    }

    /// Sends the body's hash in `x-amz-content-sha256`, and signs it there too.
    ///
    /// # A service that wants the hash
    /// ```
    /// let signing = bowline_client::SigV4::new("glacier", "eu-central-1").payload_hash_header();
    /// ```
    pub fn payload_hash_header(mut self) -> Self {
        self.hash = PayloadChecksumKind::XAmzSha256;
        self
    }

    /// Paths are signed as S3 wants it: encoded once, and not normalised. For what speaks as S3 under another name.
    ///
    /// # An S3 of somebody else
    /// ```
    /// let signing = bowline_client::SigV4::new("objects", "eu-central-1").paths_as_sent();
    /// ```
    pub fn paths_as_sent(mut self) -> Self {
        self.paths = Paths::AsSent;
        self
    }

    fn settings(&self, body: &SignableBody<'_>) -> SigningSettings {
        let mut settings = SigningSettings::default();
        settings.session_token_mode = self.token_mode;
        settings.payload_checksum_kind = self.hash;
        if *body == SignableBody::UnsignedPayload {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        if self.paths == Paths::AsSent {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        // Proxies change it.
        settings.excluded_headers.get_or_insert_default().push(ACCEPT_ENCODING.as_str().to_owned().into());
        settings
    }

    /// The keys as they are now, all of one time.
    fn credentials(&self) -> Result<Credentials, String> {
        let (id, secret) = (self.id.found()?, self.secret.found()?);
        let (id, secret, token) = match &self.token {
            Token::Wanted(token) => {
                let [id, secret, token] = live::together([&id, &secret, &token.found()?]);
                (id, secret, Some(token))
            }
            Token::None | Token::IfSet(_) => {
                let [id, secret] = live::together([&id, &secret]);
                (id, secret, None)
            }
        };
        let token = token.map(|token| token.expose().to_owned());
        Ok(Credentials::new(id.expose(), secret.expose(), token, None, "bowline"))
    }
}

impl Sign for SigV4 {
    fn set_up(&mut self, setup: &mut SigningSetup<'_>) {
        let stand_in = |variable: &str| format!("test-{variable}");
        // The id of a key is sent in the open; scrubbed it may be all the same.
        self.id.find(setup, "access key's id", stand_in);
        self.secret.find(setup, "secret access key", stand_in);
        match &mut self.token {
            Token::None => {}
            Token::IfSet(variable) => {
                let token = setup.secret_if_set(variable);
                self.token = token.map_or(Token::None, |token| Token::Wanted(Wanted::Found(token)));
            }
            Token::Wanted(wanted) => {
                wanted.find(setup, "session token", stand_in);
            }
        }
    }

    fn sign(&self, request: &mut Signable<'_>, now: Timestamp) -> Result<(), String> {
        make_canonical(request.url, self.paths);
        let body = request.body.map_or(SignableBody::UnsignedPayload, |body| SignableBody::Bytes(body));
        let identity = self.credentials()?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(SystemTime::from(now))
            .settings(self.settings(&body))
            .build()
            .map_err(|error| error.to_string())?
            .into();
        let headers = readable(request.headers)?;
        let signable =
            SignableRequest::new(request.method.as_str(), request.url.as_str(), headers.into_iter(), body)
                .map_err(|_| "its URL or its headers have a form that AWS does not sign")?;
        // The signer tells a log of every header that it signs, keys among them.
        let signed = tracing::dispatcher::with_default(&tracing::Dispatch::none(), || {
            http_request::sign(signable, &params)
        });
        let (instructions, _) =
            signed.map_err(|_| "its headers have a form that AWS does not sign")?.into_parts();
        for header in instructions.into_parts().0 {
            let mut value = HeaderValue::from_str(header.value())
                .map_err(|_| format!("{} holds a character that a header cannot carry", header.name()))?;
            value.set_sensitive(header.sensitive() || header.name() == "authorization");
            request.headers.insert(header.name(), value);
        }
        Ok(())
    }
}

fn is_s3(service: &str) -> bool {
    ["s3", "s3express", "s3-outposts", "s3-object-lambda"].contains(&service)
}

impl Wanted {
    fn found(&self) -> Result<LiveSecret, String> {
        match self {
            Self::Found(secret) => Ok(secret.clone()),
            Self::Fixed(secret) => Ok(LiveSecret::fixed(secret.clone())),
            Self::Nothing | Self::Variable(_) => Err("its keys were never looked up".into()),
        }
    }
}

/// Writes the URL as AWS will when it checks the signature: `+` in a query is a space to some of its services and a plus
/// to others, and what S3 signs of a path is encoded wherever it can be.
fn make_canonical(url: &mut Url, paths: Paths) {
    if let Some(query) = url.query().filter(|query| query.contains('+')) {
        let query = query.replace('+', "%20");
        url.set_query(Some(&query));
    }
    if paths == Paths::AsSent {
        let strict = |part: &str| address::segment_of_bytes(&percent_decode_str(part).collect::<Vec<u8>>());
        let path: Vec<String> = url.path().split('/').map(strict).collect();
        url.set_path(&path.join("/"));
    }
}

fn readable(headers: &HeaderMap) -> Result<Vec<(&str, &str)>, String> {
    let pairs = headers.iter().map(|(name, value)| match value.to_str() {
        Ok(text) => Ok((name.as_str(), text)),
        Err(_) => Err(format!("the header {name} is not ASCII, which AWS does not sign")),
    });
    pairs.collect()
}
