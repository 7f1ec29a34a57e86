//! An answer that can be recorded.

use std::{collections::BTreeMap, fmt};

use base64::{Engine, prelude::BASE64_STANDARD};
use bowline_model::Error;
use bytes::Bytes;
use reqwest::header::HeaderMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

use crate::scrub::Scrub;

/// Most headers of an answer that are kept.
const HEADERS_MAX: usize = 64;
/// A longer header is not kept.
const HEADER_BYTES_MAX: usize = 4096;

/// An answer as a plain value: what a [`Call`](crate::Call) without `.decode()` yields.
///
/// It is recorded with its step, so it holds what a workflow may need and no more: the status, the body, and the
/// headers without cookies and credentials. `Debug` shows sizes only, for a body may hold personal data.
///
/// # An answer as it was recorded
/// ```
/// # use bowline_client::Response;
/// let response: Response = serde_json::from_str(r#"{"status":200,"text":"{\"id\":7}"}"#)?;
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.json::<serde_json::Value>()?["id"], 7);
/// # Ok::<(), bowline_model::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Bytes,
}

impl Response {
    pub(crate) fn new(status: u16, headers: &HeaderMap, body: Bytes, scrub: &Scrub) -> Self {
        let mut kept: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in
            headers.iter().filter(|(name, _)| is_kept(name.as_str(), scrub)).take(HEADERS_MAX)
        {
            let Some(value) = value.to_str().ok().filter(|value| value.len() <= HEADER_BYTES_MAX) else {
                continue;
            };
            let clean = scrub.answer(value.as_bytes());
            let value =
                clean.map_or_else(|| value.to_owned(), |clean| String::from_utf8_lossy(&clean).into_owned());
            kept.entry(name.as_str().to_owned())
                .and_modify(|list| *list = format!("{list}, {value}"))
                .or_insert_with(|| value.clone());
        }
        Self { status, headers: kept, body }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The header with that name, in any case; equal names are joined with commas. Cookies, credentials, and headers
    /// that are only about the connection are not kept.
    ///
    /// # Where it was created
    /// ```
    /// # use bowline_client::Response;
    /// let recorded = r#"{"status":201,"headers":{"location":"/contacts/7"},"text":"made"}"#;
    /// let response: Response = serde_json::from_str(recorded)?;
    /// assert_eq!(response.header("Location"), Some("/contacts/7"));
    /// assert_eq!((response.text().as_str(), response.bytes().len()), ("made", 4));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(&name.to_ascii_lowercase()).map(String::as_str)
    }

    /// The body as text; what is not UTF-8 is replaced by `�`.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body.
    pub fn bytes(&self) -> &Bytes {
        &self.body
    }

    /// The body, read as JSON. An empty body reads as `null`.
    ///
    /// # Errors
    /// Says where in the document the type did not fit. Not retryable: the same body will not fit again.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        decode(&self.body).map_err(|what| Error::permanent(format!("the answer's body {what}")))
    }
}

/// Reads a body as JSON, or says where it did not fit.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let empty = body.trim_ascii().is_empty();
    let json = if empty { b"null" } else { body };
    let mut reader = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        if empty {
            return "is empty where a value was expected: decode to () or Option".to_owned();
        }
        match error.path().to_string().as_str() {
            "." => format!("does not fit its type: {}", error.inner()),
            path => format!("does not fit its type at `{path}`: {}", error.inner()),
        }
    })?;
    reader.end().map_err(|error| format!("goes on after its JSON: {error}"))?;
    Ok(value)
}

/// Which headers are worth a place in the journal.
fn is_kept(name: &str, scrub: &Scrub) -> bool {
    const CREDENTIALS: [&str; 9] =
        ["cookie", "auth", "secret", "passw", "credential", "session", "api-key", "apikey", "access-key"];
    /// About the connection, the browser or the server's make: of no use to a workflow.
    const NOISE: [&str; 22] = [
        "accept-ranges",
        "access-control-",
        "alt-svc",
        "cf-",
        "connection",
        "content-length",
        "content-security-policy",
        "cross-origin-",
        "expect-ct",
        "keep-alive",
        "nel",
        "permissions-policy",
        "referrer-policy",
        "report-to",
        "reporting-endpoints",
        "server",
        "strict-transport-security",
        "transfer-encoding",
        "vary",
        "via",
        "x-content-type-options",
        "x-xss-protection",
    ];
    // `x-next-page-token` is a place in a list; `x-csrf-token` is a key.
    let cursor = ["next", "page", "continuation", "cursor"].iter().any(|word| name.contains(word));
    let token = name.contains("token") && !cursor;
    !token
        && !scrub.hides(name)
        && !CREDENTIALS.iter().any(|word| name.contains(word))
        && !NOISE
            .iter()
            .any(|start| if start.ends_with('-') { name.starts_with(start) } else { name == *start })
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&String> = self.headers.keys().collect();
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &headers)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// As it is on disk. The body is text where it is UTF-8, so that people can read the journal.
#[derive(Serialize, Deserialize)]
struct Recorded {
    status: u16,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl Serialize for Response {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (text, base64) = match std::str::from_utf8(&self.body) {
            Ok("") => (None, None),
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(BASE64_STANDARD.encode(&self.body))),
        };
        Recorded { status: self.status, headers: self.headers.clone(), text, base64 }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Response {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Recorded { status, headers, text, base64 } = Recorded::deserialize(from)?;
        let body = match (text, base64) {
            (Some(text), _) => text.into_bytes().into(),
            (None, Some(base64)) => BASE64_STANDARD.decode(base64).map_err(serde::de::Error::custom)?.into(),
            (None, None) => Bytes::new(),
        };
        Ok(Self { status, headers, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(headers: &[(&'static str, &str)], body: &'static [u8]) -> Response {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Response::new(200, &headers, Bytes::from_static(body), &Scrub::default())
    }

    #[test]
    fn is_equal_after_the_journal() {
        for body in [&b""[..], b"{\"a\":1}", b"caf\xc3\xa9", b"\xff\x00\x01", b"\xef\xbb\xbf[]"] {
            let live = response(&[("etag", "\"7\""), ("x-b", "1"), ("x-b", "2")], body);
            let recorded = serde_json::to_string(&live).unwrap();
            assert_eq!(serde_json::from_str::<Response>(&recorded).unwrap(), live, "{recorded}");
        }
    }

    #[test]
    fn keeps_what_workflows_use_and_no_credentials() {
        let live = response(
            &[
                ("location", "/contacts/7"),
                ("link", "<x>; rel=next"),
                ("x-next-page-token", "n"),
                ("set-cookie", "session=1"),
                ("x-csrf-token", "t"),
                ("www-authenticate", "Basic"),
                ("x-api-key", "k"),
                ("transfer-encoding", "chunked"),
            ],
            b"",
        );
        let kept: Vec<&str> = live.headers.keys().map(String::as_str).collect();
        assert_eq!(kept, ["link", "location", "x-next-page-token"]);
        assert_eq!(live.header("Location"), Some("/contacts/7"));
    }

    #[test]
    fn says_where_json_does_not_fit() {
        #[derive(Deserialize, Debug)]
        struct Contact {
            #[allow(dead_code)]
            ids: Vec<u64>,
        }
        let live = response(&[], br#"{"ids":[1,"two"]}"#);
        let error = live.json::<Contact>().unwrap_err();
        assert!(error.to_string().contains("`ids[1]`"), "{error}");
        assert!(!error.is_retryable());
        assert_eq!(response(&[], b"\xef\xbb\xbf[1]").json::<Vec<u8>>().unwrap(), [1]);
        assert!(response(&[], b" ").json::<Option<Contact>>().unwrap().is_none());
        assert!(response(&[], b"").json::<Contact>().unwrap_err().to_string().contains("empty"));
        assert!(response(&[], b"{}{}").json::<serde_json::Value>().is_err());
    }
}
