//! A remote with a limit, told in every form: many calls, none refused once the limit is known, hardly longer than it must
//! take.
//!
//! Time passes here while nobody has anything to do. In real time, with 2,000 calls in each form:
//! `BOWLINE_LIMITS_REAL=1 cargo test -p bowline-client --all-features --test client limited -- --nocapture`.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response},
    routing::any,
};
use bowline_client::Api;
use bowline_model::{Clock, SystemClock, Verdict};
use jiff::Timestamp;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    idle::Idle,
    remote::{Remote, answer, api_at, once},
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
    /// Seconds of a clock that is wrong by an hour.
    WrongClock,
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
    clock: Arc<dyn Clock>,
    state: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    window: i64,
    used: f64,
    at: Duration,
    /// When each that was refused had been sent.
    refused: Vec<Duration>,
    /// When the client first heard of the limit.
    told: Option<Duration>,
    good: u32,
}

impl Form {
    /// Whether answers tell of the limit before it is exceeded.
    fn tells(self) -> bool {
        match self {
            Self::Nothing | Self::RetryAfterSeconds | Self::RetryAfterDate | Self::RetryAfterMillis => false,
            Self::EpochSeconds | Self::EpochMillis | Self::Delta | Self::Iso | Self::WrongClock => true,
            Self::OlderDraft | Self::OlderDraftWithPolicy | Self::CurrentDraft | Self::Shopify => true,
        }
    }
}

impl Counting {
    /// Answers; each way takes `way`.
    async fn answer(&self, way: Duration) -> Response<Body> {
        let sent = self.clock.monotonic();
        self.delay(way).await;
        let answer = self.count(sent);
        self.delay(way).await;
        if self.form.tells() || answer.status() == 429 {
            let now = self.clock.monotonic();
            self.state.lock().unwrap().told.get_or_insert(now);
        }
        answer
    }

    /// From half of it to one and a half.
    async fn delay(&self, way: Duration) {
        if !way.is_zero() {
            let share = 0.5 + (self.clock.random() % 1000) as f64 / 1000.0;
            self.clock.sleep(way.mul_f64(share)).await;
        }
    }

    fn count(&self, sent: Duration) -> Response<Body> {
        let mut state = self.state.lock().unwrap();
        // Asked within the lock: times must not go back.
        let (now, wall) = (self.clock.monotonic(), self.clock.now());
        let (limit, left) = match self.form {
            Form::Shopify => {
                state.used = (state.used - 20.0 * (now - state.at).as_secs_f64()).max(0.0);
                (400.0, 400.0 - state.used)
            }
            _ => {
                if state.window != wall.as_second() {
                    (state.window, state.used) = (wall.as_second(), 0.0);
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
            state.refused.push(sent);
        }
        let mut answer = answer(if is_good { 200 } else { 429 }, "{}");
        let wrong = if self.form == Form::WrongClock { 3600 * SECOND } else { Duration::ZERO };
        // The server's own date would be of the machine's time.
        answer.headers_mut().insert("date", httpdate(wall + wrong).parse().unwrap());
        for (name, value) in self.headers(is_good, left.floor(), limit, wall + wrong) {
            answer.headers_mut().append(name, value.parse().unwrap());
        }
        answer
    }

    fn headers(&self, is_good: bool, left: f64, limit: f64, now: Timestamp) -> Vec<(&'static str, String)> {
        let end = Timestamp::from_second(now.as_second() + 1).unwrap();
        let wait = end.duration_since(now).as_secs_f64();
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
                vec![("retry-after", httpdate(end))]
            }
            Form::EpochSeconds | Form::WrongClock => custom(end.as_second().to_string()),
            Form::EpochMillis => custom(end.as_millisecond().to_string()),
            Form::Delta => custom(wait.ceil().to_string()),
            Form::Iso => custom(end.to_string()),
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
async fn send_all(api: &Api, clock: &dyn Clock, calls: u32) -> Duration {
    let began = clock.monotonic();
    let mut tasks = JoinSet::new();
    for call in 0..calls {
        let call = api.get(&format!("/{call}"));
        tasks.spawn(async move { call.send().await.unwrap() });
    }
    while let Some(done) = tasks.join_next().await {
        assert_eq!(done.unwrap().status(), 200);
    }
    clock.monotonic() - began
}

/// A remote that tells its limit in that form, each way to which takes so long.
async fn limited(form: Form, clock: Arc<dyn Clock>, way: Duration) -> (Api, Arc<Counting>) {
    let counting = Arc::new(Counting { form, clock: clock.clone(), state: Mutex::default() });
    let counts = counting.clone();
    let app = Router::new().fallback(any(move |_: Request<Body>| {
        let counts = counts.clone();
        async move { counts.answer(way).await }
    }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (api_at(address).clock(clock).attempt_timeout(100 * SECOND), counting)
}

/// How it went.
#[derive(Debug)]
struct Outcome {
    form: Form,
    /// Share of the time that it must take.
    ratio: f64,
    refused: usize,
    /// Of these, sent after the client had heard of the limit.
    late: usize,
}

impl Outcome {
    /// A remote that tells of its limit never refuses; one that only refuses does so once, what is under way then.
    fn is_good(&self, calls: u32) -> bool {
        let refused_max = if self.form.tells() { 0 } else { calls as usize / 50 };
        self.ratio <= LONGEST && self.late == 0 && self.refused <= refused_max
    }
}

/// Sends them all. What arrives within `under_way` after the client heard of the limit had been sent before.
async fn measured(
    form: Form,
    clock: Arc<dyn Clock>,
    way: Duration,
    under_way: Duration,
    calls: u32,
) -> Outcome {
    let (api, counting) = limited(form, clock.clone(), way).await;
    let took = send_all(&api, &*clock, calls).await;
    let state = counting.state.lock().unwrap();
    assert_eq!(state.good, calls);
    let ideal = match form {
        Form::Shopify => SECOND.mul_f64((f64::from(calls) - 400.0) / 20.0),
        _ => SECOND * (calls / LIMIT),
    };
    let told = state.told.unwrap_or_default() + under_way;
    let late = state.refused.iter().filter(|sent| **sent > told).count();
    let (ratio, refused) = (took.as_secs_f64() / ideal.as_secs_f64(), state.refused.len());
    Outcome { form, ratio, refused, late }
}

const FORMS: [Form; 12] = [
    Form::RetryAfterSeconds,
    Form::RetryAfterDate,
    Form::RetryAfterMillis,
    Form::EpochSeconds,
    Form::EpochMillis,
    Form::Delta,
    Form::Iso,
    Form::WrongClock,
    Form::OlderDraft,
    Form::OlderDraftWithPolicy,
    Form::CurrentDraft,
    Form::Shopify,
];

const LONGEST: f64 = 1.15;

#[tokio::test]
async fn calls_take_hardly_longer_than_they_must_and_none_is_refused_once_the_limit_is_known() {
    let is_real = std::env::var_os("BOWLINE_LIMITS_REAL").is_some();
    let (calls, ms) = (if is_real { 2000 } else { 500 }, Duration::from_millis(1));
    let mut bad = vec![];
    for form in FORMS {
        let outcome = if is_real {
            measured(form, Arc::new(SystemClock), Duration::ZERO, 100 * ms, calls).await
        } else {
            measured(form, Idle::new(), 5 * ms, Duration::ZERO, calls).await
        };
        println!("{outcome:.2?}");
        if !outcome.is_good(calls) {
            bad.push(outcome);
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

#[tokio::test]
async fn a_declared_limit_holds_for_a_remote_that_tells_nothing() {
    let clock = Idle::new();
    let (api, counting) = limited(Form::Nothing, clock.clone(), Duration::from_millis(5)).await;
    let took = send_all(&api.rate_limit(LIMIT, SECOND), &*clock, 300).await;
    let state = counting.state.lock().unwrap();
    assert_eq!(state.refused.len(), 0, "{:?}", state.refused);
    assert!((SECOND * 2..SECOND.mul_f64(3.0 * LONGEST)).contains(&took), "{took:?}");
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
