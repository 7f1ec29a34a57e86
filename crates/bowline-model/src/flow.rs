//! Flow control: what a workflow's rules say of one run, decided when its event is accepted.
//!
//! What comes in: the input of a run, as text. What goes out: its key, its priority, and by which rules it begins; all
//! plain data that is stored with the run, so that a run keeps the rules under which it was accepted.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{WorkflowName, event};

/// Longest key that a rule may draw from an input, without its workflow's name.
pub const KEY_BYTES_MAX: usize = 512;

/// Most runs of one key that may be let go together.
pub const KEY_CONCURRENCY_MAX: u32 = 10_000;

/// Most events of one batch.
pub const BATCH_EVENTS_MAX: u32 = 10_000;

/// A batch whose events hold this much goes, however many they are.
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Between the parts of a key: no name has it.
const SEPARATOR: char = '\u{1f}';

/// Whether a dead letter holds back the runs of its key that came after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDead {
    /// None of them begins before a person has retried or discarded it.
    Block,
    /// They go on. Retried, it waits for its turn again, before those that have not begun.
    #[default]
    Continue,
}

/// How a run goes among the runs of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// It begins when fewer than this many of its key are under way, and none before it waits to begin.
    pub together_max: u32,
    /// See [`OnDead`].
    pub on_dead: OnDead,
}

impl Default for Line {
    fn default() -> Self {
        Self { together_max: 1, on_dead: OnDead::default() }
    }
}

/// How often runs begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    /// What they share; no two workflows share one.
    pub bucket: String,
    /// One begins in each such time.
    pub every: Duration,
}

/// How a run that has not begun meets later events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gather {
    /// A later event of that key replaces it within the quiet time, which then begins anew.
    Debounce {
        /// What the events share.
        key: String,
        /// Without an event for so long, it goes.
        quiet: Duration,
        /// It goes so long after the first event at the latest.
        at_most: Option<Duration>,
    },
    /// Later events of that key join it.
    Batch {
        /// What the events share.
        key: String,
        /// With so many it goes.
        events_max: u32,
        /// It goes so long after the first at the latest.
        wait: Duration,
    },
}

/// The rules by which one run begins. The default: at once, beside all others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFlow {
    /// Of runs with a key.
    pub line: Line,
    /// While a run of it is open, another one does not run: it is cancelled as it comes.
    pub unique: Option<String>,
    /// How often runs begin.
    pub rate: Option<Rate>,
    /// How it meets later events.
    pub gather: Option<Gather>,
}

/// What a workflow's rules say of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruled {
    /// See [`NewRun::key`](crate::NewRun::key).
    pub key: Option<String>,
    /// See [`NewRun::priority`](crate::NewRun::priority).
    pub priority: i16,
    /// See [`RunFlow`].
    pub flow: RunFlow,
}

impl Ruled {
    /// Without what later events would do to it: for a run that must be its own (a child, a replay).
    pub fn alone(mut self) -> Self {
        self.flow.gather = None;
        self
    }
}

/// Why rules say nothing of an input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unruled {
    /// The input does not fit the workflow's type: its run becomes a malformed dead letter when it begins.
    #[error("the input does not fit the workflow's type")]
    Malformed,
    /// A key function panicked, or its key is too long. The message holds none of the input.
    #[error("{0}")]
    Failed(String),
}

/// The rules of one workflow. They look at the input alone: the same input has the same keys.
pub trait FlowRule: Send + Sync {
    /// What the rules say of a run with that input.
    ///
    /// # Errors
    /// [`Unruled`] if they cannot say.
    fn judge(&self, input: &RawValue) -> Result<Ruled, Unruled>;

    /// Whether time lets runs begin: a pace, a quiet time, a batch's wait.
    fn is_timed(&self) -> bool {
        false
    }

    /// Whether runs take the inputs of several events, as an array.
    fn takes_batches(&self) -> bool {
        false
    }
}

/// An app's workflows by name, and the rules of those that have some.
#[derive(Clone, Default)]
pub struct FlowRules {
    by_workflow: Arc<BTreeMap<WorkflowName, Option<Arc<dyn FlowRule>>>>,
}

impl FlowRules {
    /// What the rules of that workflow say of the part of `body` that `pointer` leads to. A run of which they cannot say
    /// anything is free, and becomes a dead letter when it begins.
    pub fn judge(&self, workflow: &WorkflowName, body: &[u8], pointer: &str) -> Ruled {
        let Some(rule) = self.rule(workflow) else { return Ruled::default() };
        let Ok(input) = event::part(body, pointer) else { return Ruled::default() };
        rule.judge(input).unwrap_or_default()
    }

    /// As [`judge`](Self::judge), of an input that stands alone.
    ///
    /// # Errors
    /// [`Unruled`] if the rules cannot say.
    pub fn judge_input(&self, workflow: &WorkflowName, input: &RawValue) -> Result<Ruled, Unruled> {
        self.rule(workflow).map_or_else(|| Ok(Ruled::default()), |rule| rule.judge(input))
    }

    fn rule(&self, workflow: &WorkflowName) -> Option<&dyn FlowRule> {
        self.by_workflow.get(workflow)?.as_deref()
    }

    /// Whether no workflow has rules.
    pub fn is_empty(&self) -> bool {
        self.by_workflow.values().all(Option::is_none)
    }

    /// The names of the app's workflows; none where they are not known.
    pub fn workflows(&self) -> impl Iterator<Item = &WorkflowName> {
        self.by_workflow.keys()
    }
}

impl FromIterator<(WorkflowName, Option<Arc<dyn FlowRule>>)> for FlowRules {
    fn from_iter<T: IntoIterator<Item = (WorkflowName, Option<Arc<dyn FlowRule>>)>>(rules: T) -> Self {
        Self { by_workflow: Arc::new(rules.into_iter().collect()) }
    }
}

impl fmt::Debug for FlowRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_workflow.keys()).finish()
    }
}

/// A key of that workflow alone.
pub fn own_key(workflow: &WorkflowName, key: &str) -> String {
    format!("{workflow}{SEPARATOR}{key}")
}

/// A key that all workflows share which use the same name for it.
pub fn shared_key(name: &str, key: &str) -> String {
    format!("{SEPARATOR}{name}{SEPARATOR}{key}")
}

/// What people read of a run's key: what the author's function gave.
pub fn shown_key(key: &str) -> &str {
    key.rsplit_once(SEPARATOR).map_or(key, |(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_two_workflows_never_meet() {
        let keys = [
            own_key(&"a".into(), "b/c"),
            own_key(&"a/b".into(), "c"),
            shared_key("a", "b/c"),
            shared_key("a/b", "c"),
            "schedule/a".to_owned(),
        ];
        for (place, key) in keys.iter().enumerate() {
            assert!(keys[..place].iter().all(|other| other != key), "{key:?}");
        }
        assert_eq!(shown_key(&keys[1]), "c");
        assert_eq!(shown_key(&keys[2]), "b/c");
        assert_eq!(shown_key("schedule/a"), "schedule/a");
    }

    #[test]
    fn an_input_that_cannot_be_read_has_no_key() {
        struct Fails;
        impl FlowRule for Fails {
            fn judge(&self, _: &RawValue) -> Result<Ruled, Unruled> {
                Err(Unruled::Malformed)
            }
        }
        let rules: FlowRules =
            [("w".into(), Some(Arc::new(Fails) as Arc<dyn FlowRule>))].into_iter().collect();
        assert_eq!(rules.judge(&"w".into(), b"{}", ""), Ruled::default());
        assert_eq!(rules.judge(&"w".into(), b"no json", ""), Ruled::default());
        assert_eq!(rules.judge(&"other".into(), b"{}", ""), Ruled::default());
    }
}
