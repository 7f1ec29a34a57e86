//! Runs of one key go in order.

use bowline::{OnDead, prelude::*};
use bowline_model::RunState;
use bowline_testing::{Answer, Match, TestApp, every_crash_point};
use serde_json::json;

use super::{Desk, Order, Ship, calls, desk, order, problems, ship, slow};

fn keyed() -> Ship {
    workflow("ship", ship).key(|order: &Order| order.customer.clone())
}

const IN_ORDER: &str = "pack 1, send 1, pack 2, send 2, pack 3, send 3";

#[test]
fn runs_of_a_key_go_in_order_and_other_keys_beside_them() {
    let ship = keyed();
    let app = TestApp::new(desk(&ship));
    slow(&app, secs(1));
    for n in 1..=3 {
        app.start(&ship, &order("ada", n));
        app.start(&ship, &order("bob", n));
    }
    let begun = app.now();
    app.runs().iter().for_each(|run| assert_eq!(run.end().state(), RunState::Completed));
    assert_eq!(calls(&app).into_values().collect::<Vec<_>>(), [IN_ORDER, IN_ORDER]);
    assert!(app.now().duration_since(begun).as_secs() <= 8, "the two went side by side");
}

#[test]
fn retries_keep_the_order() {
    let ship = keyed();
    let app = TestApp::new(desk(&ship));
    app.mock("crm").when(Match::body("/n", 1)).times(3).answer(Answer::status(503));
    for n in 1..=3 {
        app.start(&ship, &order("ada", n));
    }
    app.runs().iter().for_each(|run| assert_eq!(run.end().state(), RunState::Completed));
    let calls = calls(&app).remove("ada").unwrap();
    assert_eq!(calls, format!("pack 1, pack 1, pack 1, {IN_ORDER}"));
}

/// The first customer's second order fails for good; the crash comes anywhere.
fn fails_in_the_middle(on_dead: OnDead) -> impl Fn(&TestApp<Desk>) -> Vec<RunState> {
    move |app: &TestApp<Desk>| {
        let ship = keyed().on_dead(on_dead);
        app.mock("crm").when(Match::body("/n", 2)).times(1).answer(Answer::status(422));
        for n in 1..=3 {
            app.start(&ship, &order("ada", n));
        }
        app.advance(minutes(5));
        let states: Vec<RunState> = app.runs().iter().map(|run| run.state()).collect();
        assert_eq!(states[..2], [RunState::Completed, RunState::DeadLettered], "{}", app.timelines());
        app.retry(app.runs()[1].id());
        app.advance(minutes(5));
        app.runs().iter().for_each(|run| assert_eq!(run.state(), RunState::Completed));
        states
    }
}

#[test]
fn a_dead_letter_blocks_its_key_until_it_is_retried_whenever_the_process_dies() {
    let app = || desk(&keyed().on_dead(OnDead::Block));
    let tried = every_crash_point(app, |app| {
        let states = fails_in_the_middle(OnDead::Block)(app);
        assert_eq!(states[2], RunState::Queued);
        let calls = calls(app).remove("ada").unwrap();
        assert!(calls.rfind("send 2").unwrap() < calls.find("pack 3").unwrap(), "{calls}");
        states
    });
    assert!(tried.moments >= 12, "{tried:?}");
}

#[test]
fn a_dead_letter_lets_the_next_one_go_and_waits_for_its_turn_when_it_is_retried() {
    let app = TestApp::new(desk(&keyed()));
    let states = fails_in_the_middle(OnDead::Continue)(&app);
    assert_eq!(states[2], RunState::Completed);

    let ship = keyed();
    let app = TestApp::new(desk(&ship));
    app.mock("crm").when(Match::body("/n", 1)).times(1).answer(Answer::status(422));
    app.start(&ship, &order("ada", 1)).end();
    slow(&app, secs(8));
    app.start(&ship, &order("ada", 2));
    app.advance(secs(5));
    app.retry(app.runs()[0].id());
    app.advance(minutes(10));
    assert_eq!(calls(&app)["ada"], "pack 1, pack 2, send 2, pack 1, send 1");
}

#[test]
fn so_many_of_a_key_go_together_and_no_more() {
    let ship = keyed().key_concurrency(2);
    let app = TestApp::new(desk(&ship));
    slow(&app, secs(4));
    for n in 1..=5 {
        app.start(&ship, &order("ada", n));
    }
    for expected in [2, 2, 1] {
        let running = app.runs().iter().filter(|run| run.state() == RunState::Running).count();
        assert_eq!(running, expected, "{}", app.timelines());
        app.advance(secs(8));
    }
    let packed: Vec<_> =
        calls(&app)["ada"].split(", ").filter(|call| call.starts_with("pack")).map(str::to_owned).collect();
    assert_eq!(packed.len(), 5);
}

async fn refund(desk: Arc<Desk>, cx: Context, order: Order) -> Result<u32> {
    ship(desk, cx, order).await
}

#[test]
fn a_shared_key_orders_the_runs_of_several_workflows() {
    let by_customer = |order: &Order| order.customer.clone();
    let ship = workflow("ship", ship).key_shared("customer", by_customer);
    let refund = workflow("refund", refund).key_shared("customer", by_customer);
    let alone = workflow("alone", super::ship).key(by_customer);
    let app = TestApp::new(desk(&ship).workflow(refund.clone()).workflow(alone.clone()));
    slow(&app, secs(1));
    app.start(&ship, &order("ada", 1));
    app.start(&refund, &order("ada", 2));
    app.start(&alone, &order("ada", 9));
    let states: Vec<RunState> = app.runs().iter().map(|run| run.state()).collect();
    assert_eq!(states, [RunState::Running, RunState::Queued, RunState::Running]);
    app.advance(minutes(1));
    let calls = calls(&app).remove("ada").unwrap().replace(", pack 9", "").replace(", send 9", "");
    assert_eq!(calls, "pack 1, send 1, pack 2, send 2");
}

#[test]
fn an_input_that_cannot_be_read_is_a_dead_letter_and_holds_up_nobody() {
    let app = TestApp::new(
        App::new("desk", |setup| Desk { crm: setup.api("crm").base_url_env("CRM_BASE_URL") }).webhook(
            "/webhooks/stripe",
            Stripe::secret_env("STRIPE_WEBHOOK_SECRET").on("*", keyed().on_dead(OnDead::Block)),
        ),
    );
    let bad = app.send_event("/webhooks/stripe", "order", json!({"customer": "ada"})).run().end();
    assert_eq!((bad.state(), bad.row().key), (RunState::DeadLettered, None));
    let good = app.send_event("/webhooks/stripe", "order", order("ada", 1)).run().end();
    assert_eq!(good.state(), RunState::Completed);
    assert_eq!(good.row().key.as_deref().map(bowline_model::flow::shown_key), Some("ada"));
}

#[test]
fn a_key_function_that_panics_or_yields_too_much_makes_a_dead_letter_that_says_so() {
    let ship = workflow("ship", ship).key(|order: &Order| {
        assert!(order.n < 10, "no order is that large");
        order.customer.clone()
    });
    let app = TestApp::new(desk(&ship));
    for (bad, said) in
        [(order("ada", 10), "panicked"), (order(&"x".repeat(600), 1), "has 600 bytes (limit 512)")]
    {
        let run = app.start(&ship, &bad).end();
        assert_eq!(run.state(), RunState::DeadLettered);
        assert!(run.summary().unwrap().contains(said), "{:?}", run.summary());
    }
    assert_eq!(app.mock("crm").count(), 0, "nothing is done out of order");
}

#[test]
fn a_replay_waits_behind_the_others_of_its_key() {
    let ship = keyed();
    let app = TestApp::new(desk(&ship));
    let first = app.start(&ship, &order("ada", 1)).end();
    slow(&app, secs(5));
    app.start(&ship, &order("ada", 2));
    let replayed = app.replay(first.id());
    assert_eq!(replayed.state(), RunState::Queued);
    assert_eq!(replayed.end().state(), RunState::Completed);
    assert_eq!(calls(&app)["ada"], "pack 1, send 1, pack 2, send 2, pack 1, send 1");
}

#[test]
fn what_does_not_go_together_is_told_when_the_app_is_built() {
    let plain = || workflow("ship", ship);
    for (workflow, said) in [
        (
            plain().on_dead(OnDead::Block),
            "workflow ship says .on_dead(..) and has no key: add .key(..), or leave it out",
        ),
        (plain().key_concurrency(2), "says .key_concurrency(..) and has no key"),
        (keyed().key_concurrency(0), "says .key_concurrency(0): use 1 to 10000"),
        (
            keyed().key_shared("a", |order: &Order| order.n),
            "has two keys: leave one of .key(..) and .key_shared(..) out",
        ),
    ] {
        let told = problems(&workflow);
        assert!(told.contains(said), "{told}");
    }
}

async fn tick(_: Arc<Desk>, _: Context, tick: Tick) -> Result<String> {
    Ok(tick.at.to_string())
}

#[test]
fn a_schedules_workflow_has_no_key_of_its_own() {
    let told = crate::panic_of(|| {
        TestApp::new(desk(&keyed()).schedule(
            "nightly",
            Schedule::every(minutes(5)),
            workflow("tick", tick).key(|tick: &Tick| tick.schedule.clone()),
        ))
    });
    assert!(told.contains("schedule nightly orders its runs by its overlap"), "{told}");
}

async fn with_a_child(_: Arc<Desk>, cx: Context, order: Order) -> Result<u32> {
    let child = workflow("child", ship);
    cx.child(&child, &order).await
}

#[test]
fn a_child_of_the_same_key_goes_beside_its_parent_and_before_the_next() {
    let by_customer = |order: &Order| order.customer.clone();
    let child = workflow("child", ship).key_shared("customer", by_customer);
    let parent = workflow("parent", with_a_child).key_shared("customer", by_customer);
    let app = TestApp::new(desk(&child).workflow(parent.clone()));
    slow(&app, secs(1));
    for n in 1..=2 {
        app.start(&parent, &order("ada", n));
    }
    app.advance(minutes(1));
    app.runs().iter().for_each(|run| assert_eq!(run.state(), RunState::Completed, "{}", app.timelines()));
    assert_eq!(calls(&app)["ada"], "pack 1, send 1, pack 2, send 2");
}
