//! GraphQL: a query or mutation as a call, whose errors fail it though the status is 200.
//!
//! What comes in: a document, variables, and the type of the data. What goes out: data, or an error with path and code.
//! What must never happen here: an answer with `errors` that counts as done (but for [`GraphQl::partial`], which says
//! so), a mutation without an idempotency key, or one that is taken for a query.
//!
//! | Module | Story |
//! |---|---|
//! | `document` | whether a document is a query or a mutation |
//! | `answer` | what an answer says |

pub(crate) mod answer;
mod document;

use std::fmt;

use bowline_model::canonical;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use self::answer::Parts;
use crate::{
    Api, Call, Pages, Paging,
    call::Decoded,
    read::{Cost, Read, Said, Unread},
    recall::Answers,
    report,
    scrub::Scrub,
    verdict::Answer,
};

/// What the answer may be written as (GraphQL over HTTP).
const ACCEPT: &str = "application/graphql-response+json, application/json;q=0.9";

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It changes nothing: it is repeated without a key.
    Query,
    Mutation,
}

/// A query or mutation, described: what [`Api::graphql`] makes.
///
/// A query changes nothing, and is repeated as a GET is. A mutation carries the idempotency key, as a POST does. Which of
/// the two it is, the document says.
///
/// An answer with `errors` fails the call, whatever its status: the error says the first one's message, path and code
/// ([`Error::code`](bowline_model::Error::code)). Codes that speak of limits make it wait, until the cost is there again where the answer says it
/// (Shopify); codes that speak of the server's own faults make it try again; all others are a no.
///
/// # A product
/// ```no_run
/// # async fn f(shop: bowline_client::Api) -> Result<(), bowline_model::Error> {
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Data { product: Option<Product> }
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Product { title: String }
///
/// let data: Data = shop
///     .graphql("query($id: ID!) { product(id: $id) { title } }")
///     .variables(&serde_json::json!({"id": "gid://shopify/Product/1"}))
///     .decode()
///     .send()
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "a query is only a description: decode it, and hand the call to a step, or send it"]
pub struct GraphQl {
    api: Api,
    path: String,
    query: String,
    operation: Option<String>,
    variables: Option<Result<Box<RawValue>, String>>,
    headers: Vec<(String, String)>,
}

impl Api {
    /// Describes a GraphQL request. It is posted to the base URL itself; [`at`](GraphQl::at) another path below it.
    ///
    /// # A query and a mutation
    /// ```
    /// use bowline_client::Api;
    /// use bowline_model::{Effect, Repeat};
    ///
    /// let github = Api::new("github").base_url("https://api.github.com/graphql");
    /// let who = github.graphql("{ viewer { login } }").decode::<serde_json::Value>();
    /// assert_eq!(who.shape().repeat, Repeat::Safe);
    /// let star = github.graphql("mutation { addStar(input: {}) { clientMutationId } }").decode::<serde_json::Value>();
    /// assert_ne!(star.shape().repeat, Repeat::Safe);
    /// ```
    pub fn graphql(&self, query: &str) -> GraphQl {
        GraphQl {
            api: self.clone(),
            path: String::new(),
            query: query.to_owned(),
            operation: None,
            variables: None,
            headers: vec![],
        }
    }
}

impl GraphQl {
    /// The path below the base URL, where it is not the base URL itself.
    ///
    /// # Below the base URL
    /// ```
    /// # let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// let query = crm.graphql("{ viewer { id } }").at("/graphql");
    /// # let _ = query;
    /// ```
    pub fn at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Which of the document's operations to run, if it has several.
    ///
    /// # One of two
    /// ```
    /// # let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// let both = "query A { a } mutation B { b }";
    /// let query = crm.graphql(both).operation("A");
    /// # let _ = query;
    /// ```
    pub fn operation(mut self, name: &str) -> Self {
        self.operation = Some(name.to_owned());
        self
    }

    /// The variables: a struct or map, as JSON with sorted keys, so that equal values give equal bytes.
    ///
    /// # A struct
    /// ```
    /// #[derive(serde::Serialize)]
    /// struct Variables { first: u32 }
    /// # let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// let query = crm.graphql("query($first: Int!) { contacts(first: $first) { id } }").variables(&Variables { first: 10 });
    /// # let _ = query;
    /// ```
    pub fn variables<V: Serialize + ?Sized>(mut self, variables: &V) -> Self {
        let json = canonical::to_json(variables).map_err(|error| error.to_string());
        self.variables =
            Some(json.map(|json| serde_json::from_slice(&json).expect("was just written as JSON")));
        self
    }

    /// Sets a header, as [`Call::header`].
    ///
    /// # A version
    /// ```
    /// # let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// let query = crm.graphql("{ viewer { id } }").header("X-Api-Version", "2026-10");
    /// # let _ = query;
    /// ```
    pub fn header(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The call, whose data is read into `T`. Any error in the answer fails it.
    ///
    /// # As a value
    /// ```
    /// # let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// let call = crm.graphql("{ viewer { id } }").decode::<serde_json::Value>();
    /// # let _ = call;
    /// ```
    pub fn decode<T: Decoded>(self) -> Call<T> {
        let (call, kind) = self.call();
        call.reading(Data { kind })
    }

    /// The call that takes what data there is, with the errors beside it. It still fails where nothing ran, and where
    /// it was too early.
    ///
    /// # Two products, of which one may be gone
    /// ```
    /// # let api = bowline_client::Api::new("shop").base_url("https://shop.example.com");
    /// # let call =
    /// api.graphql("{ a: product(id: 1) { title } b: product(id: 2) { title } }").partial::<serde_json::Value>();
    /// # let _ = call;
    /// ```
    pub fn partial<T: Decoded>(self) -> Call<Partial<T>> {
        let (call, kind) = self.call();
        call.reading(PartialData { kind })
    }

    /// The items of a connection, in pages: `path` leads to it in the data, and the query takes the cursor as the
    /// variable `$after`, and asks for `pageInfo { hasNextPage endCursor }` and `nodes` (or `edges { node }`). For another
    /// variable, [`pages_by`](GraphQl::pages_by).
    ///
    /// # All issues
    /// ```
    /// let github = bowline_client::Api::new("github").base_url("https://api.github.com/graphql");
    /// let issues = github
    ///     .graphql(
    ///         "query($after: String) { repository(owner: \"rust-lang\", name: \"rust\") {
    ///            issues(first: 100, after: $after) { nodes { title } pageInfo { hasNextPage endCursor } } } }",
    ///     )
    ///     .pages::<serde_json::Value>("repository.issues");
    /// # let _ = issues;
    /// ```
    pub fn pages<T: DeserializeOwned + Send + 'static>(self, path: &str) -> Pages<T> {
        self.pages_by(Paging::graphql(path))
    }

    /// As [`pages`](GraphQl::pages), with all that a [`Paging::graphql`] can be told.
    ///
    /// # Another variable
    /// ```
    /// # use bowline_client::{Api, Paging};
    /// # let api = Api::new("linear").base_url("https://api.linear.app/graphql");
    /// let query = "query($cursor: String) { issues(after: $cursor) { nodes { id } pageInfo { hasNextPage endCursor } } }";
    /// let issues = api.graphql(query).pages_by::<serde_json::Value>(Paging::graphql("issues").variable("cursor"));
    /// # let _ = issues;
    /// ```
    pub fn pages_by<T: DeserializeOwned + Send + 'static>(self, paging: Paging) -> Pages<T> {
        self.call().0.pages("", paging)
    }

    fn call(self) -> (Call, Kind) {
        let mut call = self.api.post(&self.path).header("accept", ACCEPT);
        let kind = document::kind(&self.query, self.operation.as_deref());
        let variables = match self.variables.transpose() {
            Ok(variables) => variables,
            Err(error) => {
                call = call.problem(format!("the variables cannot be written as JSON: {error}"));
                None
            }
        };
        let body = Body {
            operation: self.operation.as_deref(),
            query: &self.query,
            variables: variables.as_deref(),
        };
        call = call.json(&body);
        for (name, value) in &self.headers {
            call = call.header(name, value);
        }
        match kind {
            Ok(kind) => (if kind == Kind::Query { call.reads() } else { call }, kind),
            Err(problem) => (call.problem(problem), Kind::Mutation),
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "operationName", skip_serializing_if = "Option::is_none")]
    operation: Option<&'a str>,
    query: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variables: Option<&'a RawValue>,
}

/// Shows neither the query nor its variables: they may hold personal data.
impl fmt::Debug for GraphQl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphQl")
            .field("api", &self.api.name())
            .field("operation", &self.operation)
            .finish_non_exhaustive()
    }
}

/// Data with the errors beside it: what [`GraphQl::partial`] yields. It can be recorded.
///
/// # As a journal keeps it
/// ```
/// use bowline_client::Partial;
///
/// let partial: Partial<u8> =
///     serde_json::from_str(r#"{"data":7,"errors":[{"message":"gone","path":"b.title","code":"NOT_FOUND"}]}"#)?;
/// assert_eq!((partial.data, partial.errors[0].code()), (Some(7), Some("NOT_FOUND")));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partial<T> {
    /// What there is; `None` where errors left nothing.
    pub data: Option<T>,
    /// What went wrong; at most 100 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<GraphQlError>,
}

/// One error of a GraphQL answer.
///
/// # One of them
/// ```
/// let error: bowline_client::GraphQlError =
///     serde_json::from_str(r#"{"message":"gone","path":"product.title","code":"NOT_FOUND"}"#)?;
/// assert_eq!((error.path.as_str(), error.code()), ("product.title", Some("NOT_FOUND")));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphQlError {
    /// For people.
    pub message: String,
    /// Where in the data, as `product.variants[0].price`; empty if it is about all of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The remote's name for it, from `extensions.code` or `type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl GraphQlError {
    /// The remote's name for it.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }
}

/// Reads data, and fails where there are errors.
struct Data {
    kind: Kind,
}

impl<T: DeserializeOwned> Read<T> for Data {
    fn good(&self, answer: &Answer, _: &Scrub) -> Result<T, Unread> {
        if let Some(said) = answer::failed(answer, self.kind) {
            return Err(Unread::Said(said));
        }
        Ok(decode(parts(answer)?.data())?)
    }

    fn bad(&self, answer: &Answer) -> Option<Said> {
        answer::refused(answer, self.kind)
    }

    fn answers(&self) -> Option<Answers> {
        Some(match self.kind {
            Kind::Query => Answers::GraphQlQuery,
            Kind::Mutation => Answers::GraphQlMutation,
        })
    }

    fn cost(&self, answer: &Answer) -> Option<Cost> {
        answer::cost(answer)
    }
}

/// A call that was kept as data, its answer looked at for errors.
pub(crate) fn reading_again(call: Call, kind: Kind) -> Call<serde_json::Value> {
    call.reading(Data { kind })
}

/// Reads data with the errors beside it.
struct PartialData {
    kind: Kind,
}

impl<T: DeserializeOwned> Read<Partial<T>> for PartialData {
    fn good(&self, answer: &Answer, _: &Scrub) -> Result<Partial<T>, Unread> {
        if let Some(said) = answer::failed_whole(answer, self.kind) {
            return Err(Unread::Said(said));
        }
        let parts = parts(answer)?;
        let data = parts.data().map(|data| decode(Some(data))).transpose()?;
        Ok(Partial { data, errors: parts.errors() })
    }

    fn bad(&self, answer: &Answer) -> Option<Said> {
        answer::refused(answer, self.kind)
    }

    fn cost(&self, answer: &Answer) -> Option<Cost> {
        answer::cost(answer)
    }
}

fn parts(answer: &Answer) -> Result<Parts<'_>, String> {
    let document = report::json(answer)?;
    let parts: Option<Parts<'_>> = serde_json::from_str(document.get()).ok();
    parts
        .filter(|parts| parts.ran() || !parts.errors().is_empty())
        .ok_or_else(|| "has neither data nor errors: is this where GraphQL is answered?".to_owned())
}

fn decode<T: DeserializeOwned>(data: Option<&RawValue>) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_str(data.map_or("null", RawValue::get));
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let place = error.path().to_string();
        let place = if place == "." { "data".to_owned() } else { format!("data.{place}") };
        format!("does not fit its type at `{place}`: {}", error.inner())
    })
}
