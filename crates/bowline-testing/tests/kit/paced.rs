//! Runs that wait for a rate limit.

use std::time::Duration;

use bowline::{Workflow, prelude::*};
use bowline_model::RunState;
use bowline_testing::TestApp;
use jiff::Timestamp;

struct Sync {
    crm: Api,
}

impl Sync {
    async fn one(self: Arc<Self>, cx: Context, number: u32) -> Result<()> {
        cx.step("create", self.crm.post("/contacts").json(&number)).await?;
        Ok(())
    }
}

const CALLS: usize = 100;
const SPAN: Duration = Duration::from_secs(100);
/// As documented: a tenth goes at once.
const BURST: usize = CALLS / 10;
const RUNS: usize = 200;

/// Two slots, and a limit of a hundred in a hundred seconds.
fn paced(one: &Workflow<Sync, u32, ()>) -> TestApp<Sync> {
    let app = App::new("paced", |setup| Sync {
        crm: setup.api("crm").base_url_env("CRM_BASE_URL").rate_limit(CALLS as u32, SPAN),
    });
    TestApp::new(app.concurrency(2).workflow(one.clone()))
}

fn in_state(app: &TestApp<Sync>, state: RunState) -> usize {
    app.runs().iter().filter(|run| run.state() == state).count()
}

/// The most requests in any span of the limit's length.
fn most_in_a_span(at: &[Timestamp]) -> usize {
    let within = |first: &Timestamp| at.iter().filter(|at| **at >= *first && **at < *first + SPAN).count();
    at.iter().map(within).max().unwrap_or_default()
}

fn times(app: &TestApp<Sync>) -> Vec<Timestamp> {
    app.mock("crm").requests().iter().map(|request| request.at).collect()
}

#[test]
fn two_hundred_runs_wait_for_a_limit_on_disk_hold_no_slot_and_end_in_time() {
    let one = workflow("one", Sync::one);
    let app = paced(&one);
    let begun = app.now();
    (0..RUNS as u32).for_each(|number| _ = app.start(&one, &number));
    app.settle();
    assert_eq!(app.mock("crm").count(), BURST);
    assert_eq!((in_state(&app, RunState::Waiting), in_state(&app, RunState::Running)), (RUNS - BURST, 0));

    app.advance(SPAN / 2);
    let sent = app.mock("crm").count();
    assert!((BURST + CALLS / 2 - 3..=BURST + CALLS / 2).contains(&sent), "{sent}");
    assert_eq!((in_state(&app, RunState::Waiting), in_state(&app, RunState::Running)), (RUNS - sent, 0));

    // The ideal is 190 s: the burst, then one a second.
    app.advance(SPAN.mul_f64(1.5));
    assert_eq!(in_state(&app, RunState::Completed), RUNS, "{} sent", app.mock("crm").count());
    let at = times(&app);
    assert_eq!(at.len(), RUNS);
    assert!(at[RUNS - 1].duration_since(begun).as_secs() <= 198, "{:?}", at[RUNS - 1].duration_since(begun));
    assert!(most_in_a_span(&at) <= CALLS, "{}", most_in_a_span(&at));
}

#[test]
fn a_crash_between_paced_runs_lets_no_more_than_another_first_burst_through() {
    let one = workflow("one", Sync::one);
    let app = paced(&one);
    let begun = app.now();
    (0..RUNS as u32).for_each(|number| _ = app.start(&one, &number));
    app.advance(SPAN / 2);
    let before = app.mock("crm").count();
    app.crash();
    app.settle();
    let after = app.mock("crm").count();
    assert!(after <= before + BURST, "{before} before, {after} after");
    app.advance(SPAN.mul_f64(1.6));
    assert_eq!(in_state(&app, RunState::Completed), RUNS, "{} sent", app.mock("crm").count());
    let at = times(&app);
    assert_eq!(at.len(), RUNS);
    assert!(at[RUNS - 1].duration_since(begun).as_secs() <= 205, "{:?}", at[RUNS - 1].duration_since(begun));
    assert!(most_in_a_span(&at) <= CALLS + BURST, "{}", most_in_a_span(&at));
}
