//! A configured remote system.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bowline_model::{Alerts, Clock, RetryPolicy, Secret, Variables};
use reqwest::{
    Client, Method,
    header::{HeaderName, HeaderValue},
};

use crate::{
    Apis, Call, Idempotency,
    account::{Account, Accounts, DEFAULT_ACCOUNT, shown_name},
    address::Address,
    cache::Cache,
    live::LiveSecret,
    policy::Policy,
    settings::{Settings, Source},
    transport,
};

/// A remote system: where it is, what it wants as a credential, how it recognises a repeated request.
///
/// Cheap to clone; clones share connections. Each option takes the `Api` and returns it:
///
/// | Option | Default |
/// |---|---|
/// | [`base_url`](Api::base_url), [`base_url_env`](Api::base_url_env), [`secret_url_env`](Api::secret_url_env) | none; one of them is needed |
/// | [`header_key_env`](Api::header_key_env), [`bearer_env`](Api::bearer_env), [`basic_env`](Api::basic_env), [`basic_key_env`](Api::basic_key_env), [`query_key_env`](Api::query_key_env) | no credential |
/// | `username_token_env`, `soap_timestamp` (feature `soap`) | nobody is named in the header of a SOAP message |
/// | [`divert`](Api::divert) | calls go where the URL says |
/// | [`allow_http`](Api::allow_http) | https only, but for loopback |
/// | [`redirect_to`](Api::redirect_to) | redirects are followed within the origin only |
/// | [`public_web`](Api::public_web), [`allow_internal_host`](Api::allow_internal_host), [`allow_port`](Api::allow_port), [`allow_plain_http`](Api::allow_plain_http) | for URLs that come from data |
/// | [`sign`](Api::sign) | requests are not signed |
/// | [`client_certificate_env`](Api::client_certificate_env) | none is shown |
/// | [`scrub_names`](Api::scrub_names) | passwords, tokens, keys and the like are masked by their names |
/// | [`trust_authority`](Api::trust_authority) | the system's certificate authorities |
/// | [`idempotency`](Api::idempotency) | header `Idempotency-Key` on POST and PATCH |
/// | [`key_lifetime`](Api::key_lifetime) | 24 h |
/// | [`connect_timeout`](Api::connect_timeout) | 5 s |
/// | [`response_bytes_max`](Api::response_bytes_max) | 16 MiB |
/// | [`rate_limit`](Api::rate_limit), [`rate_limit_burst`](Api::rate_limit_burst), [`concurrency`](Api::concurrency) | none declared |
/// | [`no_learned_limits`](Api::no_learned_limits) | rate limits are learned from answers |
/// | [`retry_budget`](Api::retry_budget), [`breaker`](Api::breaker), [`no_breaker`](Api::no_breaker) | [`RetryBudget::default`](crate::RetryBudget), [`Breaker::default`](crate::Breaker) |
/// | [`cache`](Api::cache), [`cache_as_told`](Api::cache_as_told) | no answer is kept |
/// | [`stream_bytes_max`](Api::stream_bytes_max), [`stream_idle_timeout`](Api::stream_idle_timeout) | 64 GiB, 30 s: for streams and downloads |
/// | [`user_agent`](Api::user_agent) | `app/version`, as the app says |
/// | [`retry`](Api::retry), [`attempt_timeout`](Api::attempt_timeout) | for [`Call::send`] alone: [`RetryPolicy::default`], 10 s |
///
/// Every option that names a variable also takes its `NAME_FILE`: the path of a file that holds the value. Files of
/// secrets are looked at with each attempt, and read again when they change.
///
/// A variable that is missing or wrong does not stop the set-up: it is a problem of the [`Variables`], and until it is
/// solved every call fails for good, with all problems named, and sends nothing.
///
/// # What is missing is named at once
/// ```
/// use bowline_client::Api;
/// use bowline_model::Variables;
///
/// let variables = Variables::new(|name| (name == "CRM_BASE_URL").then(|| "https://crm.example.com".into()));
/// let crm = Api::with_variables("crm", variables.clone())
///     .base_url_env("CRM_BASE_URL")
///     .header_key_env("X-Api-Key", "CRM_API_KEY");
/// assert_eq!(variables.problems(), [("CRM_API_KEY".into(), "is not set, nor is CRM_API_KEY_FILE: the API key of crm".into())]);
/// ```
#[derive(Clone)]
pub struct Api {
    settings: Arc<Settings>,
    client: Arc<OnceLock<Result<Client, String>>>,
    account: Arc<Account>,
    accounts: Arc<Accounts>,
}

impl Api {
    /// An Api of that name, whose variables come from the process's environment.
    pub fn new(name: impl Into<String>) -> Self {
        Self::with_variables(name, Variables::environment())
    }

    /// An Api of that name, whose variables come from there. Their problems are recorded there, too.
    pub fn with_variables(name: impl Into<String>, variables: Variables) -> Self {
        let settings = Arc::new(Settings::new(name.into(), variables));
        let account = Arc::new(Account::new(DEFAULT_ACCOUNT, &settings));
        Self { settings, client: Arc::default(), account, accounts: Arc::default() }
    }

    /// Clones of this Api keep what they had.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self.client = Arc::default();
        // What another credential or address was told is not for this one.
        self.account = Arc::new(Account::new(&self.account.name, &self.settings));
        self.accounts = Arc::default();
        self.settings.register();
        if let Some(known_in) = &self.settings.known_in {
            known_in.put(&self);
        }
        self
    }

    /// The same remote for another of its accounts: a tenant with a token, limits and kept answers of its own. All
    /// calls of this Api and its clones for equal accounts share these.
    ///
    /// # A shop of many tenants
    /// ```
    /// use bowline_client::Api;
    ///
    /// let shop = Api::new("shop").base_url("https://shop.example.com");
    /// let call = shop.account("tenant-7").get("/orders");
    /// ```
    pub fn account(&self, account: &str) -> Self {
        let account = self.accounts.get(account, &self.settings);
        Self { account, ..self.clone() }
    }

    /// Lets it be found there by its name, as it is configured last.
    ///
    /// # Found with what it was told later
    /// ```
    /// use bowline_client::{Api, Apis};
    /// use bowline_model::{Recall, Reversible};
    ///
    /// let apis = Apis::default();
    /// let crm = Api::new("crm").known_in(&apis).base_url("https://crm.example.com");
    /// let data = crm.delete("/contacts/7").as_data()?;
    /// assert!(apis.effect(&data).is_ok());
    /// # Ok::<(), bowline_model::Error>(())
    /// ```
    pub fn known_in(self, apis: &Apis) -> Self {
        self.with(|settings| settings.known_in = Some(apis.place()))
    }

    /// Its name: what journals, logs and errors call it.
    ///
    /// # What journals call it
    /// ```
    /// assert_eq!(bowline_client::Api::new("crm").name(), "crm");
    /// ```
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Where it is: scheme, host, and a path that all calls are below.
    pub fn base_url(self, url: &str) -> Self {
        self.with(|settings| {
            settings.set_address(Source::Code("base_url"), Address::base(url, &settings.http_hosts))
        })
    }

    /// As [`base_url`](Api::base_url), from a variable, or from the file that its `NAME_FILE` names.
    pub fn base_url_env(self, variable: &str) -> Self {
        self.with(|settings| {
            settings.read_address(variable, "base URL", |url, http_hosts| {
                Address::base(url.current().expose(), http_hosts)
            })
        })
    }

    /// A URL that is a secret as a whole, as those of chat hooks are. Calls go exactly there, with the path `""`. Only its
    /// host appears in errors and logs; the recorded path is empty.
    ///
    /// # A chat's hook
    /// ```
    /// use bowline_client::Api;
    /// use bowline_model::{Effect, Secret};
    ///
    /// let chat = Api::new("chat").secret_url(Secret::new("https://hooks.example.com/services/T0/B0/x9"));
    /// let call = chat.post("").json(&serde_json::json!({"text": "deployed"}));
    /// assert_eq!(call.shape().fingerprint.unwrap().path, "");
    /// ```
    pub fn secret_url(self, url: Secret) -> Self {
        self.with(|settings| {
            settings.set_address(
                Source::Code("secret_url"),
                Address::secret(&LiveSecret::fixed(url), &settings.http_hosts),
            )
        })
    }

    /// As [`secret_url`](Api::secret_url), from a variable, or from the file that its `NAME_FILE` names. A file is read
    /// again whenever it changes.
    ///
    /// # A chat's hook from a variable
    /// ```
    /// let chat = bowline_client::Api::new("chat").secret_url_env("CHAT_HOOK_URL");
    /// ```
    pub fn secret_url_env(self, variable: &str) -> Self {
        self.with(|settings| settings.read_address(variable, "secret URL", Address::secret))
    }

    /// Sends all calls to that base URL instead: for tests, and for a staging system that stands in for several.
    ///
    /// Goes before the URL, whose variable is then neither needed nor read. A base URL in the code keeps its path, so
    /// that a mock sees the paths that the remote would see; a secret URL stays one as far as journals, errors and logs
    /// are concerned, and its calls arrive at the base itself. Credentials are sent as ever: divert to what may have them.
    ///
    /// # To a mock
    /// ```
    /// use bowline_client::Api;
    ///
    /// let crm = Api::new("crm").divert("http://127.0.0.1:4010").base_url("https://crm.example.com/v1");
    /// assert!(format!("{crm:?}").contains("127.0.0.1:4010"));
    /// ```
    pub fn divert(self, base: &str) -> Self {
        self.with(|settings| settings.divert(base))
    }

    /// Allows plain http to that host, by name. Goes before the URL.
    ///
    /// # A machine in the own network
    /// ```
    /// let erp = bowline_client::Api::new("erp").allow_http("erp.internal").base_url("http://erp.internal:8080");
    /// assert!(!format!("{erp:?}").contains("https"));
    /// ```
    pub fn allow_http(self, host: &str) -> Self {
        self.with(|settings| settings.http_hosts.push(host.to_owned()))
    }

    /// Trusts the certificate authorities in that PEM text, besides those of the system: for remotes of one's own.
    ///
    /// # A company's own authority
    /// ```no_run
    /// let pem = std::fs::read_to_string("/etc/ssl/company.pem")?;
    /// let erp = bowline_client::Api::new("erp").base_url("https://erp.internal").trust_authority(&pem);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn trust_authority(self, pem: &str) -> Self {
        self.with(|settings| match transport::authorities(pem) {
            Ok(authorities) => settings.authorities.extend(authorities),
            Err(what) => settings.problem(Source::Code("trust_authority"), what),
        })
    }

    /// The app that calls: the `User-Agent` becomes `name/version`, which tells a remote's operator whom to ask.
    ///
    /// # Who calls
    /// ```
    /// let crm = bowline_client::Api::new("crm").app("orders", env!("CARGO_PKG_VERSION"));
    /// ```
    pub fn app(self, name: &str, version: &str) -> Self {
        // What separates the parts of a User-Agent cannot be within one.
        let part = |text: &str| text.replace(|c: char| !c.is_ascii_graphic() || "/()\"".contains(c), "-");
        let agent = format!("{}/{}", part(name), part(version));
        self.user_agent(&agent)
    }

    /// Sets the whole `User-Agent`.
    ///
    /// # An address to complain to
    /// ```
    /// let crm = bowline_client::Api::new("crm").user_agent("orders/1.2 (ops@example.com)");
    /// ```
    pub fn user_agent(self, agent: &str) -> Self {
        self.with(|settings| match HeaderValue::from_str(agent) {
            Ok(agent) => settings.user_agent = agent,
            Err(_) => {
                settings.problem(
                    Source::Code("user_agent"),
                    "holds a character that a header cannot carry".into(),
                );
            }
        })
    }

    /// How long connecting may take, TLS included. 5 s unless set.
    ///
    /// # A remote far away
    /// ```
    /// let crm = bowline_client::Api::new("crm").connect_timeout(std::time::Duration::from_secs(15));
    /// ```
    pub fn connect_timeout(self, longest: Duration) -> Self {
        self.with(|settings| settings.connect_timeout = longest)
    }

    /// How long one attempt of a call that stands alone may take. 10 s unless set. In a run the step says it.
    ///
    /// # A slow report
    /// ```
    /// let reports = bowline_client::Api::new("reports").attempt_timeout(std::time::Duration::from_secs(60));
    /// ```
    pub fn attempt_timeout(self, longest: Duration) -> Self {
        self.with(|settings| settings.attempt_timeout = longest)
    }

    /// Largest answer that is read. 16 MiB unless set.
    ///
    /// # Large answers
    /// ```
    /// let reports = bowline_client::Api::new("reports").response_bytes_max(64 * 1024 * 1024);
    /// ```
    pub fn response_bytes_max(self, bytes: usize) -> Self {
        self.with(|settings| settings.response_bytes_max = bytes)
    }

    /// How long the remote remembers an idempotency key. 24 h unless set. A call whose outcome is unknown is never
    /// repeated later than that: the remote would take it for a new one.
    ///
    /// # A remote that forgets after an hour
    /// ```
    /// let shop = bowline_client::Api::new("shop").key_lifetime(std::time::Duration::from_secs(3600));
    /// ```
    pub fn key_lifetime(self, lifetime: Duration) -> Self {
        self.with(|settings| settings.key_lifetime = lifetime)
    }

    /// Where the idempotency key goes.
    ///
    /// # A key in the body
    /// ```
    /// use bowline_client::{Api, Idempotency};
    ///
    /// let bank = Api::new("bank").idempotency(Idempotency::body_field("request_id"));
    /// ```
    pub fn idempotency(self, place: Idempotency) -> Self {
        self.with(|settings| {
            if let Idempotency::Header(name) = &place
                && HeaderName::try_from(name).is_err()
            {
                settings.problem(
                    Source::Code("idempotency"),
                    format!("names {name:?}, which is no header's name"),
                );
            }
            settings.idempotency = place;
        })
    }

    /// The schedule of calls that stand alone. In a run the engine owns it.
    ///
    /// # At most a minute
    /// ```
    /// use std::time::Duration;
    /// use bowline_client::Api;
    /// use bowline_model::RetryPolicy;
    ///
    /// let crm = Api::new("crm").retry(RetryPolicy::default().give_up_after(Duration::from_secs(60)));
    /// ```
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.with(|settings| settings.retry = policy)
    }

    /// Where alerts go: a credential that is not taken, a remote that is down. The log unless set.
    ///
    /// # On the screen
    /// ```
    /// use std::sync::Arc;
    /// use bowline_client::Api;
    /// use bowline_model::{Alert, Alerts};
    ///
    /// struct Screen;
    /// impl Alerts for Screen {
    ///     fn raise(&self, alert: Alert) {
    ///         eprintln!("{}: {}", alert.api, alert.message);
    ///     }
    /// }
    ///
    /// let crm = Api::new("crm").alerts(Arc::new(Screen));
    /// ```
    pub fn alerts(self, alerts: Arc<dyn Alerts>) -> Self {
        self.with(|settings| settings.alerts = alerts)
    }

    /// Where time and randomness come from.
    ///
    /// # The machine's time
    /// ```
    /// use std::sync::Arc;
    /// use bowline_model::SystemClock;
    ///
    /// let crm = bowline_client::Api::new("crm").clock(Arc::new(SystemClock));
    /// ```
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        self.with(|settings| settings.clock = clock)
    }

    /// Describes a GET. The path is below the base URL: `/contacts/7`; encode ids with [`segment`](crate::segment).
    ///
    /// # A contact
    /// ```
    /// let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// let call = crm.get("/contacts/7");
    /// ```
    pub fn get(&self, path: &str) -> Call {
        Call::new(self.clone(), Method::GET, path)
    }

    /// Describes a HEAD.
    ///
    /// # Whether it is there
    /// ```
    /// let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// let call = crm.head("/contacts/7").decode::<()>();
    /// ```
    pub fn head(&self, path: &str) -> Call {
        Call::new(self.clone(), Method::HEAD, path)
    }

    /// Describes a POST. It carries an idempotency key.
    ///
    /// # A new contact
    /// ```
    /// let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// let call = crm.post("/contacts").json(&serde_json::json!({"email": "jane@example.com"}));
    /// ```
    pub fn post(&self, path: &str) -> Call {
        Call::new(self.clone(), Method::POST, path)
    }

    /// Describes a PUT.
    ///
    /// # A contact as it should be
    /// ```
    /// let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// let call = crm.put("/contacts/7").json(&serde_json::json!({"email": "jane@example.com", "plan": "pro"}));
    /// ```
    pub fn put(&self, path: &str) -> Call {
        Call::new(self.clone(), Method::PUT, path)
    }

    /// Describes a PATCH. It carries an idempotency key.
    ///
    /// # A change
    /// ```
    /// let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// let call = crm.patch("/contacts/7").json(&serde_json::json!({"plan": "pro"}));
    /// ```
    pub fn patch(&self, path: &str) -> Call {
        Call::new(self.clone(), Method::PATCH, path)
    }

    /// Describes a DELETE.
    ///
    /// # Away with it
    /// ```
    /// let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// let call = crm.delete("/contacts/7");
    /// ```
    pub fn delete(&self, path: &str) -> Call {
        Call::new(self.clone(), Method::DELETE, path)
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The answers that it keeps, if it does.
    pub(crate) fn kept(&self) -> Option<&Cache> {
        self.account.cache.as_ref()
    }

    /// Whether a request may go now.
    pub(crate) fn policy(&self) -> &Policy {
        &self.account.policy
    }

    pub(crate) fn account_name(&self) -> &str {
        &self.account.name
    }

    /// The name, and the account if it is not the default one.
    pub(crate) fn shown_name(&self) -> String {
        shown_name(self.name(), self.account_name())
    }

    /// The connections, opened at the first call.
    pub(crate) fn client(&self) -> Result<&Client, String> {
        let open = || transport::client(&self.settings);
        self.client.get_or_init(open).as_ref().map_err(Clone::clone)
    }
}

/// Shows the name, the host and where credentials come from.
impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("name", &self.settings.name)
            .field("address", &self.settings.address)
            .field("credentials", &self.settings.credentials)
            .field("problems", &self.settings.problems)
            .finish_non_exhaustive()
    }
}
