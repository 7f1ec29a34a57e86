//! Consents: somebody is sent to the provider's page, and comes back with a code.
//!
//! What comes in: who wants to connect which account, and what the provider's page sent back. What goes out: where to
//! send them, and that they are connected. What must never happen here: a code without a consent that was begun here
//! within ten minutes, a `state` that is taken twice, or a code, verifier or token in an error.

use std::{fmt, sync::Arc, time::Duration};

use bowline_model::{Clock, Error, Secret};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    account::DEFAULT_ACCOUNT,
    auth::{
        Tokens,
        config::{Config, Means},
        pkce::{hash_text, random_text},
        record::{Life, Record},
    },
    settings::Settings,
    vault::{Loaded, Trouble, Vault},
};

mod redeem;

use redeem::{authorize, check_redirect, code, redeem};

/// How long somebody has, between the first page and the last.
const CONSENT_TIME: Duration = Duration::from_secs(600);
/// Most consents that are under way; past it the oldest go.
const UNDER_WAY_MAX: usize = 24;
/// What they are kept under.
const UNDER_WAY: &str = "oauth-consents";
/// How often it is tried to save against others who save, too.
const SAVES_MAX: u32 = 16;

/// Consents for the Apis of a [`Vault`]: what pages of an admin address are made of.
///
/// # The two pages
/// ```no_run
/// use bowline_client::{Callback, Vault};
/// use bowline_model::{Result, Secret};
///
/// /// POST /connect/xero: whoever is signed in is sent to the provider.
/// async fn connect(vault: &Vault) -> Result<String> {
///     let begun = vault.consent().begin("xero", "default", "https://admin.example.com/callback").await?;
///     Ok(begun.url)
/// }
///
/// /// GET /callback?state=..&code=..: they come back.
/// async fn callback(vault: &Vault, state: String, code: Option<String>) -> Result<String> {
///     let callback = Callback { state: Secret::new(state), code: code.map(Secret::new), ..Callback::default() };
///     let connected = vault.consent().finish(callback).await?;
///     Ok(format!("{} is connected", connected.api))
/// }
/// ```
///
/// # Durability
/// A consent under way is kept sealed in the vault's store, so that any node can finish it. The tokens are on disk when
/// [`finish`](Consent::finish) returns; a crash before that asks for another consent.
#[derive(Debug, Clone)]
pub struct Consent {
    vault: Vault,
}

/// A consent that was begun. `Debug` shows the provider's host: the rest of the URL is for one person.
///
/// # Where to send somebody
/// ```
/// use bowline_client::Begun;
/// use bowline_model::Secret;
///
/// let begun = Begun { url: "https://id.crm.example/authorize?state=rO0ABX".into(), state: Secret::new("rO0ABX") };
/// assert_eq!(format!("{begun:?}"), "Begun(id.crm.example)");
/// ```
#[derive(Clone)]
pub struct Begun {
    /// The provider's page: send them there.
    pub url: String,
    /// What comes back with them. A page that binds it to their session (in a cookie) makes sure that who comes back is
    /// who went.
    pub state: Secret,
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = Url::parse(&self.url).ok();
        write!(f, "Begun({})", url.as_ref().and_then(Url::host_str).unwrap_or_default())
    }
}

/// What the provider's page sent back: the query of the redirect.
///
/// # A consent that was not given
/// ```
/// use bowline_client::Callback;
/// use bowline_model::Secret;
///
/// let callback = Callback {
///     state: Secret::new("rO0ABX"),
///     error: Some("access_denied".into()),
///     ..Callback::default()
/// };
/// assert!(callback.code.is_none());
/// ```
#[derive(Debug, Clone)]
pub struct Callback {
    /// `state`.
    pub state: Secret,
    /// `code`.
    pub code: Option<Secret>,
    /// `error`.
    pub error: Option<String>,
    /// `error_description`.
    pub error_description: Option<String>,
    /// `iss` (RFC 9207).
    pub iss: Option<String>,
}

impl Default for Callback {
    fn default() -> Self {
        let state = Secret::new("");
        Self { state, code: None, error: None, error_description: None, iss: None }
    }
}

/// An account that was connected.
///
/// # Who was connected
/// ```
/// let connected = bowline_client::Connected { api: "xero".into(), account: "default".into() };
/// println!("{} of {} is connected", connected.account, connected.api);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// The Api's name.
    pub api: String,
    /// Its account.
    pub account: String,
}

/// An Api whose tokens a [`Vault`] keeps.
///
/// # Who needs somebody
/// ```
/// let vault = bowline_client::Vault::memory();
/// for connection in vault.connections() {
///     println!("{}: {}; somebody's consent: {}", connection.api, connection.grant, connection.needs_consent);
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The Api's name.
    pub api: String,
    /// How it gets tokens, for people: `authorization code`.
    pub grant: String,
    /// Whether somebody has to give consent.
    pub needs_consent: bool,
}

/// How an account stands.
///
/// # How an account is told of
/// ```
/// use bowline_client::Standing;
///
/// fn told(standing: &Standing) -> String {
///     match standing {
///         Standing::Missing => "not connected".into(),
///         Standing::Connected { renews, .. } => format!("connected; renews itself: {renews}"),
///         Standing::Dead { why, .. } => format!("connect it again: {why}"),
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// There is no token: nobody gave consent, or nothing was called yet.
    Missing,
    /// There are tokens.
    Connected {
        /// When somebody gave consent.
        since: Option<Timestamp>,
        /// When the access token ends.
        expires_at: Option<Timestamp>,
        /// Whether it can be renewed then without anybody.
        renews: bool,
    },
    /// The provider no longer takes what is kept: connect it again.
    Dead {
        /// In the provider's words.
        why: String,
        /// When it was found out; `None` if it just ended.
        since: Option<Timestamp>,
    },
}

/// A consent under way.
#[derive(Clone, Serialize, Deserialize)]
struct UnderWay {
    /// Of its state: who reads the store cannot finish it.
    state_hash: String,
    api: String,
    account: String,
    redirect_uri: String,
    verifier: String,
    until: Timestamp,
}

impl Connection {
    pub(crate) fn of(settings: &Settings) -> Option<Self> {
        let config = Tokens::of(settings)?.config();
        Some(Self {
            api: settings.name.clone(),
            grant: config.grant().to_owned(),
            needs_consent: config.needs_consent(),
        })
    }
}

impl Consent {
    pub(crate) fn new(vault: Vault) -> Self {
        Self { vault }
    }

    /// Begins a consent for an account of an Api. `redirect_uri` is the page that they come back to, exactly as the
    /// provider knows it: https, or http on this machine.
    ///
    /// # Errors
    /// The vault has no such Api, it needs no consent, the URI is none, or the store is of no use.
    ///
    /// # Where to send them
    /// ```
    /// # use bowline_client::{Api, OAuth, Standing, Vault};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), bowline_model::Error> {
    /// # let vault = Vault::memory();
    /// # let (page, tokens) = ("https://id.crm.example/authorize", "https://id.crm.example/token");
    /// # let crm = Api::new("crm")
    /// #     .vault(vault.clone())
    /// #     .oauth(OAuth::authorization_code(page, tokens).public_client("client-1"));
    /// let begun = vault.consent().begin("crm", "tenant-7", "https://admin.example/callback").await?;
    /// assert!(begun.url.starts_with("https://id.crm.example/authorize?response_type=code"));
    /// # Ok(()) }
    /// ```
    pub async fn begin(&self, api: &str, account: &str, redirect_uri: &str) -> Result<Begun, Error> {
        let (settings, config) = self.find(api)?;
        let Means::AuthorizationCode { authorize_url, .. } = &config.means else {
            let grant = config.grant();
            return Err(Error::refused(format!("{api} needs no consent: it gets its tokens by {grant}")));
        };
        check_redirect(redirect_uri, &settings.http_hosts)?;
        let clock = &*settings.clock;
        let (state, verifier) = (random_text(clock), random_text(clock));
        let under_way = UnderWay {
            state_hash: hash_text(state.expose()),
            api: api.to_owned(),
            account: account.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            verifier: verifier.expose().to_owned(),
            until: clock.now().checked_add(CONSENT_TIME).unwrap_or(Timestamp::MAX),
        };
        self.change(clock, |all| {
            if all.len() >= UNDER_WAY_MAX {
                all.remove(0);
            }
            all.push(under_way.clone());
        })
        .await?;
        let client = config.client.as_ref().map(|client| client.id.current());
        let id = client.as_ref().map_or("", Secret::expose);
        let url = authorize(&config, authorize_url, id, redirect_uri, &state, &verifier);
        Ok(Begun { url: url.into(), state })
    }

    /// Finishes the consent that they come back from: its `state` is taken, once, and the code exchanged.
    ///
    /// # Errors
    /// The state is unknown, older than ten minutes or was used before; the page says an error; the code is not taken; the
    /// issuer is another than the one that was said; or the store is of no use.
    ///
    /// # Somebody who was not sent
    /// ```
    /// # use bowline_client::{Api, OAuth, Standing, Vault};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), bowline_model::Error> {
    /// # let vault = Vault::memory();
    /// # let (page, tokens) = ("https://id.crm.example/authorize", "https://id.crm.example/token");
    /// # let crm = Api::new("crm")
    /// #     .vault(vault.clone())
    /// #     .oauth(OAuth::authorization_code(page, tokens).public_client("client-1"));
    /// let callback = bowline_client::Callback::default();
    /// let error = vault.consent().finish(callback).await.unwrap_err();
    /// assert!(error.to_string().contains("was not begun here"));
    /// # Ok(()) }
    /// ```
    pub async fn finish(&self, callback: Callback) -> Result<Connected, Error> {
        let hash = hash_text(callback.state.expose());
        let clock = self.clock()?;
        let mut found = None;
        self.change(&*clock, |all| {
            found = all.iter().position(|one| one.state_hash == hash).map(|at| all.remove(at));
        })
        .await?;
        let under_way = found.ok_or_else(|| {
            let minutes = CONSENT_TIME.as_secs() / 60;
            Error::refused(format!(
                "this consent was not begun here, is older than {minutes} minutes, or was used before: connect it again"
            ))
        })?;
        let (settings, config) = self.find(&under_way.api)?;
        let code = code(&config, callback, &under_way.api)?;
        let connected = Connected { api: under_way.api.clone(), account: under_way.account.clone() };
        let (tell, told) = tokio::sync::oneshot::channel();
        let vault = self.vault.clone();
        // In a task of its own: a page that is closed must not cost a code that the provider has taken already.
        self.vault.spawn(async move {
            let done = redeem(&vault, &settings, &config, &under_way, &code).await;
            let _ = tell.send(done);
        });
        told.await.map_err(|_| Error::retryable("the program is stopping: connect it again"))??;
        Ok(connected)
    }

    /// How an account stands.
    ///
    /// # Errors
    /// The vault has no such Api, or the store is of no use.
    ///
    /// # Before anybody connected it
    /// ```
    /// # use bowline_client::{Api, OAuth, Standing, Vault};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), bowline_model::Error> {
    /// # let vault = Vault::memory();
    /// # let (page, tokens) = ("https://id.crm.example/authorize", "https://id.crm.example/token");
    /// # let crm = Api::new("crm")
    /// #     .vault(vault.clone())
    /// #     .oauth(OAuth::authorization_code(page, tokens).public_client("client-1"));
    /// assert_eq!(vault.consent().status("crm", "default").await?, Standing::Missing);
    /// # Ok(()) }
    /// ```
    pub async fn status(&self, api: &str, account: &str) -> Result<Standing, Error> {
        let (settings, config) = self.find(api)?;
        let loaded: Loaded = self.vault.load(&Tokens::name(api, account)).await.map_err(unusable)?;
        let identity = config.standing().identity;
        let Some(record) = loaded.record.filter(|record| record.identity == identity) else {
            return Ok(Standing::Missing);
        };
        if let Some(death) = record.dead {
            return Ok(Standing::Dead { why: death.why, since: Some(death.at) });
        }
        let renews = record.refresh.is_some() || !config.must_keep();
        let Some(access) = record.access else { return Ok(Standing::Missing) };
        if !renews && access.life(settings.clock.now()) == Life::Ended {
            let why = "it ended, and the provider gave no refresh token".to_owned();
            return Ok(Standing::Dead { why, since: None });
        }
        Ok(Standing::Connected { since: record.connected_at, expires_at: access.expires_at, renews })
    }

    /// The accounts of an Api that have tokens, and the default one. Sorted.
    ///
    /// # Errors
    /// The store is of no use.
    ///
    /// # Before anybody connected it
    /// ```
    /// # use bowline_client::{Api, OAuth, Vault};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), bowline_model::Error> {
    /// # let vault = Vault::memory();
    /// # let (page, tokens) = ("https://id.crm.example/authorize", "https://id.crm.example/token");
    /// # let crm = Api::new("crm")
    /// #     .vault(vault.clone())
    /// #     .oauth(OAuth::authorization_code(page, tokens).public_client("client-1"));
    /// assert_eq!(vault.consent().accounts("crm").await?, ["default"]);
    /// # Ok(()) }
    /// ```
    pub async fn accounts(&self, api: &str) -> Result<Vec<String>, Error> {
        let start = Tokens::name(api, "");
        let decoded = |name: &String| {
            let account = percent_decode_str(name.strip_prefix(&start)?);
            Some(account.decode_utf8_lossy().into_owned())
        };
        let names = self.vault.names(&start).await.map_err(unusable)?;
        let mut accounts: Vec<String> = names.iter().filter_map(decoded).collect();
        accounts.push(DEFAULT_ACCOUNT.to_owned());
        accounts.sort_unstable();
        accounts.dedup();
        Ok(accounts)
    }

    /// Forgets the tokens of an account. The provider is not told: it may be asked on its own pages to revoke them.
    ///
    /// # Errors
    /// The store is of no use.
    ///
    /// # Durability
    /// Gone from the disk when it returns. A token that another node holds serves there until it ends.
    ///
    /// # An account that is no longer wanted
    /// ```
    /// # use bowline_client::{Api, OAuth, Standing, Vault};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), bowline_model::Error> {
    /// # let vault = Vault::memory();
    /// # let (page, tokens) = ("https://id.crm.example/authorize", "https://id.crm.example/token");
    /// # let crm = Api::new("crm")
    /// #     .vault(vault.clone())
    /// #     .oauth(OAuth::authorization_code(page, tokens).public_client("client-1"));
    /// vault.consent().disconnect("crm", "tenant-7").await?;
    /// assert_eq!(vault.consent().status("crm", "tenant-7").await?, Standing::Missing);
    /// # Ok(()) }
    /// ```
    pub async fn disconnect(&self, api: &str, account: &str) -> Result<(), Error> {
        let name = Tokens::name(api, account);
        for _ in 0..SAVES_MAX {
            let version = match self.vault.load::<Record>(&name).await {
                Err(Trouble::Unreadable { version, .. }) => version,
                loaded => loaded.map_err(unusable)?.version,
            };
            match self.vault.forget(&name, version).await {
                Ok(()) => {
                    self.vault.slot(&name).reset();
                    return Ok(());
                }
                Err(Trouble::Changed) => {}
                Err(trouble) => return Err(unusable(trouble)),
            }
        }
        Err(Error::retryable("others keep changing it: try again"))
    }

    fn find(&self, api: &str) -> Result<(Arc<Settings>, Arc<Config>), Error> {
        let settings = self.vault.known(api);
        let found = settings.and_then(|settings| {
            let config = Tokens::of(&settings)?.config().clone();
            Some((settings, config))
        });
        found.ok_or_else(|| Error::refused(format!("there is no Api {api:?} with OAuth")))
    }

    /// The clock of its Apis: they share one.
    fn clock(&self) -> Result<Arc<dyn Clock>, Error> {
        let connections = self.vault.connections();
        let first = connections.first().and_then(|first| self.vault.known(&first.api));
        let first = first.ok_or_else(|| Error::refused("there is no Api with OAuth"))?;
        Ok(first.clock.clone())
    }

    /// Changes the consents under way, those of others who do so at the same time kept. What is over is dropped.
    async fn change(
        &self,
        clock: &dyn Clock,
        mut change: impl FnMut(&mut Vec<UnderWay>),
    ) -> Result<(), Error> {
        for _ in 0..SAVES_MAX {
            let loaded: Loaded<Vec<UnderWay>> = match self.vault.load(UNDER_WAY).await {
                // Sealed with a key that is gone: they are worth ten minutes.
                Err(Trouble::Unreadable { version, .. }) => Loaded { version, record: None },
                loaded => loaded.map_err(unusable)?,
            };
            let mut all = loaded.record.unwrap_or_default();
            let now = clock.now();
            all.retain(|one| now < one.until);
            change(&mut all);
            let until = all.iter().map(|one| one.until).max();
            match self.vault.save(UNDER_WAY, loaded.version, &all, until).await {
                Ok(_) => return Ok(()),
                Err(Trouble::Changed) => {}
                Err(trouble) => return Err(unusable(trouble)),
            }
        }
        Err(Error::retryable("too many consents at the same time: try again"))
    }
}

fn unusable(trouble: Trouble) -> Error {
    match trouble {
        Trouble::Changed => Error::retryable("others keep changing it"),
        Trouble::Unavailable(what) => Error::retryable(what),
        Trouble::Limit(what) | Trouble::Unreadable { what, .. } => Error::refused(what),
    }
}
