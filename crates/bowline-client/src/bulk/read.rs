//! What answers say of a job.

use std::time::Duration;

use reqwest::header::{LOCATION, RETRY_AFTER};
use serde_json::value::RawValue;
use url::Url as Address;

use super::{Job, Progress};
use crate::{
    page::{place, turn::below_base},
    read::{Read, Said, Unread},
    report,
    scrub::Scrub,
    verdict::{Answer, Meaning},
};

/// Where the answer to the start says which job it is.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// Its id, at a path of the body.
    Id(String),
    /// The URL of its state, at a path of the body.
    Url(String),
    /// The URL of its state, in a header.
    Location,
}

/// Reads the answer to the start.
pub(super) struct Begun {
    pub(super) place: Place,
    pub(super) base: Option<Address>,
}

impl Read<Job> for Begun {
    fn good(&self, answer: &Answer, scrub: &Scrub) -> Result<Job, Unread> {
        let below = |url: &str| below_base(url, &answer.url, self.base.as_ref(), scrub);
        let id = match &self.place {
            Place::Id(path) => text(report::json(answer)?, path)?,
            Place::Url(path) => below(&text(report::json(answer)?, path)?)?,
            Place::Location => {
                let location = answer.headers.get(LOCATION).and_then(|location| location.to_str().ok());
                below(location.ok_or_else(|| "comes without a header Location".to_owned())?)?
            }
        };
        Ok(Job { id })
    }
}

/// The text at a path, which must be there.
fn text(document: &RawValue, path: &str) -> Result<String, String> {
    let empty = || place::find(document, path).err().unwrap_or_else(|| format!("has nothing at {path:?}"));
    place::text(document, path)?.ok_or_else(empty)
}

/// The states of a job, in the remote's words.
#[derive(Debug, Clone)]
pub(super) struct States {
    pub(super) path: String,
    pub(super) ready: Vec<String>,
    pub(super) failed: Vec<String>,
}

/// Reads the status: how far it is.
#[derive(Debug, Clone)]
pub(super) struct Look {
    /// None: the HTTP status says it.
    pub(super) state: Option<States>,
    pub(super) interval: Duration,
}

impl Look {
    fn progress(&self, answer: &Answer) -> Result<Progress, Unread> {
        let wait = self.interval;
        // 202: accepted, and not done (RFC 9110 §15.3.3), whatever the body.
        let Some(states) = self.state.as_ref().filter(|_| answer.status != 202) else {
            return Ok(Progress { state: String::new(), ready: answer.status != 202, wait });
        };
        let state = text(report::json(answer)?, &states.path)?;
        let is = |known: &[String]| known.iter().any(|known| known.eq_ignore_ascii_case(&state));
        if is(&states.failed) {
            let what = format!(", and the job is in the state {state:?}: the remote gave it up");
            return Err(Unread::Said(Said { meaning: Meaning::No, what, code: Some(state), wait: None }));
        }
        Ok(Progress { ready: is(&states.ready), state, wait })
    }
}

impl Read<Progress> for Look {
    fn good(&self, answer: &Answer, _: &Scrub) -> Result<Progress, Unread> {
        let mut progress = self.progress(answer)?;
        // Without the time of day: dates are for whoever retries by schedule.
        let asked = answer.headers.get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.trim().parse().ok());
        if let Some(seconds) = asked {
            progress.wait = Duration::from_secs(seconds).min(crate::retry_after::RETRY_AFTER_MAX);
        }
        Ok(progress)
    }

    /// It says where the result is.
    fn is_secret(&self) -> bool {
        true
    }
}

/// Reads the status: whether it is ready; too early if not.
pub(super) struct Ready(pub(super) Look);

impl Read<Progress> for Ready {
    fn good(&self, answer: &Answer, _: &Scrub) -> Result<Progress, Unread> {
        let progress = self.0.progress(answer)?;
        if progress.ready { Ok(progress) } else { Err(Unread::Said(self.0.early(answer, &progress))) }
    }

    /// It says where the result is.
    fn is_secret(&self) -> bool {
        true
    }
}

impl Look {
    fn early(&self, answer: &Answer, progress: &Progress) -> Said {
        let state = if progress.state.is_empty() { String::new() } else { format!(" ({})", progress.state) };
        let own = (!answer.headers.contains_key(RETRY_AFTER)).then_some(self.interval);
        Said {
            meaning: Meaning::Later,
            what: format!(": the job is under way{state}"),
            code: None,
            wait: own,
        }
    }
}

/// Reads the status: where the result is, and where that was said. Neither recorded nor shown.
pub(super) struct Url {
    pub(super) path: String,
    pub(super) look: Look,
}

impl Read<(String, Address)> for Url {
    fn good(&self, answer: &Answer, _: &Scrub) -> Result<(String, Address), Unread> {
        let progress = self.look.progress(answer)?;
        if !progress.ready {
            return Err(Unread::Said(self.look.early(answer, &progress)));
        }
        Ok((text(report::json(answer)?, &self.path)?, answer.url.clone()))
    }

    /// It says where the result is.
    fn is_secret(&self) -> bool {
        true
    }
}
