//! What a remote wants as a proof of who calls.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use bowline_model::Secret;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::scrub::Scrub;

/// One credential, and where it came from.
#[derive(Clone)]
pub(crate) struct Credential {
    kind: Kind,
    /// The variable that holds it; `None` if it was set in code.
    variable: Option<String>,
}

#[derive(Clone)]
enum Kind {
    Header { name: HeaderName, value: HeaderValue, secret: Secret },
    Query { name: String, secret: Secret },
}

impl Credential {
    /// A header that holds the secret as it is.
    pub(crate) fn header(name: &str, secret: Secret, variable: Option<&str>) -> Result<Self, String> {
        let name: HeaderName = name
            .parse()
            .map_err(|_| format!("the header name {name:?} is not one: letters, digits and dashes"))?;
        let value = sensitive(secret.expose())?;
        Ok(Self { kind: Kind::Header { name, value, secret }, variable: variable.map(Into::into) })
    }

    /// `Authorization: Bearer …` (RFC 6750).
    pub(crate) fn bearer(token: Secret, variable: Option<&str>) -> Result<Self, String> {
        let value = sensitive(&format!("Bearer {}", token.expose()))?;
        let kind = Kind::Header { name: AUTHORIZATION, value, secret: token };
        Ok(Self { kind, variable: variable.map(Into::into) })
    }

    /// `Authorization: Basic …` (RFC 7617).
    pub(crate) fn basic(user: &str, password: &Secret, variable: Option<&str>) -> Result<Self, String> {
        if user.contains(':') {
            return Err("the user name has a colon in it, which Basic cannot carry".into());
        }
        let pair = Secret::new(BASE64_STANDARD.encode(format!("{user}:{}", password.expose())));
        let value = sensitive(&format!("Basic {}", pair.expose()))?;
        // Some remotes take their key as the user name, with no password: then that is the secret.
        let secret = if password.expose().is_empty() { Secret::new(user) } else { password.clone() };
        let kind = Kind::Header { name: AUTHORIZATION, value, secret };
        Ok(Self { kind, variable: variable.map(Into::into) })
    }

    /// A parameter of the query.
    pub(crate) fn query(name: &str, secret: Secret, variable: Option<&str>) -> Self {
        Self { kind: Kind::Query { name: name.into(), secret }, variable: variable.map(Into::into) }
    }

    /// The variable that holds it.
    pub(crate) fn variable(&self) -> Option<&str> {
        self.variable.as_deref()
    }

    /// Puts it on a request.
    pub(crate) fn apply(&self, headers: &mut HeaderMap, url: &mut Url) {
        match &self.kind {
            Kind::Header { name, value, .. } => {
                headers.insert(name, value.clone());
            }
            Kind::Query { name, secret } => {
                url.query_pairs_mut().append_pair(name, secret.expose());
            }
        }
    }

    /// Adds every form in which it could be echoed.
    pub(crate) fn scrub(&self, scrub: &mut Scrub) {
        match &self.kind {
            Kind::Header { value, secret, .. } => {
                scrub.add(secret.expose());
                let sent = value.to_str().unwrap_or_default();
                scrub.add(sent.split_once(' ').map_or(sent, |(_, credential)| credential));
            }
            Kind::Query { secret, .. } => scrub.add(secret.expose()),
        }
    }
}

/// Shows the kind and the variable's name.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match &self.kind {
            Kind::Header { name, .. } => format!("header {name}"),
            Kind::Query { name, .. } => format!("query {name}"),
        };
        write!(f, "Credential({place} from {})", self.variable.as_deref().unwrap_or("code"))
    }
}

/// A header's value that hyper and its logs never print.
fn sensitive(value: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| "holds a character that a header cannot carry (a line break?)".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}
