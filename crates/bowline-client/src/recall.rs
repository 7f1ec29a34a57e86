//! Calls as data, for undos: what a journal keeps of a call, and the call that it becomes again.
//!
//! What comes in: a call, and later what was kept of it. What goes out: data without credentials, and a call of the Api of
//! that name as it is configured then. What must never happen here: a secret in the data.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bowline_model::{Error, Payload, Recall, Recalled, Recorded, Result, Reversible};
use reqwest::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde::{Deserialize, Serialize};

use crate::{
    Api, Call,
    account::DEFAULT_ACCOUNT,
    body::Body,
    call::{BodyKind, Request, Typed},
    graphql,
    scrub::Scrub,
};

type Named = Mutex<BTreeMap<String, Api>>;

/// The Apis of an app by name, each as it was configured last: where undos find theirs.
///
/// An Api is known once it was [made known](Api::known_in), with all that it is told after that.
///
/// # A call, kept and called again
/// ```
/// use bowline_client::{Api, Apis};
/// use bowline_model::{Recall, Reversible};
///
/// let apis = Apis::default();
/// let crm = Api::new("crm").known_in(&apis).base_url("https://crm.example.com");
/// let data = crm.delete("/contacts/7").as_data()?;
/// let effect = apis.effect(&data)?;
/// assert_eq!(effect.shape().fingerprint.expect("a call has one").to_string(), "DELETE crm /contacts/7");
/// # Ok::<(), bowline_model::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Apis(Arc<Named>);

/// Where an Api is known; does not keep the others alive.
#[derive(Clone)]
pub(crate) struct KnownIn(Weak<Named>);

impl Apis {
    pub(crate) fn place(&self) -> KnownIn {
        KnownIn(Arc::downgrade(&self.0))
    }

    fn get(&self, name: &str) -> Option<Api> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

impl KnownIn {
    pub(crate) fn put(&self, api: &Api) {
        if let Some(named) = self.0.upgrade() {
            let mut named = named.lock().unwrap_or_else(PoisonError::into_inner);
            named.insert(api.name().to_owned(), api.clone());
        }
    }
}

impl fmt::Debug for Apis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(named.keys()).finish()
    }
}

/// A call as a journal keeps it. Fields are only ever added.
#[derive(Serialize, Deserialize)]
struct Kept {
    api: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    method: String,
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bare_query: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    query: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<KeptBody>,
    /// Whether it changes nothing, whatever its method.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    reads: bool,
    answer: Answers,
}

#[derive(Serialize, Deserialize)]
struct KeptBody {
    kind: BodyKind,
    #[serde(flatten)]
    content: Content,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    Text(String),
    Base64(String),
}

/// How an answer is read, as far as it says whether the call was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answers {
    /// By its status.
    Plain,
    /// As a query's of GraphQL.
    GraphQlQuery,
    /// As a mutation's of GraphQL.
    GraphQlMutation,
}

impl<T: Recorded> Reversible for Call<T> {
    fn as_data(&self) -> Result<Payload> {
        let kept = self.kept().map_err(|what| Error::permanent(format!("{self:?}: {what}")))?;
        Payload::encode(&kept).map_err(|error| Error::permanent(format!("{self:?}: {error}")))
    }
}

impl<T> Call<T> {
    fn kept(&self) -> std::result::Result<Kept, String> {
        let (api, request) = (self.api(), self.request());
        let settings = api.settings();
        if let Some(problem) = &request.problem {
            return Err(problem.clone());
        }
        let answer = self.answers().ok_or("this kind of call cannot be kept: use a plain one")?;
        let hides = |path: &str| !path.is_empty() && settings.shown_path(path).is_empty();
        if settings.web.is_some() || hides(&request.path) {
            return Err("its URL may be a secret, and none is written to a journal".into());
        }
        check_query(request, &settings.scrub)?;
        let text = |text: &str, what: &str| match settings.scrub.without_secrets(text) == text {
            true => Ok(text.to_owned()),
            false => Err(format!("its {what} holds a secret of the Api, and none is written to a journal")),
        };
        let account = api.account_name();
        Ok(Kept {
            api: api.name().to_owned(),
            account: (account != DEFAULT_ACCOUNT).then(|| account.to_owned()),
            method: request.method.to_string(),
            path: text(&request.path, "path")?,
            bare_query: request.bare_query.as_deref().map(|query| text(query, "query")).transpose()?,
            query: request.query.clone(),
            headers: kept_headers(&request.headers, &settings.scrub)?,
            body: request.body.as_ref().map(|body| kept_body(body, &settings.scrub)).transpose()?,
            reads: request.reads,
            answer,
        })
    }
}

fn check_query(request: &Request, scrub: &Scrub) -> std::result::Result<(), String> {
    for (name, value) in &request.query {
        if scrub.hides(name) || scrub.without_secrets(value) != *value {
            return Err(format!(
                "its parameter {name} is a credential, and none is written to a journal: give it to the Api"
            ));
        }
    }
    Ok(())
}

fn kept_headers(headers: &HeaderMap, scrub: &Scrub) -> std::result::Result<Vec<(String, String)>, String> {
    let kept = headers.iter().map(|(name, value)| {
        let text = value.to_str().map_err(|_| format!("its header {name} is no text"))?;
        if value.is_sensitive() || scrub.without_secrets(text) != text {
            return Err(format!(
                "its header {name} is a credential, and none is written to a journal: give it to the Api"
            ));
        }
        Ok((name.to_string(), text.to_owned()))
    });
    kept.collect()
}

fn kept_body(body: &Typed, scrub: &Scrub) -> std::result::Result<KeptBody, String> {
    let Some(bytes) = body.content.bytes() else {
        return Err("its body is a file or a stream: only one in memory can be kept".into());
    };
    if scrub.answer(bytes).is_some() {
        return Err("its body holds a secret of the Api, and none is written to a journal".into());
    }
    let content = match std::str::from_utf8(bytes) {
        Ok(text) => Content::Text(text.to_owned()),
        Err(_) => Content::Base64(BASE64_STANDARD.encode(bytes)),
    };
    Ok(KeptBody { kind: body.kind, content })
}

impl Recall for Apis {
    fn effect(&self, data: &Payload) -> Result<Box<dyn Recalled>> {
        let unreadable =
            |what: String| Error::permanent(format!("what was kept of the call cannot be read: {what}"));
        let kept: Kept = data.decode().map_err(|error| unreadable(error.to_string()))?;
        let Some(api) = self.get(&kept.api) else {
            return Err(Error::permanent(format!(
                "this build has no Api \"{}\"; deploy one that has, then retry the run",
                kept.api
            )));
        };
        let api = match &kept.account {
            Some(account) => api.account(account),
            None => api,
        };
        let answer = kept.answer;
        let call = api.recalled(kept).map_err(unreadable)?;
        Ok(match answer {
            Answers::Plain => Box::new(call),
            Answers::GraphQlQuery => Box::new(graphql::reading_again(call, graphql::Kind::Query)),
            Answers::GraphQlMutation => Box::new(graphql::reading_again(call, graphql::Kind::Mutation)),
        })
    }
}

impl Api {
    fn recalled(self, kept: Kept) -> std::result::Result<Call, String> {
        let method = Method::from_bytes(kept.method.as_bytes()).map_err(|error| error.to_string())?;
        let mut call = Call::new(self, method, &kept.path);
        let request = call.request_mut();
        request.bare_query = kept.bare_query;
        request.query = kept.query;
        request.reads = kept.reads;
        for (name, value) in kept.headers {
            let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
            request.headers.append(name, HeaderValue::try_from(value).map_err(|error| error.to_string())?);
        }
        request.body = kept.body.map(KeptBody::typed).transpose()?;
        Ok(call)
    }
}

impl KeptBody {
    fn typed(self) -> std::result::Result<Typed, String> {
        let bytes = match self.content {
            Content::Text(text) => text.into_bytes(),
            Content::Base64(text) => BASE64_STANDARD.decode(text).map_err(|error| error.to_string())?,
        };
        Ok(Typed { content: Body::Bytes(bytes.into()), kind: self.kind })
    }
}

#[cfg(test)]
mod tests {
    use bowline_model::{Effect, Secret, Variables};
    use serde_json::json;

    use super::*;

    fn apis() -> (Apis, Api) {
        let apis = Apis::default();
        let variables = Variables::new(|name| (name == "CRM_KEY").then(|| "s3cret-value".to_owned()));
        let crm = Api::with_variables("crm", variables)
            .known_in(&apis)
            .base_url("https://crm.example.com/v1")
            .header_key_env("x-api-key", "CRM_KEY");
        (apis, crm)
    }

    #[test]
    fn a_call_comes_back_as_it_was_and_the_api_as_it_is_now() {
        let (apis, crm) = apis();
        let call = crm
            .account("tenant-7")
            .post("/refunds")
            .query("notify", "no")
            .header("x-version", "3")
            .json(&json!({"payment": 17, "amount": 900}));
        let data = call.as_data().unwrap();
        // What it is told later holds for what is called again.
        let _ = crm.base_url("https://crm2.example.com");
        let again = apis.get("crm").unwrap();
        assert_eq!(again.settings().host("/"), "crm2.example.com");
        assert_eq!(apis.effect(&data).unwrap().shape(), Effect::shape(&call));
        let kept: Kept = data.decode().unwrap();
        let again = again.account("tenant-7").recalled(kept).unwrap();
        assert_eq!(again.request().headers, call.request().headers);
        assert_eq!(again.api().account_name(), "tenant-7");
    }

    #[test]
    fn no_secret_is_kept() {
        let (_, crm) = apis();
        let hook = Api::new("chat").secret_url(Secret::new("https://hooks.example.com/services/T0/x9"));
        let refused = [
            crm.get("/a").query("api_key", "abc"),
            crm.get("/a").query("q", "is s3cret-value in it"),
            crm.get("/a").header("authorization", "Bearer abc"),
            crm.get("/s3cret-value"),
            crm.post("/a").json(&json!({"key": "s3cret-value"})),
            hook.post("/more"),
        ];
        for call in refused {
            let error = call.as_data().unwrap_err().to_string();
            assert!(!error.contains("s3cret") && !error.contains("abc"), "{error}");
        }
        assert!(hook.post("").json(&json!({"text": "undone"})).as_data().is_ok());
    }

    #[test]
    fn what_this_build_cannot_call_is_said() {
        let (_, crm) = apis();
        let data = crm.delete("/a").as_data().unwrap();
        let error = Apis::default().effect(&data).map(|_| ()).unwrap_err();
        assert!(error.to_string().starts_with("this build has no Api \"crm\""), "{error}");
        assert!(crm.post("/a").body("\u{0}", "x/y").as_data().is_ok());
        let binary = crm.post("/a").body(vec![0xff, 0xfe], "x/y").as_data().unwrap();
        let kept: Kept = binary.decode().unwrap();
        assert_eq!(&kept.body.unwrap().typed().unwrap().content.bytes().unwrap()[..], [0xff, 0xfe]);
    }
}
