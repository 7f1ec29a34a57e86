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
    stand_ins: bool,
}

impl Variables {
    /// The process's environment.
    pub fn environment() -> Self {
        Self::new(|name| std::env::var(name).ok())
    }

    /// Any other source.
    pub fn new(lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { lookup: Arc::new(lookup), problems: Arc::default(), found: Arc::default(), stand_ins: false }
    }

    /// The same variables for tests: what is required and absent has a stand-in, and is no problem.
    ///
    /// ```
    /// use bowline_model::Variables;
    ///
    /// let variables = Variables::new(|_| None).with_stand_ins();
    /// assert_eq!(variables.require("CRM_API_KEY", "the API key of crm").as_deref(), Some("test-CRM_API_KEY"));
    /// assert_eq!(variables.get("CRM_API_KEY"), None);
    /// assert!(variables.problems().is_empty());
    /// ```
    pub fn with_stand_ins(mut self) -> Self {
        self.stand_ins = true;
        self
    }

    /// Whether absent variables have stand-ins.
    pub fn is_testing(&self) -> bool {
        self.stand_ins
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

    /// Whether the variable is there at all, be it empty.
    pub fn is_set(&self, name: &str) -> bool {
        (self.lookup)(name).is_some()
    }

    /// The variable's value; if it is absent, that is a problem, with `purpose` to tell people what it is for.
    ///
    /// Its stand-in in tests is `test-NAME`.
    pub fn require(&self, name: &str, purpose: &str) -> Option<String> {
        self.require_or(name, purpose, || format!("test-{name}"))
    }

    /// As [`require`](Variables::require), for variables with a form of their own: in tests, `stand_in` makes a value
    /// that fits where the variable is absent.
    pub fn require_or(&self, name: &str, purpose: &str, stand_in: impl FnOnce() -> String) -> Option<String> {
        let value = self.get(name);
        if value.is_some() {
            return value;
        }
        if self.stand_ins {
            return Some(stand_in());
        }
        self.problem(name, format!("is not set: {purpose}"));
        None
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

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> Variables {
        Variables::new(|name| (name == "SET").then(|| " value ".to_owned()))
    }

    #[test]
    fn what_is_required_and_absent_is_a_problem_or_has_a_stand_in() {
        let (live, test) = (one(), one().with_stand_ins());
        assert!(!live.is_testing() && test.clone().is_testing());
        for variables in [&live, &test] {
            assert_eq!(variables.require("SET", "a purpose").as_deref(), Some("value"));
            assert_eq!(variables.get("ABSENT"), None);
            assert_eq!(variables.found(), ["SET"]);
        }
        assert_eq!(live.require("ABSENT", "a purpose"), None);
        assert_eq!(live.require_or("ABSENT TOO", "another", || unreachable!("not in a test")), None);
        assert_eq!(test.require("ABSENT", "a purpose").as_deref(), Some("test-ABSENT"));
        assert_eq!(test.require_or("ABSENT", "", || "a form".into()).as_deref(), Some("a form"));
        assert_eq!(test.require_or("SET", "", || unreachable!("it is set")).as_deref(), Some("value"));
        assert_eq!(live.problems().len(), 2);
        assert_eq!(test.problems(), [], "stand-ins are no problems");
    }
}
