//! What an operator can say to a run: cancel, retry, settle, replay, fork, discard; and signals and decisions.
//!
//! What comes in: a run's id and who says it. What goes out: one compare-and-set write to the store, and a report
//! for people. Each command decides purely (from the run and its journal) and then applies; if the run changed
//! meanwhile, it reads and decides again.
//!
//! What must never happen here: a write to a run that somebody drives, or a run created past the one door of
//! `bowline-ingress`.

pub mod cancel;
pub mod discard;
mod error;
pub mod fork;
pub mod pause;
pub mod replay;
pub mod retry;
pub mod settle;
pub mod tell;

use std::{fmt, sync::Arc};

use bowline_model::{BuildId, Clock, Entry, EntryKey, EntryKind, EntryMeta, FlowRules, Run, RunId, Seq};
use bowline_store::{Store, StoreErrorKind};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::{
    cancel::{BulkCancelled, CancelEnd, CancelRun, Cancelled},
    discard::Discarded,
    error::{Error, ErrorKind},
    fork::Forked,
    pause::{PausedWorkflow, Pausing},
    replay::{Keys, Repeat, Replayed},
    retry::{BulkRetried, Failed, Retried},
    settle::{Outcome, Settled},
    tell::{Told, ToldStatus},
};

/// How often a command reads and decides anew when the run changed under it.
const DECISIONS_MAX: usize = 3;

/// Longest note that a command leaves in a journal; a longer one is cut.
pub const NOTE_BYTES_MAX: usize = 500;

/// Wakes the engine after a command gave it work.
pub type Poke = Arc<dyn Fn() + Send + Sync>;

/// The operator's commands, over one store.
#[derive(Clone)]
pub struct Commands {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    build: BuildId,
    rules: FlowRules,
    poke: Poke,
    poke_pauses: Poke,
    cancel: Option<CancelRun>,
}

impl Commands {
    /// Commands that are written as `build`, and call `poke` when they gave the engine work.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, build: BuildId, poke: Poke) -> Self {
        let poke_pauses = poke.clone();
        Self { store, clock, build, rules: FlowRules::default(), poke, poke_pauses, cancel: None }
    }

    /// The app's workflows, and the rules by which their runs begin; none unless said.
    pub fn flow_rules(mut self, rules: FlowRules) -> Self {
        self.rules = rules;
        self
    }

    /// Calls this instead of what wakes the engine when a workflow was paused or resumed.
    pub fn poke_pauses_with(mut self, poke: Poke) -> Self {
        self.poke_pauses = poke;
        self
    }

    /// Lets [`cancel`](Self::cancel) end runs.
    pub fn cancel_with(mut self, cancel: CancelRun) -> Self {
        self.cancel = Some(cancel);
        self
    }

    /// The run with its journal: what was appended after the run was read is left out, so that both fit together.
    async fn load(&self, id: RunId) -> Result<(Run, Vec<Entry>), Error> {
        let run = self.store.run(id).await?.ok_or_else(|| Error::no_such_run(id))?;
        let mut journal = self.store.journal(id).await?;
        journal.retain(|entry| entry.seq.0 <= run.journal_len);
        Ok((run, journal))
    }
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands").field("build", &self.build).finish_non_exhaustive()
    }
}

/// Who gives a command, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// A name for the journal, e.g. the login name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// The reason, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Operator {
    /// `retried by kim: the CRM is back`
    fn note(&self, verb: &str) -> String {
        self.short_note(verb, NOTE_BYTES_MAX)
    }

    fn short_note(&self, verb: &str, bytes_max: usize) -> String {
        let who = self.who.as_deref().filter(|who| !who.trim().is_empty()).unwrap_or("an operator");
        let mut note = format!("{verb} by {}", who.trim());
        if let Some(why) = self.why.as_deref().filter(|why| !why.trim().is_empty()) {
            note.push_str(": ");
            note.push_str(why.trim());
        }
        note.truncate(note.floor_char_boundary(bytes_max));
        note
    }
}

/// When, and as which build, a command is written.
#[derive(Debug, Clone)]
pub struct Moment {
    /// Now.
    pub now: Timestamp,
    /// The build that writes it.
    pub build: BuildId,
}

impl Commands {
    fn moment(&self) -> Moment {
        Moment { now: self.clock.now(), build: self.build.clone() }
    }
}

/// The next entry of the run's journal, about the run as a whole.
fn entry(run: &Run, kind: EntryKind, moment: &Moment, meta: EntryMeta) -> Entry {
    Entry {
        seq: Seq(run.journal_len + 1),
        kind,
        key: EntryKey::run(),
        at: moment.now,
        build: moment.build.clone(),
        meta,
        payload: None,
    }
}

/// Whether to read and decide again: somebody else wrote to the run in between.
fn changed_meanwhile(error: &Error, decisions: usize) -> bool {
    error.store_kind() == Some(StoreErrorKind::Conflict) && decisions < DECISIONS_MAX
}
