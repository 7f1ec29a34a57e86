//! Who may talk to the admin API: this machine, and no foreign page in somebody's browser.
//!
//! A page can point its own name at 127.0.0.1 (DNS rebinding): the `Host` header then carries that name. It can post
//! a form across origins: the `Origin` header then is another or `null`, and it cannot set `x-bowline` or a JSON content
//! type. Four forms of our own pages are taken, [`CONNECT_FORM`], [`APPROVALS_FORM`], [`FORK_FORM`] and [`PAUSE_FORM`]: a
//! browser says of them, by `Origin`, that they come from this very address. There are no cookies, so nothing rides along with a
//! request that a foreign page made.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::answer::Refusal;

/// The header that a write must carry, with the value `1`.
pub(super) const WRITE_HEADER: &str = "x-bowline";

/// The paths that take a form of our own pages.
pub(crate) const CONNECT_FORM: &str = "/connect";
pub(crate) const APPROVALS_FORM: &str = "/approvals";
pub(crate) const FORK_FORM: &str = "/fork";
pub(crate) const PAUSE_FORM: &str = "/pause";

/// The host by which the request names this server: one of those it answers as.
#[derive(Debug, Clone)]
pub(crate) struct NamedHost(pub(crate) Authority);

pub(super) struct Guard {
    hosts: Vec<String>,
}

impl Guard {
    pub(super) fn new(hosts: Vec<String>) -> Self {
        Self { hosts: hosts.iter().map(|host| bare(host)).collect() }
    }

    fn judge(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Authority, Refusal> {
        let host = named_host(uri, headers)?;
        if !self.is_ours(&host, uri.path()) {
            return Err(Refusal::new(
                StatusCode::MISDIRECTED_REQUEST,
                format!("this server does not answer as {:?}", host.host()),
                "use a loopback address, or allow that host by name where the admin API is set up",
            ));
        }
        check_origin(&host, headers)?;
        match (method, uri.path()) {
            (&Method::GET | &Method::HEAD, _) => {}
            (&Method::POST, CONNECT_FORM | APPROVALS_FORM | FORK_FORM | PAUSE_FORM) => check_form(headers)?,
            (_, _) => check_write(headers)?,
        }
        Ok(host)
    }

    fn is_ours(&self, host: &Authority, path: &str) -> bool {
        let name = bare(host.host());
        let address = name.parse::<IpAddr>();
        name == "localhost"
            || address.as_ref().is_ok_and(|address| address.to_canonical().is_loopback())
            || self.hosts.contains(&name)
            // Probes of orchestrators name the machine's address. An address cannot be rebound, and health tells
            // nothing of runs.
            || (address.is_ok() && path.starts_with("/health/"))
    }
}

/// A host without brackets, a final dot, or capitals.
fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches([']', '.']).to_ascii_lowercase()
}

/// The one host that the request names.
fn named_host(uri: &Uri, headers: &HeaderMap) -> Result<Authority, Refusal> {
    let bad = |what: &str| Err(Refusal::bad_request(format!("the request {what}")));
    let mut named = headers.get_all(header::HOST).iter();
    let host = match (named.next(), named.next()) {
        (Some(host), None) => {
            host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()).filter(has_no_user)
        }
        (None, _) => uri.authority().cloned(),
        (Some(_), Some(_)) => return bad("names several hosts"),
    };
    let Some(host) = host else { return bad("names no host") };
    match uri.authority() {
        Some(target) if *target != host => bad("names two different hosts"),
        Some(_) | None => Ok(host),
    }
}

fn has_no_user(host: &Authority) -> bool {
    !host.as_str().contains('@')
}

fn check_origin(host: &Authority, headers: &HeaderMap) -> Result<(), Refusal> {
    for origin in headers.get_all(header::ORIGIN) {
        let authority = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")))
            .and_then(|authority| authority.parse::<Authority>().ok());
        if authority.as_ref() != Some(host) {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                format!("a page of another origin ({origin:?}) may not ask here"),
                "a proxy in front of this address must keep the `Host` header",
            ));
        }
    }
    Ok(())
}

fn check_write(headers: &HeaderMap) -> Result<(), Refusal> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = content_type.split(';').next().unwrap_or("").trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("a command's content type is {content_type:?}"),
            "send `content-type: application/json`",
        ));
    }
    if headers.get(WRITE_HEADER).map(HeaderValue::as_bytes) != Some(b"1") {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            format!("a command needs the header `{WRITE_HEADER}: 1`"),
            "it shows that no foreign page sent it",
        ));
    }
    Ok(())
}

/// A form of our own pages. Whether `Origin` is this address was looked at before: here it must be there at all.
fn check_form(headers: &HeaderMap) -> Result<(), Refusal> {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if !headers.contains_key(header::ORIGIN) || site.is_some_and(|site| site != b"same-origin") {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "a form must come from a page of this address",
            "open the page here and press its button",
        ));
    }
    Ok(())
}

pub(super) async fn check(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let mut response = match guard.judge(request.method(), request.uri(), request.headers()) {
        Ok(host) => {
            request.extensions_mut().insert(NamedHost(host));
            next.run(request).await
        }
        Err(refusal) => {
            tracing::warn!(path = request.uri().path(), ?refusal, "admin request refused");
            refusal.into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: &str, uri: &str, headers: &[(&str, &str)], expect: u16) {
        let guard = Guard::new(vec!["Ops.example".to_owned()]);
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .collect::<HeaderMap>();
        let verdict =
            guard.judge(&method.parse().expect("a method"), &uri.parse().expect("a path"), &headers);
        let status = verdict.map_or_else(|refusal| refusal.status().as_u16(), |_| 200);
        assert_eq!(status, expect, "{method} {uri} {headers:?}");
    }

    #[test]
    fn answers_as_this_machine_and_as_what_was_allowed() {
        for host in [
            "localhost",
            "LOCALHOST:8081",
            "127.0.0.1:8081",
            "127.9.9.9",
            "[::1]:8081",
            "[::ffff:127.0.0.1]",
            "ops.example:8081",
        ] {
            check("GET", "/api/runs", &[("host", host)], 200);
        }
    }

    #[test]
    fn a_rebound_name_is_turned_away() {
        for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8081", "10.0.0.7"] {
            check("GET", "/api/runs", &[("host", host)], 421);
            check("GET", "http://127.0.0.1/api/runs", &[("host", host)], 400);
        }
        check("GET", "/api/runs", &[("host", "localhost@evil.example")], 400);
        check("GET", "/api/runs", &[("host", "localhost"), ("host", "evil.example")], 400);
        check("GET", "/api/runs", &[], 400);
    }

    #[test]
    fn health_answers_any_address_and_no_name() {
        check("GET", "/health/ready", &[("host", "10.0.0.7:8081")], 200);
        check("GET", "/health/ready", &[("host", "evil.example")], 421);
    }

    #[test]
    fn a_page_of_another_origin_is_turned_away() {
        let host = ("host", "localhost:8081");
        check("GET", "/api/runs", &[host, ("origin", "http://localhost:8081")], 200);
        for origin in ["http://localhost:3000", "https://evil.example", "null", "localhost:8081"] {
            check("GET", "/api/runs", &[host, ("origin", origin)], 403);
        }
    }

    #[test]
    fn a_write_needs_what_no_form_can_send() {
        let (host, json, ours) =
            (("host", "localhost"), ("content-type", "application/json; charset=utf-8"), ("x-bowline", "1"));
        check("POST", "/api/dead/retry", &[host, json, ours], 200);
        check("POST", "/api/dead/retry", &[host, json], 403);
        check("POST", "/api/dead/retry", &[host, json, ("x-bowline", "0")], 403);
        check("POST", "/api/dead/retry", &[host, ours], 415);
        check("POST", "/api/dead/retry", &[host, ours, ("content-type", "text/plain")], 415);
        check("DELETE", "/api/dead/retry", &[host, json], 403);
    }

    #[test]
    fn our_own_forms_are_taken_from_our_own_pages_only() {
        let (host, form) =
            (("host", "localhost:8081"), ("content-type", "application/x-www-form-urlencoded"));
        let ours = ("origin", "http://localhost:8081");
        check("POST", "/connect", &[host, form, ours], 200);
        check("POST", "/approvals", &[host, form, ours], 200);
        check("POST", "/pause", &[host, form, ours], 200);
        check("POST", "/pause", &[host, form], 403);
        check("POST", "/approvals", &[host, form], 403);
        check("POST", "/approvals", &[host, form, ("origin", "https://evil.example")], 403);
        check("POST", "/connect", &[host, form, ours, ("sec-fetch-site", "same-origin")], 200);
        check("POST", "/connect", &[host, form], 403);
        for site in ["same-site", "cross-site", "none"] {
            check("POST", "/connect", &[host, form, ours, ("sec-fetch-site", site)], 403);
        }
        for origin in ["http://localhost:3000", "https://evil.example", "null"] {
            check("POST", "/connect", &[host, form, ("origin", origin)], 403);
        }
        let rebound = [("host", "evil.example"), form, ("origin", "http://evil.example")];
        check("POST", "/connect", &rebound, 421);
        for path in [
            "/connect/callback",
            "/connections",
            "/approvals/",
            "/workflows",
            "/api/runs/1/decide",
            "/api/dead/retry",
        ] {
            check("POST", path, &[host, form, ours], 415);
        }
        check("PUT", "/connect", &[host, form, ours], 415);
    }
}
