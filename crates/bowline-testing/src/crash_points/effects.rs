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
    /// It changes nothing: it only asks, or was refused whenever it came.
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
    pub(super) key: String,
    pub(super) first: Content,
    pub(super) then: Content,
}

/// All effects at some mock systems, in the order of their first requests.
pub(super) fn effects<'a>(mocks: impl Iterator<Item = &'a MockSystem>) -> (Vec<Effect>, Vec<KeyReused>) {
    let (mut effects, mut reused) = (vec![], vec![]);
    for mock in mocks {
        let mut by_key: BTreeMap<String, Vec<Recorded>> = BTreeMap::new();
        let mut bare = vec![];
        for request in mock.requests() {
            match request.effect_key() {
                Some(key) => by_key.entry(key).or_default().push(request),
                None => bare.push(request),
            }
        }
        for (key, requests) in by_key {
            let first = Content::of(mock.name(), &requests[0]);
            let others = requests.iter().map(|request| Content::of(mock.name(), request));
            let others = others.filter(|then| *then != first);
            reused.extend(others.map(|then| KeyReused { key: key.clone(), first: first.clone(), then }));
            let kind = if requests.iter().all(is_refused) { Kind::Safe } else { Kind::Keyed(key) };
            effects.push((requests[0].nth, Effect { content: first, kind }));
        }
        effects.extend(bare.iter().map(|request| {
            let asks = matches!(request.method.as_str(), "GET" | "HEAD");
            let kind = if asks || is_refused(request) { Kind::Safe } else { Kind::Bare };
            (request.nth, Effect { content: Content::of(mock.name(), request), kind })
        }));
    }
    effects.sort_by_key(|(nth, _)| *nth);
    (effects.into_iter().map(|(_, effect)| effect).collect(), reused)
}

/// Whether the remote said no, for good: nothing happened then.
fn is_refused(request: &Recorded) -> bool {
    request
        .answered
        .is_some_and(|status| (400..500).contains(&status) && !matches!(status, 408 | 409 | 425 | 429))
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
