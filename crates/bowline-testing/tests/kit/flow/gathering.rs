//! Events of one key meet before a run begins: debounced, in batches, or kept to one.

use bowline::{Workflow, prelude::*};
use bowline_model::RunState;
use bowline_testing::{Answer, Match, TestApp, every_crash_point};
use serde_json::json;

use super::{Desk, Order, Ship, calls, desk, order, problems, ship, slow};

fn debounced() -> Ship {
    workflow("ship", ship).debounce(secs(10), |order: &Order| order.customer.clone())
}

fn states(app: &TestApp<Desk>) -> Vec<RunState> {
    app.runs().iter().map(|run| run.state()).collect()
}

#[test]
fn the_last_event_of_a_burst_counts_whenever_the_process_dies() {
    let tried = every_crash_point(
        || desk(&debounced()),
        |app| {
            let ship = debounced();
            for n in 1..=3 {
                app.start(&ship, &order("ada", n));
                app.start(&ship, &order("bob", n));
                app.advance(secs(4));
            }
            app.advance(minutes(1));
            let expected = [vec![RunState::Cancelled; 4], vec![RunState::Completed; 2]].concat();
            assert_eq!(states(app), expected, "{}", app.timelines());
            let first = app.runs()[0];
            assert_eq!(first.summary().as_deref(), Some("debounced: event 3 came"));
            assert!(first.timeline().contains("debounced: event 3 came"), "{}", first.timeline());
            let calls: Vec<String> = calls(app).into_values().collect();
            assert!(calls.iter().all(|calls| !calls.contains(" 1") && !calls.contains(" 2")), "{calls:?}");
        },
    );
    assert!(tried.moments >= 20, "{tried:?}");
}

#[test]
fn a_run_that_has_begun_is_never_replaced() {
    let ship = debounced();
    let app = TestApp::new(desk(&ship));
    slow(&app, secs(8));
    let first = app.start(&ship, &order("ada", 1));
    app.advance(secs(12));
    assert_eq!(first.state(), RunState::Running);
    let second = app.start(&ship, &order("ada", 2));
    assert_eq!((first.end().state(), second.end().state()), (RunState::Completed, RunState::Completed));
}

#[test]
fn a_burst_without_end_runs_after_its_longest_wait() {
    let ship = debounced().at_most(secs(25));
    let app = TestApp::new(desk(&ship));
    let begun = app.now();
    for n in 1..=8 {
        app.start(&ship, &order("ada", n));
        app.advance(secs(5));
    }
    let done: Vec<u32> =
        app.runs().iter().filter(|run| run.state() == RunState::Completed).map(|run| run.output()).collect();
    assert_eq!(done, [5], "{} after {begun}: {}", app.now(), app.timelines());
    app.advance(minutes(1));
    assert_eq!(calls(&app)["ada"], "pack 5, send 5, pack 8, send 8");
}

async fn book(desk: Arc<Desk>, cx: Context, orders: Vec<Order>) -> Result<Vec<u32>> {
    cx.step("book", desk.crm.post("/book").json(&orders)).await?;
    Ok(orders.into_iter().map(|order| order.n).collect())
}

fn batched() -> Workflow<Desk, Order, Vec<u32>> {
    workflow("book", book).batch(3, minutes(1)).key(|order: &Order| order.customer.clone())
}

fn books(workflow: &Workflow<Desk, Order, Vec<u32>>) -> App<Desk> {
    App::new("desk", |setup| Desk { crm: setup.api("crm").base_url_env("CRM_BASE_URL") })
        .webhook("/webhooks/stripe", Stripe::secret_env("STRIPE_WEBHOOK_SECRET").on("*", workflow.clone()))
}

#[test]
fn a_batch_is_one_run_of_several_events_whenever_the_process_dies() {
    let tried = every_crash_point(
        || books(&batched()),
        |app| {
            app.mock("crm").when(Match::any()).times(1).answer(Answer::status(503));
            let batch = batched();
            for n in 1..=4 {
                app.start(&batch, &order("ada", n));
            }
            app.start(&batch, &order("bob", 9));
            app.advance(minutes(2));
            let outputs: Vec<Vec<u32>> = app.runs().iter().map(|run| run.output()).collect();
            assert_eq!(outputs, [vec![1, 2, 3], vec![4], vec![9]], "{}", app.timelines());
            outputs
        },
    );
    assert!(tried.moments >= 16, "{tried:?}");
}

#[test]
fn events_of_a_batch_are_stored_and_recognised_one_by_one() {
    let app = TestApp::new(books(&batched()));
    let first = app.send_event("/webhooks/stripe", "order", order("ada", 1));
    let second = app.send_event("/webhooks/stripe", "order", order("ada", 2));
    assert_eq!(first.run().id(), second.run().id(), "each says which run took it");
    assert_eq!(second.again().run().id(), first.run().id());
    let bad = app.send_event("/webhooks/stripe", "order", json!({"customer": "ada"})).run();
    assert_eq!(bad.end().state(), RunState::DeadLettered, "it is in no batch");
    app.advance(minutes(2));
    assert_eq!(first.run().output::<Vec<u32>>(), [1, 2], "a redelivery counts once");
    let replayed = app.replay(first.run().id()).end();
    assert_eq!(replayed.output::<Vec<u32>>(), [1, 2], "a replay is of the whole batch");
}

fn unique() -> Ship {
    workflow("ship", ship).unique(|order: &Order| order.customer.clone())
}

#[test]
fn one_run_of_a_unique_key_is_open_at_a_time_whenever_the_process_dies() {
    every_crash_point(
        || desk(&unique()),
        |app| {
            let ship = unique();
            slow(app, secs(1));
            for n in 1..=2 {
                app.start(&ship, &order("ada", n));
            }
            let late = app.runs()[1];
            assert_eq!(
                (late.state(), late.summary().as_deref()),
                (RunState::Cancelled, Some("unique: run 1 is open"))
            );
            app.advance(minutes(1));
            assert_eq!(app.start(&ship, &order("ada", 3)).end().state(), RunState::Completed);
            assert_eq!(states(app), [RunState::Completed, RunState::Cancelled, RunState::Completed]);
        },
    );
}

/// Goes on as another run, and then waits for a child; all of its own key.
async fn in_parts(desk: Arc<Desk>, cx: Context, order: Order) -> Result<u32> {
    let next = Order { n: order.n.saturating_sub(1), ..order.clone() };
    match order.n {
        2.. => cx.continue_as(&next).await,
        1 => cx.child(&parts(), &next).await,
        0 => ship(desk, cx, order).await,
    }
}

fn parts() -> Ship {
    workflow("in parts", in_parts).unique(|order: &Order| order.customer.clone())
}

#[test]
fn a_run_of_a_unique_key_does_not_stand_in_the_way_of_those_that_it_starts() {
    let app = TestApp::new(desk(&parts()));
    app.start(&parts(), &order("ada", 3));
    app.advance(minutes(1));
    assert_eq!(states(&app), [RunState::Completed; 4], "{}", app.timelines());
    assert_eq!(calls(&app)["ada"], "pack 0, send 0");
}

#[test]
fn what_does_not_gather_is_told_when_the_app_is_built() {
    let plain = || workflow("ship", ship);
    let by = |order: &Order| order.customer.clone();
    for (workflow, said) in [
        (debounced().unique(by), "says .debounce(..) and .unique(..), which do not go together"),
        (debounced().at_most(secs(5)), "says .at_most(..) with less than its quiet time"),
        (
            plain().at_most(secs(5)),
            "says .at_most(..) and is not debounced: add .debounce(..), or leave it out",
        ),
        (plain().debounce(secs(0), by), "says .debounce(0ns, ..): use a quiet time of up to a year"),
        (plain().rate(0, secs(1)), "begins 0 runs in 1s: use at least one run"),
        (plain().rate(1, secs(1)).rate_by(1, secs(1), by), "has two paces"),
    ] {
        let told = problems(&workflow);
        assert!(told.contains(said), "{told}");
    }
    let batch = || workflow("book", book).batch(20_000, secs(1)).unique(by);
    let told = crate::panic_of(|| TestApp::new(books(&batch())));
    assert!(told.contains("says .batch(20000, 1s): use 1 to 10000 events"), "{told}");
    assert!(told.contains("says .batch(..) and .unique(..), which do not go together"), "{told}");
    let late = workflow("book", book).priority(1).batch(2, secs(1));
    let told = crate::panic_of(|| TestApp::new(books(&late)));
    assert!(told.contains("says .batch(..) after other rules: say it first"), "{told}");
}
