//! A remote with a limit, told in every form: many calls, none refused once the limit is known, hardly longer than it must
//! take.
//!
//! Time passes more quickly here. In real time, with 2,000 calls in each form:
//! `BOWLINE_LIMITS_REAL=1 cargo test -p bowline-client --test client limited -- --nocapture`.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{body::Body, http::Response};
use bowline_client::Api;
use bowline_model::{Clock, Verdict};
use jiff::Timestamp;
use tokio::task::JoinSet;

use crate::{
    quick::Quick,
    remote::{Remote, answer, once},
};

/// How a remote tells that it takes 100 calls a second.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Nothing,
    RetryAfterSeconds,
    RetryAfterDate,
    RetryAfterMillis,
    EpochSeconds,
    EpochMillis,
    Delta,
    Iso,
    OlderDraft,
    OlderDraftWithPolicy,
    CurrentDraft,
    Shopify,
}

const SECOND: Duration = Duration::from_secs(1);
const LIMIT: u32 = 100;

/// Counts in windows of a second; or in a bucket of 400 that 20 a second run out of, for Shopify.
struct Counting {
    form: Form,
    clock: Quick,
    state: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    window: u64,
    used: f64,
    at: Duration,
    /// When each was refused.
    refused: Vec<Duration>,
    /// When the limit was first told.
    told: Option<Duration>,
    good: u32,
}

impl Counting {
    fn answer(&self) -> Response<Body> {
        let mut state = self.state.lock().unwrap();
        // Asked within the lock: times must not go back.
        let now = self.clock.passed();
        let (limit, left) = match self.form {
            Form::Shopify => {
                state.used = (state.used - 20.0 * (now - state.at).as_secs_f64()).max(0.0);
                (400.0, 400.0 - state.used)
            }
            _ => {
                if state.window != now.as_secs() {
                    (state.window, state.used) = (now.as_secs(), 0.0);
                }
                (f64::from(LIMIT), f64::from(LIMIT) - state.used)
            }
        };
        state.at = now;
        let is_good = left >= 1.0;
        let left = if is_good { left - 1.0 } else { left };
        if is_good {
            state.used += 1.0;
            state.good += 1;
        } else {
            state.refused.push(now);
        }
        let tells = !matches!(
            self.form,
            Form::Nothing | Form::RetryAfterSeconds | Form::RetryAfterDate | Form::RetryAfterMillis
        );
        if tells || !is_good {
            state.told.get_or_insert(now);
        }
        let mut answer = answer(if is_good { 200 } else { 429 }, "{}");
        for (name, value) in self.headers(is_good, left.floor(), limit, now) {
            answer.headers_mut().append(name, value.parse().unwrap());
        }
        answer
    }

    fn headers(&self, is_good: bool, left: f64, limit: f64, now: Duration) -> Vec<(&'static str, String)> {
        let end = SECOND * (now.as_secs() as u32 + 1);
        let wait = (end - now).as_secs_f64();
        let wall: Timestamp = self.clock.now() + (end - now);
        let wall = wall.round(jiff::Unit::Second).unwrap();
        let custom = |reset: String| {
            vec![
                ("x-ratelimit-limit", limit.to_string()),
                ("x-ratelimit-remaining", left.to_string()),
                ("x-ratelimit-reset", reset),
            ]
        };
        match self.form {
            Form::Nothing => vec![],
            Form::RetryAfterSeconds | Form::RetryAfterDate | Form::RetryAfterMillis if is_good => vec![],
            Form::RetryAfterSeconds => vec![("retry-after", wait.ceil().to_string())],
            Form::RetryAfterMillis => vec![("retry-after-ms", (wait * 1000.0).ceil().to_string())],
            Form::RetryAfterDate => {
                // The server's own date is of the machine's time: it is overwritten by that of the test.
                let date = |at: Timestamp| httpdate(at);
                vec![("date", date(self.clock.now())), ("retry-after", date(wall))]
            }
            Form::EpochSeconds => custom(wall.as_second().to_string()),
            Form::EpochMillis => custom(wall.as_millisecond().to_string()),
            Form::Delta => custom(wait.ceil().to_string()),
            Form::Iso => custom(wall.to_string()),
            Form::OlderDraft | Form::OlderDraftWithPolicy => vec![
                (
                    "ratelimit-limit",
                    if self.form == Form::OlderDraft {
                        "100".into()
                    } else {
                        "100, 100;w=1, 900000;w=86400".into()
                    },
                ),
                ("ratelimit-remaining", left.to_string()),
                ("ratelimit-reset", wait.ceil().to_string()),
            ],
            Form::CurrentDraft => vec![
                ("ratelimit-policy", "\"second\";q=100;w=1, \"day\";q=900000;w=86400".into()),
                ("ratelimit", format!("\"second\";r={left};t={}, \"day\";r=800000;t=4000", wait.ceil())),
            ],
            Form::Shopify => {
                vec![("x-shopify-shop-api-call-limit", format!("{}/{limit}", limit - left))]
            }
        }
    }
}

fn httpdate(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Sends that many calls from as many tasks; the time it took by the clock.
async fn send_all(api: &Api, clock: Quick, calls: u32) -> Duration {
    let began = clock.passed();
    let mut tasks = JoinSet::new();
    for call in 0..calls {
        let call = api.get(&format!("/{call}"));
        tasks.spawn(async move { call.send().await.unwrap() });
    }
    while let Some(done) = tasks.join_next().await {
        assert_eq!(done.unwrap().status(), 200);
    }
    clock.passed() - began
}

async fn limited(form: Form, times: u32) -> (Api, Quick, Arc<Counting>, Remote) {
    let clock = Quick::new(times);
    let counting = Arc::new(Counting { form, clock, state: Mutex::default() });
    let counts = counting.clone();
    let remote = Remote::new(move |_, _| counts.answer()).await;
    let api = remote.api().clock(Arc::new(clock)).attempt_timeout(100 * SECOND);
    (api, clock, counting, remote)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_take_hardly_longer_than_they_must_and_none_is_refused_once_the_limit_is_known() {
    let is_real = std::env::var_os("BOWLINE_LIMITS_REAL").is_some();
    let (calls, times) = if is_real { (2000, 1) } else { (800, 4) };
    let forms = [
        Form::RetryAfterSeconds,
        Form::RetryAfterDate,
        Form::RetryAfterMillis,
        Form::EpochSeconds,
        Form::EpochMillis,
        Form::Delta,
        Form::Iso,
        Form::OlderDraft,
        Form::OlderDraftWithPolicy,
        Form::CurrentDraft,
        Form::Shopify,
    ];
    let mut bad = vec![];
    for form in forms {
        let (api, clock, counting, _remote) = limited(form, times).await;
        let took = send_all(&api, clock, calls).await;
        let state = counting.state.lock().unwrap();
        assert_eq!(state.good, calls);
        let ideal = match form {
            Form::Shopify => SECOND.mul_f64((f64::from(calls) - 400.0) / 20.0),
            _ => SECOND * (calls / LIMIT),
        };
        // What was under way when the limit was told may still be refused.
        let late = state.told.unwrap_or_default() + SECOND / 2;
        let late = state.refused.iter().filter(|at| **at > late).count();
        let ratio = took.as_secs_f64() / ideal.as_secs_f64();
        let refused = state.refused.len();
        let line = format!(
            "{form:?}: {took:.1?}, {ratio:.2} of the ideal; {refused} refused, {late} once it was known"
        );
        println!("{line}");
        // A machine that is busy with other tests is slow four times over when time passes four times as quickly.
        let guesses = matches!(form, Form::RetryAfterSeconds | Form::RetryAfterDate | Form::RetryAfterMillis);
        let (longest, late_max) = match (is_real, guesses) {
            (true, _) => (1.15, 0),
            // On a busy machine answers are late by so much of this time that most calls are under way before the
            // first refusal, which is all that tells of the limit.
            (false, true) => (3.0, calls as usize / 2),
            (false, false) => (2.0, 0),
        };
        if late > late_max || ratio > longest {
            bad.push(line);
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

#[tokio::test]
async fn a_declared_limit_holds_for_a_remote_that_tells_nothing() {
    let (api, clock, counting, _remote) = limited(Form::Nothing, 4).await;
    let took = send_all(&api.rate_limit(LIMIT, SECOND), clock, 300).await;
    let state = counting.state.lock().unwrap();
    assert_eq!(state.refused.len(), 0, "{:?}", state.refused);
    assert!((SECOND * 2..SECOND * 6).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_wait_names_its_reason_and_a_place_in_line_is_kept() {
    let remote = Remote::always(200, &[], "1").await;
    let clock = crate::remote::Hand::new();
    let api = remote.api().clock(clock.clone()).rate_limit_burst(1, 10 * SECOND, 1);
    let attempt = |key: &str| bowline_model::Attempt::new(key, 1, crate::remote::LONG);
    let ask =
        async |key: &str| bowline_model::Effect::attempt(&api.get("/").decode::<u8>(), attempt(key)).await;
    assert_eq!(ask("first").await, Verdict::Done(1));
    let Verdict::Wait { wait, why } = ask("second").await else { panic!("sent") };
    assert_eq!((wait.as_secs(), why.as_str()), (10, "the rate limit (crm)"));
    let Verdict::Wait { wait: third, .. } = ask("third").await else { panic!("sent") };
    assert_eq!(third.as_secs(), 20);
    clock.sleep(wait).await;
    assert!(matches!(ask("late-comer").await, Verdict::Wait { .. }), "the second's place is kept");
    assert_eq!(ask("second").await, Verdict::Done(1));
    assert_eq!(remote.seen().len(), 2);
}

#[tokio::test]
async fn nobody_goes_before_the_time_that_a_429_asked_for() {
    let remote = Remote::new(|nth, _| {
        let mut answer = answer(if nth == 1 { 429 } else { 200 }, "1");
        answer.headers_mut().insert("retry-after", "30".parse().unwrap());
        answer
    })
    .await;
    let api = remote.api().clock(crate::remote::Hand::new());
    assert!(matches!(once(api.get("/a")).await, Verdict::RetryAfter(_)));
    let Verdict::Wait { wait, why } = once(api.get("/b")).await else { panic!("another call was sent") };
    assert_eq!((wait.as_secs(), why.as_str()), (30, "the remote, that asked for it (crm)"));
    // Another account has another limit.
    assert!(matches!(once(api.account("other").get("/b")).await, Verdict::Done(_)));
}
