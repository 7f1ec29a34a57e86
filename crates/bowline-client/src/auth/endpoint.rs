//! The token endpoint, called as every other remote is: with its own timeouts and limits, scrubbed, never redirected.

use std::{sync::Arc, time::Duration};

use bowline_model::{Alert, Alerts, Attempt, Failure, Verdict};

use crate::{
    Api, Idempotency, Response,
    auth::{
        answer::{self, Denial, Denied, Granted, shown},
        form::Question,
    },
    settings::Settings,
};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one answer may take.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer: tokens are small.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// What came of a question.
pub(crate) enum Answered {
    Granted(Granted),
    Denied(Denied),
    /// It may work later.
    Failed(Failure),
}

/// Its failures are told as those of the Api that needs the token.
struct Silent;

impl Alerts for Silent {
    fn raise(&self, _: Alert) {}
}

/// Asks once.
pub(crate) async fn ask(settings: &Settings, question: Question) -> Answered {
    let mut origin = question.url.clone();
    origin.set_path("");
    origin.set_query(None);
    let api = settings
        .http_hosts
        .iter()
        .fold(
            Api::with_variables(format!("{} token endpoint", settings.name), settings.variables.clone()),
            |api, host| api.allow_http(host),
        )
        .base_url(origin.as_str())
        .idempotency(Idempotency::None)
        .connect_timeout(CONNECT_TIMEOUT)
        .response_bytes_max(ANSWER_BYTES_MAX)
        .clock(settings.clock.clone())
        .alerts(Arc::new(Silent));
    let api = match &question.basic {
        Some((id, secret)) => api.basic(id, secret.clone()),
        None => api,
    };
    let api = api.with(|own| {
        own.authorities.clone_from(&settings.authorities);
        own.user_agent.clone_from(&settings.user_agent);
        own.answers_are_secret = true;
        question.secrets.iter().for_each(|secret| Arc::make_mut(&mut own.scrub).add(secret.expose()));
    });
    let form: Vec<(&str, &str)> =
        question.form.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    let call = question
        .url
        .query_pairs()
        .fold(api.post(question.url.path()), |call, (name, value)| call.query(&name, value));
    let verdict = call.form(&form).attempt_once(&Attempt::new("", 1, ANSWER_TIMEOUT)).await;
    match read(&api, verdict) {
        Answered::Denied(Denied { kind, what }) => {
            Answered::Denied(Denied { kind, what: shown(&api.settings().scrub.text(&what)) })
        }
        answered @ (Answered::Granted(_) | Answered::Failed(_)) => answered,
    }
}

fn read(api: &Api, verdict: Verdict<Response>) -> Answered {
    match verdict {
        Verdict::Done(response) => match answer::read(response.bytes()) {
            Ok(granted) => Answered::Granted(granted),
            Err(Some(denied)) => Answered::Denied(denied),
            Err(None) => {
                let name = api.name();
                Answered::Failed(Failure::refused(format!(
                    "{name} answered {}, but not with tokens: is its URL the right one?",
                    response.status()
                )))
            }
        },
        Verdict::Refused(failure) => match said(&failure) {
            Some(denied) => Answered::Denied(denied),
            None => Answered::Denied(Denied { kind: Denial::Permanent, what: told(&failure) }),
        },
        Verdict::RetryAfter(failure) | Verdict::Unknown(failure) => {
            let denied = said(&failure).filter(|denied| denied.kind == Denial::Grant);
            denied.map_or_else(|| Answered::Failed(failure), Answered::Denied)
        }
        Verdict::Wait { wait, why } => Answered::Failed(Failure::refused(why).retry_after(Some(wait))),
    }
}

/// What the body of a refusal says.
fn said(failure: &Failure) -> Option<Denied> {
    answer::read_refusal(failure.call.as_ref()?.body.as_deref()?)
}

fn told(failure: &Failure) -> String {
    failure.to_string()
}
