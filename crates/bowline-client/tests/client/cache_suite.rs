//! The public suite of tests for HTTP caches (`http-cache-tests` of npm, by the author of RFC 9111), as far as it is about
//! a cache of one user inside a client. The suite says what each server answers and what the cache must make of it; the
//! servers here follow it, by the test's own clock.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use axum::{body::Body, http::Response};
use bowline_client::{Api, Call, Response as Answer};
use bowline_model::{Clock, Verdict};
use bowline_testing::peer;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::remote::{Hand, Remote, Seen, once};

/// Prints the suite; each line is a test.
const PRINT: &str = "
    const { default: suites } = await import('http-cache-tests/tests/index.mjs');
    for (const test of suites.flatMap(suite => suite.tests)) console.log('test ' + JSON.stringify(test));
    console.log('end');
";

/// How long the suite waits where it lets time go by.
const PAUSE: Duration = Duration::from_secs(3);

/// What does not come out as the suite has it: the start of the tests' names, and why.
const OTHERWISE: &[(&str, &str)] = &[
    // Requirements.
    (
        "age-parse-",
        "the suite is older than RFC 9111 §5.1: the first Age counts, and what is no number is ignored",
    ),
    (
        "304-etag-update-response-ETag",
        "a 304 about another ETag is not believed: the request is sent again without",
    ),
    // What would be better, as the suite sees it.
    ("heuristic-", "how long an answer holds is not guessed"),
    ("vary-", "all of a call's own headers tell it apart, as they are"),
    ("other-cookie", "as above"),
    ("conditional-etag-", "a call's own condition is answered by the remote"),
    ("partial-", "a call's own range is answered by the remote"),
    ("method-POST", "an answer to a POST is never kept"),
    ("invalidate-", "what a 500 says may have happened, counts"),
];

#[derive(Deserialize)]
struct Test {
    id: String,
    kind: Option<String>,
    /// About caches that serve many users.
    #[serde(default)]
    browser_skip: bool,
    requests: Vec<Step>,
}

/// One request, what the server answers, and what has to come of it.
#[derive(Deserialize, Default, Clone)]
#[serde(default)]
struct Step {
    setup: bool,
    setup_tests: Vec<String>,
    pause_after: bool,
    disconnect: bool,
    redirect: Option<String>,
    cache: Option<String>,
    magic_locations: bool,
    request_method: Option<String>,
    request_headers: Vec<(String, Value)>,
    request_body: Option<String>,
    filename: Option<String>,
    query_arg: Option<String>,
    response_status: Option<(u16, String)>,
    response_headers: Vec<Vec<Value>>,
    response_body: Option<String>,
    check_body: Option<bool>,
    expected_type: Option<String>,
    expected_status: Option<u16>,
    expected_response_text: Option<String>,
    expected_response_headers: Vec<Value>,
    expected_request_headers: Vec<Value>,
}

impl Test {
    /// What a client that speaks by `Api` and `Call` cannot say or see.
    fn is_out_of_reach(&self) -> bool {
        let methods = ["GET", "HEAD", "POST", "PUT", "DELETE"];
        let out = |step: &Step| {
            let method = step.request_method.as_deref().unwrap_or("GET");
            let fails = step.response_status.as_ref().is_some_and(|(status, _)| !(200..300).contains(status));
            let framed = step.response_headers.iter().any(|header| {
                let name = header[0].as_str().unwrap().to_ascii_lowercase();
                ["content-length", "transfer-encoding"].contains(&name.as_str())
            });
            // A failure is no answer that a workflow gets; a step that is only there to fail, may.
            let fails = fails && !step.setup;
            step.disconnect || step.cache.is_some() || framed || fails || !methods.contains(&method)
        };
        self.browser_skip || self.requests.iter().any(out)
    }
}

/// A server that answers by the test.
struct Scripted {
    remote: Remote,
    /// The step that is being made.
    current: Arc<Mutex<usize>>,
}

impl Scripted {
    async fn new(test: &Test, clock: Arc<Hand>) -> Self {
        let current: Arc<Mutex<usize>> = Arc::default();
        let (steps, at) = (test.requests.clone(), current.clone());
        let remote = Remote::new(move |nth, seen| {
            let current = *at.lock().unwrap();
            let before = current.checked_sub(1).map(|before| &steps[before]);
            respond(&steps[current], before, nth, seen, clock.now())
        });
        Self { remote: remote.await, current }
    }
}

fn respond(step: &Step, before: Option<&Step>, nth: usize, seen: &Seen, now: Timestamp) -> Response<Body> {
    let mut status = step.response_status.as_ref().map_or(200, |(status, _)| *status);
    if step.expected_type.as_deref().is_some_and(|kind| kind.ends_with("validated")) {
        let given = |validator: &str| before.and_then(|before| before.header(validator, now));
        let same_tag = given("etag").is_some_and(|tag| seen.header("if-none-match") == tag);
        let dated = given("last-modified").is_some() && !seen.header("if-modified-since").is_empty();
        let confirmed = same_tag || dated;
        status = if confirmed { 304 } else { 599 };
    }
    let mut response = Response::builder().status(status).header("server-request-count", nth);
    for header in &step.response_headers {
        let name = header[0].as_str().unwrap();
        response = response.header(name, step.value(name, &header[1], now, seen.uri.path()));
    }
    if !step.response_headers.iter().any(|header| header[0].as_str().unwrap().eq_ignore_ascii_case("date")) {
        response = response.header("date", http_date(now, 0));
    }
    let has_body = !matches!(status, 204 | 304);
    let body = step.response_body.clone().unwrap_or_else(|| "the body".to_owned());
    response.body(if has_body { body.into() } else { Body::empty() }).unwrap()
}

impl Step {
    fn header(&self, name: &str, now: Timestamp) -> Option<String> {
        let header = self
            .response_headers
            .iter()
            .find(|header| header[0].as_str().unwrap().eq_ignore_ascii_case(name));
        header.map(|header| self.value(name, &header[1], now, ""))
    }

    /// The value as it is sent: numbers are seconds from now, locations are below the path.
    fn value(&self, name: &str, value: &Value, now: Timestamp, path: &str) -> String {
        let name = name.to_ascii_lowercase();
        match value {
            Value::Number(seconds) if ["date", "expires", "last-modified"].contains(&name.as_str()) => {
                http_date(now, seconds.as_i64().unwrap())
            }
            Value::String(text) if name.ends_with("location") && self.magic_locations => {
                match text.as_str() {
                    "" => path.to_owned(),
                    below => format!("{path}/{below}"),
                }
            }
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    fn call(&self, api: &Api, now: Timestamp) -> Call {
        let path = self.filename.as_ref().map_or("/test".to_owned(), |name| format!("/test/{name}"));
        let mut call = match self.request_method.as_deref() {
            Some("HEAD") => api.head(&path),
            Some("POST") => api.post(&path),
            Some("PUT") => api.put(&path),
            Some("DELETE") => api.delete(&path),
            _ => api.get(&path),
        };
        if let Some((name, value)) = self.query_arg.as_deref().and_then(|query| query.split_once('=')) {
            call = call.query(name, value);
        }
        for (name, value) in &self.request_headers {
            call = call.header(name, self.value(name, value, now, ""));
        }
        match &self.request_body {
            Some(body) => call.body(body.clone(), "text/plain"),
            None => call,
        }
    }
}

fn http_date(now: Timestamp, seconds: i64) -> String {
    let at = u64::try_from(now.as_second() + seconds).unwrap_or_default();
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(at))
}

/// # Errors
/// What did not come out as it should.
async fn run(test: &Test) -> Result<(), String> {
    let clock = Hand::new();
    // Late enough for dates in the past.
    clock.sleep(Duration::from_secs(1_000_000_000)).await;
    let server = Scripted::new(test, clock.clone()).await;
    let api = server.remote.api().clock(clock.clone()).cache_as_told();
    for (number, step) in test.requests.iter().enumerate() {
        *server.current.lock().unwrap() = number;
        let before = server.remote.seen().len();
        let verdict = once(step.call(&api, clock.now())).await;
        let asked = server.remote.seen();
        if let Err((check, what)) = step.check(number, verdict, asked.get(before)) {
            // What the test is about could not even be begun, if what it needs is not cached.
            let setup = step.setup || step.setup_tests.iter().any(|name| name == check);
            let begun = if setup { "not begun: " } else { "" };
            return Err(format!("{begun}request {} {what}", number + 1));
        }
        if step.pause_after {
            clock.sleep(PAUSE).await;
        }
    }
    Ok(())
}

impl Step {
    /// Whether it came out as it should; else which check did not, and how.
    fn check(
        &self,
        number: usize,
        verdict: Verdict<Answer>,
        asked: Option<&Seen>,
    ) -> Result<(), (&'static str, String)> {
        let from_server = asked.is_some();
        match self.expected_type.as_deref() {
            Some("cached") if from_server => {
                return Err(("expected_type", "is not answered from the cache".into()));
            }
            Some("not_cached") if !from_server => {
                return Err(("expected_type", "is answered from the cache".into()));
            }
            Some("etag_validated") if asked.is_none_or(|asked| asked.header("if-none-match").is_empty()) => {
                return Err(("expected_type", "is not asked about by its ETag".into()));
            }
            Some("lm_validated")
                if asked.is_none_or(|asked| asked.header("if-modified-since").is_empty()) =>
            {
                return Err(("expected_type", "is not asked about by its Last-Modified".into()));
            }
            _ => {}
        }
        let answer = match verdict {
            Verdict::Done(answer) => answer,
            _ if self.setup => return Ok(()),
            other => return Err(("status", format!("{number}: {other:?}"))),
        };
        let status = self.expected_status.or(self.response_status.as_ref().map(|(status, _)| *status));
        if status.is_some_and(|status| status != answer.status()) {
            return Err(("expected_status", format!("has the status {}", answer.status())));
        }
        let text = self.expected_response_text.as_ref().or(self.response_body.as_ref());
        if self.check_body != Some(false) && text.is_some_and(|text| *text != answer.text()) {
            return Err(("expected_response_text", format!("has the body {:?}", answer.text())));
        }
        for header in &self.expected_response_headers {
            let Some([name, value]) = header.as_array().map(Vec::as_slice) else { continue };
            let name = name.as_str().unwrap();
            if let (Some(seen), Some(value)) = (answer.header(name), value.as_str())
                && seen != value
            {
                return Err(("expected_response_headers", format!("has {name}: {seen}, not {value}")));
            }
        }
        for header in &self.expected_request_headers {
            let (Some([name, value]), Some(asked)) = (header.as_array().map(Vec::as_slice), asked) else {
                continue;
            };
            let (name, value) = (name.as_str().unwrap(), value.as_str().unwrap());
            if asked.header(&name.to_ascii_lowercase()) != value {
                return Err(("expected_request_headers", format!("was asked with another {name}")));
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn the_public_suite_of_caches() {
    let Some(node) = peer::node("http-cache-tests/tests/index.mjs", PRINT) else {
        bowline_testing::skip!(
            "the_public_suite_of_caches",
            "BOWLINE_NODE has no http-cache-tests: scripts/node makes one that has"
        );
    };
    let mut process = node.ready_on_line("end").start().unwrap();
    process.wait(Duration::from_secs(20)).unwrap();
    let lines = process.lines();
    let tests: Vec<Test> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("test "))
        .map(|test| serde_json::from_str(test).unwrap())
        .collect();
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut surprises = vec![];
    for test in tests.iter().filter(|test| !test.is_out_of_reach()) {
        let kind = test.kind.as_deref().unwrap_or("required");
        let otherwise = OTHERWISE.iter().any(|(start, _)| test.id.starts_with(start));
        let outcome = match (kind, run(test).await) {
            // Only asks what a cache does.
            ("check", _) => continue,
            (_, Ok(())) => "passed",
            (_, _) if otherwise => "otherwise",
            (_, Err(what)) => {
                surprises.push(format!("{kind} {}: {what}", test.id));
                "failed"
            }
        };
        *counts.entry((kind, outcome)).or_default() += 1;
    }
    println!("{counts:?}");
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    assert!(counts[&("required", "passed")] > 100 && counts[&("optimal", "passed")] > 20, "{counts:?}");
}
