//! What all schemes have in common: verify a request, sign one.

use std::fmt;

use http::{HeaderName, HeaderValue};
use jiff::Timestamp;

use crate::{Error, Request};

/// How one sender shows that it sent a request.
///
/// ```
/// use bowline_signature::{Request, Scheme, SigningSecret, Stripe, Unsigned};
/// use jiff::Timestamp;
///
/// let scheme: Box<dyn Scheme> = Box::new(Stripe::new(SigningSecret::new("whsec_test")?));
/// let now = Timestamp::from_second(1_700_000_000)?;
///
/// let signed = scheme.sign(&Unsigned::json("evt_1", b"{}"), now)?;
/// let headers: http::HeaderMap = signed.headers.into_iter().collect();
/// assert_eq!(scheme.verify(&Request::post(&headers, &signed.body), now), Ok(()));
/// assert!(scheme.verify(&Request::post(&headers, b"{ }"), now).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Scheme: fmt::Debug + Send + Sync + 'static {
    /// Whether the sender sent exactly this, and not too long ago.
    ///
    /// The age is looked at last, so that only who knows a secret learns anything of this machine's clock. That a
    /// genuine request was recorded and is sent again within that age is not seen here: remember the ids of events.
    ///
    /// # Errors
    /// [`Error`], whose text may be logged and sent back.
    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<(), Error>;

    /// What the sender would send: with the first secret, now.
    ///
    /// # Errors
    /// [`CannotSign`] if what is known here verifies only, or if nobody could sign this.
    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<Signed, CannotSign>;

    /// The headers that carry signatures and keys, in lower case: they are credentials, and are not kept.
    fn headers(&self) -> Vec<HeaderName>;
}

/// A request before it is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsigned<'a> {
    /// `POST`.
    pub method: &'a str,
    /// Where it goes, query included; needed by schemes that sign it.
    pub url: Option<&'a str>,
    /// The event's id, for schemes that say it in a header.
    pub id: &'a str,
    /// The body's media type, with its parameters: for schemes that sign forms in another way.
    pub content_type: &'a str,
    /// The body.
    pub body: &'a [u8],
}

impl<'a> Unsigned<'a> {
    /// A POST of JSON.
    pub fn json(id: &'a str, body: &'a [u8]) -> Self {
        Self { method: "POST", url: None, id, content_type: "application/json", body }
    }

    /// Sent to that URL.
    pub fn to(self, url: &'a str) -> Self {
        Self { url: Some(url), ..self }
    }
}

/// What a sender sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The headers of the signature; the body's type is not among them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body: another one than was given where the signature stands in it.
    pub body: Vec<u8>,
}

impl Signed {
    /// That body with these headers. Names are in lower case.
    ///
    /// # Errors
    /// [`CannotSign`] if a value cannot stand in a header.
    pub fn new<V: AsRef<str>>(
        headers: impl IntoIterator<Item = (&'static str, V)>,
        body: &[u8],
    ) -> Result<Self, CannotSign> {
        let pair = |(name, value): (&'static str, V)| {
            let value = HeaderValue::from_str(value.as_ref()).map_err(|_| {
                CannotSign::new(format!("the {name} header would hold what no header's value may hold"))
            })?;
            Ok((HeaderName::from_static(name), value))
        };
        Ok(Self { headers: headers.into_iter().map(pair).collect::<Result<_, _>>()?, body: body.to_vec() })
    }
}

/// What is known here is not enough to sign as the sender would.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct CannotSign {
    reason: String,
}

impl CannotSign {
    /// With the reason: fact, hint, and no secret.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }

    /// The scheme signs the address, and none was given.
    pub(crate) fn url_unknown() -> Self {
        Self::new("the sender signs the address it sends to; say which one that is")
    }
}
