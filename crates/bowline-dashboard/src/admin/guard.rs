//! Who may talk to the admin API: this machine, and no foreign page in somebody's browser.
//!
//! A page can point its own name at 127.0.0.1 (DNS rebinding): the `Host` header then carries that name. It can post
//! a form across origins: the `Origin` header then is another, and it cannot set `x-bowline` or a JSON content type.

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

pub(super) struct Guard {
    hosts: Vec<String>,
}

impl Guard {
    pub(super) fn new(hosts: Vec<String>) -> Self {
        Self { hosts: hosts.iter().map(|host| bare(host)).collect() }
    }

    fn judge(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = named_host(uri, headers)?;
        if !self.is_ours(&host, uri.path()) {
            return Err(Refusal::new(
                StatusCode::MISDIRECTED_REQUEST,
                format!("this server does not answer as {:?}", host.host()),
                "use a loopback address, or allow that host by name where the admin API is set up",
            ));
        }
        check_origin(&host, headers)?;
        if method == Method::GET || method == Method::HEAD { Ok(()) } else { check_write(headers) }
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
                "",
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

pub(super) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let mut response = match guard.judge(request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
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
        let status = verdict.map_or_else(|refusal| refusal.status().as_u16(), |()| 200);
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
}
