//! The settings of an Api, and what is wrong with them.

use std::{sync::Arc, time::Duration};

use bowline_model::{Alerts, Clock, LoggedAlerts, RetryPolicy, Secret, SystemClock, Variables};
use reqwest::header::HeaderValue;
use sha2::{Digest, Sha256};
use url::Url;

use crate::{
    Idempotency,
    address::{Address, host_and_port},
    cache::Caching,
    call::Request,
    certificate::Certificate,
    credential::Key,
    guard::Guard,
    live::LiveSecret,
    policy::Rules,
    prepare::needs_key,
    proof::Credential,
    recall::KnownIn,
    scrub::Scrub,
    transport::Authorities,
    vault::Vault,
};

/// How long connecting may take, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one attempt of a call that stands alone may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long remotes remember an idempotency key, if nobody says otherwise (Stripe: 24 h).
const KEY_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Largest answer.
const RESPONSE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Largest body that flows: 64 GiB.
const STREAM_BYTES_MAX: u64 = 64 << 30;
/// How long a body that flows may pause.
const STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Where an Api is whose URL has a stand-in: at a host that never exists (RFC 6761 §6.4), so that nothing leaves.
const STAND_IN_URL: &str = "https://stand-in.invalid";

/// Where a setting came from, so that its problem can be named.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Code(&'a str),
    Variable(&'a str),
}

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) variables: Variables,
    /// The problems of this Api, by variable or option.
    pub(crate) problems: Vec<(String, String)>,
    pub(crate) address: Option<Address>,
    /// What of the web may be called, where URLs come from data.
    pub(crate) web: Option<Guard>,
    /// Hosts that a redirect may lead to.
    pub(crate) redirect_hosts: Vec<String>,
    /// Where calls go instead of where the URL says.
    diverted: Option<Address>,
    pub(crate) http_hosts: Vec<String>,
    pub(crate) credentials: Vec<Credential>,
    /// Secrets whose files may change.
    pub(crate) watched: Vec<LiveSecret>,
    pub(crate) scrub: Arc<Scrub>,
    pub(crate) idempotency: Idempotency,
    pub(crate) key_lifetime: Duration,
    pub(crate) authorities: Authorities,
    pub(crate) certificate: Option<Arc<Certificate>>,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_bytes_max: usize,
    /// Largest body that is read as it flows: items, downloads.
    pub(crate) stream_bytes_max: u64,
    pub(crate) stream_idle_timeout: Duration,
    pub(crate) user_agent: HeaderValue,
    pub(crate) attempt_timeout: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) alerts: Arc<dyn Alerts>,
    /// How long good answers are kept, if they are.
    pub(crate) caching: Option<Caching>,
    pub(crate) rules: Rules,
    /// Where its tokens live.
    pub(crate) vault: Vault,
    /// Where it is looked for by name.
    pub(crate) known_in: Option<KnownIn>,
    /// A token endpoint's: answers are not looked through for secrets, they are made of them, and never shown.
    pub(crate) answers_are_secret: bool,
}

impl Settings {
    pub(crate) fn new(name: String, variables: Variables) -> Self {
        Self {
            name,
            variables,
            problems: vec![],
            address: None,
            web: None,
            redirect_hosts: vec![],
            diverted: None,
            http_hosts: vec![],
            credentials: vec![],
            watched: vec![],
            scrub: Arc::default(),
            idempotency: Idempotency::default(),
            key_lifetime: KEY_LIFETIME,
            authorities: vec![],
            certificate: None,
            connect_timeout: CONNECT_TIMEOUT,
            response_bytes_max: RESPONSE_BYTES_MAX,
            stream_bytes_max: STREAM_BYTES_MAX,
            stream_idle_timeout: STREAM_IDLE_TIMEOUT,
            user_agent: HeaderValue::from_static(concat!("bowline/", env!("CARGO_PKG_VERSION"))),
            attempt_timeout: ATTEMPT_TIMEOUT,
            retry: RetryPolicy::default(),
            clock: Arc::new(SystemClock),
            alerts: Arc::new(LoggedAlerts),
            caching: None,
            rules: Rules::default(),
            vault: Vault::memory(),
            known_in: None,
            answers_are_secret: false,
        }
    }

    pub(crate) fn problem(&mut self, source: Source<'_>, what: String) {
        let name = match source {
            Source::Code(option) => format!("{}.{option}", self.name),
            Source::Variable(variable) => variable.to_owned(),
        };
        self.variables.problem(name.as_str(), what.as_str());
        self.problems.push((name, what));
    }

    /// Takes the address in that variable, which is not looked at if calls are diverted.
    pub(crate) fn read_address(
        &mut self,
        variable: &str,
        what: &str,
        read: fn(&LiveSecret, &[String]) -> Result<Address, String>,
    ) {
        let stand_in = || STAND_IN_URL.to_owned();
        let url = match self.diverted {
            Some(_) => Some(LiveSecret::fixed(Secret::new(STAND_IN_URL))),
            None => self.live(variable, what, stand_in),
        };
        if let Some(url) = url {
            self.set_address(Source::Variable(variable), read(&url, &self.http_hosts));
        }
    }

    pub(crate) fn set_address(&mut self, source: Source<'_>, address: Result<Address, String>) {
        if self.web.is_some() {
            return self
                .problem(source, "is for an Api that is not of the public web: make it another one".into());
        }
        match address {
            Ok(address) => {
                let address = match &self.diverted {
                    Some(base) => address.diverted_to(base),
                    None => address,
                };
                let scrub = Arc::make_mut(&mut self.scrub);
                address.secrets().iter().for_each(|secret| scrub.add(secret));
                self.address = Some(address);
            }
            Err(what) => self.problem(source, what),
        }
    }

    /// The path of the base URL that the code says, without what calls are diverted to; `None` for a secret URL.
    #[cfg(feature = "soap")]
    pub(crate) fn base_path(&self) -> Option<String> {
        let path = |address: &Address| match address {
            Address::Base(url) => Some(url.path().trim_end_matches('/').to_owned()),
            Address::Secret(_) => None,
        };
        let Some(address) = &self.address else { return Some(String::new()) };
        let above = self.diverted.as_ref().and_then(path).unwrap_or_default();
        path(address).map(|own| own.strip_prefix(above.as_str()).map_or(own.clone(), str::to_owned))
    }

    pub(crate) fn divert(&mut self, base: &str) {
        let source = Source::Code("divert");
        if self.address.is_some() {
            return self.problem(source, "comes after the URL: put it before".into());
        }
        match Address::base(base, &self.http_hosts) {
            Ok(base) => self.diverted = Some(base),
            Err(what) => self.problem(source, what),
        }
    }

    pub(crate) fn set_key(&mut self, source: Source<'_>, key: Result<Key, String>) {
        match key {
            Ok(key) => {
                key.scrub(Arc::make_mut(&mut self.scrub));
                self.credentials.push(Credential::Key(key));
            }
            Err(what) => self.problem(source, what),
        }
    }

    /// Whether a key goes with that request.
    pub(crate) fn key_is_sent_for(&self, request: &Request) -> bool {
        needs_key(&request.method) && !request.reads && self.idempotency != Idempotency::None
    }

    pub(crate) fn is_diverted(&self) -> bool {
        self.diverted.is_some()
    }

    /// The full URL of a call, without its query.
    ///
    /// # Errors
    /// Says what is wrong with the path, or with the Api.
    pub(crate) fn url(&self, path: &str) -> Result<Url, String> {
        let Some(guard) = &self.web else {
            let missing = "the Api has no base URL: give it one, as .base_url(\"https://api.example.com\")";
            return self.address.as_ref().ok_or(missing)?.join(path);
        };
        let is_credential = |credential: &Credential| !matches!(credential, Credential::Signature(_));
        if self.credentials.iter().any(is_credential) {
            return Err("an Api of the public web can have no credential: any URL could ask for it".into());
        }
        let url = guard.read(path).map_err(|what| format!("it calls a URL that {what}"))?;
        match &self.diverted {
            Some(base) => base.in_place_of(&url),
            None => Ok(url),
        }
    }

    /// The path as it is recorded: the hash of a whole URL from data, which may be a secret.
    pub(crate) fn recorded_path(&self, path: &str) -> String {
        const HASH_BYTES: usize = 8;
        match &self.web {
            Some(_) => format!("/{}", hex::encode(&Sha256::digest(path)[..HASH_BYTES])),
            None => self.shown_path(path),
        }
    }

    /// The path as it may be seen.
    pub(crate) fn shown_path(&self, path: &str) -> String {
        match &self.address {
            None if self.web.is_some() => String::new(),
            Some(address) if address.is_secret() => String::new(),
            Some(_) | None => format!("/{}", path.strip_prefix('/').unwrap_or(path)),
        }
    }

    /// Where a call to that path goes.
    pub(crate) fn host(&self, path: &str) -> String {
        let of_data = || Url::parse(path).ok().map(|url| host_and_port(&url)).unwrap_or_default();
        match &self.web {
            Some(_) => of_data(),
            None => self.address.as_ref().map(Address::host).unwrap_or_default(),
        }
    }

    pub(crate) fn credentials_for_people(&self) -> Option<String> {
        if self.credentials.is_empty() {
            let secret_url = self.address.as_ref().is_some_and(Address::is_secret);
            return secret_url.then(|| "its secret URL".to_owned());
        }
        let from = self.credentials.iter().map(Credential::source);
        Some(from.collect::<Vec<_>>().join(", "))
    }
}
