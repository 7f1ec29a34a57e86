//! Signatures over requests that leave.
//!
//! What comes in: a request on which everything else is final. What goes out: the same with a signature on it, made
//! anew for each attempt, since most schemes sign the time. What must never happen here: a signature or a secret in a
//! log; a request that is sent though it could not be signed.
//!
//! | Module | Story |
//! |---|---|
//! | `hmac` | an HMAC as most remotes want one |
//! | `template` | what is signed, as text with places for the request's parts |
//! | `standard_webhooks` | webhooks that are sent, and not received |
//! | `sigv4` | as AWS wants it |

use std::{fmt, sync::Arc};

use bowline_model::Secret;
use bytes::Bytes;
use jiff::Timestamp;
use reqwest::{Method, header::HeaderMap};
use url::Url;

use crate::{
    Api,
    live::LiveSecret,
    proof::Credential,
    settings::{Settings, Source},
};

mod hmac;
#[cfg(feature = "sigv4")]
mod sigv4;
mod standard_webhooks;
mod template;

pub use hmac::HmacSigning;
#[cfg(feature = "sigv4")]
pub use sigv4::SigV4;
pub use standard_webhooks::StandardWebhooksSigning;

/// Signs the requests of an [`Api`], each attempt anew, when everything else on the request is final: query, keys,
/// tokens, idempotency key, body.
///
/// Ready are [`HmacSigning`], [`StandardWebhooksSigning`] and, with the feature `sigv4`, `SigV4`. For any other scheme:
///
/// # A scheme of a partner's own
/// ```
/// use bowline_client::{Api, LiveSecret, Sign, Signable, SigningSetup};
/// use jiff::Timestamp;
///
/// #[derive(Default)]
/// struct Partner(Option<LiveSecret>);
///
/// impl Sign for Partner {
///     fn set_up(&mut self, setup: &mut SigningSetup<'_>) {
///         self.0 = setup.secret("PARTNER_PIN", "PIN");
///     }
///
///     fn sign(&self, request: &mut Signable<'_>, now: Timestamp) -> Result<(), String> {
///         let pin = self.0.as_ref().ok_or("has no PIN")?.current();
///         let proof = format!("{}/{}", now.as_second(), pin.expose());
///         request.set_header("x-proof", &proof)
///     }
/// }
///
/// let partner = Api::new("partner").base_url("https://partner.example.com").sign(Partner::default());
/// ```
pub trait Sign: Send + Sync + 'static {
    /// Looks its secrets up, once, when it is given to an Api.
    ///
    /// # Two secrets, of which one need not be there
    /// ```
    /// use bowline_client::{Api, LiveSecret, Sign, Signable, SigningSetup};
    /// use jiff::Timestamp;
    ///
    /// #[derive(Default)]
    /// struct Partner([Option<LiveSecret>; 2]);
    ///
    /// impl Sign for Partner {
    ///     fn set_up(&mut self, setup: &mut SigningSetup<'_>) {
    ///         self.0 = [setup.secret("PARTNER_PIN", "PIN"), setup.secret_if_set("PARTNER_OLD_PIN")];
    ///     }
    ///
    ///     fn sign(&self, request: &mut Signable<'_>, _: Timestamp) -> Result<(), String> {
    ///         let pins: Vec<_> = self.0.iter().flatten().map(|pin| pin.current().expose().to_owned()).collect();
    ///         request.set_header("x-pins", &pins.join(","))
    ///     }
    /// }
    ///
    /// let partner = Api::new("partner").base_url("https://partner.example.com").sign(Partner::default());
    /// ```
    fn set_up(&mut self, _setup: &mut SigningSetup<'_>) {}

    /// Puts the signature on the request.
    ///
    /// # Errors
    /// Says why it cannot; nothing is sent then.
    fn sign(&self, request: &mut Signable<'_>, now: Timestamp) -> Result<(), String>;
}

/// A request about to be signed.
///
/// # A header that no log shows
/// ```
/// use bowline_client::Signable;
/// use reqwest::{Method, header::HeaderMap};
///
/// let (mut url, mut headers) = ("https://a.example/x".parse()?, HeaderMap::new());
/// let method = Method::GET;
/// let mut request =
///     Signable { method: &method, url: &mut url, headers: &mut headers, body: None, key: "key-1" };
/// request.set_header("x-proof", "abc")?;
/// assert!(headers["x-proof"].is_sensitive());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Signable<'a> {
    /// The HTTP method.
    pub method: &'a Method,
    /// Where it goes, with the whole query.
    pub url: &'a mut Url,
    /// All headers but those of the connection.
    pub headers: &'a mut HeaderMap,
    /// The body; `None` if it is a stream. Empty if there is none.
    pub body: Option<&'a Bytes>,
    /// The idempotency key of the call: the same on all its attempts.
    pub key: &'a str,
}

impl Signable<'_> {
    /// Sets a header whose value no log shows.
    ///
    /// # Errors
    /// Says what is wrong with the name or the value.
    pub fn set_header(&mut self, name: &str, value: &str) -> Result<(), String> {
        let name = header_name(name)?;
        let value =
            crate::credential::sensitive(value).map_err(|what| format!("the header {name} {what}"))?;
        self.headers.insert(name, value);
        Ok(())
    }

    /// The path and the query, as the request line has them.
    pub(crate) fn target(&self) -> &str {
        &self.url[url::Position::BeforePath..url::Position::AfterQuery]
    }
}

/// Shows no header, and no query: either may hold a key.
impl fmt::Debug for Signable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signable({} {})", self.method, self.url.path())
    }
}

pub(crate) fn header_name(name: &str) -> Result<reqwest::header::HeaderName, String> {
    name.parse().map_err(|_| format!("the header name {name:?} is not one: letters, digits and dashes"))
}

/// Where a signature's secrets come from: the variables of its Api. See [`Sign`] for an example.
///
/// # A secret with a form of its own
/// ```
/// use bowline_client::{LiveSecret, SigningSetup};
/// use bowline_model::Secret;
///
/// fn secret(setup: &mut SigningSetup<'_>, given: Option<Secret>) -> Option<LiveSecret> {
///     let secret = match given {
///         Some(secret) => setup.fixed(secret),
///         None => setup.secret_or("PARTNER_PIN", "PIN", || "0000".to_owned())?,
///     };
///     if secret.current().expose().len() != 4 {
///         setup.problem(Some(&secret), "is no PIN: four digits");
///     }
///     Some(secret)
/// }
/// ```
pub struct SigningSetup<'a> {
    settings: &'a mut Settings,
    /// The variables that it was given.
    variables: Vec<String>,
}

impl SigningSetup<'_> {
    /// The secret in that variable, or in the file that its `NAME_FILE` names. `what` tells people what it is for, as
    /// `signing secret`. If there is neither, that is a problem of the Api, and nothing is sent until it is solved.
    pub fn secret(&mut self, variable: &str, what: &str) -> Option<LiveSecret> {
        self.secret_or(variable, what, || format!("test-{variable}"))
    }

    /// As [`secret`](Self::secret), with the value that stands in for it in tests, for secrets with a form of their own.
    pub fn secret_or(
        &mut self,
        variable: &str,
        what: &str,
        stand_in: impl FnOnce() -> String,
    ) -> Option<LiveSecret> {
        let secret = self.settings.live_secret_or(variable, what, stand_in)?;
        self.variables.extend(secret.variable().map(Into::into));
        Some(secret)
    }

    /// As [`secret`](Self::secret), for what need not be there.
    pub fn secret_if_set(&mut self, variable: &str) -> Option<LiveSecret> {
        let is_set = |name: &str| self.settings.variables.get(name).is_some();
        (is_set(variable) || is_set(&format!("{variable}_FILE"))).then(|| self.secret(variable, "secret"))?
    }

    /// A secret that was set in code: kept out of sight from now on.
    pub fn fixed(&mut self, secret: Secret) -> LiveSecret {
        let secret = LiveSecret::fixed(secret);
        secret.scrub(Arc::make_mut(&mut self.settings.scrub));
        secret
    }

    /// Says what is wrong with a secret, or with another setting of the signature.
    pub fn problem(&mut self, secret: Option<&LiveSecret>, what: impl Into<String>) {
        let variable = secret.and_then(LiveSecret::variable);
        self.settings.problem(variable.map_or(Source::Code("sign"), Source::Variable), what.into());
    }
}

impl fmt::Debug for SigningSetup<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningSetup({}: {:?})", self.settings.name, self.variables)
    }
}

/// A signature, set up.
#[derive(Clone)]
pub(crate) struct Signature {
    sign: Arc<dyn Sign>,
    /// Where its secrets come from, for people.
    source: Arc<str>,
}

impl Signature {
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn sign(&self, request: &mut Signable<'_>, now: Timestamp) -> Result<(), String> {
        self.sign.sign(request, now).map_err(|what| format!("it cannot be signed: {what}"))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", self.source)
    }
}

/// Signatures.
impl Api {
    /// Signs each request when everything else on it is final; several signatures are made in the order given.
    ///
    /// # A partner's signature
    /// ```
    /// use bowline_client::{Api, HmacSigning};
    ///
    /// let partner = Api::new("partner")
    ///     .base_url("https://partner.example.com")
    ///     .sign(HmacSigning::sha256("X-Signature").secret_env("PARTNER_SECRET").prefix("sha256="));
    /// ```
    ///
    /// # Durability
    /// A signature is made for each attempt, and never recorded: one that is repeated after a crash is signed for its
    /// own time, with the secret of that time.
    pub fn sign(self, mut signature: impl Sign) -> Self {
        self.with(|settings| {
            let mut setup = SigningSetup { settings, variables: vec![] };
            signature.set_up(&mut setup);
            let variables = setup.variables;
            let source =
                if variables.is_empty() { "its signature".into() } else { variables.join(", ").into() };
            let signature = Signature { sign: Arc::new(signature), source };
            settings.credentials.push(Credential::Signature(signature));
        })
    }
}

/// The one secret of a signature, before and after it is set up.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    Nothing,
    Variable(String),
    Fixed(Secret),
    Found(LiveSecret),
}

impl Wanted {
    /// Looks it up; `None` if that is a problem.
    pub(crate) fn find(
        &mut self,
        setup: &mut SigningSetup<'_>,
        what: &str,
        stand_in: impl FnOnce(&str) -> String,
    ) -> Option<LiveSecret> {
        let found = match self {
            Self::Nothing => {
                setup.problem(None, format!("has no {what}: give it one, as .secret_env(\"NAME\")"));
                return None;
            }
            Self::Variable(variable) => setup.secret_or(variable, what, || stand_in(variable))?,
            Self::Fixed(secret) => setup.fixed(secret.clone()),
            Self::Found(found) => found.clone(),
        };
        *self = Self::Found(found.clone());
        Some(found)
    }

    /// Its value now.
    pub(crate) fn current(&self) -> Result<Secret, String> {
        match self {
            Self::Found(secret) => Ok(secret.current()),
            Self::Fixed(secret) => Ok(secret.clone()),
            Self::Nothing | Self::Variable(_) => Err("its secret was never looked up".into()),
        }
    }
}
