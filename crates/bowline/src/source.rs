//! Where an app's events come from: a provider, and which of its events start which workflows.

mod business;
mod cloud_events;
mod clouds;
mod code;
mod discord;
mod mail;
mod office;
mod payments;
mod talk;

use std::{fmt, sync::Arc, time::Duration};

use bowline_ingress::{ClientLimit, Provider, Route, providers};
use bowline_model::{Secret, Variables};

use crate::{Workflow, guard::Guard, workflow::Declared};

pub use business::{HubSpot, Paddle, Shopify, Square};
pub use cloud_events::CloudEvents;
pub use code::{Bitbucket, GitLab, Linear};
pub use office::{Calendly, Intercom, Meta, Typeform, Xero, Zendesk};
pub use talk::{Slack, Twilio, Zoom};

pub use clouds::{Graph, Sns};
pub use discord::{Discord, DiscordInteractions};
pub use mail::{Mailgun, SendGrid};
pub use payments::{Adyen, PayPal};

type MakeProvider = dyn Fn(&Variables) -> Option<Arc<dyn Provider>> + Send + Sync;

/// A provider of webhooks with the workflows that its events start. Made by a provider: [`Stripe`], [`GitHub`],
/// [`StandardWebhooks`], [`Hmac`](crate::Hmac).
pub struct Source<S> {
    provider: Arc<MakeProvider>,
    subscriptions: Vec<(String, Declared<S>)>,
    body_bytes_max: Option<usize>,
    guard: Guard,
}

impl<S> Source<S> {
    pub(crate) fn new(
        provider: impl Fn(&Variables) -> Option<Arc<dyn Provider>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            provider: Arc::new(provider),
            subscriptions: vec![],
            body_bytes_max: None,
            guard: Guard::default(),
        }
    }

    /// Events of these types start that workflow: `payment_intent.succeeded`, all below a prefix with
    /// `payment_intent.*`, or all with `*`.
    ///
    /// An event may start several workflows, each once. Events that start none are answered 200 and not stored.
    pub fn on<I, O>(mut self, pattern: &str, workflow: Workflow<S, I, O>) -> Self {
        self.subscriptions.push((pattern.to_owned(), workflow.into_declared()));
        self
    }

    /// How large a body may be; 1 MiB unless set. Larger ones are answered 413.
    pub fn body_bytes_max(mut self, bytes: usize) -> Self {
        self.body_bytes_max = Some(bytes);
        self
    }

    /// Takes requests of these addresses (`192.0.2.1`) and ranges (`192.0.2.0/24`, `2001:db8::/32`) only; others are
    /// answered 403. Needs `BOWLINE_TRUSTED_PROXIES`: the proxies in front, or `none`.
    pub fn allow_ips(mut self, ranges: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.guard.allowed.extend(ranges.into_iter().map(Into::into));
        self
    }

    /// How many requests each client may send here, in that time; more are answered 429. 1,000 a second with bursts of
    /// 10,000 unless set. Needs `BOWLINE_TRUSTED_PROXIES`, without which nobody is limited.
    pub fn client_limit(mut self, requests: u32, per: Duration) -> Self {
        self.guard.limit = Some(ClientLimit::of(requests, per));
        self
    }

    pub(crate) fn workflows(&self) -> impl Iterator<Item = &Declared<S>> {
        self.subscriptions.iter().map(|(_, workflow)| workflow)
    }

    /// The route at `path`. Problems with its variables are recorded there.
    pub(crate) fn route(&self, path: &str, variables: &Variables) -> Option<Route> {
        let provider = (self.provider)(variables)?;
        let mut route = Route::new(path, provider);
        for (pattern, workflow) in &self.subscriptions {
            route = route.on(pattern, workflow.name().clone());
        }
        if let Some(bytes) = self.body_bytes_max {
            route = route.body_bytes_max(bytes);
        }
        Some(self.guard.stand_before(route))
    }
}

impl<S> fmt::Debug for Source<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("subscriptions", &self.subscriptions).finish_non_exhaustive()
    }
}

/// Stripe's webhooks. A workflow receives `data.object`; the envelope is [`Context::event`](crate::Context::event).
#[derive(Debug)]
pub struct Stripe;

impl Stripe {
    /// Signed with the endpoint's secret (`whsec_…`) in that variable.
    ///
    /// While one secret replaces another, put both into the variable, separated by a comma: what either signed is
    /// accepted.
    pub fn secret_env<S>(variable: &str) -> Source<S> {
        signed_with(
            variable,
            "the signing secret (whsec_…) of the Stripe webhook endpoint",
            |first, more| {
                let stripe = providers::Stripe::new(first)?;
                more.iter().try_fold(stripe, |stripe, secret| stripe.also_accept(secret))
            },
        )
    }
}

/// GitHub's webhooks, with the content type `application/json`. A workflow receives the whole body; the types are
/// `push`, or with the body's action `issues.opened`.
#[derive(Debug)]
pub struct GitHub;

impl GitHub {
    /// Signed with the webhook's secret in that variable; several, separated by commas, are all accepted.
    pub fn secret_env<S>(variable: &str) -> Source<S> {
        signed_with(variable, "the secret of the GitHub webhook", |first, more| {
            let github = providers::GitHub::new(first)?;
            more.iter().try_fold(github, |github, secret| github.also_accept(secret))
        })
    }
}

/// Webhooks of whoever signs as Standard Webhooks says (<https://www.standardwebhooks.com>), Svix among them. A workflow
/// receives the whole body; the type is its `type`.
#[derive(Debug)]
pub struct StandardWebhooks;

impl StandardWebhooks {
    /// Signed with the endpoint's secret (`whsec_…`), or with the key whose public half (`whpk_…`) is in that variable;
    /// several, separated by commas, are all accepted.
    pub fn secret_env<S>(variable: &str) -> Source<S> {
        // 24 bytes: the shortest that the specification allows.
        let stand_in = || "whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0".to_owned();
        let purpose = "the signing secret (whsec_…) or public key (whpk_…) of the webhook endpoint";
        signed_as(variable, purpose, stand_in, |first, more| {
            let sender = providers::StandardWebhooks::new(first)?;
            more.iter().try_fold(sender, |sender, secret| sender.also_accept(secret))
        })
    }
}

fn signed_with<S, P: Provider, E: fmt::Display>(
    variable: &str,
    purpose: &'static str,
    make: impl Fn(&Secret, &[Secret]) -> Result<P, E> + Send + Sync + 'static,
) -> Source<S> {
    let stand_in = format!("test-{variable}");
    signed_as(variable, purpose, move || stand_in.clone(), make)
}

/// A source whose provider is made of the secrets in a variable.
pub(crate) fn signed_as<S, P: Provider, E: fmt::Display>(
    variable: &str,
    purpose: &'static str,
    stand_in: impl Fn() -> String + Send + Sync + 'static,
    make: impl Fn(&Secret, &[Secret]) -> Result<P, E> + Send + Sync + 'static,
) -> Source<S> {
    let variable = variable.to_owned();
    Source::new(move |variables| {
        let secrets = secrets(variables, &variable, purpose, &stand_in)?;
        let (first, more) = secrets.split_first().expect("there is at least one");
        match make(first, more) {
            Ok(provider) => Some(Arc::new(provider)),
            Err(problem) => {
                variables.problem(&variable, problem.to_string());
                None
            }
        }
    })
}

/// The secrets of a variable, separated by commas: several while one replaces another.
pub(crate) fn secrets(
    variables: &Variables,
    name: &str,
    purpose: &str,
    stand_in: impl FnOnce() -> String,
) -> Option<Vec<Secret>> {
    let value = variables.require_or(name, purpose, stand_in)?;
    let secrets = value.split(',').map(str::trim).filter(|secret| !secret.is_empty());
    let secrets: Vec<_> = secrets.map(Secret::new).collect();
    if secrets.is_empty() {
        variables.problem(name, "holds no secret: write one, or several separated by commas");
        return None;
    }
    Some(secrets)
}
