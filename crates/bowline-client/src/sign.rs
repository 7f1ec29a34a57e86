//! Signatures over requests that leave.

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::{Method, header::HeaderMap};
use url::Url;

/// Signs the requests of an Api, each attempt anew, when everything else on the request is final.
pub trait Sign: Send + Sync + 'static {
    /// Puts the signature on the request.
    ///
    /// # Errors
    /// Says why it cannot; nothing is sent then.
    fn sign(&self, request: &mut Signable<'_>, now: Timestamp) -> Result<(), String>;
}

/// A request about to be signed.
#[derive(Debug)]
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
