//! URLs that come from data: what of the web may be called, and nothing of what is behind it.
//!
//! What comes in: a URL that a stranger may have written, the addresses that its host resolves to, where its answers
//! redirect to. What goes out: the URL if all of that is public, or the rule that it breaks.
//!
//! What must never happen here: a connection to an address that was not checked. A name is resolved once per connection,
//! by [`Guard`] itself, and what was checked is what is connected to; a name that resolves to something else a moment
//! later (DNS rebinding) changes nothing. No proxy is asked, for it would resolve the name itself. An error names the
//! rule, and no address: who wrote the URL learns nothing of what is inside.
//!
//! | Module | Story |
//! |---|---|
//! | `address` | which addresses are public |

use std::{
    error::Error,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bowline_model::BoxFuture;
use reqwest::{
    Method,
    dns::{Addrs, Name, Resolve, Resolving},
};
use url::{Host, Url};

use crate::{
    Api, Call,
    settings::{Settings, Source},
};

mod address;

use address::Inside;

/// Longest URL from data.
const URL_BYTES_MAX: usize = 8 * 1024;
/// Most addresses of one name that are looked at.
const ADDRESSES_MAX: usize = 64;
/// The schemes' own ports.
const PORTS: [u16; 2] = [443, 80];

/// What may be called.
#[derive(Clone)]
pub(crate) struct Guard {
    /// Hosts that may be inside.
    internal: Vec<String>,
    ports: Vec<u16>,
    plain_http: PlainHttp,
    lookup: Arc<dyn Lookup>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PlainHttp {
    Refused,
    Allowed,
}

/// Finds the addresses of a name.
trait Lookup: Send + Sync {
    fn lookup(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// As the machine does.
struct System;

impl Lookup for System {
    fn lookup(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).take(ADDRESSES_MAX).collect())
        })
    }
}

impl Guard {
    pub(crate) fn new() -> Self {
        let (internal, ports) = (vec![], PORTS.to_vec());
        Self { internal, ports, plain_http: PlainHttp::Refused, lookup: Arc::new(System) }
    }

    /// Reads a URL from data.
    ///
    /// # Errors
    /// Says which rule it breaks; goes on after "a URL that".
    pub(crate) fn read(&self, text: &str) -> Result<Url, String> {
        if text.len() > URL_BYTES_MAX {
            return Err(format!("has {} bytes (at most {URL_BYTES_MAX})", text.len()));
        }
        let url = Url::parse(text).map_err(|error| format!("is none ({error}): it starts with https://"))?;
        self.check(url)
    }

    /// Looks at all of a URL but the addresses of its name.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn check(&self, mut url: Url) -> Result<Url, String> {
        match (url.scheme(), self.plain_http) {
            ("https", _) | ("http", PlainHttp::Allowed) => {}
            ("http", PlainHttp::Refused) => {
                return Err(
                    "uses plain http: only https is spoken, unless .allow_plain_http() says otherwise".into(),
                );
            }
            (scheme, _) => return Err(format!("has the scheme {scheme}: only https is spoken")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("has a user or a password in it".into());
        }
        let port = url.port_or_known_default().unwrap_or_default();
        if !self.ports.contains(&port) {
            return Err(format!("has the port {port}, which is not allowed: .allow_port({port}) allows it"));
        }
        match url.host() {
            Some(Host::Domain(name)) => self.check_name(name)?,
            Some(Host::Ipv4(ip)) => self.check_ip(ip.into())?,
            Some(Host::Ipv6(ip)) => self.check_ip(ip.into())?,
            None => return Err("has no host".into()),
        }
        url.set_fragment(None);
        Ok(url)
    }

    fn is_internal(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        self.internal.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }

    fn check_name(&self, name: &str) -> Result<(), String> {
        if self.is_internal(name) {
            return Ok(());
        }
        match address::inside_name(name) {
            Some(what) => Err(format!("names {what}, which is not of the public web")),
            None => Ok(()),
        }
    }

    fn check_ip(&self, ip: IpAddr) -> Result<(), String> {
        if self.is_internal(&ip.to_string()) {
            return Ok(());
        }
        address::inside(ip).map_or(Ok(()), |inside| Err(format!("names {inside}")))
    }

    /// The addresses of a name, if all of them may be called.
    async fn resolve(self, name: String) -> Result<Vec<IpAddr>, Box<dyn Error + Send + Sync>> {
        let found = self.lookup.lookup(name.clone()).await?;
        let is_internal = self.is_internal(&name);
        for ip in &found {
            match address::inside(*ip) {
                None => {}
                // Who runs the names of an internal host does not thereby get at this machine's own credentials.
                Some(inside) if is_internal && inside != Inside::LinkLocal && inside != Inside::Metadata => {}
                Some(inside) => return Err(Box::new(Refused(format!("its host resolves to {inside}")))),
            }
        }
        Ok(found)
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = Self::resolve(guard, name.as_str().to_owned()).await?;
            let addresses: Addrs = Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("internal", &self.internal)
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

/// Why there is no connection: the guard's own word, found again beneath the errors of the libraries between.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Refused {}

impl Settings {
    /// The guard, unless all calls are diverted to a place of the test's choice.
    pub(crate) fn guard(&self) -> Option<&Guard> {
        self.web.as_ref().filter(|_| !self.is_diverted())
    }

    fn guarded(&mut self, option: &str, change: impl FnOnce(&mut Guard)) {
        match &mut self.web {
            Some(guard) => change(guard),
            None => self
                .problem(Source::Code(option), "is for URLs from data: put .public_web() before it".into()),
        }
    }
}

/// URLs that come from data.
impl Api {
    /// Makes this an Api without base URL, for URLs that come from data: an attachment that an event names, a customer's
    /// own endpoint. They are called with [`get_url`](Api::get_url), [`head_url`](Api::head_url) and
    /// [`post_url`](Api::post_url), and nothing of the inside can be reached by them:
    ///
    /// - https, on port 443, with no user in the URL, unless [`allow_plain_http`](Api::allow_plain_http) and
    ///   [`allow_port`](Api::allow_port) say otherwise;
    /// - hosts whose every address is public: not loopback, private, link-local, shared, multicast, reserved, for
    ///   documentation or benchmarks, of a cloud's metadata, or an IPv4 address in an IPv6 one; in whatever way the URL
    ///   writes it, whatever the name resolves to a moment later, and wherever a redirect leads (GET and HEAD follow up
    ///   to five, never from https to http);
    /// - no credentials: such an Api can have none. It may [`sign`](Api::sign), as senders of webhooks do.
    ///
    /// What breaks a rule is a permanent failure that names the rule. URLs from data are taken for secrets: errors and
    /// logs name their host, journals a hash. Proxies of the environment are not asked. Since one host that fails says
    /// nothing of the next, there is no breaker unless [`breaker`](Api::breaker) comes after it.
    ///
    /// # A URL from somebody's form
    /// ```
    /// use bowline_client::Api;
    ///
    /// let web = Api::new("attachments").public_web();
    /// let call = web.get_url("https://files.example.com/7/report.pdf");
    /// assert!(!format!("{call:?}").contains("report"));
    /// ```
    pub fn public_web(self) -> Self {
        self.no_breaker().with(|settings| {
            if settings.address.is_some() {
                return settings.problem(
                    Source::Code("public_web"),
                    "has a base URL already: make it another Api".into(),
                );
            }
            settings.web = Some(Guard::new());
        })
    }

    /// Also calls that host, though it is internal: its name, or its address, as the URL has it. Goes after
    /// [`public_web`](Api::public_web).
    ///
    /// # A file server of one's own
    /// ```
    /// let web = bowline_client::Api::new("web").public_web().allow_internal_host("files.internal");
    /// ```
    pub fn allow_internal_host(self, host: &str) -> Self {
        self.with(|settings| {
            settings.guarded("allow_internal_host", |guard| {
                guard.internal.push(host.trim_end_matches('.').to_owned())
            });
        })
    }

    /// Also calls that port. Goes after [`public_web`](Api::public_web).
    ///
    /// # One port more
    /// ```
    /// let web = bowline_client::Api::new("web").public_web().allow_port(8443);
    /// ```
    pub fn allow_port(self, port: u16) -> Self {
        self.with(|settings| settings.guarded("allow_port", |guard| guard.ports.push(port)))
    }

    /// Also calls plain http, where everybody on the way can read and change what is said. Goes after
    /// [`public_web`](Api::public_web).
    ///
    /// # Old feeds
    /// ```
    /// let feeds = bowline_client::Api::new("feeds").public_web().allow_plain_http();
    /// ```
    pub fn allow_plain_http(self) -> Self {
        self.with(|settings| {
            settings.guarded("allow_plain_http", |guard| guard.plain_http = PlainHttp::Allowed);
        })
    }

    /// Describes a GET of a URL from data. See [`public_web`](Api::public_web).
    pub fn get_url(&self, url: impl AsRef<str>) -> Call {
        self.call_url(Method::GET, url.as_ref())
    }

    /// Describes a HEAD of a URL from data. See [`public_web`](Api::public_web).
    ///
    /// # How large it is
    /// ```
    /// let web = bowline_client::Api::new("web").public_web();
    /// let call = web.head_url("https://files.example.com/7.pdf");
    /// ```
    pub fn head_url(&self, url: impl AsRef<str>) -> Call {
        self.call_url(Method::HEAD, url.as_ref())
    }

    /// Describes a POST to a URL from data. It carries an idempotency key. See [`public_web`](Api::public_web).
    ///
    /// # A customer's webhook
    /// ```
    /// let web = bowline_client::Api::new("web").public_web();
    /// let call = web.post_url("https://customer.example.com/hook").json(&serde_json::json!({"order": 7}));
    /// ```
    pub fn post_url(&self, url: impl AsRef<str>) -> Call {
        self.call_url(Method::POST, url.as_ref())
    }

    fn call_url(&self, method: Method, url: &str) -> Call {
        let call = Call::new(self.clone(), method, url);
        if self.settings().web.is_some() {
            return call;
        }
        call.problem("calls of whole URLs are for an Api of its own, made with .public_web()".into())
    }
}

#[cfg(test)]
mod tests;
