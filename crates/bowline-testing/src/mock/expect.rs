//! What must have come by the end of a test.

use std::{collections::HashSet, fmt::Write};

use super::{Match, MockSystem, Recorded};

/// Requests that a failure lists.
const LISTED_MAX: usize = 20;
/// How much of a body a failure shows, in characters.
const BODY_CHARS_MAX: usize = 160;

pub(super) struct Expectation {
    matches: Match,
    calls: usize,
}

impl MockSystem {
    /// Exactly that many calls that match must have come when the mock is dropped at the end of the test, or when
    /// [`verify`](Self::verify) is called. A call is one however often it was tried: requests under one idempotency key
    /// count once.
    ///
    /// ```should_panic
    /// use bowline_testing::{Match, MockSystem};
    ///
    /// let crm = MockSystem::start();
    /// crm.expect(Match::call("POST", "/api/contacts"), 1);
    /// // nothing calls it
    /// ```
    pub fn expect(&self, matches: Match, calls: usize) {
        self.shared.lock().expectations.push(Expectation { matches, calls });
    }

    /// Looks at what was expected so far.
    ///
    /// # Panics
    /// If something else came, with what was expected and what came.
    #[track_caller]
    pub fn verify(&self) {
        if let Some(unmet) = self.unmet() {
            panic!("{unmet}");
        }
    }

    /// Expectations count for nothing from now on.
    pub(crate) fn expect_anything(&self) {
        let mut state = self.shared.lock();
        state.verifies = false;
        state.expectations.clear();
    }

    pub(super) fn unmet(&self) -> Option<String> {
        let state = self.shared.lock();
        if !state.verifies {
            return None;
        }
        let requests = &state.requests;
        let unmet = state.expectations.iter().filter_map(|expected| {
            let came = calls(requests.iter().filter(|request| expected.matches.fits(request)));
            (came != expected.calls).then(|| {
                format!(
                    "{} {} expected to {}, {came} came",
                    count(expected.calls, "call"),
                    if expected.calls == 1 { "was" } else { "were" },
                    expected.matches.text()
                )
            })
        });
        let unmet: Vec<String> = unmet.collect();
        (!unmet.is_empty()).then(|| format!("mock {}: {}\n{}", self.name, unmet.join("; "), list(requests)))
    }
}

fn calls<'a>(requests: impl Iterator<Item = &'a Recorded>) -> usize {
    let mut keys = HashSet::new();
    requests.filter(|request| request.idempotency_key().is_none_or(|key| keys.insert(key))).count()
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The requests, one a line, as people read them.
pub(crate) fn list(requests: &[Recorded]) -> String {
    if requests.is_empty() {
        return "  no request came\n".to_owned();
    }
    let mut text = String::new();
    for request in requests.iter().take(LISTED_MAX) {
        let query = request.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        let answered = match request.answered {
            Some(status) => status.to_string(),
            None => "no answer".to_owned(),
        };
        let body = String::from_utf8_lossy(&request.body);
        let cut = if body.chars().count() > BODY_CHARS_MAX { "…" } else { "" };
        let body: String = body.chars().take(BODY_CHARS_MAX).collect();
        let key = request.idempotency_key().map(|key| format!(" key {key}")).unwrap_or_default();
        let (nth, method, path) = (request.nth, &request.method, &request.path);
        let _ = writeln!(text, "  {nth}. {method} {path}{query}{key} {body}{cut} -> {answered}");
    }
    if requests.len() > LISTED_MAX {
        let _ = writeln!(text, "  … and {} more", requests.len() - LISTED_MAX);
    }
    text
}
