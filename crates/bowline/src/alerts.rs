//! Dead letters, approvals that wait, and trouble with Apis, told to the hook that `BOWLINE_ALERT_URL` names.
//!
//! What comes in: the settings of an app. What goes out: the task that watches its store. What must never be here: the
//! hook's address in anything that can be printed; the [`Api`] keeps it.

use std::sync::Arc;

use bowline_client::{Api, Call, Idempotency, Response};
use bowline_dashboard::{
    Alerts,
    alerts::{ApiAlerts, ApprovalAlerts},
};
use bowline_model::{Clock, Variables};
use bowline_store::Store;
use reqwest::Url;
use serde_json::json;
use tokio::sync::watch;

/// The hook: where messages go.
pub(crate) const HOOK_VARIABLE: &str = "BOWLINE_ALERT_URL";
/// Where people reach the admin pages, if not at the address that the server listens on.
pub(crate) const ADMIN_URL_VARIABLE: &str = "BOWLINE_ADMIN_URL";

/// Largest answer of a hook that is read; what it says is not needed.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Where alerts go, and what they lead to.
#[derive(Debug, Clone)]
pub(crate) struct AlertConfig {
    pub(crate) hook: Option<Api>,
    pub(crate) admin_url: Option<String>,
}

impl AlertConfig {
    /// Reads the settings; what is wrong is recorded in `variables`.
    pub(crate) fn read(variables: &Variables) -> Self {
        Self { hook: hook(variables), admin_url: admin_url(variables) }
    }
}

fn hook(variables: &Variables) -> Option<Api> {
    variables.get(HOOK_VARIABLE)?;
    let api = Api::with_variables("alerts", variables.clone())
        .idempotency(Idempotency::None)
        // When to try again is decided by who alerts.
        .no_learned_limits()
        .no_breaker()
        .response_bytes_max(ANSWER_BYTES_MAX);
    Some(api.secret_url_env(HOOK_VARIABLE))
}

/// It goes into messages, so nothing secret may be in it.
fn admin_url(variables: &Variables) -> Option<String> {
    let text = variables.get(ADMIN_URL_VARIABLE)?;
    let url = Url::parse(&text).ok().filter(|url| {
        let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain
    });
    if url.is_none() {
        variables.problem(
            ADMIN_URL_VARIABLE,
            "is not the address of a page; write one as https://ops.example.com, without a password and without a query",
        );
    }
    url.map(String::from)
}

/// The task that tells of dead letters until `stopped` says so; `None` if no hook is set.
pub(crate) fn tell(
    config: &AlertConfig,
    app: &str,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    stopped: watch::Receiver<bool>,
) -> Option<impl Future<Output = ()> + Send + 'static> {
    let hook = config.hook.clone()?.clock(clock.clone());
    let alerts = Alerts::new(store, clock, app, poster(hook)).admin_url(config.admin_url.clone());
    Some(alerts.run(told(stopped)))
}

/// The task that tells of approvals for which runs wait, likewise.
pub(crate) fn tell_of_approvals(
    config: &AlertConfig,
    app: &str,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    stopped: watch::Receiver<bool>,
) -> Option<impl Future<Output = ()> + Send + 'static> {
    let hook = config.hook.clone()?.clock(clock.clone());
    let alerts = ApprovalAlerts::new(store, clock, app, poster(hook)).admin_url(config.admin_url.clone());
    Some(alerts.run(told(stopped)))
}

/// The task that tells of what Apis raise, likewise.
pub(crate) fn tell_of_apis(
    config: &AlertConfig,
    app: &str,
    alerts: &ApiAlerts,
    stopped: watch::Receiver<bool>,
) -> Option<impl Future<Output = ()> + Send + 'static> {
    let post = poster(config.hook.clone()?);
    Some(alerts.clone().run(app.to_owned(), config.admin_url.clone(), post, told(stopped)))
}

/// Describes the call that posts a text.
fn poster(hook: Api) -> impl Fn(String) -> Call<Response> + Send + Sync + 'static {
    move |text| hook.post("").json(&json!({ "text": text }))
}

async fn told(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

#[cfg(test)]
mod tests;
