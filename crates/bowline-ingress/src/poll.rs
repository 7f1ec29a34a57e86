//! Polls: a remote without webhooks is asked for news, again and again.
//!
//! What comes in: a function that asks, and how often. What goes out: one event for each item it found, with its run, and
//! the place that was read up to, in one transaction. What must never happen here: a cursor that moves without its runs;
//! an item that is dropped, or started twice, because a process died; two polls of one name at a time; a guess what an
//! old cursor may mean.
//!
//! | Module | Story |
//! |---|---|
//! | `found` | what a poll found, as its author says it |
//! | `ask` | what a poll holds while it asks: one attempt per call |
//! | `erased` | the author's function without its types |
//! | `page` | from what was found to events and a cursor that moves, decided purely |
//! | `place` | the cursor's row in the store |
//! | `pace` | when to ask again, decided purely |
//! | `turn` | the loop, and one turn of it |

mod ask;
mod erased;
mod found;
mod pace;
mod page;
mod place;
mod turn;

use std::{fmt, time::Duration};

use bowline_model::WorkflowName;

pub use self::{
    ask::Poll,
    erased::{Asking, PollCursor, PolledItem},
    found::{Found, News},
    turn::run,
};

/// How long one poll may take unless it says otherwise.
pub const WITHIN_DEFAULT: Duration = Duration::from_secs(60);
/// For how long the key of an item is remembered unless the poll says otherwise.
pub const DEDUPE_DEFAULT: Duration = Duration::from_secs(30 * 24 * 3600);
/// Items that one poll may find unless it says otherwise.
pub const ITEMS_DEFAULT: usize = 1_000;
/// Items that any poll may find at once: they are accepted in one transaction.
pub const ITEMS_MAX: usize = 10_000;
/// How large an item may be as JSON unless the poll says otherwise.
pub const ITEM_BYTES_DEFAULT: usize = 1024 * 1024;
/// How large all items of one poll may be together, as JSON.
pub const PAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How large a cursor may be as JSON.
pub const CURSOR_BYTES_MAX: usize = 64 * 1024;
/// No poll asks more often.
pub const EVERY_MIN: Duration = Duration::from_millis(10);
/// Longest name of a poll.
pub const NAME_BYTES_MAX: usize = 128;

/// How often a poll asks, and its limits. A plain [`Duration`] is one.
///
/// | Option | Default |
/// |---|---|
/// | [`within`](Self::within): the whole poll, from its start to what it found | [60 s](WITHIN_DEFAULT) |
/// | [`dedupe_for`](Self::dedupe_for): how long keys are remembered | [30 days](DEDUPE_DEFAULT) |
/// | [`items_max`](Self::items_max): items of one poll | [1,000](ITEMS_DEFAULT) |
/// | [`item_bytes_max`](Self::item_bytes_max): one item as JSON | [1 MiB](ITEM_BYTES_DEFAULT) |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Every {
    pub(crate) every: Duration,
    pub(crate) within: Duration,
    pub(crate) dedupe_for: Duration,
    pub(crate) items_max: usize,
    pub(crate) item_bytes_max: usize,
}

impl Every {
    /// Asks that often, counted from start to start. A poll that takes longer than that is followed by the next at once.
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            within: WITHIN_DEFAULT,
            dedupe_for: DEDUPE_DEFAULT,
            items_max: ITEMS_DEFAULT,
            item_bytes_max: ITEM_BYTES_DEFAULT,
        }
    }

    /// How long one poll may take. What is not done by then has failed, and is asked again.
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = limit;
        self
    }

    /// For how long an item's key is remembered: longer than the remote shows an item.
    pub fn dedupe_for(mut self, time: Duration) -> Self {
        self.dedupe_for = time;
        self
    }

    /// How many items one poll may find, up to [`ITEMS_MAX`]. More are an error: read a page at a time, and say
    /// [`Found::more`].
    pub fn items_max(mut self, items: usize) -> Self {
        self.items_max = items;
        self
    }

    /// How large an item, or a batch of them, may be as JSON.
    pub fn item_bytes_max(mut self, bytes: usize) -> Self {
        self.item_bytes_max = bytes;
        self
    }

    /// What is wrong with it: fact, value, hint.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = vec![];
        if self.every < EVERY_MIN {
            problems.push(format!("asks every {:?} (at least {EVERY_MIN:?})", self.every));
        }
        if self.within.is_zero() {
            problems.push("has no time: .within(..) is 0 s".to_owned());
        }
        if self.items_max == 0 || self.items_max > ITEMS_MAX {
            let items = self.items_max;
            problems.push(format!(
                "may find {items} items at once (1 to {ITEMS_MAX}); read pages, with .more(true)"
            ));
        }
        if self.item_bytes_max == 0 || self.item_bytes_max > PAGE_BYTES_MAX {
            let bytes = self.item_bytes_max;
            problems.push(format!("may find items of {bytes} bytes (1 to {PAGE_BYTES_MAX})"));
        }
        problems
    }
}

impl From<Duration> for Every {
    fn from(every: Duration) -> Self {
        Self::new(every)
    }
}

/// A poll that can run: whom it asks, how often, and what its items start.
#[derive(Clone)]
pub struct PollSpec {
    name: String,
    every: Every,
    asking: Asking,
    workflow: WorkflowName,
}

impl PollSpec {
    /// A poll of that name: what its cursor and its events are called, so keep it across builds.
    pub fn new(name: impl Into<String>, every: Every, asking: Asking, workflow: WorkflowName) -> Self {
        Self { name: name.into(), every, asking, workflow }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its items start.
    pub fn workflow(&self) -> &WorkflowName {
        &self.workflow
    }

    /// What is wrong with it, one problem each.
    pub fn problems(&self) -> Vec<String> {
        name_problem(&self.name).into_iter().chain(self.every.problems()).collect()
    }
}

/// What is wrong with the name of a trigger.
pub(crate) fn name_problem(name: &str) -> Option<String> {
    match name {
        "" => Some("has no name".to_owned()),
        name if name.len() > NAME_BYTES_MAX => {
            Some(format!("has a name of {} bytes (limit {NAME_BYTES_MAX})", name.len()))
        }
        name if name.chars().any(char::is_control) => Some("has control characters in its name".to_owned()),
        _ => None,
    }
}

impl fmt::Debug for PollSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollSpec")
            .field("name", &self.name)
            .field("every", &self.every)
            .field("workflow", &self.workflow)
            .finish_non_exhaustive()
    }
}
