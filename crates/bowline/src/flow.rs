//! Flow control as an author declares it: keys, paces, and how events of a workflow gather.
//!
//! What comes in: functions of a workflow's input, and numbers. What goes out: one rule that judges an input's text, and
//! a list of what does not go together. What must never happen here: a look at anything but the input; a panic of the
//! author's function that keeps an event out.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bowline_engine::{Input, workflow::read_input};
use bowline_model::{
    FlowRule, Line, OnDead, Ruled, RunFlow, Unruled, WorkflowName,
    flow::{KEY_BYTES_MAX, KEY_CONCURRENCY_MAX, own_key, shared_key},
};
use serde_json::value::RawValue;

/// A key of an input.
pub(crate) type KeyOf<I> = Arc<dyn Fn(&I) -> String + Send + Sync>;

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
    problems: Vec<String>,
}

impl<I> Default for Rules<I> {
    fn default() -> Self {
        Self { key: None, on_dead: None, key_concurrency: None, problems: vec![] }
    }
}

impl<I> Clone for Rules<I> {
    fn clone(&self) -> Self {
        Self {
            key: self.key.clone(),
            on_dead: self.on_dead,
            key_concurrency: self.key_concurrency,
            problems: self.problems.clone(),
        }
    }
}

impl<I> Rules<I> {
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

    /// What does not go together, in words that follow the workflow's name.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = self.problems.clone();
        let mut unless = |is_well: bool, problem: String| {
            if !is_well {
                problems.push(problem);
            }
        };
        let has_key = self.key.is_some();
        unless(
            has_key || self.on_dead.is_none(),
            "says .on_dead(..) and has no key: add .key(..), or leave it out".to_owned(),
        );
        unless(
            has_key || self.key_concurrency.is_none(),
            "says .key_concurrency(..) and has no key: add .key(..), or say .concurrency(..)".to_owned(),
        );
        if let Some(runs_max) = self.key_concurrency {
            unless(
                (1..=KEY_CONCURRENCY_MAX).contains(&runs_max),
                format!("says .key_concurrency({runs_max}): use 1 to {KEY_CONCURRENCY_MAX}"),
            );
        }
        problems
    }

    /// Whether its runs have keys that would meet those of a schedule, or gather.
    pub(crate) fn is_about_several(&self) -> bool {
        self.key.is_some()
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
}

impl<I> Judge<I> {
    fn ruled(&self, input: &I) -> Result<Ruled, Unruled> {
        let rules = &self.rules;
        let key = match &rules.key {
            Some((Scope::Workflow, key)) => Some(own_key(&self.workflow, &bounded(key(input))?)),
            Some((Scope::Shared(name), key)) => Some(shared_key(name, &bounded(key(input))?)),
            None => None,
        };
        let line = Line {
            together_max: rules.key_concurrency.unwrap_or(1),
            on_dead: rules.on_dead.unwrap_or_default(),
        };
        Ok(Ruled { key, priority: 0, flow: RunFlow { line, ..RunFlow::default() } })
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
