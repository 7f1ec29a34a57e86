//! What one attempt proves its sender with: put on the request last, made anew each time.

use std::{borrow::Cow, fmt, sync::Arc};

use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, HeaderValue};

#[cfg(feature = "soap")]
use crate::soap::security::UsernameToken;
use crate::{
    attempt::Ready,
    auth::{AccessToken, NoToken, Tokens},
    credential::Key,
    scrub::Scrub,
    settings::Settings,
    sign::{Signable, Signature},
};

/// What a remote wants as a proof of who calls.
#[derive(Clone)]
pub(crate) enum Credential {
    /// The same on every request.
    Key(Key),
    /// A token that is asked for.
    Token(Tokens),
    /// Signs the whole request.
    Signature(Signature),
    /// Says in the header of a SOAP message who calls.
    #[cfg(feature = "soap")]
    UsernameToken(UsernameToken),
}

impl Credential {
    /// Where it comes from, for people.
    pub(crate) fn source(&self) -> Cow<'_, str> {
        match self {
            Self::Key(key) => key.variable().unwrap_or("set in code").into(),
            Self::Token(tokens) => tokens.source().into(),
            Self::Signature(signature) => signature.source().into(),
            #[cfg(feature = "soap")]
            Self::UsernameToken(token) => token.source().into(),
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => key.fmt(f),
            Self::Token(tokens) => tokens.fmt(f),
            Self::Signature(signature) => signature.fmt(f),
            #[cfg(feature = "soap")]
            Self::UsernameToken(token) => token.fmt(f),
        }
    }
}

/// The tokens that a request needs. All that takes time to get.
#[derive(Default)]
pub(crate) struct Proof {
    tokens: Vec<(Tokens, AccessToken)>,
}

impl Proof {
    /// Gets the tokens, if the Api needs any.
    pub(crate) async fn get(settings: &Settings, account: &str) -> Result<Self, NoToken> {
        let mut tokens = vec![];
        for credential in &settings.credentials {
            if let Credential::Token(source) = credential {
                tokens.push((source.clone(), source.current(settings, account).await?));
            }
        }
        Ok(Self { tokens })
    }

    /// Whether a refusal may be about a token that has ended before its time.
    pub(crate) fn is_renewable(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// The same with newer tokens.
    pub(crate) async fn renewed(self, settings: &Settings, account: &str) -> Result<Self, NoToken> {
        let mut tokens = vec![];
        for (source, refused) in self.tokens {
            let token = source.renewed(settings, account, &refused).await?;
            tokens.push((source, token));
        }
        Ok(Self { tokens })
    }

    /// Adds what could be echoed and is not the same for all attempts.
    pub(crate) fn scrub(&self, scrub: &mut Arc<Scrub>) {
        for (_, token) in &self.tokens {
            Arc::make_mut(scrub).add(token.secret.expose());
        }
    }

    /// Puts everything on the request: keys, tokens, and then signatures over it all.
    ///
    /// # Errors
    /// Says why the request cannot be signed.
    pub(crate) fn apply(
        &self,
        settings: &Settings,
        request: &mut Ready,
        key: &str,
        now: Timestamp,
    ) -> Result<(), String> {
        for credential in &settings.credentials {
            if let Credential::Key(key) = credential {
                key.apply(&mut request.headers, &mut request.url)?;
            }
        }
        #[cfg(feature = "soap")]
        for credential in &settings.credentials {
            if let Credential::UsernameToken(token) = credential {
                token.apply(&mut request.body, &*settings.clock, now)?;
            }
        }
        for (_, token) in &self.tokens {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.secret.expose()))
                .map_err(|_| "the token holds a character that a header cannot carry".to_owned())?;
            value.set_sensitive(true);
            request.headers.insert(AUTHORIZATION, value);
        }
        for credential in &settings.credentials {
            if let Credential::Signature(signature) = credential {
                sign(signature, request, key, now)?;
            }
        }
        Ok(())
    }
}

fn sign(signature: &Signature, request: &mut Ready, key: &str, now: Timestamp) -> Result<(), String> {
    let none = bytes::Bytes::new();
    let body = request.body.as_ref().map_or(Some(&none), |body| body.bytes());
    let Ready { method, url, headers, .. } = request;
    signature.sign(&mut Signable { method, url, headers, body, key }, now)
}
