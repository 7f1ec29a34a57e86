//! What a person should hear of at once, though no run has died of it: a credential that a remote no longer takes, a
//! remote that is down, a poll that fails again and again.

use std::fmt;

use jiff::Timestamp;

/// Something that a person should hear of.
///
/// # A refused credential
/// ```
/// use bowline_model::{Alert, AlertKind};
/// use jiff::Timestamp;
///
/// let alert = Alert {
///     api: "crm".into(),
///     kind: AlertKind::Unauthorized,
///     message: "GET crm /contacts answered 401: check the credential (CRM_API_KEY)".into(),
///     at: Timestamp::UNIX_EPOCH,
/// };
/// assert_eq!(alert.kind.to_string(), "unauthorized");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The Api's name; with `/account` behind it, if it is another than the default one. Of a trigger: its kind and name,
    /// as `poll/new orders`.
    pub api: String,
    /// What sort of thing happened. Equal kinds of one Api are one story.
    pub kind: AlertKind,
    /// Fact, value, hint; without secrets and payloads.
    pub message: String,
    /// When it was noticed.
    pub at: Timestamp,
}

/// What sort of thing a person should hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AlertKind {
    /// A remote does not take the credential (401).
    Unauthorized,
    /// The credential may not do what was asked (403).
    Forbidden,
    /// Nobody can renew the token: somebody must give consent again.
    ConsentNeeded,
    /// A remote failed so often that it is left alone for a while.
    BreakerOpen,
    /// A schedule, a poll or an inbox fails again and again, or has stopped.
    TriggerFailing,
}

impl AlertKind {
    /// Its name in logs and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::ConsentNeeded => "consent_needed",
            Self::BreakerOpen => "breaker_open",
            Self::TriggerFailing => "trigger_failing",
        }
    }
}

impl fmt::Display for AlertKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where alerts go.
pub trait Alerts: Send + Sync + 'static {
    /// Takes one. Never blocks; may be called for every failing call, so equal ones are brought together here.
    fn raise(&self, alert: Alert);

    /// What was raised of that kind under that name is over, and needs nobody any more. Never blocks. Does nothing unless
    /// said.
    fn over(&self, api: &str, kind: AlertKind) {
        let _ = (api, kind);
    }
}

/// Writes alerts to the log, as warnings: what a client that stands alone does with them.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoggedAlerts;

impl Alerts for LoggedAlerts {
    fn raise(&self, alert: Alert) {
        tracing::warn!(api = alert.api, kind = alert.kind.as_str(), "{}", alert.message);
    }
}
