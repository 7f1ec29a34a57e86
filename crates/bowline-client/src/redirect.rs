//! Where an answer leads, and what may go there.
//!
//! | The redirect leads | For an Api with a base URL | For one of the public web |
//! |---|---|---|
//! | within the origin | followed, with its proof made anew | followed |
//! | to a host that `.redirect_to` names | followed, with no credential, cookie, query key or signature | as any other |
//! | elsewhere | not followed | followed, if the guard lets it |
//!
//! Only GET and HEAD follow: there a request repeats nothing. What must never happen here: a credential on its way to
//! another host.

use reqwest::{
    Method,
    header::{HeaderMap, LOCATION},
};
use url::Url;

use crate::{
    Api, address,
    attempt::Ready,
    settings::{Settings, Source},
};

/// Most redirects that one attempt follows.
pub(crate) const REDIRECTS_MAX: usize = 5;

/// What to do with an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lead {
    /// It is the answer.
    Nowhere,
    /// Ask there, with proof.
    Home(Url),
    /// Ask there, as a stranger.
    Away(Url),
    /// It leads where nothing may be sent.
    Forbidden(String),
}

/// Where an answer to that request leads.
pub(crate) fn lead(settings: &Settings, request: &Ready, status: u16, headers: &HeaderMap) -> Lead {
    let follows =
        matches!(request.method, Method::GET | Method::HEAD) && matches!(status, 301 | 302 | 303 | 307 | 308);
    let location = headers.get(LOCATION).and_then(|location| location.to_str().ok());
    let next = location.and_then(|location| request.url.join(location).ok());
    let Some(mut next) = next.filter(|_| follows) else { return Lead::Nowhere };
    // A place within the document is no place to ask at.
    next.set_fragment(None);
    let is_home = next.origin() == request.url.origin();
    if let Some(guard) = settings.guard() {
        if request.url.scheme() == "https" && next.scheme() != "https" {
            return Lead::Forbidden("a redirect leads from https to http".into());
        }
        return match guard.check(next) {
            Ok(next) if is_home => Lead::Home(next),
            Ok(next) => Lead::Away(next),
            Err(what) => Lead::Forbidden(format!("a redirect leads to a URL that {what}")),
        };
    }
    if is_home {
        Lead::Home(next)
    } else if settings.may_redirect_to(&next) {
        Lead::Away(next)
    } else {
        Lead::Nowhere
    }
}

/// Takes off what is for the first host only.
pub(crate) fn make_stranger(request: &mut Ready) {
    let secret: Vec<_> = request
        .headers
        .iter()
        .filter(|(_, value)| value.is_sensitive())
        .map(|(name, _)| name.clone())
        .collect();
    for name in secret {
        request.headers.remove(name);
    }
    request.body = None;
}

impl Settings {
    fn may_redirect_to(&self, url: &Url) -> bool {
        let fits = |pattern: &String| url.host_str().is_some_and(|host| host_fits(pattern, host));
        self.redirect_hosts.iter().any(fits) && address::check(url, &self.http_hosts).is_ok()
    }
}

fn host_fits(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        // `*.example.com` is every name below, and not the name itself.
        Some(end) => host.len() > end.len() && host.to_ascii_lowercase().ends_with(&end.to_ascii_lowercase()),
        None => host.eq_ignore_ascii_case(pattern),
    }
}

fn check_pattern(pattern: &str) -> Result<(), String> {
    let name = pattern.strip_prefix("*.").unwrap_or(pattern);
    let is_name = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let parts = name.split('.').count();
    // Below one label (`*.com`) is everybody.
    let wide_enough = pattern == name || parts >= 2;
    if name.split('.').all(is_name) && wide_enough {
        return Ok(());
    }
    Err(format!(
        "names {pattern:?}: a host is a name, as \"cdn.example.com\", or all below one, as \"*.s3.amazonaws.com\""
    ))
}

/// Redirects.
impl Api {
    /// Also follows redirects to that host, for GET and HEAD: for downloads that lead to a storage host. `*.name` is
    /// every host below that name. What goes there has no credential, cookie, key in the query or signature of this
    /// Api; https only, as for base URLs.
    ///
    /// Without it, redirects are followed within the Api's own origin, and no further.
    ///
    /// # Downloads from a store of files
    /// ```
    /// use bowline_client::Api;
    ///
    /// let files = Api::new("files")
    ///     .base_url("https://files.example.com")
    ///     .bearer_env("FILES_TOKEN")
    ///     .redirect_to("*.s3.amazonaws.com");
    /// ```
    pub fn redirect_to(self, host: &str) -> Self {
        self.with(|settings| match check_pattern(host) {
            Ok(()) => settings.redirect_hosts.push(host.to_owned()),
            Err(what) => settings.problem(Source::Code("redirect_to"), what),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_every_name_below_and_nothing_else() {
        for (pattern, host, fits) in [
            ("*.s3.amazonaws.com", "bucket.s3.amazonaws.com", true),
            ("*.s3.amazonaws.com", "a.b.S3.amazonaws.com", true),
            ("*.s3.amazonaws.com", "s3.amazonaws.com", false),
            ("*.s3.amazonaws.com", "evils3.amazonaws.com", false),
            ("*.s3.amazonaws.com", "bucket.s3.amazonaws.com.evil.example", false),
            ("CDN.example.com", "cdn.example.com", true),
            ("cdn.example.com", "x.cdn.example.com", false),
        ] {
            assert_eq!(host_fits(pattern, host), fits, "{pattern} {host}");
        }
        for pattern in
            ["*", "*.com", "", "https://a.example", "a.example/x", "a.*.example", "a.example:80", "*a.b.c"]
        {
            assert!(check_pattern(pattern).is_err(), "{pattern}");
        }
    }
}
