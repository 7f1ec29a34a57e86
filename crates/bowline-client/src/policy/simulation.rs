//! Remotes of every kind, their limits told in every form, and callers who obey: events in simulated time.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, VecDeque},
    time::Duration,
};

use futures_util::FutureExt;
use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::read::Cost;

/// How a remote counts.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Counting {
    /// Windows that begin at fixed times, so much after the full second.
    Aligned { offset: Duration },
    /// Windows that begin with a call.
    FromFirst,
    /// Never more than the limit in any span of a window.
    Sliding,
    /// A bucket that refills evenly.
    Bucket,
}

/// How a remote tells its limit.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    RetryAfterSeconds,
    RetryAfterDate,
    RetryAfterMillis,
    EpochSeconds,
    EpochMillis,
    Delta,
    DeltaRoundedDown,
    Iso,
    NoReset,
    OlderDraft,
    OlderDraftWithWindow,
    CurrentDraft,
    CurrentDraftRemaining,
    Shopify,
    Cost,
}

const FORMS: [Form; 15] = [
    Form::RetryAfterSeconds,
    Form::RetryAfterDate,
    Form::RetryAfterMillis,
    Form::EpochSeconds,
    Form::EpochMillis,
    Form::Delta,
    Form::DeltaRoundedDown,
    Form::Iso,
    Form::NoReset,
    Form::OlderDraft,
    Form::OlderDraftWithWindow,
    Form::CurrentDraft,
    Form::CurrentDraftRemaining,
    Form::Shopify,
    Form::Cost,
];

impl Form {
    /// Whether it tells the limit before it is exceeded.
    fn tells(self) -> bool {
        !matches!(self, Self::RetryAfterSeconds | Self::RetryAfterDate | Self::RetryAfterMillis)
    }

    fn countings(self) -> Vec<Counting> {
        let offset = Duration::from_millis(370);
        match self {
            // A bucket by its definition.
            Self::Shopify | Self::Cost => vec![Counting::Bucket],
            // Whole seconds in time itself: windows end with them.
            Self::EpochSeconds | Self::RetryAfterDate => vec![Counting::Aligned { offset: Duration::ZERO }],
            _ => vec![
                Counting::Aligned { offset: Duration::ZERO },
                Counting::Aligned { offset },
                Counting::FromFirst,
                Counting::Sliding,
                Counting::Bucket,
            ],
        }
    }
}

struct Remote {
    counting: Counting,
    form: Form,
    limit: u32,
    window: Duration,
    began: Duration,
    used: f64,
    at: Duration,
    log: VecDeque<Duration>,
}

/// What the remote says: status, headers, and what the body says of costs.
struct Reply {
    status: u16,
    headers: HeaderMap,
    cost: Option<Cost>,
}

const START: Timestamp = Timestamp::constant(1_795_341_600, 0);

impl Remote {
    fn answer(&mut self, now: Duration) -> Reply {
        let limit = f64::from(self.limit);
        let rate = limit / self.window.as_secs_f64();
        let (left, reset) = match self.counting {
            Counting::Aligned { offset } => {
                let nanos =
                    (now.as_nanos() - offset.as_nanos()) / self.window.as_nanos() * self.window.as_nanos();
                let began = Duration::from_nanos(nanos as u64) + offset;
                if began != self.began {
                    (self.began, self.used) = (began, 0.0);
                }
                (limit - self.used, began + self.window)
            }
            Counting::FromFirst => {
                if now >= self.began + self.window {
                    (self.began, self.used) = (now, 0.0);
                }
                (limit - self.used, self.began + self.window)
            }
            Counting::Sliding => {
                while self.log.front().is_some_and(|at| *at + self.window <= now) {
                    self.log.pop_front();
                }
                let reset = self.log.front().copied().unwrap_or(now) + self.window;
                (limit - self.log.len() as f64, reset)
            }
            Counting::Bucket => {
                self.used = (self.used - rate * (now - self.at).as_secs_f64()).max(0.0);
                self.at = now;
                (limit - self.used, now + Duration::from_secs_f64(self.used / rate))
            }
        };
        let is_good = left >= 1.0;
        if is_good {
            self.used += 1.0;
            self.log.push_back(now);
        }
        let left = if is_good { left - 1.0 } else { left };
        let reset = match self.counting {
            // A bucket is ready again once there is one.
            Counting::Bucket if !is_good => now + Duration::from_secs_f64((1.0 - left) / rate),
            _ => reset,
        };
        self.reply(is_good, left.max(0.0).floor(), reset, now)
    }

    fn reply(&self, is_good: bool, left: f64, reset: Duration, now: Duration) -> Reply {
        let mut headers = HeaderMap::new();
        let mut set = |name: &'static str, value: String| {
            headers.append(HeaderName::from_static(name), HeaderValue::try_from(value).unwrap());
        };
        let wait = reset.saturating_sub(now).as_secs_f64();
        let wall = START + reset;
        let wall_s = wall.as_duration().as_secs_f64();
        let custom = |set: &mut dyn FnMut(&'static str, String), reset: Option<String>| {
            set("x-ratelimit-limit", self.limit.to_string());
            set("x-ratelimit-remaining", left.to_string());
            if let Some(reset) = reset {
                set("x-ratelimit-reset", reset);
            }
        };
        let window_s = self.window.as_secs();
        let mut cost = None;
        match self.form {
            Form::RetryAfterSeconds | Form::RetryAfterDate | Form::RetryAfterMillis if is_good => {}
            Form::RetryAfterSeconds => set("retry-after", wait.ceil().to_string()),
            Form::RetryAfterMillis => set("retry-after-ms", (wait * 1000.0).ceil().to_string()),
            Form::RetryAfterDate => {
                set("retry-after", httpdate::fmt_http_date(wall.round(jiff::Unit::Second).unwrap().into()));
                // Remotes date their answers; the whole second is what they have.
                set("x-unused", String::new());
            }
            Form::EpochSeconds => custom(&mut set, Some(wall_s.round().to_string())),
            Form::EpochMillis => custom(&mut set, Some(wall.as_millisecond().to_string())),
            Form::Delta => custom(&mut set, Some(wait.ceil().to_string())),
            Form::DeltaRoundedDown => custom(&mut set, Some(wait.floor().to_string())),
            Form::Iso => custom(&mut set, Some(wall.to_string())),
            Form::NoReset => custom(&mut set, None),
            Form::OlderDraft => {
                set("ratelimit-limit", self.limit.to_string());
                set("ratelimit-remaining", left.to_string());
                set("ratelimit-reset", wait.ceil().to_string());
            }
            Form::OlderDraftWithWindow => {
                set("ratelimit-limit", format!("{0}, {0};w={window_s}", self.limit));
                set("ratelimit-remaining", left.to_string());
                set("ratelimit-reset", wait.ceil().to_string());
            }
            Form::CurrentDraft => {
                set(
                    "ratelimit-policy",
                    format!("\"s\";q={};w={window_s}, \"day\";q=1000000;w=86400", self.limit),
                );
                set("ratelimit", format!("\"s\";r={left};t={}, \"day\";r=900000;t=5000", wait.ceil()));
            }
            Form::CurrentDraftRemaining => set("ratelimit", format!("\"s\";r={left};t={}", wait.ceil())),
            Form::Shopify => {
                let used = f64::from(self.limit) - left;
                set("x-shopify-shop-api-call-limit", format!("{used}/{}", self.limit));
            }
            Form::Cost => {
                cost = Some(Cost {
                    actual: 10.0,
                    available: left * 10.0,
                    maximum: f64::from(self.limit) * 10.0,
                    restored_per_second: f64::from(self.limit) * 10.0 / self.window.as_secs_f64(),
                });
            }
        }
        if self.form == Form::Cost && !is_good {
            return Reply { status: 200, headers, cost };
        }
        Reply { status: if is_good { 200 } else { 429 }, headers, cost }
    }
}

enum Event {
    Ask { ticket: usize, nth: u32 },
    Arrives { ticket: usize },
    Answered { ticket: usize, reply: Reply },
}

/// How it went.
#[derive(Debug, Default)]
struct Outcome {
    took: Duration,
    sent: u32,
    refused: u32,
    /// Refusals of calls that were sent after the first refusal, or after the first answers that told the limit.
    refused_late: u32,
    asks: u32,
}

struct Simulation {
    state: State,
    remote: Remote,
    events: BinaryHeap<Reverse<(Duration, u64)>>,
    what: HashMap<u64, Event>,
    next: u64,
    seed: u64,
    latency: Duration,
    marks: HashMap<usize, Mark>,
    here: BTreeMap<usize, (Arc<Notify>, u32)>,
    asked: HashMap<usize, u32>,
    attempts: HashMap<usize, u32>,
}

impl Simulation {
    fn new(
        counting: Counting,
        form: Form,
        limit: u32,
        window: Duration,
        latency: Duration,
        seed: u64,
    ) -> Self {
        let gates = Gates::new(&Rules::default());
        let began = Duration::ZERO;
        Self {
            state: State { gates, line: Line::default(), repeating: Line::default() },
            remote: Remote {
                counting,
                form,
                limit,
                window,
                began,
                used: 0.0,
                at: began,
                log: VecDeque::new(),
            },
            events: BinaryHeap::new(),
            what: HashMap::new(),
            next: 0,
            seed,
            latency,
            marks: HashMap::new(),
            here: BTreeMap::new(),
            asked: HashMap::new(),
            attempts: HashMap::new(),
        }
    }

    fn at(&mut self, at: Duration, event: Event) {
        self.next += 1;
        self.events.push(Reverse((at, self.next)));
        self.what.insert(self.next, event);
    }

    /// xorshift: the same in every run.
    fn chance(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }

    /// Half to one and a half times the usual.
    fn way(&mut self) -> Duration {
        let share = 0.5 + (self.chance() % 1000) as f64 / 1000.0;
        self.latency.mul_f64(share)
    }

    fn run(mut self, calls: usize) -> Outcome {
        let begin = Duration::from_secs(100) + Duration::from_micros(self.seed % 900_000);
        let mut outcome = Outcome::default();
        for ticket in 0..calls {
            self.at(begin, Event::Ask { ticket, nth: 0 });
        }
        let (mut done, mut first_word) = (0, None);
        while let Some(Reverse((now, event))) = self.events.pop() {
            assert!(outcome.asks < 1_000_000, "{outcome:?}");
            match self.what.remove(&event).expect("was put there") {
                Event::Ask { ticket, nth } if self.asked.get(&ticket).copied().unwrap_or(0) == nth => {
                    outcome.asks += 1;
                    self.ask(ticket, nth, now);
                }
                Event::Ask { .. } => {}
                Event::Arrives { ticket } => {
                    outcome.sent += 1;
                    let reply = self.remote.answer(now);
                    let back = self.way();
                    self.at(now + back, Event::Answered { ticket, reply });
                }
                Event::Answered { ticket, reply } => {
                    let mut mark = self.marks.remove(&ticket).expect("was sent");
                    let seen = Seen::Answer { status: reply.status, headers: &reply.headers };
                    let sent = mark.sent();
                    self.state.gates.saw(&mut mark, &seen, now, START + now, 0);
                    if let Some(cost) = reply.cost {
                        self.state.gates.cost(&mark, cost, now);
                    }
                    self.state.gates.gone(&mut mark, now);
                    self.state.wake(now);
                    self.woken(now);
                    if reply.status == 429 {
                        outcome.refused += 1;
                        outcome.refused_late += u32::from(first_word.is_some_and(|word| sent >= word));
                        *self.attempts.entry(ticket).or_insert(1) += 1;
                        let again = now + Duration::from_millis(self.chance() % 500);
                        *self.asked.entry(ticket).or_default() += 1;
                        let nth = self.asked[&ticket];
                        self.at(again, Event::Ask { ticket, nth });
                    } else {
                        done += 1;
                        outcome.took = now - begin;
                    }
                    if reply.status == 429 || self.remote.form.tells() {
                        first_word.get_or_insert(now);
                    }
                }
            }
        }
        assert_eq!(done, calls, "{outcome:?}");
        outcome
    }

    fn ask(&mut self, ticket: usize, nth: u32, now: Duration) {
        let name = ticket.to_string();
        let attempt = self.attempts.get(&ticket).copied().unwrap_or(1);
        let ask = Ask { ticket: &name, attempt, patience: Duration::from_secs(10) };
        self.here.remove(&ticket);
        *self.asked.entry(ticket).or_default() = nth + 1;
        match self.state.ask(&ask, now) {
            Answer::Go(mark, _) => {
                self.marks.insert(ticket, mark);
                let way = self.way();
                self.at(now + way, Event::Arrives { ticket });
                self.woken(now);
            }
            Answer::Wait { until, wake, .. } => {
                let wait = until.saturating_sub(now).max(WAIT_MIN);
                if wait <= SHORT_WAIT_MAX
                    && let Some(wake) = wake
                {
                    self.here.insert(ticket, (wake, nth + 1));
                } else {
                    self.state.step_aside(&name, now + wait, now);
                }
                // Timers are late by up to a millisecond.
                let late = Duration::from_micros(self.chance() % 1000);
                self.at(now + wait + late, Event::Ask { ticket, nth: nth + 1 });
            }
        }
    }

    /// Those who were woken ask at once.
    fn woken(&mut self, now: Duration) {
        // The oldest are woken, and they have the lowest numbers.
        let woken =
            self.here.iter().take(64).filter(|(_, (wake, _))| wake.notified().now_or_never().is_some());
        let woken: Vec<_> = woken.map(|(ticket, (_, nth))| (*ticket, *nth)).collect();
        for (ticket, nth) in woken {
            self.at(now, Event::Ask { ticket, nth });
        }
    }
}

/// How much longer than the ideal time it may take, and how many may be refused once the limit is known. Remotes whose
/// headers say little of what they do take longer.
fn bounds(form: Form, counting: Counting, latency_ms: u64, calls: u32) -> (f64, u32) {
    match (form, counting) {
        // A remote that tells nothing but "no", after almost half of its window.
        (Form::RetryAfterSeconds | Form::RetryAfterDate | Form::RetryAfterMillis, _) if latency_ms >= 200 => {
            (2.4, calls / 15)
        }
        // Nothing but what is refused tells of a bucket's size and of its rate, and they are two.
        (Form::RetryAfterSeconds | Form::RetryAfterDate | Form::RetryAfterMillis, Counting::Bucket) => {
            (if latency_ms < 50 { 1.15 } else { 1.6 }, calls / 100)
        }
        (_, Counting::Sliding) if latency_ms >= 200 => (2.3, 0),
        (Form::NoReset, _) if latency_ms >= 200 => (2.0, 0),
        // Whether a window has ended is known after almost half of the next one.
        _ if latency_ms >= 200 => (1.7, 0),
        (Form::NoReset, _) => (1.5, 0),
        (_, Counting::Sliding) => (1.55, 0),
        _ if latency_ms >= 50 => (1.2, 0),
        _ => (1.15, 0),
    }
}

/// By hand, all: `BOWLINE_POLICY_ALL=1 cargo test -p bowline-client --lib simulation -- --nocapture`.
#[test]
fn every_form_at_every_remote_is_near_the_ideal_time_and_never_refused_once_known() {
    let second = Duration::from_secs(1);
    let all = std::env::var_os("BOWLINE_POLICY_ALL").is_some();
    let (calls, mut bad, mut turn) = (if all { 2000 } else { 1000 }, vec![], 0);
    for form in FORMS {
        for counting in form.countings() {
            for (nth, latency_ms) in [0, 1, 5, 50, 200].into_iter().enumerate() {
                turn += 1;
                if !all && turn % 7 != 0 {
                    continue;
                }
                let latency = Duration::from_millis(latency_ms);
                let (limit, window, ideal) = match form {
                    // A bucket of 400 refills at 20 a second.
                    Form::Shopify => (400, 20 * second, second * ((calls as u32 - 400) / 20)),
                    _ => (100, second, second * (calls as u32 / 100)),
                };
                let seed = [7, 777_777, 777, 7777, 77][nth];
                let outcome = Simulation::new(counting, form, limit, window, latency, seed).run(calls);
                let line = format!(
                    "{form:?} {counting:?} {latency_ms} ms: {:.1} s, {} refused, {} late, {} asks",
                    outcome.took.as_secs_f64(),
                    outcome.refused,
                    outcome.refused_late,
                    outcome.asks
                );
                println!("{line}");
                let (longest, refused_max) = bounds(form, counting, latency_ms, calls as u32);
                if outcome.refused_late > refused_max || outcome.took > ideal.mul_f64(longest) {
                    bad.push(line);
                }
            }
        }
    }
    assert!(bad.is_empty(), "{} bad:\n{}", bad.len(), bad.join("\n"));
}
