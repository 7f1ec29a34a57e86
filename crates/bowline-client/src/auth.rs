//! Tokens: asked for, kept, renewed before they end.
//!
//! What comes in: an account of an Api, and perhaps a token that the remote refused. What goes out: a token that is good
//! for a while, or why there is none. What must never happen here: two renewals of one account at the same time, a token
//! that is used before what came with it is on disk, a renewal that a caller's timeout cuts off, or a provider that is
//! asked again and again while it is down.
//!
//! | Module | Story |
//! |---|---|
//! | `oauth` | what an author says of it |
//! | `config` | the same, with variables found and URLs checked |
//! | `record` | what is kept, and what that means now |
//! | `slot` | what this process knows, and who is renewing it |
//! | `flight` | one renewal |
//! | `form`, `assertion`, `pkce` | what a provider is asked |
//! | `endpoint`, `answer` | asking it, and what it said |

use std::{fmt, sync::Arc, time::Duration};

use bowline_model::{Failure, Secret};

use crate::{
    Api, Vault,
    address::segment,
    policy::waits_for_another,
    proof::Credential,
    settings::{self, Settings},
    vault::TOKEN_KEY_VARIABLE,
};

pub(crate) mod answer;
mod assertion;
pub(crate) mod config;
pub(crate) mod endpoint;
mod flight;
pub(crate) mod form;
mod oauth;
pub(crate) mod pkce;
pub(crate) mod record;
pub(crate) mod slot;

use config::Config;
use flight::Flight;
pub(crate) use flight::whose;
pub use oauth::OAuth;
use slot::{Landing, Look, Outcome};

/// When to ask again after a renewal that ended without a word: the program is stopping, or it panicked.
const INTERRUPTED_WAIT: Duration = Duration::from_secs(1);

/// A token that proves who calls.
#[derive(Clone)]
pub(crate) struct AccessToken {
    pub(crate) secret: Secret,
    /// Raised whenever it is renewed.
    pub(crate) version: i64,
}

/// Why there is no token now.
#[derive(Clone)]
pub(crate) enum NoToken {
    /// It is on its way.
    Wait { wait: Duration, why: String },
    /// It could not be had, and may be later.
    Later(Failure),
    /// It cannot be had.
    Never(Failure),
}

impl NoToken {
    /// The same for those who ask too early.
    pub(crate) fn later(&self, until: Duration, elapsed: Duration) -> Self {
        match self {
            Self::Later(failure) => {
                Self::Later(failure.clone().retry_after(Some(until.saturating_sub(elapsed))))
            }
            Self::Wait { .. } | Self::Never(_) => self.clone(),
        }
    }

    /// When the provider asked to be called again.
    pub(crate) fn asked_wait(&self) -> Option<Duration> {
        match self {
            Self::Later(failure) => failure.retry_after,
            Self::Wait { .. } | Self::Never(_) => None,
        }
    }
}

/// The tokens of one Api.
#[derive(Clone)]
pub(crate) struct Tokens {
    config: Arc<Config>,
}

impl Tokens {
    /// Those of an Api that has some.
    pub(crate) fn of(settings: &Settings) -> Option<&Self> {
        settings.credentials.iter().find_map(|credential| match credential {
            Credential::Token(tokens) => Some(tokens),
            Credential::Key(_) | Credential::Signature(_) => None,
            #[cfg(feature = "soap")]
            Credential::UsernameToken(_) => None,
        })
    }

    pub(crate) fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// What the credential of an account is stored under.
    pub(crate) fn name(api: &str, account: &str) -> String {
        format!("oauth/{}/{}", segment(api), segment(account))
    }

    /// Where it comes from, for people.
    pub(crate) fn source(&self) -> String {
        let variables = self.config.variables();
        if variables.is_empty() { "its token".to_owned() } else { variables.join(", ") }
    }

    /// The token for calls of that account, renewed if need be.
    pub(crate) async fn current(&self, settings: &Settings, account: &str) -> Outcome {
        self.get(settings, account, None).await
    }

    /// A newer one than that, which the remote refused.
    pub(crate) async fn renewed(&self, settings: &Settings, account: &str, refused: &AccessToken) -> Outcome {
        self.get(settings, account, Some(refused.version)).await
    }

    async fn get(&self, settings: &Settings, account: &str, refused: Option<i64>) -> Outcome {
        if let Some(token) = self.stand_in(settings) {
            return Ok(token);
        }
        // A flight that began before the refusal may bring the refused token: then one more.
        const FLIGHTS_MAX: u32 = 2;
        let standing = self.config.standing();
        let slot = settings.vault.slot(&Self::name(&settings.name, account));
        let begin = |tell| {
            let flight = Flight {
                settings: settings.clone(),
                vault: settings.vault.clone(),
                slot: slot.clone(),
                config: self.config.clone(),
                standing: standing.clone(),
                account: account.to_owned(),
                refused,
            };
            settings.vault.spawn(flight.fly(tell));
        };
        for _ in 0..FLIGHTS_MAX {
            let now = (settings.clock.now(), settings.clock.monotonic());
            let (landing, age) = match slot.look(&standing, refused, now, begin) {
                Look::Use(token) => return Ok(token),
                Look::Blocked(no_token) => return Err(no_token),
                Look::Wait(landing, age) => (landing, age),
            };
            let (held, wait) = waits_for_another(age);
            let token = tokio::select! {
                biased;
                outcome = hear(landing) => outcome?,
                () = settings.clock.sleep(held) => {
                    let why = format!("the token of {}", whose(&settings.name, account));
                    return Err(NoToken::Wait { wait, why });
                }
            };
            if refused.is_none_or(|refused| token.version > refused) {
                return Ok(token);
            }
        }
        let why = format!("the token of {} is being renewed", whose(&settings.name, account));
        Err(NoToken::Wait { wait: INTERRUPTED_WAIT, why })
    }

    /// In tests nothing leaves: but for a provider on this machine, a token stands in.
    fn stand_in(&self, settings: &Settings) -> Option<AccessToken> {
        let leaves = || !self.config.is_on_loopback(&settings.http_hosts);
        (settings.variables.is_testing() && leaves()).then(|| AccessToken {
            secret: Secret::new(format!("test-token-of-{}", settings.name)),
            version: 1,
        })
    }
}

/// Waits for a renewal.
async fn hear(mut landing: Landing) -> Outcome {
    let interrupted = || {
        let why = "a renewal of its token was interrupted".to_owned();
        Err(NoToken::Wait { wait: INTERRUPTED_WAIT, why })
    };
    match landing.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.as_ref().cloned().unwrap_or_else(interrupted),
        Err(_) => interrupted(),
    }
}

impl Api {
    /// Gets tokens by OAuth 2.0, and sends them as `Authorization: Bearer`.
    ///
    /// A call that the remote answers with 401 is sent once more with a new token. Each [account](Api::account) has a
    /// token of its own. In tests (variables with stand-ins) a provider that is not on this machine is never asked: a
    /// stand-in is sent.
    ///
    /// # A connection that somebody gives consent to
    /// ```
    /// use bowline_client::{Api, OAuth};
    ///
    /// let xero = Api::new("xero").base_url("https://api.xero.com").oauth(
    ///     OAuth::authorization_code(
    ///         "https://login.xero.com/identity/connect/authorize",
    ///         "https://identity.xero.com/connect/token",
    ///     )
    ///     .public_client("5F2C")
    ///     .scope("offline_access accounting.contacts"),
    /// );
    /// assert!(format!("{xero:?}").contains("authorization code"));
    /// ```
    ///
    /// # Durability
    /// Tokens live in the Api's [`Vault`]: see there.
    pub fn oauth(self, oauth: OAuth) -> Self {
        self.with(|settings| {
            if let Some(config) = Config::resolve(settings, oauth) {
                settings.credentials.push(Credential::Token(Tokens { config: Arc::new(config) }));
                check_vault(settings);
            }
        })
    }

    /// Keeps its tokens there. In memory unless set; an app gives its Apis one vault.
    ///
    /// # One vault for two Apis
    /// ```
    /// use bowline_client::{Api, Vault};
    ///
    /// let vault = Vault::memory();
    /// let (crm, shop) = (Api::new("crm").vault(vault.clone()), Api::new("shop").vault(vault));
    /// ```
    pub fn vault(self, vault: Vault) -> Self {
        self.with(|settings| {
            settings.vault = vault;
            check_vault(settings);
        })
    }
}

impl Settings {
    /// How often that account became somebody's anew, as far as this process knows.
    pub(crate) fn connections(&self, account: &str) -> u64 {
        let slot = |_| self.vault.slot(&Tokens::name(&self.name, account));
        Tokens::of(self).map(slot).map_or(0, |slot| slot.connections())
    }

    /// Lets the vault know of an Api that keeps tokens there.
    pub(crate) fn register(self: &Arc<Self>) {
        if Tokens::of(self).is_some() {
            self.vault.know(self);
        }
    }
}

/// What cannot be asked for again needs a place that does not forget.
fn check_vault(settings: &mut Settings) {
    let must_keep = Tokens::of(settings).is_some_and(|tokens| tokens.config.must_keep());
    if let Some(cure) = settings.vault.forgets().filter(|_| must_keep) {
        let what = format!("is not set: it seals the tokens of {} on disk; {cure}", settings.name);
        settings.problem(settings::Source::Variable(TOKEN_KEY_VARIABLE), what);
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}
