//! How the CRM behaves at the moment, and what it was told to.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    LATENCY_SLOW_DEFAULT, MockCrmOptions,
    listing::{CrmChanging, Listing},
};

/// How a [`MockCrm`](super::MockCrm) behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrmMode {
    /// Does what it is asked.
    Up,
    /// Answers 503 and does nothing.
    Down,
    /// Does what it is asked, then closes the connection without an answer.
    Reset,
    /// Does what it is asked, and answers after `latency_ms` (1 s unless told).
    Slow,
}

#[derive(Deserialize)]
struct FailEmail {
    email: String,
    /// For good if absent.
    times: Option<u64>,
    status: u16,
}

/// What it can be told at `/_control`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Control {
    mode: Option<CrmMode>,
    latency_ms: Option<u64>,
    fail_next: Option<u64>,
    fail_email: Option<FailEmail>,
    contacts: Option<u64>,
    changing: Option<CrmChanging>,
}

pub(super) struct State {
    pub(super) mode: CrmMode,
    pub(super) latency: Duration,
    latency_slow: Duration,
    pub(super) requests: u64,
    pub(super) created: u64,
    fail_next: u64,
    fail_emails: HashMap<String, FailEmail>,
    pub(super) listing: Listing,
    /// `PATCH`es that are not answered yet, and the most that there were at once.
    pub(super) patching: usize,
    pub(super) patching_most: usize,
}

/// What becomes of a request that may enter.
pub(super) enum Treated {
    Acts,
    /// Acts, and says nothing.
    ActsAndCloses,
    Refuses(u16),
}

impl State {
    pub(super) fn new(options: &MockCrmOptions) -> Self {
        Self {
            mode: CrmMode::Up,
            latency: options.latency,
            latency_slow: LATENCY_SLOW_DEFAULT,
            requests: 0,
            created: 0,
            fail_next: options.fail_first,
            fail_emails: HashMap::new(),
            listing: Listing::of(options.contacts, options.changing),
            patching: 0,
            patching_most: 0,
        }
    }

    pub(super) fn obey(&mut self, control: Control) {
        let Control { mode, latency_ms, fail_next, fail_email, contacts, changing } = control;
        self.mode = mode.unwrap_or(self.mode);
        self.latency_slow = latency_ms.map_or(self.latency_slow, Duration::from_millis);
        self.fail_next = fail_next.unwrap_or(self.fail_next);
        if let Some(fail) = fail_email {
            self.fail_emails.insert(fail.email.clone(), fail);
        }
        if contacts.is_some() || changing.is_some() {
            self.listing = Listing::of(contacts.unwrap_or(self.listing.len() as u64), changing);
        }
    }

    pub(super) fn latency(&self) -> Duration {
        match self.mode {
            CrmMode::Slow => self.latency_slow,
            CrmMode::Up | CrmMode::Down | CrmMode::Reset => self.latency,
        }
    }

    /// What becomes of a request about a contact with that address, if it has one.
    pub(super) fn treat(&mut self, email: Option<&str>) -> Treated {
        if self.fail_next > 0 {
            self.fail_next -= 1;
            return Treated::Refuses(503);
        }
        if let Some(fail) = email.and_then(|email| self.fail_emails.get_mut(email))
            && fail.times != Some(0)
        {
            fail.times = fail.times.map(|times| times - 1);
            return Treated::Refuses(fail.status);
        }
        match self.mode {
            CrmMode::Up | CrmMode::Slow => Treated::Acts,
            CrmMode::Down => Treated::Refuses(503),
            CrmMode::Reset => Treated::ActsAndCloses,
        }
    }
}
