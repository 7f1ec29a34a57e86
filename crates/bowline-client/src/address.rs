//! Where a call goes: base URL and path joined, so that no path can lead to another host.

use std::{fmt, net::IpAddr};

use bowline_model::Secret;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use url::{Host, Url};

use crate::live::LiveSecret;

/// One segment of a path, encoded: for ids that may hold `/`, `?` or spaces.
///
/// # An id in a path
/// ```
/// use bowline_client::segment;
///
/// let path = format!("/contacts/{}", segment("jane/doe@example.com"));
/// assert_eq!(path, "/contacts/jane%2Fdoe%40example.com");
/// ```
pub fn segment(text: &str) -> String {
    segment_of_bytes(text.as_bytes())
}

pub(crate) fn segment_of_bytes(bytes: &[u8]) -> String {
    /// RFC 3986 §2.3: what never needs an encoding.
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    percent_encode(bytes, RESERVED).to_string()
}

/// Where an Api is.
#[derive(Clone)]
pub(crate) enum Address {
    /// A base URL that paths are joined to.
    Base(Url),
    /// A URL that is a secret as a whole (a hook). Calls go there and nowhere below.
    Secret(SecretUrl),
}

#[derive(Clone)]
pub(crate) struct SecretUrl {
    /// Its file may change.
    url: LiveSecret,
    http_hosts: Vec<String>,
}

impl SecretUrl {
    fn current(&self) -> Result<Url, String> {
        let named = |what| format!("{} {what}", self.url.variable().unwrap_or("the secret URL"));
        checked(self.url.current().expose(), &self.http_hosts).map_err(named)
    }
}

impl Address {
    /// Reads a base URL.
    ///
    /// # Errors
    /// Says what is wrong with it, without showing it: it may hold a password.
    pub(crate) fn base(text: &str, http_hosts: &[String]) -> Result<Self, String> {
        let mut url = checked(text, http_hosts)?;
        if url.query().is_some() {
            return Err(
                "a base URL has no query: put its parameters on the calls, with .query(name, value)".into()
            );
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(Self::Base(url))
    }

    /// Reads a URL that is a secret as a whole.
    ///
    /// # Errors
    /// As [`Address::base`].
    pub(crate) fn secret(url: &LiveSecret, http_hosts: &[String]) -> Result<Self, String> {
        checked(url.current().expose(), http_hosts)?;
        Ok(Self::Secret(SecretUrl { url: url.clone(), http_hosts: http_hosts.to_vec() }))
    }

    /// The place below another base that stands for this address: with the same path, or the base itself for a secret.
    pub(crate) fn diverted_to(&self, base: &Self) -> Self {
        let Self::Base(base) = base else { return base.clone() };
        match self {
            Self::Base(url) => {
                let path = format!("{}{}", base.path().trim_end_matches('/'), url.path());
                let mut url = base.clone();
                url.set_path(path.trim_end_matches('/'));
                Self::Base(url)
            }
            Self::Secret(secret) => {
                let url = LiveSecret::fixed(Secret::new(base.clone()));
                Self::Secret(SecretUrl { url, http_hosts: secret.http_hosts.clone() })
            }
        }
    }

    /// The full URL of a call, without its query.
    ///
    /// # Errors
    /// Says what is wrong with the path.
    pub(crate) fn join(&self, path: &str) -> Result<Url, String> {
        match self {
            Self::Base(base) => {
                check_path(path)?;
                let mut url = base.clone();
                let above = base.path().trim_end_matches('/');
                let joined = match path.strip_prefix('/').unwrap_or(path) {
                    "" if path.is_empty() => above.to_owned(),
                    below => format!("{above}/{below}"),
                };
                url.set_path(&joined);
                Ok(url)
            }
            Self::Secret(_) if !matches!(path, "" | "/") => Err(format!(
                "the path {path:?} has nowhere to go: this Api is one secret URL; call it with \"\""
            )),
            Self::Secret(secret) => secret.current(),
        }
    }

    /// Where a test finds what another URL names: below this base, with the same path and query.
    ///
    /// # Errors
    /// Says what is wrong with the path.
    pub(crate) fn in_place_of(&self, url: &Url) -> Result<Url, String> {
        let mut here = self.join(url.path())?;
        here.set_query(url.query());
        Ok(here)
    }

    /// The host, and the port if it is not the scheme's own: all that may be shown of a secret URL.
    pub(crate) fn host(&self) -> String {
        match self {
            Self::Base(url) => host_and_port(url),
            Self::Secret(secret) => secret.current().map(|url| host_and_port(&url)).unwrap_or_default(),
        }
    }

    pub(crate) fn is_secret(&self) -> bool {
        matches!(self, Self::Secret(_))
    }

    /// Parts of the URL that must not be seen anywhere.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let Self::Secret(secret) = self else { return vec![] };
        let urls = secret.url.values().into_iter().filter_map(|url| Url::parse(url.expose()).ok());
        urls.flat_map(|url| secret_parts(&url)).collect()
    }

    /// Whether the address never leaves this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        match self {
            Self::Base(url) => is_loopback(url),
            Self::Secret(secret) => secret.current().is_ok_and(|url| is_loopback(&url)),
        }
    }
}

/// Parts of a URL that are secret where the URL is.
pub(crate) fn secret_parts(url: &Url) -> Vec<String> {
    let mut parts = vec![url.to_string(), url[url::Position::BeforePath..].to_owned()];
    let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let path = url.path_segments().into_iter().flatten().flat_map(|part| [part.to_owned(), decoded(part)]);
    let query = url.query_pairs().map(|(_, value)| value.into_owned());
    parts.extend(path.chain(query).filter(|part| looks_random(part)));
    // The root is no secret.
    parts.retain(|part| part != "/");
    parts
}

/// Shows the host only.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.host())
    }
}

/// The `hooks`, `v1` and `services` of a hook's path are words, not secrets; a random part has digits, or is long.
fn looks_random(part: &str) -> bool {
    const RANDOM_BYTES_MIN: usize = 8;
    const WORD_BYTES_MAX: usize = 15;
    part.len() > WORD_BYTES_MAX
        || part.len() >= RANDOM_BYTES_MIN && part.contains(|c: char| c.is_ascii_digit())
}

fn checked(text: &str, http_hosts: &[String]) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL ({error}); it starts with https://"))?;
    check(&url, http_hosts).map(|()| url)
}

/// Whether credentials may go there.
///
/// # Errors
/// Says what is wrong with it.
pub(crate) fn check(url: &Url, http_hosts: &[String]) -> Result<(), String> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user or password in it: set them with .basic_env(user, password)".into());
    }
    if url.fragment().is_some() {
        return Err("has a fragment (#…), which is never sent: remove it".into());
    }
    let Some(host) = url.host_str() else {
        return Err("has no host: it looks like https://api.example.com".into());
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(url) || http_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host)) => {
            Ok(())
        }
        "http" => Err(format!(
            "uses plain http to {host}, where everybody on the way can read it: use https, or put \
             .allow_http({host:?}) before the URL"
        )),
        scheme => Err(format!("has the scheme {scheme}: only https is spoken here")),
    }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(ip)) => IpAddr::from(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::from(ip).is_loopback(),
        None => false,
    }
}

pub(crate) fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn check_path(path: &str) -> Result<(), String> {
    if path.contains("://") || path.starts_with("//") {
        return Err(format!(
            "the path {path:?} names a host: give what follows the base URL, as \"/contacts\""
        ));
    }
    if path.contains('?') {
        return Err(format!("the path {path:?} has a query: use .query(name, value), which encodes it"));
    }
    if path.contains(['#', '\\']) || path.contains(|c: char| c.is_ascii_control()) {
        return Err(format!(
            "the path {path:?} has a character that paths do not have: encode ids with segment(id)"
        ));
    }
    let climbs = |part: &str| matches!(part.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    if path.split('/').any(climbs) {
        return Err(format!("the path {path:?} climbs (\"..\"): it must stay below the base URL"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(base: &str, path: &str) -> Result<String, String> {
        Address::base(base, &[])?.join(path).map(String::from)
    }

    #[test]
    fn joins_below_the_base() {
        for (base, path, joined) in [
            ("https://a.example", "/contacts", "https://a.example/contacts"),
            ("https://a.example/", "contacts", "https://a.example/contacts"),
            ("https://a.example/v1", "/contacts/", "https://a.example/v1/contacts/"),
            ("https://a.example/v1/", "/contacts", "https://a.example/v1/contacts"),
            ("https://a.example/v1", "", "https://a.example/v1"),
            ("https://a.example/v1", "/", "https://a.example/v1/"),
            ("https://a.example", "", "https://a.example/"),
            ("https://a.example", "/a b/ü%2F", "https://a.example/a%20b/%C3%BC%2F"),
            ("https://a.example", "/user@b.example:80", "https://a.example/user@b.example:80"),
        ] {
            assert_eq!(join(base, path).as_deref(), Ok(joined), "{base} + {path}");
        }
    }

    #[test]
    fn a_path_never_leads_out() {
        for path in [
            "https://evil.example/x",
            "//evil.example/x",
            "/../admin",
            "/a/%2e%2E/b",
            "/a/..",
            "/./x",
            "\\\\evil.example",
            "/x?admin=1",
            "/x#y",
            "/x\r\nHost: evil.example",
            "/\tx",
        ] {
            assert!(join("https://a.example/v1", path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_segment_cannot_leave_its_place() {
        let url = join("https://a.example/v1", &format!("/c/{}/x", segment("../a?b#c/d\\e"))).unwrap();
        assert_eq!(url, "https://a.example/v1/c/..%2Fa%3Fb%23c%2Fd%5Ce/x");
    }

    #[test]
    fn plain_http_is_for_loopback_and_allowed_hosts() {
        let allowed = ["CRM.internal".to_owned()];
        for url in [
            "http://127.0.0.1:1/x",
            "http://127.9.9.9",
            "http://[::1]:80",
            "http://localhost:8080",
            "http://crm.internal:81",
            "http://2130706433",
        ] {
            assert!(Address::base(url, &allowed).is_ok(), "{url}");
        }
        for url in [
            "http://crm.example",
            "http://127.0.0.1.evil.example",
            "http://localhost.evil.example",
            "http://x.crm.internal",
            "ftp://127.0.0.1",
            "file:///etc/passwd",
            "crm.example",
            "",
            "https://u:p@crm.example",
            "https://crm.example/?a=b",
            "https://crm.example/#x",
        ] {
            let error = Address::base(url, &allowed).unwrap_err();
            assert!(!error.contains("u:p"), "{error}");
        }
    }
}
