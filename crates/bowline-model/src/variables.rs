//! Where configuration comes from, and what of it is missing or wrong: all named at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// A source of variables (the environment, or a test's map) that remembers every problem it met.
///
/// Clones share their problems, so that one look after set-up sees them all.
#[derive(Clone)]
pub struct Variables {
    lookup: Arc<Lookup>,
    problems: Arc<Mutex<BTreeMap<String, String>>>,
    found: Arc<Mutex<BTreeSet<String>>>,
}

impl Variables {
    /// The process's environment.
    pub fn environment() -> Self {
        Self::new(|name| std::env::var(name).ok())
    }

    /// Any other source.
    pub fn new(lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { lookup: Arc::new(lookup), problems: Arc::default(), found: Arc::default() }
    }

    /// The variable's value, trimmed. Empty counts as absent.
    pub fn get(&self, name: &str) -> Option<String> {
        let value =
            (self.lookup)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        if value.is_some() {
            self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        }
        value
    }

    /// The variable's value; if it is absent, that is a problem, with `purpose` to tell people what it is for.
    pub fn require(&self, name: &str, purpose: &str) -> Option<String> {
        let value = self.get(name);
        if value.is_none() {
            self.problem(name, format!("is not set: {purpose}"));
        }
        value
    }

    /// Records that a variable (or another setting) is wrong. The first problem of a name is kept.
    pub fn problem(&self, name: impl Into<String>, what: impl Into<String>) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        problems.entry(name.into()).or_insert_with(|| what.into());
    }

    /// The names of all variables that were asked for and are set.
    pub fn found(&self) -> Vec<String> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// All problems so far, by name: `("CRM_API_KEY", "is not set: the API key of crm")`.
    pub fn problems(&self) -> Vec<(String, String)> {
        let problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        problems.iter().map(|(name, what)| (name.clone(), what.clone())).collect()
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variables").field("problems", &self.problems()).finish_non_exhaustive()
    }
}
