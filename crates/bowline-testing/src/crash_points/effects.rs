//! What an execution did to the world: the requests that came, those under one idempotency key taken for one effect.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use super::same::Stands;
use crate::{MockSystem, Recorded};

/// How much of a body is shown, in characters.
const BODY_CHARS_MAX: usize = 300;

/// What was asked of a remote, without headers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Content {
    pub(super) api: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    body: Body,
}

#[derive(Debug, Clone, PartialEq)]
enum Body {
    Json(Value),
    Other(Vec<u8>),
}

/// How an effect can be told from its repetition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// By its key.
    Keyed(String),
    /// It changes nothing.
    Safe,
    /// Not at all.
    Bare,
}

/// One effect: requests under one key, or one request without.
#[derive(Debug, Clone)]
pub(super) struct Effect {
    pub(super) content: Content,
    pub(super) kind: Kind,
}

/// One key was used for two requests that ask for different things.
#[derive(Debug, Clone)]
pub(super) struct KeyReused {
    pub(super) first: Content,
    pub(super) then: Content,
}

/// All effects at some mock systems, in the order of their first requests.
pub(super) fn effects<'a>(mocks: impl Iterator<Item = &'a MockSystem>) -> (Vec<Effect>, Vec<KeyReused>) {
    let (mut effects, mut reused): (Vec<Effect>, Vec<KeyReused>) = (vec![], vec![]);
    for mock in mocks {
        let mut by_key: BTreeMap<String, Content> = BTreeMap::new();
        for request in mock.requests() {
            let content = Content::of(mock.name(), &request);
            let kind = match request.effect_key() {
                Some(key) => Kind::Keyed(key),
                None if matches!(content.method.as_str(), "GET" | "HEAD") => Kind::Safe,
                None => Kind::Bare,
            };
            if let Kind::Keyed(key) = &kind
                && let Some(first) = by_key.get(key)
            {
                if *first != content {
                    reused.push(KeyReused { first: first.clone(), then: content });
                }
                continue;
            }
            if let Kind::Keyed(key) = &kind {
                by_key.insert(key.clone(), content.clone());
            }
            let known = kind == Kind::Safe && effects.iter().any(|effect| effect.content == content);
            if !known {
                effects.push(Effect { content, kind });
            }
        }
    }
    (effects, reused)
}

impl Content {
    fn of(api: &str, request: &Recorded) -> Self {
        let body = match serde_json::from_slice(&request.body) {
            Ok(json) => Body::Json(json),
            Err(_) => Body::Other(request.body.to_vec()),
        };
        Self {
            api: api.to_owned(),
            method: request.method.to_string(),
            path: request.path.clone(),
            query: request.query.clone().unwrap_or_default(),
            body,
        }
    }

    /// Whether both ask for the same, given what may differ.
    pub(super) fn same(&self, theirs: &Self, stands: &Stands) -> bool {
        self.api == theirs.api
            && self.method == theirs.method
            && stands.same_text(&self.path, &theirs.path)
            && stands.same_text(&self.query, &theirs.query)
            && match (&self.body, &theirs.body) {
                (Body::Json(ours), Body::Json(theirs)) => stands.same_value(ours, theirs),
                (Body::Other(ours), Body::Other(theirs)) => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    ours == theirs || stands.same_text(&text(ours), &text(theirs))
                }
                (Body::Json(_), Body::Other(_)) | (Body::Other(_), Body::Json(_)) => false,
            }
    }

    /// What is asked of whom, without the details.
    pub(super) fn target(&self) -> String {
        format!("{} {} {}", self.method, self.api, self.path)
    }

    /// The body, as people read it, one value a line.
    pub(super) fn pretty(&self) -> String {
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        let body = match &self.body {
            Body::Json(json) => serde_json::to_string_pretty(json).expect("JSON can be written"),
            Body::Other(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        };
        format!("{}{query}\n{body}\n", self.target())
    }
}

/// On one line: `POST crm /contacts {"email":"ada@example.com"}`.
impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.target())?;
        if !self.query.is_empty() {
            write!(f, "?{}", self.query)?;
        }
        let body = match &self.body {
            Body::Json(json) => json.to_string(),
            Body::Other(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        };
        if !body.is_empty() {
            let cut = if body.chars().count() > BODY_CHARS_MAX { "…" } else { "" };
            let shown: String = body.chars().take(BODY_CHARS_MAX).collect();
            write!(f, " {shown}{cut}")?;
        }
        Ok(())
    }
}
