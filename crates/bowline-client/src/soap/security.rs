//! WS-Security: who calls, said in the header of the message (OASIS Web Services Security 1.1.1, UsernameToken Profile).
//!
//! Made anew at every attempt, after the message was fingerprinted: nonce and time never reach a journal.

use std::{fmt, time::Duration};

use aws_lc_rs::digest;
use base64::{Engine, prelude::BASE64_STANDARD};
use bowline_model::{Clock, Secret};
use jiff::Timestamp;

use super::{
    envelope,
    version::SoapVersion,
    xml::{self, Name, write::Writer},
};
use crate::{
    Api, LiveSecret,
    body::Body,
    proof::Credential,
    settings::{Settings, Source},
};

const WSSE: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd";
const WSU: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd";
const TOKEN_PROFILE: &str =
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0";
const BASE64: &str =
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary";

/// How a [username token](Api::username_token_env) carries its password.
///
/// # A password that is not sent
/// ```
/// use bowline_client::{Api, soap::TokenKind};
///
/// let erp = Api::new("erp").username_token("bob", bowline_model::Secret::new("secret-pass"), TokenKind::Digest);
/// assert!(!format!("{erp:?}").contains("secret-pass"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// As it is: only the TLS around it hides it.
    Text,
    /// As `Base64(SHA-1(nonce + created + password))`: a copy of the message is of no use for another one, if the
    /// service remembers nonces.
    Digest,
}

/// A user and a password in the header of each SOAP request.
#[derive(Clone)]
pub(crate) struct UsernameToken {
    user: LiveSecret,
    password: LiveSecret,
    kind: TokenKind,
    /// How long a request is valid, if it says so.
    timestamp: Option<Duration>,
}

impl Api {
    /// Sends user and password in the header of each SOAP request, as a WS-Security `UsernameToken` that must be
    /// understood.
    pub fn username_token(self, user: &str, password: Secret, kind: TokenKind) -> Self {
        self.with(|settings| {
            let user = LiveSecret::fixed(Secret::new(user));
            settings.set_username_token(
                user,
                LiveSecret::fixed(password),
                kind,
                Source::Code("username_token"),
            );
        })
    }

    /// As [`username_token`](Api::username_token), from two variables, or the files that their `NAME_FILE` name.
    ///
    /// # A service that wants a password digest
    /// ```
    /// use bowline_client::{Api, soap::TokenKind};
    /// use bowline_model::Variables;
    ///
    /// let variables = Variables::new(|name| (name == "ERP_USER").then(|| "bob".into()));
    /// let erp = Api::with_variables("erp", variables.clone())
    ///     .base_url("https://erp.example.com")
    ///     .username_token_env("ERP_USER", "ERP_PASSWORD", TokenKind::Digest);
    /// assert_eq!(variables.problems()[0].0, "ERP_PASSWORD");
    /// ```
    ///
    /// # Durability
    /// The token is made anew at every attempt, and is in no journal: a run that goes on after a crash sends another
    /// one with the same message.
    pub fn username_token_env(self, user_variable: &str, password_variable: &str, kind: TokenKind) -> Self {
        self.with(|settings| {
            let user = settings.live_name(user_variable, "user name");
            let password = settings.live_secret(password_variable, "password");
            if let (Some(user), Some(password)) = (user, password) {
                settings.set_username_token(user, password, kind, Source::Variable(user_variable));
            }
        })
    }

    /// Says in the header of each SOAP request when it was made, and that it is valid for so long: a WS-Security
    /// `Timestamp`, beside the username token, after which this comes.
    ///
    /// # A minute
    /// ```
    /// use std::time::Duration;
    /// use bowline_client::{Api, soap::TokenKind};
    ///
    /// let erp = Api::new("erp")
    ///     .username_token("bob", bowline_model::Secret::new("secret-pass"), TokenKind::Text)
    ///     .soap_timestamp(Duration::from_secs(300));
    /// ```
    pub fn soap_timestamp(self, valid: Duration) -> Self {
        self.with(|settings| {
            let token = settings.credentials.iter_mut().find_map(|credential| match credential {
                Credential::UsernameToken(token) => Some(token),
                Credential::Key(_) | Credential::Token(_) | Credential::Signature(_) => None,
            });
            match token {
                Some(token) => token.timestamp = Some(valid),
                None => settings.problem(
                    Source::Code("soap_timestamp"),
                    "comes without a username token: put .username_token_env(user, password, kind) before"
                        .into(),
                ),
            }
        })
    }
}

impl Settings {
    fn set_username_token(
        &mut self,
        user: LiveSecret,
        password: LiveSecret,
        kind: TokenKind,
        source: Source<'_>,
    ) {
        if xml::write::unwritable(user.current().expose()).is_some() {
            return self.problem(source, "holds a character that XML cannot carry".into());
        }
        password.scrub(std::sync::Arc::make_mut(&mut self.scrub));
        self.credentials.push(Credential::UsernameToken(UsernameToken {
            user,
            password,
            kind,
            timestamp: None,
        }));
    }
}

impl UsernameToken {
    /// The variable of the password, for people.
    pub(crate) fn source(&self) -> &str {
        self.password.variable().unwrap_or("set in code")
    }

    /// Puts it into the header of a SOAP request; any other body stays as it is.
    ///
    /// # Errors
    /// Says why XML cannot carry the password.
    pub(crate) fn apply(
        &self,
        body: &mut Option<Body>,
        clock: &dyn Clock,
        now: Timestamp,
    ) -> Result<(), String> {
        let password = self.password.current();
        let unwritable = |text: &str| xml::write::unwritable(text).is_some();
        if unwritable(self.user.current().expose())
            || self.kind == TokenKind::Text && unwritable(password.expose())
        {
            return Err("the user or the password holds a character that XML cannot carry".into());
        }
        let mut nonce = [0; 16];
        nonce.chunks_mut(8).for_each(|part| part.copy_from_slice(&clock.random().to_le_bytes()));
        let header = |version| self.header(version, password.expose(), &nonce, now);
        if let Some(whole) =
            body.as_ref().and_then(Body::bytes).and_then(|bytes| envelope::with_header(bytes, header))
        {
            *body = Some(Body::Bytes(whole.into()));
        }
        Ok(())
    }

    fn header(&self, version: SoapVersion, password: &str, nonce: &[u8], now: Timestamp) -> String {
        let created = written(now);
        let mut writer = Writer::default();
        let wsse = |local: &str| Name::new(WSSE, local);
        let wsu = |local: &str| Name::new(WSU, local);
        writer.assume("soap", version.envelope());
        writer.start_as(&wsse("Security"), Some("wsse"));
        writer.declare("wsu", WSU);
        writer.attribute(&Name::new(version.envelope(), "mustUnderstand"), "1");
        if let Some(valid) = self.timestamp {
            writer.start(&wsu("Timestamp"));
            writer.leaf(&wsu("Created"), &created);
            let expires = now.checked_add(valid).unwrap_or(Timestamp::MAX);
            writer.leaf(&wsu("Expires"), &written(expires));
            writer.end();
        }
        writer.start(&wsse("UsernameToken"));
        writer.leaf(&wsse("Username"), self.user.current().expose());
        writer.start(&wsse("Password"));
        match self.kind {
            TokenKind::Text => {
                writer.attribute(&Name::new("", "Type"), &format!("{TOKEN_PROFILE}#PasswordText"));
                writer.text(password);
                writer.end();
            }
            TokenKind::Digest => {
                writer.attribute(&Name::new("", "Type"), &format!("{TOKEN_PROFILE}#PasswordDigest"));
                writer.text(&password_digest(nonce, &created, password));
                writer.end();
                writer.start(&wsse("Nonce"));
                writer.attribute(&Name::new("", "EncodingType"), BASE64);
                writer.text(&BASE64_STANDARD.encode(nonce));
                writer.end();
                writer.leaf(&wsu("Created"), &created);
            }
        }
        writer.end();
        writer.end();
        writer.finish()
    }
}

/// `Base64(SHA-1(nonce + created + password))` (UsernameToken Profile 1.1.1, §3.1).
fn password_digest(nonce: &[u8], created: &str, password: &str) -> String {
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    [nonce, created.as_bytes(), password.as_bytes()].iter().for_each(|part| hash.update(part));
    BASE64_STANDARD.encode(hash.finish())
}

/// A time as WS-Security wants it: in UTC, to the millisecond.
fn written(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// Shows where it comes from.
impl fmt::Debug for UsernameToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UsernameToken({:?} from {})", self.kind, self.source())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_as_the_profile_says() {
        // Known from `printf 'NONCE2024-01-01T00:00:00Zsecret' | openssl sha1 -binary | base64`.
        assert_eq!(
            password_digest(b"NONCE", "2024-01-01T00:00:00Z", "secret"),
            "Isy2nkTSN0BYwthE3ReRHbpd0cs="
        );
        assert_eq!(written("2024-01-01T00:00:00.5Z".parse().unwrap()), "2024-01-01T00:00:00.500Z");
    }
}
