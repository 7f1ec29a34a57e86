//! What consents are made of: the provider's page, and the exchange of a code for tokens.

use bowline_model::{Error, Failure, Secret};
use url::Url;

use super::{Callback, SAVES_MAX, UnderWay, unusable};
use crate::{
    auth::{
        Tokens,
        answer::{Granted, shown},
        config::{Config, Means, checked},
        endpoint::{self, Answered},
        form::Asking,
        pkce::challenge,
        record::Record,
        whose,
    },
    settings::Settings,
    vault::{Trouble, Vault},
};

/// A longer URI is none that a provider knows.
const REDIRECT_URI_BYTES_MAX: usize = 1024;

/// The provider's page (RFC 6749 §4.1.1, RFC 7636 §4.3).
pub(super) fn authorize(
    config: &Config,
    page: &Url,
    client_id: &str,
    redirect_uri: &str,
    state: &Secret,
    verifier: &Secret,
) -> Url {
    let mut url = page.clone();
    let mut query = url.query_pairs_mut();
    query.append_pair("response_type", "code").append_pair("client_id", client_id);
    query.append_pair("redirect_uri", redirect_uri);
    if let Some(scope) = &config.scope {
        query.append_pair("scope", scope);
    }
    if let Some(audience) = &config.audience {
        query.append_pair("audience", audience);
    }
    query.append_pair("state", state.expose());
    query.append_pair("code_challenge", &challenge(verifier)).append_pair("code_challenge_method", "S256");
    query.extend_pairs(&config.authorize_parameters);
    drop(query);
    url
}

/// The code of an answer that is a yes, from the right provider.
pub(super) fn code(config: &Config, callback: Callback, api: &str) -> Result<Secret, Error> {
    if let Means::AuthorizationCode { issuer: Some(issuer), .. } = &config.means
        && callback.iss.as_deref() != Some(issuer)
    {
        let iss = callback.iss.as_deref().map_or_else(|| "nobody".to_owned(), shown);
        return Err(Error::refused(format!(
            "the consent for {api} came from {iss}, not from {issuer}: nothing was kept"
        )));
    }
    if let Some(error) = callback.error {
        let words =
            callback.error_description.map_or_else(String::new, |words| format!(" ({})", shown(&words)));
        return Err(Error::refused(format!(
            "{api} was not connected: its provider said {}{words}",
            shown(&error)
        )));
    }
    callback.code.ok_or_else(|| Error::refused(format!("{api} was not connected: its provider sent no code")))
}

/// Exchanges the code, and keeps what comes of it.
pub(super) async fn redeem(
    vault: &Vault,
    settings: &Settings,
    config: &Config,
    under_way: &UnderWay,
    code: &Secret,
) -> Result<(), Error> {
    let verifier = Secret::new(under_way.verifier.as_str());
    let asking = Asking::Code { code, verifier: &verifier, redirect_uri: &under_way.redirect_uri };
    let api = &under_way.api;
    let question = config.question(&asking, &settings.http_hosts, &*settings.clock);
    let question = question.map_err(|what| Error::refused(format!("{api} was not connected: {what}")))?;
    let granted = match endpoint::ask(settings, question).await {
        Answered::Granted(granted) => granted,
        Answered::Denied(denied) => {
            return Err(Error::refused(format!(
                "{api} was not connected: its provider said {}",
                denied.what
            )));
        }
        Answered::Failed(failure) => {
            return Err(Failure::refused(format!("{api} was not connected: {failure}")).into());
        }
    };
    keep(vault, settings, config, under_way, &granted).await?;
    let whose = whose(api, &under_way.account);
    tracing::info!(api = whose, renews = granted.refresh.is_some(), "connected");
    Ok(())
}

/// A consent counts more than what was kept before, whoever saves at the same time.
async fn keep(
    vault: &Vault,
    settings: &Settings,
    config: &Config,
    under_way: &UnderWay,
    granted: &Granted,
) -> Result<(), Error> {
    let name = Tokens::name(&under_way.api, &under_way.account);
    let now = settings.clock.now();
    let access = granted.token(now);
    let standing = config.standing();
    let record = Record {
        identity: standing.identity.clone(),
        access: Some(access.clone()),
        refresh: granted.refresh.clone(),
        seed: None,
        connected_at: Some(now),
        dead: None,
    };
    for _ in 0..SAVES_MAX {
        let version = match vault.load::<Record>(&name).await {
            Err(Trouble::Unreadable { version, .. }) => version,
            loaded => loaded.map_err(unusable)?.version,
        };
        match vault.save(&name, version, &record, access.expires_at).await {
            Ok(version) => {
                let slot = vault.slot(&name);
                slot.reset();
                slot.hold(&standing, version, &access);
                return Ok(());
            }
            Err(Trouble::Changed) => {}
            Err(trouble) => return Err(unusable(trouble)),
        }
    }
    Err(Error::retryable("others keep changing it: connect it again"))
}

pub(super) fn check_redirect(uri: &str, http_hosts: &[String]) -> Result<(), Error> {
    if uri.len() > REDIRECT_URI_BYTES_MAX {
        let what = format!("the page to come back to has more than {REDIRECT_URI_BYTES_MAX} bytes");
        return Err(Error::refused(what));
    }
    let checked = checked(uri, http_hosts);
    checked.map(drop).map_err(|what| Error::refused(format!("the page to come back to {what}")))
}
