//! What a GraphQL answer says: data, errors, cost. Pure.
//!
//! | Code of an error (`extensions.code`, or `type`) | Meaning |
//! |---|---|
//! | `THROTTLED`, `RATE_LIMITED` and their kind | later, when the cost is there again |
//! | `INTERNAL_SERVER_ERROR`, `SERVICE_UNAVAILABLE`, `TIMEOUT` and their kind | it may have happened |
//! | any other, where a mutation has data all the same | a part of it happened; asking again will not tell which |
//! | none, where a mutation ran | it may have happened; asking again will not tell |
//! | any other | no |

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, value::RawValue};

use super::{GraphQlError, Kind};
use crate::{
    read::{Cost, Said},
    report::line,
    verdict::{Answer, Meaning},
};

/// Errors that are read of one answer; the rest is counted.
const ERRORS_MAX: usize = 100;
/// The longest wait for a cost to be there again: what restores more slowly is told by its own `Retry-After`.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// Not now (Shopify, GitHub, Linear, monday).
const LATER: [&str; 9] = [
    "THROTTLED",
    "RATE_LIMITED",
    "RATELIMITED",
    "RATE_LIMIT",
    "RATE_LIMIT_EXCEEDED",
    "RATE_LIMIT_REACHED",
    "TOO_MANY_REQUESTS",
    "COMPLEXITY_BUDGET_EXHAUSTED",
    "MAX_CONCURRENCY_EXCEEDED",
];
/// Something broke while it was worked on.
const BROKEN: [&str; 11] = [
    "INTERNAL_SERVER_ERROR",
    "INTERNAL_ERROR",
    "INTERNAL",
    "SERVICE_UNAVAILABLE",
    "UNAVAILABLE",
    "SERVER_ERROR",
    "BAD_GATEWAY",
    "GATEWAY_TIMEOUT",
    "TIMEOUT",
    "DOWNSTREAM_SERVICE_ERROR",
    "LOCK_TIMEOUT",
];

/// An answer's parts, its data as it is written.
#[derive(Deserialize)]
pub(super) struct Parts<'a> {
    #[serde(borrow, default, deserialize_with = "there")]
    data: Option<&'a RawValue>,
    #[serde(default)]
    errors: Option<Vec<Value>>,
    #[serde(default)]
    extensions: Option<Value>,
}

/// What is there, `null` included.
fn there<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

impl<'a> Parts<'a> {
    pub(super) fn of(answer: &'a Answer) -> Option<Self> {
        serde_json::from_slice(answer.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&answer.body)).ok()
    }

    /// The data, if it is not `null`.
    pub(super) fn data(&self) -> Option<&'a RawValue> {
        self.data.filter(|data| data.get() != "null")
    }

    pub(super) fn errors(&self) -> Vec<GraphQlError> {
        self.errors.iter().flatten().take(ERRORS_MAX).map(error).collect()
    }

    /// Whether it ran at all: what was refused before has no `data`, not even `null` (§7.1.1).
    pub(super) fn ran(&self) -> bool {
        self.data.is_some()
    }

    /// Whether some of what was asked for is there.
    fn has_some(&self) -> bool {
        let fields = self.data().and_then(|data| serde_json::from_str::<Map<String, Value>>(data.get()).ok());
        fields.is_some_and(|fields| fields.values().any(|value| !value.is_null()))
    }
}

/// What errors in a good answer say, if there are any.
pub(crate) fn failed(answer: &Answer, kind: Kind) -> Option<Said> {
    let parts = Parts::of(answer)?;
    let errors = parts.errors();
    (!errors.is_empty()).then(|| said(&parts, &errors, kind, ", but with "))
}

/// What is to be told of errors under which even partial data is of no use: too early, or nothing ran.
pub(super) fn failed_whole(answer: &Answer, kind: Kind) -> Option<Said> {
    let parts = Parts::of(answer)?;
    let errors = parts.errors();
    let early = errors.iter().any(|error| meaning_of(error.code()) == Some(Meaning::Later));
    (!errors.is_empty() && (early || !parts.ran())).then(|| said(&parts, &errors, kind, ", but with "))
}

/// What errors in an answer with a bad status say, where it is one of a GraphQL server, and their codes are known.
pub(crate) fn refused(answer: &Answer, kind: Kind) -> Option<Said> {
    let parts = Parts::of(answer)?;
    let errors = parts.errors();
    let content_type =
        answer.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let own = content_type.contains("graphql-response+json");
    let known = errors.iter().any(|error| meaning_of(error.code()).is_some());
    // 401, 403, 429 and 5xx say enough themselves, and what to do about them.
    let spoken_for = matches!(answer.status, 401 | 403 | 408 | 425 | 429 | 500..);
    if errors.is_empty() || !(known || own && !spoken_for) {
        return None;
    }
    Some(said(&parts, &errors, kind, " with "))
}

fn said(parts: &Parts<'_>, errors: &[GraphQlError], kind: Kind, with: &str) -> Said {
    let meanings = || errors.iter().map(|error| meaning_of(error.code()));
    let telling = |wanted| errors.iter().find(|error| meaning_of(error.code()) == Some(wanted));
    let wrote = kind == Kind::Mutation;
    let meaning = if wrote && parts.has_some() {
        Meaning::UnclearForGood
    } else if meanings().any(|meaning| meaning == Some(Meaning::Later)) {
        Meaning::Later
    } else if meanings().any(|meaning| meaning == Some(Meaning::Unclear)) {
        Meaning::Unclear
    } else if wrote && parts.ran() && errors.iter().any(|error| error.code().is_none()) {
        Meaning::UnclearForGood
    } else {
        Meaning::No
    };
    // The error that the verdict is about comes first.
    let first = telling(meaning).unwrap_or(&errors[0]);
    let wait = (meaning == Meaning::Later).then(|| parts.extensions.as_ref().and_then(wait)).flatten();
    let count = parts.errors.as_ref().map_or(0, Vec::len);
    Said { meaning, what: format!("{with}{}", told(first, count)), code: first.code.clone(), wait }
}

fn meaning_of(code: Option<&str>) -> Option<Meaning> {
    let code = code?.to_ascii_uppercase().replace(['-', ' '], "_");
    if LATER.contains(&&*code) {
        Some(Meaning::Later)
    } else if BROKEN.contains(&&*code) {
        Some(Meaning::Unclear)
    } else {
        None
    }
}

/// `2 errors, the first at product.title: BAD_USER_INPUT, saying "too long"`.
fn told(first: &GraphQlError, count: usize) -> String {
    let place = if first.path.is_empty() { String::new() } else { format!(" at {}", first.path) };
    let code = first.code.as_ref().map(|code| format!("{code}, ")).unwrap_or_default();
    let message = line(&first.message).unwrap_or_default();
    match count {
        1 => format!("an error{place}: {code}saying \"{message}\""),
        count => format!("{count} errors, one{place}: {code}saying \"{message}\""),
    }
}

fn error(value: &Value) -> GraphQlError {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let extensions = value.get("extensions");
    let code = text(extensions.and_then(|own| own.get("code")))
        .or_else(|| text(value.get("type")))
        .or_else(|| text(extensions.and_then(|own| own.get("type"))))
        .or_else(|| text(value.get("code")));
    let message = text(value.get("message")).or_else(|| text(Some(value))).unwrap_or_default();
    GraphQlError { message, path: value.get("path").map(path).unwrap_or_default(), code }
}

/// `product.variants[0].price`.
fn path(path: &Value) -> String {
    let mut written = String::new();
    for part in path.as_array().into_iter().flatten() {
        match part {
            Value::String(name) if written.is_empty() => written.push_str(name),
            Value::String(name) => written.extend([".", name]),
            part => written.extend(["[", &part.to_string(), "]"]),
        }
    }
    written
}

/// When what the query costs will be there (Shopify: `extensions.cost`).
fn wait(extensions: &Value) -> Option<Duration> {
    let cost = extensions.get("cost")?;
    let status = cost.get("throttleStatus")?;
    let needed = cost.get("requestedQueryCost")?.as_f64()?;
    let (available, rate) =
        (status.get("currentlyAvailable")?.as_f64()?, status.get("restoreRate")?.as_f64()?);
    let seconds = (needed - available) / rate;
    let seconds = if seconds.is_finite() { seconds } else { return None };
    Some(Duration::from_secs_f64(seconds.clamp(0.0, WAIT_MAX.as_secs_f64())))
}

/// What the query cost, and how much is left.
pub(crate) fn cost(answer: &Answer) -> Option<Cost> {
    let extensions = Parts::of(answer)?.extensions?;
    let cost = extensions.get("cost")?;
    let status = cost.get("throttleStatus")?;
    let number = |name: &str| status.get(name)?.as_f64();
    let actual = ["actualQueryCost", "requestedQueryCost"].iter().find_map(|name| cost.get(*name)?.as_f64());
    Some(Cost {
        actual: actual?,
        available: number("currentlyAvailable")?,
        maximum: number("maximumAvailable")?,
        restored_per_second: number("restoreRate")?,
    })
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;
    use serde_json::json;

    use super::*;
    use crate::verdict::BodyEnd;

    fn answer(status: u16, content_type: &str, body: &Value) -> Answer {
        let headers: HeaderMap = [(CONTENT_TYPE, content_type.parse().unwrap())].into_iter().collect();
        let body = serde_json::to_vec(body).unwrap().into();
        Answer { status, headers, body, end: BodyEnd::Complete, url: "https://a.example".parse().unwrap() }
    }

    fn meaning(kind: Kind, body: &Value) -> Option<Meaning> {
        failed(&answer(200, "application/json", body), kind).map(|said| said.meaning)
    }

    fn coded(code: &str) -> Value {
        json!({"message": "m", "extensions": {"code": code}})
    }

    #[test]
    fn codes_say_what_to_do() {
        use Meaning::{Later, No, Unclear, UnclearForGood};
        for (code, query, mutation) in [
            ("THROTTLED", Later, Later),
            ("rate-limited", Later, Later),
            ("INTERNAL_SERVER_ERROR", Unclear, Unclear),
            ("UNAUTHENTICATED", No, No),
            ("BAD_USER_INPUT", No, No),
            ("GRAPHQL_VALIDATION_FAILED", No, No),
        ] {
            let body = json!({"data": null, "errors": [coded(code)]});
            assert_eq!(meaning(Kind::Query, &body), Some(query), "{code}");
            assert_eq!(meaning(Kind::Mutation, &body), Some(mutation), "{code}");
        }
        let bare = json!({"message": "m"});
        let nothing = json!({"data": null, "errors": [bare]});
        assert_eq!(
            meaning(Kind::Mutation, &nothing),
            Some(UnclearForGood),
            "it ran, and has nothing to show"
        );
        let ran = json!({"data": {"pay": null}, "errors": [bare]});
        assert_eq!(
            (meaning(Kind::Query, &ran), meaning(Kind::Mutation, &ran)),
            (Some(No), Some(UnclearForGood))
        );
        let refused = json!({"errors": [bare]});
        assert_eq!(meaning(Kind::Mutation, &refused), Some(No), "nothing ran");
        let half = json!({"data": {"a": {"id": 1}, "b": null}, "errors": [coded("THROTTLED")]});
        assert_eq!(
            (meaning(Kind::Query, &half), meaning(Kind::Mutation, &half)),
            (Some(Later), Some(UnclearForGood))
        );
        let github = json!({"errors": [{"type": "RATE_LIMITED", "message": "m"}]});
        assert_eq!(meaning(Kind::Query, &github), Some(Later));
        for none in [
            json!({"data": {"a": 1}}),
            json!({"data": {}, "errors": []}),
            json!({"data": null, "errors": null}),
        ] {
            assert_eq!(meaning(Kind::Query, &none), None, "{none}");
        }
    }

    #[test]
    fn tells_the_error_that_the_verdict_is_about() {
        let body = json!({"data": {"a": null}, "errors": [
            {"message": "no title", "path": ["product", "variants", 0, "title"], "extensions": {"code": "BAD"}},
            {"message": "slow\ndown", "extensions": {"code": "THROTTLED"}},
        ]});
        let said = failed(&answer(200, "application/json", &body), Kind::Query).unwrap();
        assert_eq!(said.what, ", but with 2 errors, one: THROTTLED, saying \"slow down\"");
        assert_eq!(said.code.as_deref(), Some("THROTTLED"));
        let body = json!({"errors": [{"message": "no title", "path": ["product", "variants", 0, "title"]}]});
        let said = failed(&answer(200, "application/json", &body), Kind::Query).unwrap();
        assert_eq!(said.what, ", but with an error at product.variants[0].title: saying \"no title\"");
    }

    #[test]
    fn a_cost_says_how_long_to_wait() {
        let cost = json!({"requestedQueryCost": 100, "actualQueryCost": null,
            "throttleStatus": {"maximumAvailable": 1000.0, "currentlyAvailable": 20, "restoreRate": 50.0}});
        let body = json!({"errors": [coded("THROTTLED")], "extensions": {"cost": cost}});
        let answer = answer(200, "application/json", &body);
        assert_eq!(failed(&answer, Kind::Query).unwrap().wait, Some(Duration::from_millis(1600)));
        let expected = Cost { actual: 100.0, available: 20.0, maximum: 1000.0, restored_per_second: 50.0 };
        assert_eq!(super::cost(&answer), Some(expected));
    }

    #[test]
    fn a_bad_status_with_a_graphql_body_is_read_too() {
        let invalid = json!({"errors": [coded("GRAPHQL_VALIDATION_FAILED")]});
        let of = |status, kind: &str, body: &Value| {
            refused(&answer(status, kind, body), Kind::Query).map(|said| said.meaning)
        };
        assert_eq!(of(400, "application/graphql-response+json; charset=utf-8", &invalid), Some(Meaning::No));
        assert_eq!(
            of(400, "application/json", &json!({"errors": [coded("THROTTLED")]})),
            Some(Meaning::Later)
        );
        assert_eq!(of(400, "application/json", &invalid), None, "the status says it");
        assert_eq!(of(401, "application/graphql-response+json", &invalid), None);
        assert_eq!(of(502, "text/html", &json!("oops")), None);
    }
}
