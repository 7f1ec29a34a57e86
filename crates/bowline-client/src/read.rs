//! How a call wants its answer read.

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::{
    Response,
    recall::Answers,
    report, response,
    scrub::Scrub,
    verdict::{Answer, Meaning},
};

/// Reads the answers of one kind of call. Pure.
pub(crate) trait Read<T>: Send + Sync {
    /// The value of a 2xx whose body is complete.
    fn good(&self, answer: &Answer, scrub: &Scrub) -> Result<T, Unread>;

    /// What any other answer says, where this kind of call knows more than its status does: a fault in a 500.
    fn bad(&self, _answer: &Answer) -> Option<Said> {
        None
    }

    /// What the answer of a failed call says beyond its code, as data that errors keep.
    fn detail(&self, _answer: &Answer) -> Option<serde_json::Value> {
        None
    }

    /// Whether answers can hold what nobody else may see: no part of one is kept with a failure then.
    fn is_secret(&self) -> bool {
        false
    }

    /// How an answer of this kind is read when nobody wants its value any more; `None` if it cannot be then.
    fn answers(&self) -> Option<Answers> {
        None
    }

    /// What the answer says of the call's cost, where limits count costs instead of calls.
    fn cost(&self, _answer: &Answer) -> Option<Cost> {
        None
    }
}

/// Why a 2xx gave no value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Unread {
    /// It does not fit: it happened, and the same answer would come again. The text goes on after "its body".
    Unfit(String),
    /// The remote said in its body that it failed.
    Said(Said),
}

impl From<String> for Unread {
    fn from(what: String) -> Self {
        Self::Unfit(what)
    }
}

/// What a remote said in its body.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Said {
    pub(crate) meaning: Meaning,
    /// For people; goes on after the status.
    pub(crate) what: String,
    /// The remote's own code for it.
    pub(crate) code: Option<String>,
    /// When it may be asked again.
    pub(crate) wait: Option<Duration>,
}

/// The state of a limit that counts costs: a bucket that refills.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cost {
    /// What this call cost.
    pub(crate) actual: f64,
    pub(crate) available: f64,
    pub(crate) maximum: f64,
    pub(crate) restored_per_second: f64,
}

/// The answer as it is.
pub(crate) struct Plain;

impl Read<Response> for Plain {
    fn good(&self, answer: &Answer, scrub: &Scrub) -> Result<Response, Unread> {
        Ok(Response::new(answer.status, &answer.headers, answer.body.clone(), scrub))
    }

    fn answers(&self) -> Option<Answers> {
        Some(Answers::Plain)
    }
}

/// The body as JSON.
pub(crate) struct Json;

impl<T: DeserializeOwned> Read<T> for Json {
    fn good(&self, answer: &Answer, _: &Scrub) -> Result<T, Unread> {
        Ok(response::decode(&answer.body).map_err(|what| report::not_json(answer).unwrap_or(what))?)
    }

    fn answers(&self) -> Option<Answers> {
        Some(Answers::Plain)
    }
}
