//! First-party JSON: what a site's own forms, pages and programs post.
//!
//! The body is any JSON, of which a workflow receives all. The event's type is always [`KIND`]. Its id is what the
//! route derives from the body, else the `Idempotency-Key` header
//! (<https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>); a request with neither is never
//! taken for another.
//!
//! The same key with another body is the client's mistake, and answered 422. On an open route, an id that is derived
//! from the body shows nothing of the first sender's run to who sends another body: the answer is
//! `{"status":"duplicate"}`. Bodies are compared as JSON.

mod auth;
mod idempotency_key;

use std::{fmt, sync::Arc, time::Duration};

use axum::http::{HeaderName, HeaderValue, header::CONTENT_TYPE};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::json;
use crate::{
    Delivery, Envelope, Named, Provider, RawRequest, ReceiptForm, Rejection, Repeat, SignError,
    SignedRequest, Unsigned, desk::is_of_type,
};

pub use auth::{Auth, InvalidAuth};
pub use idempotency_key::{HEADER as IDEMPOTENCY_KEY, KEY_BYTES_MAX};

/// For how long a repetition is recognised, unless set: as long as public APIs remember idempotency keys.
pub const DEDUPE_FOR: Duration = Duration::from_hours(24);

/// The type of all events.
pub const KIND: &str = "post";

/// What the ids of events that have one from the `Idempotency-Key` header begin with. A client that chooses its own
/// key must not be able to meet one that the route derives from bodies.
pub const KEY_PREFIX: &str = "idempotency-key:";

const NAME: &str = "post";
/// What HTML forms send.
const FORM: &str = "application/x-www-form-urlencoded";

/// Checks and reads a body: yields what the route derives the event's id from, if anything.
type Reads = dyn Fn(&[u8]) -> Result<Option<String>, Rejection> + Send + Sync;

/// First-party JSON, for whoever `auth` lets in.
///
/// ```
/// use bowline_ingress::providers::{Auth, Post};
/// use bowline_model::Secret;
///
/// // Whoever has one of the keys; any JSON; repetitions by their Idempotency-Key.
/// let keys = [Secret::new("k-17"), Secret::new("k-16, until all have the new one")];
/// let orders = Post::new(Auth::api_key("X-Api-Key", keys)?, |_body| Ok(None));
///
/// // Everybody: that is never a default.
/// let signups = Post::new(Auth::Open, |_body| Ok(None));
/// # Ok::<(), bowline_ingress::providers::post::InvalidAuth>(())
/// ```
#[derive(Clone)]
pub struct Post {
    auth: Auth,
    reads: Arc<Reads>,
    dedupe_for: Duration,
    form: Option<Arc<FromForm>>,
    thanks: Option<HeaderValue>,
}

/// Makes JSON of a form's body.
type FromForm = dyn Fn(&[u8]) -> Result<Vec<u8>, Rejection> + Send + Sync;

impl Post {
    /// For whoever `auth` lets in. `reads` is asked of every body, which is JSON: it refuses what is not valid with
    /// [`Rejection::Invalid`], and yields the key that makes it the same as another one, if it has one. It must not
    /// block, and yield the same for the same body. On an open route choose a key that only one sender knows, where
    /// nobody else may learn that it came before.
    pub fn new(
        auth: Auth,
        reads: impl Fn(&[u8]) -> Result<Option<String>, Rejection> + Send + Sync + 'static,
    ) -> Self {
        Self { auth, reads: Arc::new(reads), dedupe_for: DEDUPE_FOR, form: None, thanks: None }
    }

    /// For how long a repetition is recognised; [`DEDUPE_FOR`] unless set.
    pub fn dedupe_for(mut self, time: Duration) -> Self {
        self.dedupe_for = time;
        self
    }

    /// Also takes what HTML forms send (`application/x-www-form-urlencoded`). `to_json` makes the JSON that is kept, and
    /// that `reads` is asked of.
    ///
    /// Pages of every origin can send a form without asking first: what else is true of a route, its credentials and
    /// limits, counts for forms too.
    pub fn forms(
        mut self,
        to_json: impl Fn(&[u8]) -> Result<Vec<u8>, Rejection> + Send + Sync + 'static,
    ) -> Self {
        self.form = Some(Arc::new(to_json));
        self
    }

    /// Where a browser goes that has sent a form: 303 instead of JSON.
    pub fn thanks(mut self, page: HeaderValue) -> Self {
        self.thanks = Some(page);
        self
    }

    /// Who may post.
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    fn envelope(&self, request: &RawRequest<'_>) -> Result<Envelope, Rejection> {
        if let Some(key) = (self.reads)(request.body)? {
            // Where nobody shows who they are, whoever says Ada's address is not therefore Ada.
            let repeat = if self.auth.is_open() { Repeat::ByAnyone } else { Repeat::Redelivery };
            return Ok(Envelope { repeat, ..Envelope::new(key, KIND) });
        }
        let header = request.header(IDEMPOTENCY_KEY);
        match header.map_err(|twice| Rejection::unroutable(twice.to_string()))? {
            Some(value) => {
                let key = idempotency_key::parse(value)?;
                let id = format!("{KEY_PREFIX}{key}");
                Ok(Envelope { repeat: Repeat::SameBody, ..Envelope::new(id, KIND) })
            }
            None => Ok(Envelope::without_id(KIND)),
        }
    }
}

impl Provider for Post {
    fn name(&self) -> &'static str {
        NAME
    }

    fn media_types(&self) -> &'static [&'static str] {
        if self.form.is_some() { &["application/json", FORM] } else { &["application/json"] }
    }

    fn dedupe_for(&self) -> Duration {
        self.dedupe_for
    }

    fn input_pointer(&self) -> &str {
        ""
    }

    fn authenticate(&self, request: &RawRequest<'_>, _now: Timestamp) -> Result<(), Rejection> {
        self.auth.check(request)
    }

    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        let Some(to_json) = self.form.as_ref().filter(|_| is_form(request)) else {
            json::check(request.body)?;
            return Ok(Delivery::one(self, request, self.envelope(request)?));
        };
        let body = Bytes::from(to_json(request.body)?);
        let request = RawRequest { body: &body, ..*request };
        Ok(Delivery::one(self, &request, self.envelope(&request)?))
    }

    fn receipt(&self, request: &RawRequest<'_>) -> ReceiptForm {
        match &self.thanks {
            Some(page) if is_form(request) => ReceiptForm::SeeOther(page.clone()),
            Some(_) | None => ReceiptForm::Json,
        }
    }

    fn credential_headers(&self) -> Vec<HeaderName> {
        self.auth.header().into_iter().collect()
    }

    fn logs_ids(&self) -> bool {
        false
    }

    fn challenge(&self) -> Option<HeaderValue> {
        self.auth.challenge().map(HeaderValue::from_static)
    }

    fn headers_of_pages(&self) -> Vec<HeaderName> {
        let mut names = vec![HeaderName::from_static(IDEMPOTENCY_KEY)];
        names.extend(self.auth.header());
        names
    }

    fn sign(&self, unsigned: &Unsigned<'_>, _now: Timestamp) -> Result<SignedRequest, SignError> {
        let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        if let (Some(name), Some(value)) = (self.auth.header(), self.auth.present()) {
            headers.push(json::header(NAME, name.as_str(), value)?);
        }
        if let Some(id) = unsigned.id {
            headers.push(json::header(NAME, IDEMPOTENCY_KEY, format!("{id:?}"))?);
        }
        Ok(SignedRequest { headers, body: Bytes::copy_from_slice(unsigned.body) })
    }

    fn body(&self, _event: &Named<'_>, input: &Value) -> Value {
        input.clone()
    }
}

fn is_form(request: &RawRequest<'_>) -> bool {
    request.headers.get(CONTENT_TYPE).is_some_and(|content_type| is_of_type(content_type, FORM))
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post")
            .field("auth", &self.auth)
            .field("dedupe_for", &self.dedupe_for)
            .finish_non_exhaustive()
    }
}
