//! A durable wait: for a time, for a message, or for whichever comes first.
//!
//! It costs a row on disk, not memory: a run whose leaves all wait holds no slot, and its code may be dropped.

use std::time::Duration;

use bowline_model::Payload;
use bowline_store::{NewMailbox, NewStart};
use jiff::Timestamp;

/// What is waited for.
pub(crate) struct Wait {
    /// When the wait ends by itself.
    pub(crate) until: Option<Until>,
    /// The message that ends it.
    pub(crate) mail: Option<MailWait>,
    /// For people: "waits for signal paid".
    pub(crate) why: String,
}

/// When a wait ends by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// So long after it was begun.
    In(Duration),
    /// Then.
    At(Timestamp),
}

/// What is waited for, with the time that the wait has: two waits that only their order tells apart are not taken for
/// each other.
pub(crate) fn at_most(why: String, until: Option<Until>) -> String {
    match until {
        None => why,
        Some(Until::In(wait)) => format!("{why}, at most {} s", wait.as_secs_f64()),
        Some(Until::At(time)) => format!("{why}, until {time} at most"),
    }
}

impl Until {
    /// For people, and to tell one sleep from another.
    pub(crate) fn why(self) -> String {
        match self {
            Self::In(wait) => format!("sleeps {} s", wait.as_secs_f64()),
            Self::At(time) => format!("sleeps until {time}"),
        }
    }

    /// The time, for a wait that begins now.
    pub(crate) fn time(self, now: Timestamp) -> Timestamp {
        match self {
            Self::In(wait) => now.checked_add(wait).unwrap_or(Timestamp::MAX),
            Self::At(time) => time,
        }
    }
}

/// A message that is waited for.
pub(crate) struct MailWait {
    pub(crate) mailbox: String,
    /// Mailboxes whose messages end it as well: the names that a signal had before.
    pub(crate) before: Vec<String>,
    pub(crate) from: From,
    /// Whether it is an address that was made before the wait.
    pub(crate) at_address: bool,
    /// Made when the wait is begun, in the commit that notes it.
    pub(crate) opens: Vec<NewMailbox>,
    /// A run that is started when the wait is begun, in the same commit.
    pub(crate) starts: Option<NewStart>,
    /// Whether a body can be read as what the code waits for; else why not.
    pub(crate) check: Check,
    /// Whether the mailbox stays open when the wait's time is over, or nobody waits any more.
    pub(crate) stays_open: StaysOpen,
}

impl MailWait {
    /// The mailboxes whose messages end it.
    pub(crate) fn mailboxes(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.mailbox).chain(&self.before)
    }

    /// Whether a message there ends it.
    pub(crate) fn takes_from(&self, mailbox: &str) -> bool {
        self.mailboxes().any(|name| name == mailbox)
    }
}

/// Until when a mailbox takes messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StaysOpen {
    /// Until its one wait is over, or given up.
    WhileAwaited,
    /// Until a wait's time is over: others may wait for the same name later.
    UntilTimeout,
    /// As long as the run is open.
    Always,
}

/// Looks whether a message's body fits.
pub(crate) type Check = fn(&Payload) -> Result<(), String>;

/// Whose message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// The world's: its body is the value.
    World,
    /// A child run's: its body tells how it ended.
    Child,
}
