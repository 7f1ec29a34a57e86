//! Who may post to a first-party route.

use axum::http::{HeaderName, header};
use bowline_model::Secret;
use bowline_signature::{ApiKey, Basic, Bearer, EmptySecret, SigningSecret, shared_key::UserHasColon};

use crate::{RawRequest, Rejection};

/// Who may post. There is no default: whoever leaves a route open writes so.
#[derive(Debug, Clone)]
pub enum Auth {
    /// Everybody.
    Open,
    /// Whoever has a key, in a header of its own.
    ApiKey(ApiKey),
    /// Whoever has a token: `Authorization: Bearer …` (RFC 6750).
    Bearer(Bearer),
    /// Whoever has a user's name and password: `Authorization: Basic …` (RFC 7617).
    Basic(Basic),
}

impl Auth {
    /// Any of the keys, in that header; the first one is shown by tests and `send`.
    ///
    /// # Errors
    /// [`InvalidAuth`].
    pub fn api_key(header: &str, keys: impl IntoIterator<Item = Secret>) -> Result<Self, InvalidAuth> {
        if HeaderName::try_from(header).is_err() {
            return Err(InvalidAuth::Header(header.to_owned()));
        }
        let mut keys = keys.into_iter();
        let key = ApiKey::new(header, signing(keys.next())?);
        let key = keys.try_fold(key, |key, more| Ok::<_, InvalidAuth>(key.also_accept(signing(Some(more))?)));
        Ok(Self::ApiKey(key?))
    }

    /// Any of the tokens; the first one is shown by tests and `send`.
    ///
    /// # Errors
    /// [`InvalidAuth`].
    pub fn bearer(tokens: impl IntoIterator<Item = Secret>) -> Result<Self, InvalidAuth> {
        let mut tokens = tokens.into_iter();
        let bearer = Bearer::new(signing(tokens.next())?);
        let bearer =
            tokens.try_fold(bearer, |all, more| Ok::<_, InvalidAuth>(all.also_accept(signing(Some(more))?)));
        Ok(Self::Bearer(bearer?))
    }

    /// That user with any of the passwords; the first one is shown by tests and `send`.
    ///
    /// # Errors
    /// [`InvalidAuth`].
    pub fn basic(user: &str, passwords: impl IntoIterator<Item = Secret>) -> Result<Self, InvalidAuth> {
        let mut passwords = passwords.into_iter();
        let basic = Basic::new(user, signing(passwords.next())?)?;
        let basic = passwords
            .try_fold(basic, |all, more| Ok::<_, InvalidAuth>(all.also_accept(user, &signing(Some(more))?)?));
        Ok(Self::Basic(basic?))
    }

    /// Whether everybody may post.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    pub(in crate::providers) fn check(&self, request: &RawRequest<'_>) -> Result<(), Rejection> {
        match self {
            Self::Open => Ok(()),
            Self::ApiKey(key) => request.verified(|header| key.verify(header(key.header()))),
            Self::Bearer(bearer) => {
                request.verified(|header| bearer.verify(header(header::AUTHORIZATION.as_str())))
            }
            Self::Basic(basic) => {
                request.verified(|header| basic.verify(header(header::AUTHORIZATION.as_str())))
            }
        }
    }

    pub(in crate::providers) fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::Open | Self::ApiKey(_) => None,
            Self::Bearer(_) => Some(Bearer::CHALLENGE),
            Self::Basic(_) => Some(Basic::CHALLENGE),
        }
    }

    /// The header that shows the credential.
    pub(in crate::providers) fn header(&self) -> Option<HeaderName> {
        match self {
            Self::Open => None,
            Self::ApiKey(key) => HeaderName::try_from(key.header()).ok(),
            Self::Bearer(_) | Self::Basic(_) => Some(header::AUTHORIZATION),
        }
    }

    /// What the header holds: secret.
    pub(in crate::providers) fn present(&self) -> Option<Vec<u8>> {
        match self {
            Self::Open => None,
            Self::ApiKey(key) => Some(key.present()),
            Self::Bearer(bearer) => Some(bearer.present()),
            Self::Basic(basic) => Some(basic.present()),
        }
    }
}

/// None is as good as an empty one: both let everybody in who knows.
fn signing(secret: Option<Secret>) -> Result<SigningSecret, InvalidAuth> {
    let secret = secret.ok_or(InvalidAuth::Empty(EmptySecret))?;
    Ok(SigningSecret::new(secret.expose())?)
}

/// Why credentials are none. Shows nothing of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAuth {
    /// A value is empty, or there is none.
    #[error(
        "the key, token or password is empty; choose one that nobody can guess, of 32 characters or more"
    )]
    Empty(#[from] EmptySecret),
    /// Not a header's name.
    #[error("{0:?} is no header's name; write one such as X-Api-Key")]
    Header(String),
    /// The user's name has a colon.
    #[error("{0}")]
    User(#[from] UserHasColon),
}
