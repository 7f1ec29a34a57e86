//! Whether a request may go now.

use std::{sync::Arc, time::Duration};

use bowline_model::Clock;
use jiff::Timestamp;
use reqwest::header::HeaderMap;

use crate::read::Cost;

/// What is declared of an Api's limits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {}

/// The limits of one account of an Api.
#[derive(Debug)]
pub(crate) struct Policy {}

/// Who asks.
pub(crate) struct Ask<'a> {
    /// The same over all attempts of one call.
    pub(crate) ticket: &'a str,
    /// Which attempt it is, from 1.
    pub(crate) attempt: u32,
    /// How long it may be kept waiting.
    pub(crate) patience: Duration,
}

/// Not now.
pub(crate) struct Pause {
    pub(crate) wait: Duration,
    pub(crate) why: String,
}

/// What was seen of an attempt.
pub(crate) enum Seen<'a> {
    Answer { status: u16, headers: &'a HeaderMap },
    NotReached,
    Lost,
    TimedOut,
}

/// One request may go. Held until its answer is read.
#[derive(Debug)]
pub(crate) struct Permit {}

impl Policy {
    pub(crate) fn new(_: &Rules) -> Self {
        Self {}
    }

    pub(crate) async fn admit(&self, _: Ask<'_>, _: &Arc<dyn Clock>) -> Result<Permit, Pause> {
        Ok(Permit {})
    }
}

impl Permit {
    pub(crate) fn saw(&mut self, _: Seen<'_>, _: Timestamp) {}

    pub(crate) fn cost(&mut self, _: Cost, _: Timestamp) {}
}
