//! How fast runs begin, which of them first, and workflows that stand still.

use bowline::prelude::*;
use bowline_model::RunState;
use bowline_testing::{TestApp, every_crash_point};
use jiff::Timestamp;

use super::{Desk, Order, Ship, calls, desk, order, ship, slow};

fn paced() -> Ship {
    workflow("ship", ship).rate(6, minutes(1))
}

/// When each run was begun, in seconds after the first.
fn begun(app: &TestApp<Desk>) -> Vec<i64> {
    let mut begun: Vec<Timestamp> = app.runs().iter().filter_map(|run| run.row().claimed_at).collect();
    begun.sort_unstable();
    begun.iter().map(|at| at.duration_since(begun[0]).as_secs()).collect()
}

#[test]
fn runs_begin_no_more_often_than_their_rate_whenever_the_process_dies() {
    let tried = every_crash_point(
        || desk(&paced()),
        |app| {
            for n in 1..=4 {
                app.start(&paced(), &order("ada", n));
            }
            app.advance(minutes(5));
            assert!(app.runs().iter().all(|run| run.state() == RunState::Completed), "{}", app.timelines());
            let mut packed: Vec<Timestamp> = app.runs().iter().map(|run| run.journal()[0].at).collect();
            packed.sort_unstable();
            for pair in packed.windows(2) {
                assert!(pair[1].duration_since(pair[0]).as_secs() >= 9, "{packed:?}");
            }
        },
    );
    assert!(tried.moments >= 12, "{tried:?}");
}

#[test]
fn each_key_has_its_own_pace_and_time_brings_the_next_without_polling() {
    let ship = workflow("ship", ship).rate_by(1, secs(20), |order: &Order| order.customer.clone());
    let app = TestApp::new(desk(&ship));
    for n in 1..=2 {
        app.start(&ship, &order("ada", n));
        app.start(&ship, &order("bob", n));
    }
    app.advance(secs(19));
    assert_eq!(calls(&app).into_values().collect::<Vec<_>>(), ["pack 1, send 1", "pack 1, send 1"]);
    app.advance(secs(2));
    assert_eq!(begun(&app), [0, 0, 20, 20]);
}

#[test]
fn higher_priority_goes_first_among_those_that_wait() {
    let ship =
        workflow("ship", ship).concurrency(1).priority_by(|order: &Order| if order.n == 3 { 5 } else { 0 });
    let app = TestApp::new(desk(&ship));
    slow(&app, secs(1));
    for n in 1..=3 {
        app.start(&ship, &order("ada", n));
    }
    app.advance(minutes(1));
    assert_eq!(calls(&app)["ada"], "pack 1, send 1, pack 3, send 3, pack 2, send 2");
}

#[test]
fn a_paused_workflow_stands_still_over_restarts_and_nobody_else_does() {
    let (ship, other) = (workflow("ship", ship), workflow("other", super::ship));
    let app = TestApp::new(desk(&ship).workflow(other.clone()));
    slow(&app, secs(2));
    let running = app.start(&ship, &order("ada", 1));
    app.pause_workflow("ship");
    app.advance(secs(10));
    assert_eq!(running.state(), RunState::Completed, "what runs goes on to its rest or end");
    let queued = app.start(&ship, &order("ada", 2));
    app.crash();
    app.advance(minutes(30));
    assert_eq!(queued.state(), RunState::Queued, "accepted, and not begun");
    assert_eq!(app.start(&other, &order("bob", 1)).end().state(), RunState::Completed);
    app.resume_workflow("ship");
    assert_eq!(queued.end().state(), RunState::Completed);
    assert_eq!(calls(&app)["ada"], "pack 1, send 1, pack 2, send 2");
}

async fn naps(desk: Arc<Desk>, cx: Context, order: Order) -> Result<u32> {
    cx.step("pack", desk.crm.post("/pack").json(&order)).await?;
    Ok(order.n)
}

#[test]
fn a_run_that_rests_stays_at_rest_while_its_workflow_is_paused() {
    let ship = workflow("ship", naps);
    let app = TestApp::new(desk(&ship));
    app.mock("crm").fail_next(1, 503);
    let run = app.start(&ship, &order("ada", 1));
    app.settle();
    assert_eq!(run.state(), RunState::Waiting);
    app.pause_workflow("ship");
    app.advance(minutes(30));
    assert_eq!((run.state(), app.mock("crm").count()), (RunState::Waiting, 1));
    app.resume_workflow("ship");
    assert_eq!(run.end().state(), RunState::Completed);
}

#[test]
fn a_workflow_that_the_app_does_not_have_is_not_paused() {
    let told = crate::panic_of(|| TestApp::new(desk(&paced())).pause_workflow("shpi"));
    assert!(told.contains("this app has no workflow shpi") && told.contains("it has ship"), "{told}");
}
