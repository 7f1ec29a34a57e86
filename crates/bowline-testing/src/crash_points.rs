//! A scenario, run once for every moment at which the process could die: effects and results must stay the same.
//!
//! What comes in: an app, and what a test does with it. What goes out: nothing, or a panic that says which difference a
//! crash makes, where, and what to do. What must never happen here: a difference that a correct program may show, called a
//! finding.
//!
//! | Module | Story |
//! |---|---|
//! | `execution` | one execution, with a crash somewhere or with none |
//! | `effects` | what it did to the world |
//! | `same` | what may differ: times, random values and results that were recorded differently |
//! | `compare` | what differs all the same |
//! | `finding`, `diff` | how it is told |
//! | `wall` | another wall clock for the process that follows a crash |
//! | `hush` | panics that are findings are told once |

mod compare;
pub(crate) mod diff;
mod effects;
mod execution;
mod finding;
mod hush;
mod same;
mod wall;

use std::fmt::Debug;

use bowline::App;

use self::{
    compare::{compare, keys_reused, misplaced, outside_steps},
    execution::{Crash, execute},
    finding::Findings,
};
use crate::TestApp;

/// Executions that a short scenario gets at least, so that the next process finds several times of day.
const EXECUTIONS_MIN: usize = 12;
/// Executions of one crash point.
const ROUNDS_MAX: usize = 3;

/// How much was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CrashPoints {
    /// The moments at which the process died: before and after every commit of the undisturbed execution.
    pub moments: usize,
    /// How often the scenario was executed in all.
    pub executions: usize,
}

/// Executes the scenario without a crash, and then once for every moment at which the app's process could die: before and
/// after each commit. The next process goes on, with another wall clock. What the mock systems were asked for, how the runs
/// end and what the scenario returns must be the same.
///
/// Requests under one idempotency key are one effect, however often it was sent; mock systems answer a repeated key as they
/// did ([`MockSystem::remember_keys`](crate::MockSystem::remember_keys)). Values that a run records (`cx.now()`, `cx.uuid()`,
/// results of steps) may differ, and what is made of them. Expectations of mock systems count for nothing here.
///
/// The app's wall clock shows the time of the test, and after a crash another hour, day, month or year. What a mock system
/// answered and nobody had recorded is answered again, once, so that a scripted failure
/// ([`fail_next`](crate::MockSystem::fail_next)) is not used up by an attempt that died.
///
/// Not seen: what the app reads of files, statics and its process's id (the process that dies is a thread; its memory is
/// gone, but not the program's), time that passes on the monotonic clock, and calls to addresses that are no Api's. Which
/// of two steps ends first (`select!`, `join!` whose result tells) is open until it is recorded: give the mock systems
/// delays ([`Answer::after`](crate::Answer::after)), so that the order is settled.
///
/// The scenario sets up its mock systems and must not depend on anything outside: it runs dozens of times, each with a fresh
/// app.
///
/// ```
/// use bowline::prelude::*;
/// use bowline_testing::{Answer, TestApp, every_crash_point};
/// use serde_json::json;
///
/// struct Shop { crm: Api }
/// impl Shop {
///     async fn welcome(self: Arc<Self>, cx: Context, customer: serde_json::Value) -> Result {
///         cx.step("create contact", self.crm.post("/contacts").json(&customer)).await?;
///         Ok(())
///     }
/// }
/// fn app() -> App<Shop> {
///     App::new("shop", |setup| Shop { crm: setup.api("crm").base_url_env("CRM_BASE_URL") }).webhook(
///         "/webhooks/stripe",
///         Stripe::secret_env("STRIPE_WEBHOOK_SECRET").on("customer.created", workflow("welcome", Shop::welcome)),
///     )
/// }
///
/// let tried = every_crash_point(app, |app: &TestApp<Shop>| {
///     app.mock("crm").fail_next(1, 503);
///     let customer = json!({"email": "ada@example.com"});
///     app.send_event("/webhooks/stripe", "customer.created", customer).run().end().state()
/// });
/// assert!(tried.moments > 6);
/// ```
///
/// # Panics
/// If a crash makes a difference: says which, where, and what to do. If the scenario itself fails, or two executions
/// without a crash differ.
#[track_caller]
pub fn every_crash_point<S, T>(app: impl Fn() -> App<S>, scenario: impl Fn(&TestApp<S>) -> T) -> CrashPoints
where
    S: Send + Sync + 'static,
    T: PartialEq + Debug,
{
    let undisturbed = execute(app(), &scenario, &Crash::Never);
    let mut findings = Findings::default();
    for finding in keys_reused(&undisturbed).into_iter().chain(misplaced(&undisturbed)) {
        findings.add("without a crash", finding);
    }
    if !findings.is_empty() {
        panic!("{}", findings.text("before any crash"));
    }
    for finding in compare(&undisturbed, &execute(app(), &scenario, &Crash::Never)) {
        findings.add("without a crash: the second of two executions differs from the first", finding);
    }
    if !findings.is_empty() {
        panic!("{}", findings.text("before any crash: the scenario is not the same twice"));
    }
    for finding in outside_steps(&undisturbed) {
        findings.add("without a crash", finding);
    }
    let moments = undisturbed.moments;
    let rounds = EXECUTIONS_MIN.div_ceil(moments.max(1)).clamp(1, ROUNDS_MAX);
    for nth in 0..moments * rounds {
        let crash = Crash::At(nth % moments, wall::ahead(nth));
        let execution = execute(app(), &scenario, &crash);
        let Some(moment) = &execution.died else { continue };
        for finding in compare(&undisturbed, &execution) {
            findings.add(&format!("crash {moment}"), finding);
        }
    }
    if !findings.is_empty() {
        let wall = if wall::MOVES { "" } else { "; the wall clock could not be moved on this machine" };
        panic!("{}", findings.text(&format!("in {moments} crash points{wall}")));
    }
    CrashPoints { moments, executions: moments * rounds + 2 }
}
