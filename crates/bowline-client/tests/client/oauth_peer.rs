//! The certified provider `oidc-provider` (npm), and somebody who gives consent on its pages.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bowline_client::{Api, Callback, OAuth, Vault};
use bowline_model::{BoxFuture, Clock, Secret, SystemClock, Variables};
use bowline_testing::{Process, peer};
use jiff::Timestamp;
use reqwest::{Client, Url, redirect::Policy};

/// What has to be encoded in a header (RFC 6749 §2.3.1). The provider knows it, too.
pub(crate) const CLIENT_SECRET: &str = "s3cr:t+/= %&?";
/// Nobody listens there: the test reads where it would have been sent.
pub(crate) const REDIRECT_URI: &str = "http://127.0.0.1:9/callback";

/// Why a test is skipped without it.
pub(crate) const NO_OIDC_PROVIDER: &str =
    "BOWLINE_NODE has no oidc-provider: scripts/node makes one that has";

/// The provider, as a process.
pub(crate) struct Provider {
    process: Process,
    pub(crate) url: String,
}

impl Provider {
    /// Starts it, if it is there.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with("{}")
    }

    /// Starts it with the public key of the client `signer`, as a JWK.
    pub(crate) fn start_with(public_key: &str) -> Option<Self> {
        let node = peer::node("oidc-provider", include_str!("peers/oidc.mjs"))?;
        let mut process = node.env("PUBLIC_KEY", public_key).ready_on_line("port ").start().unwrap();
        let line = process.wait_for_line("port ", Duration::from_secs(1)).unwrap();
        let url = format!("http://127.0.0.1:{}", line.trim_start_matches("port ").trim());
        Some(Self { process, url })
    }

    pub(crate) fn token_url(&self) -> String {
        format!("{}/token", self.url)
    }

    /// How often its token endpoint said that.
    pub(crate) async fn count(&self, said: &str) -> usize {
        let http = Client::builder().no_proxy().build().unwrap();
        let all = http.get(format!("{}/said", self.url)).send().await.unwrap().text().await.unwrap();
        all.lines().filter(|line| line.starts_with(said)).count()
    }

    /// A grant by code of its client `web`.
    pub(crate) fn code(&self) -> OAuth {
        OAuth::authorization_code(&format!("{}/auth", self.url), &self.token_url())
            .client("web", Secret::new(CLIENT_SECRET))
            .scope("openid offline_access contacts")
            .authorize_parameter("prompt", "consent")
            .issuer_identifier(&self.url)
    }

    /// Signs in and agrees on the provider's pages, from that URL on; what comes back.
    pub(crate) async fn agree(&self, begun: &str) -> Callback {
        let mut person = Person::new();
        let mut at: Url = begun.parse().unwrap();
        let mut form = None;
        for _ in 0..10 {
            let next = person.open(&at, form.take()).await;
            match next {
                Next::Redirect(to) if to.as_str().starts_with(REDIRECT_URI) => return callback(&to),
                Next::Redirect(to) => at = to,
                Next::Form(to, fields) => (at, form) = (to, Some(fields)),
            }
        }
        panic!("the provider asks and asks: {at}\n{}", self.process.output());
    }
}

fn callback(to: &Url) -> Callback {
    let query: BTreeMap<_, _> = to.query_pairs().into_owned().collect();
    let get = |name: &str| query.get(name).cloned();
    Callback {
        state: Secret::new(get("state").unwrap()),
        code: get("code").map(Secret::new),
        error: get("error"),
        error_description: get("error_description"),
        iss: get("iss"),
    }
}

/// A browser of a few lines: keeps cookies, fills in the one form of a page.
struct Person {
    http: Client,
    cookies: BTreeMap<String, String>,
}

enum Next {
    Redirect(Url),
    Form(Url, Vec<(&'static str, String)>),
}

impl Person {
    fn new() -> Self {
        let http = Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
        Self { http, cookies: BTreeMap::new() }
    }

    async fn open(&mut self, at: &Url, form: Option<Vec<(&'static str, String)>>) -> Next {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = match form {
            Some(fields) => self.http.post(at.clone()).form(&fields),
            None => self.http.get(at.clone()),
        };
        let response = request.header("cookie", cookies.join("; ")).send().await.unwrap();
        for cookie in response.headers().get_all("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        if let Some(to) = response.headers().get("location") {
            return Next::Redirect(at.join(to.to_str().unwrap()).unwrap());
        }
        let status = response.status();
        let page = response.text().await.unwrap();
        let action = between(&page, "action=\"", "\"").unwrap_or_else(|| panic!("{status} {at}: {page}"));
        let prompt = between(&page, "name=\"prompt\" value=\"", "\"").unwrap().to_owned();
        let fields = vec![("prompt", prompt), ("login", "jane".to_owned()), ("password", "any".to_owned())];
        Next::Form(at.join(action).unwrap(), fields)
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}

/// The machine's clock, and a hand that sets it forward.
pub(crate) struct Ahead(Mutex<Duration>);

impl Ahead {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::default()))
    }

    pub(crate) fn forward(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }

    fn by(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now() + self.by()
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic() + self.by()
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        SystemClock.sleep(wait)
    }

    fn random(&self) -> u64 {
        SystemClock.random()
    }
}

/// An Api called `crm` at that remote, whose tokens live in that vault.
pub(crate) fn api(url: &str, vault: &Vault, oauth: OAuth) -> Api {
    let api = Api::with_variables("crm", Variables::new(|_| None)).base_url(url);
    api.vault(vault.clone()).oauth(oauth)
}

/// Connects the default account of `crm`, as a person would.
pub(crate) async fn connect(vault: &Vault, provider: &Provider) {
    let begun = vault.consent().begin("crm", "default", REDIRECT_URI).await.unwrap();
    let callback = provider.agree(&begun.url).await;
    vault.consent().finish(callback).await.unwrap();
}
