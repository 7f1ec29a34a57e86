//! Apis that get tokens: how each of their accounts stands, and consents for those that need one.
//!
//! What comes in: an operator who connects an account, and what the provider's page sent back with them. What goes out:
//! where to send them, and how things stand. What must never be here: a token, a code or a `state` in anything shown.

use std::{fmt, sync::Arc};

use axum::http::uri::Authority;
use bowline_client::{Callback, Connected, Connection, Standing, Vault};
use bowline_model::{Clock, Error, Secret};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    admin::Refusal,
    alerts::{ApiAlert, ApiAlerts},
};

/// Accounts that are shown; more are counted.
pub const CONNECTIONS_MAX: usize = 200;
/// Longest name of an account that somebody types.
const ACCOUNT_CHARS_MAX: usize = 100;
/// The account of an Api that has one only.
pub(crate) const DEFAULT_ACCOUNT: &str = "default";

/// The path to which providers lead back.
pub(crate) const CALLBACK: &str = "/connect/callback";

/// What `GET /api/connections` answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionList {
    /// By Api and account.
    pub connections: Vec<ConnectionView>,
    /// Accounts beyond [`CONNECTIONS_MAX`], which are left out.
    pub left_out: usize,
    /// What Apis raised within a day, the latest first.
    pub alerts: Vec<ApiAlert>,
}

/// An account of an Api that gets tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionView {
    /// The Api.
    pub api: String,
    /// Its account; `default` where there is one only.
    pub account: String,
    /// How it gets tokens: `authorization code`.
    pub grant: String,
    /// Whether a person has to give consent.
    pub needs_consent: bool,
    /// How it stands.
    pub state: ConnectionState,
    /// Since when it stands so, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When the token at hand ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Whether it is renewed then without anybody.
    pub renews: bool,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// How an account stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// There is no token. Where a consent is needed: nobody gave it yet; else: nothing was called yet.
    Missing,
    /// There are tokens.
    Connected,
    /// The provider no longer takes what is kept.
    Dead,
    /// What is kept cannot be read.
    Unknown,
}

/// The connections of one app.
#[derive(Clone)]
pub(crate) struct Connections {
    vault: Option<Vault>,
    public_url: Option<String>,
    alerts: ApiAlerts,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("public_url", &self.public_url).finish_non_exhaustive()
    }
}

impl Connections {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { vault: None, public_url: None, alerts: ApiAlerts::new(clock) }
    }

    pub(crate) fn set_vault(&mut self, vault: Vault, public_url: Option<String>) {
        (self.vault, self.public_url) = (Some(vault), public_url);
    }

    pub(crate) fn set_alerts(&mut self, alerts: ApiAlerts) {
        self.alerts = alerts;
    }

    /// What Apis raised.
    pub(crate) fn alerts(&self) -> Vec<ApiAlert> {
        self.alerts.shown()
    }

    /// All accounts, and what was raised.
    pub(crate) async fn list(&self) -> Result<ConnectionList, Refusal> {
        let mut list = ConnectionList { alerts: self.alerts(), ..ConnectionList::default() };
        let Some(vault) = &self.vault else { return Ok(list) };
        for connection in vault.connections() {
            for account in vault.consent().accounts(&connection.api).await.map_err(not_now)? {
                if list.connections.len() >= CONNECTIONS_MAX {
                    list.left_out += 1;
                } else {
                    list.connections.push(ConnectionView::of(vault, &connection, account).await);
                }
            }
        }
        Ok(list)
    }

    /// The page to which a provider leads back whoever came from that host, which is under `base`.
    pub(crate) fn redirect_uri(&self, host: &Authority, base: &str) -> String {
        match &self.public_url {
            Some(url) => format!("{}{CALLBACK}", url.trim_end_matches('/')),
            None => format!("http://{host}{base}{CALLBACK}"),
        }
    }

    /// Begins a consent; returns the provider's page.
    pub(crate) async fn begin(&self, api: &str, account: &str, back: &str) -> Result<String, Refusal> {
        let account = account.trim();
        if account.is_empty() || account.chars().count() > ACCOUNT_CHARS_MAX {
            let what = format!("an account's name has 1 to {ACCOUNT_CHARS_MAX} characters");
            return Err(Refusal::bad_request(what));
        }
        let begun = self.vault()?.consent().begin(api, account, back).await.map_err(not_connected)?;
        tracing::info!(api, account, "a consent was begun");
        Ok(begun.url)
    }

    /// Ends the consent that somebody comes back from.
    pub(crate) async fn finish(&self, back: CameBack) -> Result<Connected, Refusal> {
        let connected = self.vault()?.consent().finish(back.into()).await.map_err(|error| {
            tracing::warn!(%error, "a consent came to nothing");
            not_connected(error)
        })?;
        let api = match connected.account.as_str() {
            DEFAULT_ACCOUNT => connected.api.clone(),
            account => format!("{}/{account}", connected.api),
        };
        self.alerts.forget_credential(&api);
        Ok(connected)
    }

    fn vault(&self) -> Result<&Vault, Refusal> {
        self.vault.as_ref().ok_or_else(|| Refusal::bad_request("no Api of this app gets tokens"))
    }
}

/// The query with which a provider leads back. What else it says is not needed.
#[derive(Deserialize)]
pub(crate) struct CameBack {
    #[serde(default)]
    state: String,
    code: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
    iss: Option<String>,
}

impl From<CameBack> for Callback {
    fn from(back: CameBack) -> Self {
        Self {
            state: Secret::new(back.state),
            code: back.code.map(Secret::new),
            error: back.error,
            error_description: back.error_description,
            iss: back.iss,
        }
    }
}

impl ConnectionView {
    async fn of(vault: &Vault, connection: &Connection, account: String) -> Self {
        let standing = vault.consent().status(&connection.api, &account).await;
        let view = Self {
            api: connection.api.clone(),
            account,
            grant: connection.grant.clone(),
            needs_consent: connection.needs_consent,
            state: ConnectionState::Missing,
            since: None,
            expires_at: None,
            renews: false,
            problem: None,
        };
        match standing {
            Ok(Standing::Missing) => view,
            Ok(Standing::Connected { since, expires_at, renews }) => {
                Self { state: ConnectionState::Connected, since, expires_at, renews, ..view }
            }
            Ok(Standing::Dead { why, since }) => {
                Self { state: ConnectionState::Dead, since, problem: Some(why), ..view }
            }
            Err(error) => Self { state: ConnectionState::Unknown, problem: Some(error.to_string()), ..view },
        }
    }
}

fn not_now(error: Error) -> Refusal {
    Refusal::not_now(error.to_string(), "the page works again as soon as the store answers")
}

fn not_connected(error: Error) -> Refusal {
    let hint = "nothing was changed; begin again at Connections";
    if error.is_retryable() {
        Refusal::not_now(error.to_string(), hint)
    } else {
        Refusal::not_connected(error.to_string(), hint)
    }
}
