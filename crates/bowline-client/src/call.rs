//! One described request: a plain value that sends nothing until a step, or `send`, runs it.

use std::{fmt, sync::Arc};

use bowline_model::{Attempt, Effect, Fingerprint, Recorded, Repeat, Shape, Verdict, canonical};
use bytes::Bytes;
use reqwest::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde::{Serialize, de::DeserializeOwned};
use url::form_urlencoded;

use crate::{
    Api, Response,
    body::Body,
    read::{Json, Plain, Read},
    recall::Answers,
};

/// How much of a body's hash is kept: enough to tell two bodies apart.
const BODY_HASH_BYTES: usize = 8;

/// One request to an [`Api`], described. It sends nothing until a step or [`send`](Call::send) runs it, and can then be
/// sent several times, and again after a crash.
///
/// Without [`decode`](Call::decode) it yields a [`Response`], which can be recorded as it is.
///
/// What is wrong with the description itself (a path that climbs, a value that cannot be encoded) is kept, and becomes
/// a permanent failure when the call runs: nothing is sent then.
///
/// # What is recorded of a call
/// ```
/// use bowline_client::Api;
/// use bowline_model::Effect;
///
/// let crm = Api::new("crm").base_url("https://crm.example.com/v1");
/// let call = crm.post("/contacts").query("notify", false).json(&["jane@example.com"]);
/// let shape = call.shape();
/// assert_eq!(
///     shape.fingerprint.unwrap().to_string(),
///     "POST crm /contacts?notify=false (body 35b8314af82886e7)",
/// );
/// ```
#[must_use = "a call is only a description: hand it to a step, or send it"]
pub struct Call<T = Response> {
    api: Api,
    request: Box<Request>,
    read: Arc<dyn Read<T>>,
}

#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    /// A query as it is, before the other one: some remotes want a name without `=`, as `?wsdl`.
    pub(crate) bare_query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Typed>,
    /// Whether it changes nothing, whatever its method: a query in a POST.
    pub(crate) reads: bool,
    /// What is wrong with the description: the first thing.
    pub(crate) problem: Option<String>,
}

/// A body, and how it is written.
#[derive(Clone)]
pub(crate) struct Typed {
    pub(crate) content: Body,
    pub(crate) kind: BodyKind,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BodyKind {
    Json,
    Form,
    Raw,
}

impl Call {
    pub(crate) fn new(api: Api, method: Method, path: &str) -> Self {
        let request = Request {
            method,
            path: path.to_owned(),
            query: vec![],
            bare_query: None,
            headers: HeaderMap::new(),
            body: None,
            reads: false,
            problem: None,
        };
        Self { api, request: Box::new(request), read: Arc::new(Plain) }
    }

    /// The same call, its answer read as JSON into `T`. An empty answer reads as `null`: `()` and `Option` take it.
    ///
    /// # Into a type of one's own
    /// ```
    /// # let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// #[derive(serde::Deserialize)]
    /// struct Contact {
    ///     email: String,
    /// }
    ///
    /// let call = crm.get("/contacts/7").decode::<Contact>();
    /// ```
    pub fn decode<T: Decoded>(self) -> Call<T> {
        self.reading(Json)
    }
}

/// What an answer can be read as: every type that can be read from JSON.
///
/// # A function for every type
/// ```
/// use bowline_client::{Api, Call, Decoded};
///
/// fn get<T: Decoded>(crm: &Api, path: &str) -> Call<T> {
///     crm.get(path).decode()
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "an answer cannot be read as `{Self}`",
    label = "this needs a type that can be read from JSON",
    note = "derive it, as in `#[derive(Deserialize)] struct Contact {{ .. }}`; a step records what it reads, and needs `Serialize` too",
    note = "if this names the type `!`, nobody said what to read the answer as: `.decode::<Contact>()`, or `let contact: Contact = ..`"
)]
pub trait Decoded: DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> Decoded for T {}

impl<T> Call<T> {
    /// The same call, its answer read in that way.
    pub(crate) fn reading<U>(self, read: impl Read<U> + 'static) -> Call<U> {
        Call { api: self.api, request: self.request, read: Arc::new(read) }
    }

    /// Sets the part of the query that is written as it is.
    #[cfg(feature = "soap")]
    pub(crate) fn bare_query(mut self, query: Option<&str>) -> Self {
        self.request.bare_query = query.map(Into::into);
        self
    }

    /// Adds a parameter to the query, encoded. Order is kept, names may repeat.
    pub fn query(mut self, name: &str, value: impl ToString) -> Self {
        self.request.query.push((name.to_owned(), value.to_string()));
        self
    }

    /// Sets the body to a value as JSON. The keys of its objects are sorted, so that equal values give equal bytes in
    /// every process; a `HashSet` has no order to give: use a `BTreeSet`.
    pub fn json<B: Serialize + ?Sized>(self, value: &B) -> Self {
        match canonical::to_json(value) {
            Ok(json) => self.with_body(json, BodyKind::Json, "application/json"),
            Err(error) => self.problem(format!("the body cannot be written as JSON: {error}")),
        }
    }

    /// Sets the body to a form (`application/x-www-form-urlencoded`).
    ///
    /// # A form
    /// ```
    /// let shop = bowline_client::Api::new("shop").base_url("https://shop.example.com");
    /// let call = shop.post("/charges").form(&[("amount", "1200"), ("currency", "eur")]);
    /// ```
    pub fn form<K: AsRef<str>, V: ToString>(self, fields: &[(K, V)]) -> Self {
        let mut form = form_urlencoded::Serializer::new(String::new());
        for (name, value) in fields {
            form.append_pair(name.as_ref(), &value.to_string());
        }
        self.with_body(form.finish(), BodyKind::Form, "application/x-www-form-urlencoded")
    }

    /// Sets the body to bytes, with their content type.
    ///
    /// # Text
    /// ```
    /// let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// let call = crm.post("/notes").body("called back", "text/plain; charset=utf-8");
    /// ```
    pub fn body(self, bytes: impl Into<Bytes>, content_type: &str) -> Self {
        self.with_body(bytes, BodyKind::Raw, content_type)
    }

    pub(crate) fn with_content(mut self, content: Body) -> Self {
        self.request.body = Some(Typed { content, kind: BodyKind::Raw });
        self
    }

    fn with_body(mut self, bytes: impl Into<Bytes>, kind: BodyKind, content_type: &str) -> Self {
        self.request.body = Some(Typed { content: Body::Bytes(bytes.into()), kind });
        self.header("content-type", content_type)
    }

    /// Sets a header. Credentials belong to the [`Api`], which keeps them out of sight; the headers of the connection
    /// (`Host`, `Content-Length`) are the client's own.
    ///
    /// # A version of the API
    /// ```
    /// let github = bowline_client::Api::new("github").base_url("https://api.github.com");
    /// let call = github.get("/user").header("x-github-api-version", "2022-11-28");
    /// ```
    pub fn header(mut self, name: &str, value: impl AsRef<str>) -> Self {
        const OWN: [&str; 7] =
            ["host", "content-length", "transfer-encoding", "connection", "te", "upgrade", "accept-encoding"];
        let Ok(name) = HeaderName::try_from(name) else {
            return self.problem(format!("the header name {name:?} is not one: letters, digits and dashes"));
        };
        if OWN.contains(&name.as_str()) {
            return self.problem(format!("the header {name} is set by the client itself"));
        }
        let Ok(mut value) = HeaderValue::from_str(value.as_ref()) else {
            return self.problem(format!("the header {name} holds a character that a header cannot carry"));
        };
        let is_own_key = self.api.settings().idempotency.is_header(name.as_str());
        value.set_sensitive(is_credential(name.as_str()) && !is_own_key);
        self.request.headers.insert(name, value);
        self
    }

    /// The same call, that does not change anything: it is repeated without a key.
    pub(crate) fn reads(mut self) -> Self {
        self.request.reads = true;
        self
    }

    pub(crate) fn problem(mut self, what: String) -> Self {
        self.request.problem.get_or_insert(what);
        self
    }

    /// How its answer is read when nobody wants the value any more.
    pub(crate) fn answers(&self) -> Option<Answers> {
        self.read.answers()
    }

    pub(crate) fn api(&self) -> &Api {
        &self.api
    }

    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    pub(crate) fn request_mut(&mut self) -> &mut Request {
        &mut self.request
    }

    /// Whether the call can be repeated: GET, HEAD, PUT, DELETE as they are (RFC 9110 §9.2.2), POST and PATCH while
    /// the remote remembers their key. An Api without keys repeats at any time: its author said so.
    pub(crate) fn repeat(&self) -> Repeat {
        let settings = self.api.settings();
        let lifetime = settings.key_is_sent_for(&self.request).then_some(settings.key_lifetime);
        lifetime.map_or(Repeat::Safe, |lifetime| Repeat::Keyed { lifetime })
    }

    fn fingerprint(&self) -> Fingerprint {
        let mut query = form_urlencoded::Serializer::new(self.request.bare_query.clone().unwrap_or_default());
        let scrub = &self.api.settings().scrub;
        let shown = |(name, value): &(String, String)| {
            (name.clone(), scrub.without_secrets(scrub.shown(name, value)))
        };
        query.extend_pairs(self.request.query.iter().map(shown));
        let body = self.request.body.as_ref().and_then(|body| body.content.fingerprint());
        Fingerprint {
            api: self.api.name().to_owned(),
            method: self.request.method.to_string(),
            path: scrub.without_secrets(&self.api.settings().recorded_path(&self.request.path)),
            query: query.finish(),
            body: body.map(|hash| hex::encode(&hash[..BODY_HASH_BYTES])).unwrap_or_default(),
        }
    }

    /// One attempt, judged.
    pub(crate) async fn attempt_once(&self, attempt: &Attempt) -> Verdict<T> {
        self.api.attempt(&self.request, attempt, &*self.read).await
    }
}

/// Headers whose values are never shown.
pub(crate) fn is_credential(name: &str) -> bool {
    ["auth", "cookie", "token", "secret", "key", "passw", "signature"].iter().any(|word| name.contains(word))
}

impl<T: Recorded> Effect for Call<T> {
    type Output = T;

    fn shape(&self) -> Shape {
        Shape { fingerprint: Some(self.fingerprint()), repeat: self.repeat() }
    }

    async fn attempt(&self, attempt: Attempt) -> Verdict<T> {
        self.attempt_once(&attempt).await
    }
}

impl<T> Clone for Call<T> {
    fn clone(&self) -> Self {
        Self { api: self.api.clone(), request: self.request.clone(), read: self.read.clone() }
    }
}

/// Shows the fingerprint: no host, no credentials, no body.
impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({})", self.fingerprint())
    }
}
