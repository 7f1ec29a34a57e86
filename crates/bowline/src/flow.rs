//! Flow control as an author declares it: keys, paces, and how events of a workflow gather.
//!
//! What comes in: functions of a workflow's input, and numbers. What goes out: one rule that judges an input's text, and
//! a list of what does not go together. What must never happen here: a look at anything but the input; a panic of the
//! author's function that keeps an event out.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use bowline_engine::{Input, workflow::read_input};
use bowline_model::{
    FlowRule, Gather, Line, OnDead, Rate, Ruled, RunFlow, Unruled, WorkflowName,
    flow::{BATCH_EVENTS_MAX, KEY_BYTES_MAX, KEY_CONCURRENCY_MAX, own_key, shared_key},
};
use serde_json::value::RawValue;

use crate::time::days;

/// A key of an input.
pub(crate) type KeyOf<I> = Arc<dyn Fn(&I) -> String + Send + Sync>;

/// A priority by an input.
pub(crate) type PriorityOf<I> = Arc<dyn Fn(&I) -> i16 + Send + Sync>;

/// Longest quiet time, batch's wait, and time between two starts.
const WAIT_MAX: Duration = days(366);

/// Whose runs a key orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Workflow,
    Shared(&'static str),
}

/// What an author has said so far. Methods of the same name are [`Workflow`](crate::Workflow)'s.
pub(crate) struct Rules<I> {
    key: Option<(Scope, KeyOf<I>)>,
    on_dead: Option<OnDead>,
    key_concurrency: Option<u32>,
    unique: Option<KeyOf<I>>,
    rate: Option<Pace<I>>,
    debounce: Option<(Duration, KeyOf<I>)>,
    at_most: Option<Duration>,
    batch: Option<(u32, Duration)>,
    priority: Option<PriorityOf<I>>,
    problems: Vec<String>,
}

/// How often runs begin, of all or of those of a key.
struct Pace<I> {
    runs: u32,
    per: Duration,
    by: Option<KeyOf<I>>,
}

impl<I> Clone for Pace<I> {
    fn clone(&self) -> Self {
        Self { runs: self.runs, per: self.per, by: self.by.clone() }
    }
}

impl<I> Default for Rules<I> {
    fn default() -> Self {
        Self {
            key: None,
            on_dead: None,
            key_concurrency: None,
            unique: None,
            rate: None,
            debounce: None,
            at_most: None,
            batch: None,
            priority: None,
            problems: vec![],
        }
    }
}

impl<I> Clone for Rules<I> {
    fn clone(&self) -> Self {
        Self {
            key: self.key.clone(),
            on_dead: self.on_dead,
            key_concurrency: self.key_concurrency,
            unique: self.unique.clone(),
            rate: self.rate.clone(),
            debounce: self.debounce.clone(),
            at_most: self.at_most,
            batch: self.batch,
            priority: self.priority.clone(),
            problems: self.problems.clone(),
        }
    }
}

impl<I> Rules<I> {
    /// The rules of a workflow that takes several events of `I`, after what was said of it before.
    pub(crate) fn batch(before: &Rules<Vec<I>>, events_max: u32, wait: Duration) -> Self {
        let mut problems = before.problems.clone();
        if before.says_something() {
            problems.push(
                "says .batch(..) after other rules: say it first, for they are of one event".to_owned(),
            );
        }
        Self { batch: Some((events_max, wait)), problems, ..Self::default() }
    }

    pub(crate) fn key(&mut self, key: KeyOf<I>) {
        self.set_key(Scope::Workflow, key);
    }

    pub(crate) fn key_shared(&mut self, name: &'static str, key: KeyOf<I>) {
        self.set_key(Scope::Shared(name), key);
    }

    fn set_key(&mut self, scope: Scope, key: KeyOf<I>) {
        if self.key.replace((scope, key)).is_some() {
            self.problems.push("has two keys: leave one of .key(..) and .key_shared(..) out".to_owned());
        }
    }

    pub(crate) fn on_dead(&mut self, on_dead: OnDead) {
        self.on_dead = Some(on_dead);
    }

    pub(crate) fn key_concurrency(&mut self, runs_max: u32) {
        self.key_concurrency = Some(runs_max);
    }

    pub(crate) fn unique(&mut self, key: KeyOf<I>) {
        self.unique = Some(key);
    }

    pub(crate) fn rate(&mut self, runs: u32, per: Duration, by: Option<KeyOf<I>>) {
        if self.rate.replace(Pace { runs, per, by }).is_some() {
            self.problems.push("has two paces: leave one of .rate(..) and .rate_by(..) out".to_owned());
        }
    }

    pub(crate) fn debounce(&mut self, quiet: Duration, key: KeyOf<I>) {
        self.debounce = Some((quiet, key));
    }

    pub(crate) fn at_most(&mut self, wait: Duration) {
        self.at_most = Some(wait);
    }

    pub(crate) fn priority(&mut self, priority: PriorityOf<I>) {
        self.priority = Some(priority);
    }

    fn says_something(&self) -> bool {
        let Self {
            key,
            on_dead,
            key_concurrency,
            unique,
            rate,
            debounce,
            at_most,
            batch,
            priority,
            problems: _,
        } = self;
        key.is_some()
            || on_dead.is_some()
            || key_concurrency.is_some()
            || unique.is_some()
            || rate.is_some()
            || debounce.is_some()
            || at_most.is_some()
            || batch.is_some()
            || priority.is_some()
    }

    /// Whether time lets its runs begin.
    pub(crate) fn is_timed(&self) -> bool {
        self.rate.is_some() || self.debounce.is_some() || self.batch.is_some()
    }

    /// Whether its runs have keys that would meet those of a schedule, or gather.
    pub(crate) fn is_about_several(&self) -> bool {
        self.key.is_some() || self.unique.is_some() || self.debounce.is_some() || self.batch.is_some()
    }

    /// What does not go together, in words that follow the workflow's name.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = self.problems.clone();
        problems.extend(self.key_problems());
        problems.extend(self.pace_problems());
        problems.extend(self.gather_problems());
        problems
    }

    fn key_problems(&self) -> Vec<String> {
        let mut problems = vec![];
        if self.key.is_none() && self.on_dead.is_some() {
            problems.push("says .on_dead(..) and has no key: add .key(..), or leave it out".to_owned());
        }
        if self.key.is_none() && self.key_concurrency.is_some() {
            problems.push(
                "says .key_concurrency(..) and has no key: add .key(..), or say .concurrency(..)".to_owned(),
            );
        }
        if let Some(runs_max) =
            self.key_concurrency.filter(|runs_max| !(1..=KEY_CONCURRENCY_MAX).contains(runs_max))
        {
            problems.push(format!("says .key_concurrency({runs_max}): use 1 to {KEY_CONCURRENCY_MAX}"));
        }
        problems
    }

    fn pace_problems(&self) -> Vec<String> {
        let Some(Pace { runs, per, .. }) = &self.rate else { return vec![] };
        let is_sound = *runs > 0 && !per.is_zero() && *per <= WAIT_MAX && !(*per / *runs).is_zero();
        if is_sound {
            return vec![];
        }
        vec![format!(
            "begins {runs} runs in {per:?}: use at least one run, in at most a year, and no more than one a nanosecond"
        )]
    }

    fn gather_problems(&self) -> Vec<String> {
        let mut problems = vec![];
        let both = |a: &str, b: &str, why: &str| format!("says {a} and {b}, which do not go together: {why}");
        if let Some((quiet, _)) = &self.debounce {
            if quiet.is_zero() || *quiet > WAIT_MAX {
                problems.push(format!("says .debounce({quiet:?}, ..): use a quiet time of up to a year"));
            }
            if self.at_most.is_some_and(|at_most| at_most < *quiet) {
                problems.push(
                    "says .at_most(..) with less than its quiet time: it would never be quiet for so long"
                        .to_owned(),
                );
            }
            if self.batch.is_some() {
                let why = "a debounced event is replaced by the next one, one of a batch is joined by it";
                problems.push(both(".debounce(..)", ".batch(..)", why));
            }
            if self.unique.is_some() {
                let why = "the run that waits for quiet is open, so that no later event would replace it; leave .unique(..) out";
                problems.push(both(".debounce(..)", ".unique(..)", why));
            }
        } else if self.at_most.is_some() {
            problems.push(
                "says .at_most(..) and is not debounced: add .debounce(..), or leave it out".to_owned(),
            );
        }
        if let Some((events_max, wait)) = self.batch {
            if !(1..=BATCH_EVENTS_MAX).contains(&events_max) || wait.is_zero() || wait > WAIT_MAX {
                problems.push(format!(
                    "says .batch({events_max}, {wait:?}): use 1 to {BATCH_EVENTS_MAX} events, and a wait of up to a year"
                ));
            }
            if self.unique.is_some() {
                let why = "events join the open batch, they do not start another; use .key(..) for a batch of each key";
                problems.push(both(".batch(..)", ".unique(..)", why));
            }
        }
        problems
    }
}

/// The rules of one workflow, ready to judge.
pub(crate) struct Judge<I> {
    pub(crate) workflow: WorkflowName,
    pub(crate) rules: Rules<I>,
}

impl<I: Input> FlowRule for Judge<I> {
    fn judge(&self, input: &RawValue) -> Result<Ruled, Unruled> {
        let input: I = read_input(input).ok_or(Unruled::Malformed)?;
        // An author's function that panics must not take the event with it.
        catch_unwind(AssertUnwindSafe(|| self.ruled(&input))).unwrap_or_else(|_| {
            let message = "a key function of its flow control panicked; see the log, and mend it";
            Err(Unruled::Failed(message.to_owned()))
        })
    }

    fn is_timed(&self) -> bool {
        self.rules.is_timed()
    }

    fn takes_batches(&self) -> bool {
        self.rules.batch.is_some()
    }
}

impl<I> Judge<I> {
    fn ruled(&self, input: &I) -> Result<Ruled, Unruled> {
        let rules = &self.rules;
        let key = match &rules.key {
            Some((Scope::Workflow, key)) => Some(self.own(&bounded(key(input))?)),
            Some((Scope::Shared(name), key)) => Some(shared_key(name, &bounded(key(input))?)),
            None => None,
        };
        let line = Line {
            together_max: rules.key_concurrency.unwrap_or(1),
            on_dead: rules.on_dead.unwrap_or_default(),
        };
        let unique = rules.unique.as_ref().map(|key| Ok(self.own(&bounded(key(input))?))).transpose()?;
        let rate = rules.rate.as_ref().map(|pace| self.rate(pace, input)).transpose()?;
        let gather = self.gather(input, key.as_deref())?;
        let priority = rules.priority.as_ref().map_or(0, |priority| priority(input));
        Ok(Ruled { key, priority, flow: RunFlow { line, unique, rate, gather } })
    }

    fn own(&self, key: &str) -> String {
        own_key(&self.workflow, key)
    }

    fn rate(&self, pace: &Pace<I>, input: &I) -> Result<Rate, Unruled> {
        let key = pace.by.as_ref().map(|by| bounded(by(input))).transpose()?.unwrap_or_default();
        Ok(Rate { bucket: self.own(&key), every: pace.per / pace.runs.max(1) })
    }

    fn gather(&self, input: &I, line: Option<&str>) -> Result<Option<Gather>, Unruled> {
        let rules = &self.rules;
        if let Some((quiet, key)) = &rules.debounce {
            // Told apart, for a workflow that is debounced today may have been batched yesterday.
            let key = self.own(&format!("debounce {}", bounded(key(input))?));
            return Ok(Some(Gather::Debounce { key, quiet: *quiet, at_most: rules.at_most }));
        }
        Ok(rules.batch.map(|(events_max, wait)| {
            let key = self.own(&format!("batch {}", line.unwrap_or_default()));
            Gather::Batch { key, events_max, wait }
        }))
    }
}

fn bounded(key: String) -> Result<String, Unruled> {
    if key.len() <= KEY_BYTES_MAX {
        return Ok(key);
    }
    let bytes = key.len();
    Err(Unruled::Failed(format!(
        "a key of its flow control has {bytes} bytes (limit {KEY_BYTES_MAX}); use an id, or a hash"
    )))
}
