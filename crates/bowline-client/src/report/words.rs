//! What a remote's own words are for what went wrong.
//!
//! | Body | Code | Text |
//! |---|---|---|
//! | problem+json (RFC 9457) | the end of `type`, or a `code` beside it | `title` and `detail` |
//! | `{"error": {…}}` (Stripe, Google, OpenAI) | its `code`, `status` or `type` | its `message` |
//! | `{"error": "invalid_grant", "error_description": …}` (OAuth) | `error` | `error_description` |
//! | `{"errors": [{…}]}`, `[{…}]` (GraphQL, Salesforce) | of the first | of the first |
//! | `{"code": …, "message": …}` | `code` | `message` |
//! | HTML | none | the page's title |

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Map, Value};

/// A larger body is not looked into: error bodies are small.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// A longer text is no code.
const CODE_BYTES_MAX: usize = 80;
/// As much of the remote's text as fits one line.
const TEXT_BYTES_MAX: usize = 300;

/// Names under which remotes put their code, the most telling first.
const CODE_NAMES: [&str; 8] =
    ["code", "errorCode", "error_code", "status", "type", "reason", "category", "name"];
/// Names under which remotes put their text.
const TEXT_NAMES: [&str; 8] = [
    "message",
    "error_description",
    "detail",
    "description",
    "errorMessage",
    "error_message",
    "msg",
    "title",
];

/// The remote's words, not yet scrubbed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) code: Option<String>,
    pub(crate) text: Option<String>,
    /// Whether the answer is a page for people.
    pub(crate) html: bool,
}

impl Words {
    /// Reads the words of an answer with that status.
    pub(crate) fn of(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let body = body.trim_ascii();
        if body.is_empty() || body.len() > BODY_BYTES_MAX {
            return Self::default();
        }
        if is_html(kind, body) {
            return Self { text: title(body), html: true, code: None };
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(problem)) if kind.contains("problem+json") => problem_words(status, &problem),
            Ok(value) => value_words(status, &value),
            Err(_) => Self::default(),
        }
    }

    /// As they follow a status: ` email_taken, saying "E-mail is taken"`.
    pub(crate) fn told(&self) -> String {
        let code = self.code.as_ref().map(|code| format!(" {code}")).unwrap_or_default();
        let page = if self.html { " with an HTML page" } else { "" };
        let text = self.text.as_ref().map(|text| format!(", saying \"{text}\"")).unwrap_or_default();
        format!("{code}{page}{text}")
    }
}

/// Whether a body is a page for people.
pub(crate) fn is_html(content_type: &str, body: &[u8]) -> bool {
    let start = body[..body.len().min(15)].to_ascii_lowercase();
    content_type.contains("html") || start.starts_with(b"<!doctype html") || start.starts_with(b"<html")
}

/// RFC 9457: the type is a URI, whose end names the kind of problem; `about:blank` says no more than the status.
fn problem_words(status: u16, problem: &Map<String, Value>) -> Words {
    let own = ["code", "errorCode", "error_code"].iter().find_map(|name| code(status, problem.get(*name)?));
    let kind = problem.get("type").and_then(Value::as_str).filter(|kind| *kind != "about:blank");
    let end = kind.and_then(|kind| kind.trim_end_matches('/').rsplit(['/', '#', ':']).next());
    let code = own.or_else(|| end.and_then(|end| code_of(status, end)));
    let part = |name: &str| problem.get(name).and_then(Value::as_str).and_then(line);
    let text = match (part("title"), part("detail")) {
        (Some(title), Some(detail)) if !detail.starts_with(&title) => {
            line(&format!("{}: {detail}", title.trim_end_matches('.')))
        }
        (title, detail) => detail.or(title),
    };
    Words { code, text, html: false }
}

fn value_words(status: u16, value: &Value) -> Words {
    match value {
        Value::Object(fields) => object_words(status, fields),
        Value::Array(errors) => errors.first().map(|first| item_words(status, first)).unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Words::default(),
    }
}

fn object_words(status: u16, fields: &Map<String, Value>) -> Words {
    let (inner, name) = match (fields.get("error"), fields.get("errors")) {
        (Some(Value::Object(error)), _) => (error_words(status, error), None),
        (Some(Value::String(error)), _) => (Words::default(), Some(error)),
        (_, Some(Value::Array(errors))) => {
            (errors.first().map(|first| item_words(status, first)).unwrap_or_default(), None)
        }
        _ => (Words::default(), None),
    };
    let own = error_words(status, fields);
    let named = name.and_then(|name| code_of(status, name));
    let said = if named.is_none() { name.and_then(|name| line(name)) } else { None };
    Words { code: inner.code.or(named).or(own.code), text: inner.text.or(own.text).or(said), html: false }
}

fn item_words(status: u16, item: &Value) -> Words {
    match item {
        Value::Object(error) => {
            let extensions = error.get("extensions").and_then(|extensions| extensions.get("code"));
            let words = error_words(status, error);
            Words { code: extensions.and_then(|value| code(status, value)).or(words.code), ..words }
        }
        Value::String(text) => Words { text: line(text), ..Words::default() },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Words::default(),
    }
}

fn error_words(status: u16, error: &Map<String, Value>) -> Words {
    // Words before numbers: beside `"code": 403`, `"status": "PERMISSION_DENIED"` says more.
    let codes = || CODE_NAMES.iter().filter_map(|name| error.get(*name));
    let word = codes().filter(|value| value.is_string()).find_map(|value| code(status, value));
    let text = TEXT_NAMES.iter().find_map(|name| error.get(*name).and_then(Value::as_str).and_then(line));
    Words { code: word.or_else(|| codes().find_map(|value| code(status, value))), text, html: false }
}

fn code(status: u16, value: &Value) -> Option<String> {
    match value {
        Value::String(text) => code_of(status, text),
        Value::Number(number) => code_of(status, &number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A text that is a name, and says more than the status.
fn code_of(status: u16, text: &str) -> Option<String> {
    const NOTHING: [&str; 4] = ["error", "fail", "failed", "failure"];
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.:/".contains(c);
    let fits = (1..=CODE_BYTES_MAX).contains(&text.len()) && text.chars().all(is_name);
    let says = !NOTHING.contains(&text.to_ascii_lowercase().as_str()) && text != status.to_string();
    (fits && says).then(|| text.to_owned())
}

/// A text as one short line.
pub(crate) fn line(text: &str) -> Option<String> {
    let start = &text[..text.floor_char_boundary(TEXT_BYTES_MAX * 2)];
    let words: Vec<&str> = start.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    let mut line = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    if line.len() > TEXT_BYTES_MAX || start.len() < text.len() {
        line.truncate(line.floor_char_boundary(TEXT_BYTES_MAX));
        line.push('…');
    }
    (!line.is_empty()).then_some(line)
}

fn title(page: &[u8]) -> Option<String> {
    let page = String::from_utf8_lossy(page);
    let lower = page.to_ascii_lowercase();
    let start = lower.find("<title")?;
    let start = start + lower[start..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    line(&page[start..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, kind: &'static str, body: &str) -> String {
        let headers = [(CONTENT_TYPE, kind.parse().unwrap())].into_iter().collect();
        Words::of(status, &headers, body.as_bytes()).told()
    }

    #[test]
    fn reads_a_problem_as_rfc_9457_writes_it() {
        let problem = r#"{"type":"https://example.com/probs/out-of-credit","title":"You do not have enough credit.",
            "status":403,"detail":"Your current balance is 30, but that costs 50.","instance":"/account/1"}"#;
        assert_eq!(
            told(403, "application/problem+json; charset=utf-8", problem),
            " out-of-credit, saying \"You do not have enough credit: Your current balance is 30, but that costs 50.\""
        );
        let blank = r#"{"type":"about:blank","title":"Not Found","status":404}"#;
        assert_eq!(told(404, "application/problem+json", blank), ", saying \"Not Found\"");
    }

    #[test]
    fn reads_the_words_of_well_known_apis() {
        for (status, body, words) in [
            (
                402,
                r#"{"error":{"code":"card_declined","type":"card_error","message":"Declined."}}"#,
                " card_declined, saying \"Declined.\"",
            ),
            (
                403,
                r#"{"error":{"code":403,"message":"No.","status":"PERMISSION_DENIED"}}"#,
                " PERMISSION_DENIED, saying \"No.\"",
            ),
            (
                400,
                r#"{"error":"invalid_grant","error_description":"expired"}"#,
                " invalid_grant, saying \"expired\"",
            ),
            (401, r#"{"error":"bad key"}"#, ", saying \"bad key\""),
            (400, r#"[{"message":"Required","errorCode":"MISSING"}]"#, " MISSING, saying \"Required\""),
            (400, r#"{"errors":["name is short","x"]}"#, ", saying \"name is short\""),
            (400, r#"{"errors":[{"message":"no","extensions":{"code":"BAD"}}]}"#, " BAD, saying \"no\""),
            (
                409,
                r#"{"status":"error","message":"exists","category":"CONFLICT"}"#,
                " CONFLICT, saying \"exists\"",
            ),
            (404, r#"{"code":404,"message":"Not\nfound"}"#, ", saying \"Not found\""),
            (404, r#"{"code":20404}"#, " 20404"),
            (500, "oops", ""),
            (500, "", ""),
            (500, "7", ""),
            (400, r#"{"id":7}"#, ""),
        ] {
            assert_eq!(told(status, "application/json", body), words, "{body}");
        }
    }

    #[test]
    fn a_page_for_people_is_told_by_its_title() {
        let page = "<!DOCTYPE html>\n<html><head><TITLE lang=en>502 Bad\nGateway</title>";
        assert_eq!(told(502, "text/plain", page), " with an HTML page, saying \"502 Bad Gateway\"");
        assert_eq!(told(502, "text/html", "sorry"), " with an HTML page");
    }

    #[test]
    fn words_are_short_and_one_line() {
        let long = format!(r#"{{"message":"{}"}}"#, "ü ".repeat(5000));
        assert!(told(400, "", &long).len() < TEXT_BYTES_MAX + 30);
        assert_eq!(told(400, "", &format!(r#"{{"code":"{}"}}"#, "x".repeat(CODE_BYTES_MAX + 1))), "");
        assert_eq!(told(400, "", r#"{"message":"a\u001b[31m\u0000b"}"#), ", saying \"a [31m b\"");
    }
}
