//! Pages in browsers: which origins may send to a route and read its answers (the Fetch standard's CORS protocol).
//!
//! Never with credentials: what a browser adds by itself (cookies) means nothing here, and must not begin to.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};

use crate::{Route, problem::Refusal};

/// What a page may read of an answer, besides its body and type.
const EXPOSED: HeaderValue = HeaderValue::from_static("location, retry-after, x-request-id, bowline-run");
/// For how long a browser need not ask again: the longest that Chromium keeps.
const MAX_AGE_SECONDS: u16 = 7200;

/// Answers the question that a browser asks before it lets a page send; `refusal` if it is another one.
pub(crate) fn preflight(
    route: &Route,
    parts: &Parts,
    methods: &'static str,
    refusal: Refusal,
) -> Result<Response, Refusal> {
    let asks = parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if !asks || route.origins().is_empty() {
        return Err(refusal);
    }
    if allowed(route, &parts.headers).is_none() {
        return Err(Refusal::Origin);
    }
    let mut names = vec!["content-type".to_owned()];
    names.extend(route.provider().headers_of_pages().iter().map(ToString::to_string));
    let names = HeaderValue::try_from(names.join(", ")).expect("names of headers are a header's value");
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(MAX_AGE_SECONDS));
    Ok(response)
}

/// Lets the page that asked read the answer, refusals included, if its origin may.
pub(crate) fn open_to_pages(route: &Route, asked: &HeaderMap, response: &mut Response) {
    if route.origins().is_empty() {
        return;
    }
    let headers = response.headers_mut();
    // Also where no origin was named: a cache must not hand that answer to a page.
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = allowed(route, asked) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

/// The request's origin, if it is one of the route's.
fn allowed<'a>(route: &Route, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let (origin, None) = (origins.next()?, origins.next()) else { return None };
    route.origins().iter().any(|known| known.as_bytes() == origin.as_bytes()).then_some(origin)
}

/// What keeps a text from being an origin as browsers write it: scheme, host in lower case, port unless it is the
/// scheme's own, and nothing after it.
pub(crate) fn problem(origin: &str) -> Option<&'static str> {
    let (rest, usual_port) = match (origin.strip_prefix("https://"), origin.strip_prefix("http://")) {
        (Some(rest), _) => (rest, ":443"),
        (None, Some(rest)) => (rest, ":80"),
        (None, None) => return Some("does not begin with https:// or http://"),
    };
    if rest.is_empty() || rest.starts_with(':') {
        return Some("has no host");
    }
    if rest.contains(['/', '?', '#']) {
        return Some("goes on after its host; an origin has no path");
    }
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]".contains(&byte);
    if !rest.bytes().all(is_plain) {
        return Some("has other characters than a host in lower case and a port; browsers send punycode");
    }
    rest.ends_with(usual_port).then_some("names the scheme's own port; browsers leave it out")
}
