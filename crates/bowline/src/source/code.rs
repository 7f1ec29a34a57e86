//! Where code is written and planned: GitLab, Bitbucket, Linear.

use bowline_ingress::providers;

use super::{signed_as, signed_with};
use crate::Source;

/// GitLab's webhooks. A workflow receives the whole body; the types are `push`, or with the body's action
/// `merge_request.open` (<https://docs.gitlab.com/user/project/integrations/webhook_events/>).
///
/// Bodies have up to 25 MB: see [`Source::body_bytes_max`].
#[derive(Debug)]
pub struct GitLab;

impl GitLab {
    /// Signed with the webhook's signing token (`whsec_…`) in that variable; several, separated by commas, are all
    /// accepted. A webhook that has a secret token as well sends that too: it is not looked at.
    pub fn signing_token_env<S>(variable: &str) -> Source<S> {
        // 32 bytes, as GitLab's have.
        let stand_in = || "whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q=".to_owned();
        signed_as(variable, "the signing token (whsec_…) of the GitLab webhook", stand_in, |first, more| {
            let gitlab = providers::GitLab::signing_token(first)?;
            more.iter().try_fold(gitlab, |gitlab, token| gitlab.also_accept(token))
        })
    }

    /// With the webhook's secret token in that variable, for GitLab that does not sign yet; several, separated by commas,
    /// are all accepted. It is sent as it stands: it shows who sends, not that nothing was changed.
    pub fn secret_token_env<S>(variable: &str) -> Source<S> {
        signed_with(variable, "the secret token of the GitLab webhook", |first, more| {
            let gitlab = providers::GitLab::secret_token(first).map_err(|error| error.to_string())?;
            more.iter()
                .try_fold(gitlab, |gitlab, token| gitlab.also_accept(token))
                .map_err(|error| error.to_string())
        })
    }
}

/// Bitbucket's webhooks, of Cloud and of Data Center. A workflow receives the whole body; the types are `repo:push`,
/// `pullrequest:created` (<https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/>).
#[derive(Debug)]
pub struct Bitbucket;

impl Bitbucket {
    /// Signed with the webhook's secret in that variable; several, separated by commas, are all accepted.
    pub fn secret_env<S>(variable: &str) -> Source<S> {
        signed_with(variable, "the secret of the Bitbucket webhook", |first, more| {
            let bitbucket = providers::Bitbucket::new(first)?;
            more.iter().try_fold(bitbucket, |bitbucket, secret| bitbucket.also_accept(secret))
        })
    }
}

/// Linear's webhooks. A workflow receives the whole body; the types are `Issue.create`, `Comment.remove`
/// (<https://linear.app/developers/webhooks>).
///
/// A webhook may be a minute old, as Linear's SDK has it: this machine's clock must be right.
#[derive(Debug)]
pub struct Linear;

impl Linear {
    /// Signed with the webhook's signing secret in that variable; several, separated by commas, are all
    /// accepted.
    pub fn secret_env<S>(variable: &str) -> Source<S> {
        signed_with(variable, "the signing secret of the Linear webhook", |first, more| {
            let linear = providers::Linear::new(first)?;
            more.iter().try_fold(linear, |linear, secret| linear.also_accept(secret))
        })
    }
}
