//! Which answer a request gets.

use std::{fmt, sync::Arc};

use serde_json::{Value, json};

use super::{Answer, MockSystem, Recorded};

/// Which requests a rule is for. Conditions are joined by "and".
#[derive(Clone)]
pub struct Match {
    test: Arc<dyn Fn(&Recorded) -> bool + Send + Sync>,
    text: String,
}

impl Match {
    /// Every request.
    pub fn any() -> Self {
        Self::new("any request", |_| true)
    }

    /// Requests that a test of yours says yes to.
    pub fn when(test: impl Fn(&Recorded) -> bool + Send + Sync + 'static) -> Self {
        Self::new("a request that the test's closure accepts", test)
    }

    fn new(text: impl Into<String>, test: impl Fn(&Recorded) -> bool + Send + Sync + 'static) -> Self {
        Self { test: Arc::new(test), text: text.into() }
    }

    pub(super) fn fits(&self, request: &Recorded) -> bool {
        (self.test)(request)
    }

    /// As people read it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Requests with that method and path.
    pub fn call(method: &str, path: &str) -> Self {
        let (method, path) = (method.to_owned(), path.to_owned());
        Self::new(format!("{method} {path}"), move |request| {
            request.method.as_str() == method && request.path == path
        })
    }

    /// Requests whose body holds that value at that JSON pointer.
    pub fn body(pointer: &str, equals: impl Into<Value>) -> Self {
        let (pointer, equals) = (pointer.to_owned(), equals.into());
        Self::new(format!("a body with {equals} at {pointer}"), move |request| {
            request.pointer(&pointer).as_ref() == Some(&equals)
        })
    }

    /// Requests with that header.
    pub fn header(name: &str, equals: &str) -> Self {
        let (name, equals) = (name.to_owned(), equals.to_owned());
        Self::new(format!("a request with the header {name}"), move |request| {
            request.header(&name) == Some(equals.as_str())
        })
    }

    /// Requests that match both.
    pub fn and(self, other: Self) -> Self {
        Self::new(format!("{} and {}", self.text, other.text), move |request| {
            self.fits(request) && other.fits(request)
        })
    }
}

impl fmt::Debug for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Match").field(&self.text).finish()
    }
}

/// A rule in the making; see [`MockSystem::when`].
#[derive(Debug)]
#[must_use = "a rule without an answer does nothing"]
pub struct When<'a> {
    mock: &'a MockSystem,
    matches: Match,
    times: Option<usize>,
}

impl<'a> When<'a> {
    pub(super) fn new(mock: &'a MockSystem, matches: Match) -> Self {
        Self { mock, matches, times: None }
    }

    /// Only for the next `times` that match; without it the rule holds for good.
    pub fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    /// Answers them so.
    pub fn answer(self, answer: Answer) {
        self.answer_with(move |_| answer.clone());
    }

    /// Computes their answers.
    pub fn answer_with(self, answer: impl Fn(&Recorded) -> Answer + Send + Sync + 'static) {
        let rule = Rule { matches: self.matches, answer: Arc::new(answer) };
        let mut state = self.mock.shared.lock();
        match self.times {
            Some(times) => state.script.limited.push((times, rule)),
            None => state.script.lasting.push(rule),
        }
    }
}

type Answers = Arc<dyn Fn(&Recorded) -> Answer + Send + Sync>;

struct Rule {
    matches: Match,
    answer: Answers,
}

pub(super) struct Script {
    /// Rules with the number of answers they have left.
    limited: Vec<(usize, Rule)>,
    lasting: Vec<Rule>,
    default: Answers,
}

impl Default for Script {
    fn default() -> Self {
        Self { limited: Vec::new(), lasting: Vec::new(), default: Arc::new(|_| Answer::ok(json!({}))) }
    }
}

impl Script {
    pub(super) fn default_to(&mut self, answer: impl Fn(&Recorded) -> Answer + Send + Sync + 'static) {
        self.default = Arc::new(answer);
    }

    pub(super) fn clear(&mut self) {
        self.limited.clear();
        self.lasting.clear();
    }

    pub(super) fn choose(&mut self, request: &Recorded) -> Answer {
        let limited = self.limited.iter_mut().find(|(left, rule)| *left > 0 && rule.matches.fits(request));
        if let Some((left, rule)) = limited {
            *left -= 1;
            return (rule.answer)(request);
        }
        let lasting = self.lasting.iter().find(|rule| rule.matches.fits(request));
        lasting.map_or(&self.default, |rule| &rule.answer)(request)
    }
}
