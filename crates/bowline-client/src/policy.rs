//! Whether a request may go now, per Api and account.
//!
//! What comes in: who asks, what answers said, the time. What goes out: a [`Permit`], or a [`Pause`] until a time at which
//! the same ticket goes without queueing again. What must never happen here: a call before the time that the remote asked
//! for, a limit that is exceeded by calls under way, a thousand who wait and come back in the same instant.
//!
//! | Module | Story |
//! |---|---|
//! | `line` | who came first goes first, though it goes away meanwhile |
//! | `gates` | all that must agree before a call goes |
//! | `declared` | rate limits that were declared |
//! | `headers`, `their_clock`, `learned` | rate limits that the remote tells |
//! | `start`, `throttle`, `ramp` | careful first calls; after a "too many" |
//! | `lanes` | so many at once |
//! | `budget` | how many calls may be repeated |
//! | `breaker` | a remote that fails is left alone |
//! | `permit` | the right to send, and what is learned while it is held |

mod breaker;
mod budget;
mod declared;
mod gates;
mod headers;
mod lanes;
mod learned;
mod line;
mod permit;
mod ramp;
#[cfg(test)]
mod simulation;
mod start;
mod their_clock;
mod throttle;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bowline_model::{Alerts, Clock};
use reqwest::header::HeaderMap;
use tokio::sync::Notify;

use self::{
    declared::RateLimit,
    gates::{Gates, Mark},
    line::{Line, Place},
};
use crate::Api;

pub(crate) use self::permit::Permit;
pub use self::{breaker::Breaker, budget::RetryBudget};

/// Waits up to this are slept through in memory; longer ones are the caller's.
const SHORT_WAIT_MAX: Duration = Duration::from_millis(100);
/// All that one ask sleeps in memory.
const SLEPT_MAX: Duration = Duration::from_secs(1);
/// Nobody waits longer for what another call is doing before it looks again.
const LOOK_MAX: Duration = Duration::from_secs(10);
/// Who cannot go now is not asked again earlier than this.
const WAIT_MIN: Duration = Duration::from_millis(2);

/// What is declared of an Api's limits.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    limits: Vec<RateLimit>,
    concurrency: Option<u32>,
    learns: bool,
    budget: Option<RetryBudget>,
    breaker: Option<Breaker>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            limits: vec![],
            concurrency: None,
            learns: true,
            budget: Some(RetryBudget::default()),
            breaker: Some(Breaker::default()),
        }
    }
}

/// How the remote wants to be called, and what happens when it fails.
///
/// All of this is kept per account, in memory; clones of an [`Api`] share it, and one with another setting begins anew. What
/// does not go now waits in line by the age of its call: up to a tenth of a second in memory, longer as a durable wait of
/// the step (which holds no slot), or asleep in [`send`](crate::Call::send).
impl Api {
    /// No more than that many calls in any span of that length. May be given several times, as for 100 a second and 10,000 a
    /// day; all of them hold.
    ///
    /// A tenth of the calls may go at once, the others follow evenly. What the remote tells of its limits is respected beside it.
    ///
    /// # Two limits
    /// ```
    /// use std::time::Duration;
    /// use bowline_client::Api;
    ///
    /// let crm = Api::new("crm")
    ///     .base_url("https://crm.example.com")
    ///     .rate_limit(100, Duration::from_secs(1))
    ///     .rate_limit(10_000, Duration::from_secs(24 * 3600));
    /// ```
    ///
    /// # Durability
    /// The count is this process's own. After a crash the next process begins with a first burst again: what was sent
    /// before and that burst (a tenth) may come within one span.
    pub fn rate_limit(self, calls: u32, per: Duration) -> Self {
        self.with(|settings| settings.rules.limits.push(RateLimit::new(calls, per, None)))
    }

    /// As [`rate_limit`](Api::rate_limit), with `burst` calls that may go at once: 1 for even intervals from the first call on.
    ///
    /// # Strictly even
    /// ```
    /// use std::time::Duration;
    /// use bowline_client::Api;
    ///
    /// let erp = Api::new("erp").base_url("https://erp.example.com").rate_limit_burst(5, Duration::from_secs(1), 1);
    /// ```
    pub fn rate_limit_burst(self, calls: u32, per: Duration, burst: u32) -> Self {
        self.with(|settings| settings.rules.limits.push(RateLimit::new(calls, per, Some(burst))))
    }

    /// Limits are declared only: what answers say of them in their headers is not looked at, but for a 429.
    ///
    /// # A remote whose headers are wrong
    /// ```
    /// let odd = bowline_client::Api::new("odd").base_url("https://odd.example.com").no_learned_limits();
    /// ```
    pub fn no_learned_limits(self) -> Self {
        self.with(|settings| settings.rules.learns = false)
    }

    /// No more than that many calls at once, at least one; a call counts until its answer is read. No limit unless set.
    ///
    /// # A slow remote
    /// ```
    /// let erp = bowline_client::Api::new("erp").base_url("https://erp.example.com").concurrency(4);
    /// ```
    pub fn concurrency(self, calls: u32) -> Self {
        self.with(|settings| settings.rules.concurrency = Some(calls))
    }

    /// How many calls may be repeated while the remote fails. [`RetryBudget::default`] unless set.
    ///
    /// # A small one
    /// ```
    /// use bowline_client::{Api, RetryBudget};
    ///
    /// let crm = Api::new("crm").base_url("https://crm.example.com").retry_budget(RetryBudget::new(20));
    /// ```
    pub fn retry_budget(self, budget: RetryBudget) -> Self {
        self.with(|settings| settings.rules.budget = Some(budget))
    }

    /// When the remote is left alone for a while. [`Breaker::default`] unless set. Opening raises an
    /// [alert](bowline_model::AlertKind::BreakerOpen).
    ///
    /// # Sooner
    /// ```
    /// use bowline_client::{Api, Breaker};
    ///
    /// let crm = Api::new("crm").base_url("https://crm.example.com").breaker(Breaker::default().failures_min(5));
    /// ```
    pub fn breaker(self, breaker: Breaker) -> Self {
        self.with(|settings| settings.rules.breaker = Some(breaker))
    }

    /// The remote is never left alone.
    ///
    /// # A remote that fails by habit
    /// ```
    /// let odd = bowline_client::Api::new("odd").base_url("https://odd.example.com").no_breaker();
    /// ```
    pub fn no_breaker(self) -> Self {
        self.with(|settings| settings.rules.breaker = None)
    }
}

/// How to wait for what another call has been doing for `age`: so long in memory, and then so long as the caller's durable
/// wait. Nobody knows when it will be done: it is looked at again when it took twice as long.
pub(crate) fn waits_for_another(age: Duration) -> (Duration, Duration) {
    let held = SLEPT_MAX.saturating_sub(age);
    (held, (age + held).min(LOOK_MAX))
}

/// The limits of one account of an Api.
pub(crate) struct Policy {
    shared: Arc<Shared>,
}

struct Shared {
    /// As people know it.
    name: String,
    alerts: Arc<dyn Alerts>,
    state: Mutex<State>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Pure but for the wakers of those who wait here.
struct State {
    gates: Gates,
    line: Line,
    /// Those who wait to repeat a call.
    repeating: Line,
}

/// Who asks.
pub(crate) struct Ask<'a> {
    /// The same over all attempts of one call.
    pub(crate) ticket: &'a str,
    /// Which attempt it is, from 1.
    pub(crate) attempt: u32,
    /// How long it may be kept waiting.
    pub(crate) patience: Duration,
}

/// Not now.
#[derive(Debug)]
pub(crate) struct Pause {
    pub(crate) wait: Duration,
    pub(crate) why: String,
}

/// What was seen of an attempt.
pub(crate) enum Seen<'a> {
    Answer { status: u16, headers: &'a HeaderMap },
    NotReached,
    Lost,
    TimedOut,
}

/// What became of an ask.
enum Answer {
    Go(Mark, Place),
    Wait { until: Duration, why: &'static str, wake: Option<Arc<Notify>> },
}

impl Policy {
    pub(crate) fn new(rules: &Rules, name: String, alerts: Arc<dyn Alerts>) -> Self {
        let state = State { gates: Gates::new(rules), line: Line::default(), repeating: Line::default() };
        Self { shared: Arc::new(Shared { name, alerts, state: Mutex::new(state) }) }
    }

    /// Waits for a short while if need be, by the clock.
    ///
    /// # Errors
    /// A longer wait. The place in line is kept: who asks again under the same ticket at that time goes.
    pub(crate) async fn admit(&self, ask: Ask<'_>, clock: &Arc<dyn Clock>) -> Result<Permit, Pause> {
        let mut waiting = Waiting { shared: &self.shared, clock, ticket: ask.ticket, until: None };
        let mut patience = ask.patience.min(SLEPT_MAX);
        loop {
            let now = clock.monotonic();
            let answer = self.shared.lock().ask(&ask, now);
            let (until, why, wake) = match answer {
                Answer::Go(mark, place) => {
                    waiting.until = None;
                    return Ok(Permit::new(self.shared.clone(), clock.clone(), mark, place));
                }
                Answer::Wait { until, why, wake } => (until, why, wake),
            };
            waiting.until = Some(until);
            let wait = until.saturating_sub(now).max(WAIT_MIN);
            let Some(wake) = wake.filter(|_| wait <= SHORT_WAIT_MAX && wait < patience) else {
                let why = format!("{why} ({})", self.shared.name);
                return Err(Pause { wait, why });
            };
            patience -= wait;
            tokio::select! {
                biased;
                () = wake.notified() => {}
                () = clock.sleep(wait) => {}
            }
        }
    }
}

impl State {
    fn ask(&mut self, ask: &Ask<'_>, now: Duration) -> Answer {
        let room = self.gates.room(now);
        let pays = ask.attempt > 1 && self.gates.budget.is_some();
        let Some(place) = self.line.enter(ask.ticket, now) else {
            let (until, why) = self.gates.time_of(nth(self.line.len()), now);
            return Answer::Wait { until, why, wake: None };
        };
        let paid_at = if pays { self.paid_at(ask.ticket, now) } else { now };
        if paid_at <= now && self.line.is_within(place, room) {
            self.line.go(place);
            if pays {
                self.pay(ask.ticket, now);
            }
            let mark = self.gates.take(pays, now);
            self.wake(now);
            return Answer::Go(mark, place);
        }
        let (until, why) = if self.line.is_within(place, room) {
            (now, "")
        } else {
            self.gates.time_of(nth(self.line.ahead(place)), now)
        };
        let (until, why) = if paid_at > until { (paid_at, "the retry budget to fill") } else { (until, why) };
        Answer::Wait { until, why, wake: self.line.waker(place) }
    }

    /// When the budget pays for one more repetition, of that ticket.
    fn paid_at(&mut self, ticket: &str, now: Duration) -> Duration {
        let Some(budget) = &self.gates.budget else { return now };
        let Some(place) = self.repeating.enter(ticket, now) else {
            return budget.time_of(nth(self.repeating.len()), now);
        };
        if self.repeating.is_within(place, budget.room(now)) {
            return now;
        }
        budget.time_of(nth(self.repeating.ahead(place)), now)
    }

    fn pay(&mut self, ticket: &str, now: Duration) {
        if let Some(place) = self.repeating.enter(ticket, now) {
            self.repeating.leave(place);
        }
        if let Some(budget) = &mut self.gates.budget {
            budget.take(now);
        }
    }

    /// Wakes those who can go now.
    fn wake(&mut self, now: Duration) {
        if self.line.len() > 0 {
            self.line.pass(now);
            self.line.wake(self.gates.room(now));
        }
    }

    /// Whoever waited here goes away.
    fn step_aside(&mut self, ticket: &str, due: Duration, now: Duration) {
        self.line.step_aside(ticket, due, now);
        self.repeating.step_aside(ticket, due, now);
        self.wake(now);
    }
}

/// Which one is next behind so many.
fn nth(ahead: usize) -> u32 {
    u32::try_from(ahead).unwrap_or(u32::MAX).saturating_add(1)
}

/// Someone who waits here. Going away, for whatever reason, it keeps its place until its time.
struct Waiting<'a> {
    shared: &'a Shared,
    clock: &'a Arc<dyn Clock>,
    ticket: &'a str,
    until: Option<Duration>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(until) = self.until {
            let now = self.clock.monotonic();
            self.shared.lock().step_aside(self.ticket, until.max(now), now);
        }
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
