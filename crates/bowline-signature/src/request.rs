//! A request as it came, for schemes that look at more of it than the body.

use std::cell::RefCell;

use http::{HeaderMap, HeaderValue};

use crate::{Error, header};

/// A request as it came. Nothing in it is trusted.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// `POST`.
    pub method: &'a str,
    /// The whole URL as the sender knows it, query included, e.g. `https://hooks.example.com/webhooks/twilio?x=1`.
    /// Behind a proxy that is not what this server sees. `None` where nobody knows it: schemes that sign it refuse then.
    pub url: Option<&'a str>,
    /// All headers.
    pub headers: &'a dyn Headers,
    /// The body's bytes exactly as received: parsed and written again, they no longer fit.
    pub body: &'a [u8],
}

/// Where a scheme looks headers up.
pub trait Headers {
    /// The value of the only header of that name, which is in lower case; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::HeaderTwice`] if it came twice.
    fn only(&self, name: &str) -> Result<Option<&[u8]>, Error>;
}

impl Headers for HeaderMap {
    fn only(&self, name: &str) -> Result<Option<&[u8]>, Error> {
        let mut values = self.get_all(name).iter();
        match (values.next(), values.next()) {
            (value, None) => Ok(value.map(HeaderValue::as_bytes)),
            (_, Some(_)) => Err(Error::HeaderTwice { header: name.to_owned() }),
        }
    }
}

impl<'a> Request<'a> {
    /// A POST of that body.
    pub fn post(headers: &'a dyn Headers, body: &'a [u8]) -> Self {
        Self { method: "POST", url: None, headers, body }
    }

    /// Sent to that URL, as the sender knows it.
    pub fn at(self, url: &'a str) -> Self {
        Self { url: Some(url), ..self }
    }

    /// The value of a header that every genuine request has, without the space around it. `hint` says what to check if
    /// it is not there.
    ///
    /// # Errors
    /// [`Error::HeaderMissing`], [`Error::HeaderTwice`], [`Error::HeaderTooLong`].
    pub fn required(&self, name: &'static str, hint: &'static str) -> Result<&'a [u8], Error> {
        let missing = || Error::HeaderMissing { header: name.to_owned(), hint };
        header::bounded(name, self.headers.only(name)?.ok_or_else(missing)?)
    }

    /// Asks a verifier that looks headers up by their names. None that it looks at may come twice.
    pub(crate) fn looked_up<T>(
        &self,
        verify: impl FnOnce(&dyn Fn(&str) -> Option<&'a [u8]>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let twice = RefCell::new(None);
        let header = |name: &str| match self.headers.only(name) {
            Ok(value) => value,
            Err(came_twice) => {
                *twice.borrow_mut() = Some(came_twice);
                None
            }
        };
        let verified = verify(&header);
        twice.into_inner().map_or(verified, Err)
    }

    /// The URL, for schemes that sign it.
    ///
    /// # Errors
    /// [`Error::UrlUnknown`].
    pub fn signed_url(&self) -> Result<&'a str, Error> {
        self.url.ok_or(Error::UrlUnknown)
    }
}
