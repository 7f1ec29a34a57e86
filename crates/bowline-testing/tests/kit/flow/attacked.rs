//! Flow control under operators, children and crashes: what is retried, replayed, cancelled, paused.

use bowline::{OnDead, Workflow, prelude::*};
use bowline_model::RunState;
use bowline_testing::{Answer, Match, TestApp, every_crash_point};
use serde_json::json;

use super::{Desk, Order, Ship, calls, desk, order, ship, slow};

fn by_customer(order: &Order) -> String {
    order.customer.clone()
}

#[test]
fn a_run_that_got_no_key_is_not_let_in_beside_its_key_by_a_retry() {
    let ship = workflow("ship", ship).key(|order: &Order| {
        assert!(order.n < 10, "no order is that large");
        order.customer.clone()
    });
    let app = TestApp::new(desk(&ship));
    let bad = app.start(&ship, &order("ada", 10)).end();
    assert_eq!(bad.state(), RunState::DeadLettered);
    let again = app.retry(bad.id()).end();
    assert_eq!(again.state(), RunState::DeadLettered, "{}", app.timelines());
    assert!(again.summary().unwrap().contains("panicked"), "{:?}", again.summary());
    assert_eq!(app.mock("crm").count(), 0, "nothing is done out of order");
}

#[test]
fn a_run_that_got_no_key_gets_it_with_the_retry_once_its_rule_is_mended() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let is_mended = Arc::new(AtomicBool::new(false));
    let mended = is_mended.clone();
    let ship = workflow("ship", ship).key(move |order: &Order| {
        assert!(order.n < 10 || mended.load(Ordering::SeqCst), "no order is that large");
        order.customer.clone()
    });
    let app = TestApp::new(desk(&ship));
    let bad = app.start(&ship, &order("ada", 10)).end();
    assert_eq!((bad.state(), bad.row().key), (RunState::DeadLettered, None));
    is_mended.store(true, Ordering::SeqCst);
    slow(&app, secs(1));
    app.start(&ship, &order("ada", 1));
    app.settle();
    app.retry(bad.id());
    assert_eq!(bad.state(), RunState::Queued, "{}", app.timelines());
    app.advance(minutes(1));
    assert_eq!(calls(&app)["ada"], "pack 1, send 1, pack 10, send 10");
}

#[test]
fn a_retried_dead_letter_does_not_wait_for_a_batch_that_gathers() {
    let book = batched(3, days(1)).key(by_customer);
    let app = TestApp::new(books(&book));
    app.mock("crm").when(Match::any()).times(1).answer(Answer::status(422));
    let first = app.start(&book, &order("ada", 1));
    app.advance(days(1));
    assert_eq!(first.state(), RunState::DeadLettered);
    let second = app.start(&book, &order("ada", 2));
    app.settle();
    app.retry(first.id());
    app.advance(minutes(1));
    assert_eq!(first.state(), RunState::Completed, "{}", app.timelines());
    app.advance(days(1));
    assert_eq!(second.state(), RunState::Completed, "{}", app.timelines());
}

#[test]
fn a_retried_dead_letter_does_not_wait_for_the_pace_of_who_has_not_begun() {
    let ship = workflow("ship", ship).key(by_customer).rate(1, hours(1));
    let app = TestApp::new(desk(&ship));
    app.mock("crm").when(Match::any()).times(1).answer(Answer::status(422));
    let first = app.start(&ship, &order("ada", 1)).end();
    assert_eq!(first.state(), RunState::DeadLettered);
    let second = app.start(&ship, &order("ada", 2));
    app.settle();
    app.retry(first.id());
    app.advance(minutes(1));
    assert_eq!(
        (first.state(), second.state()),
        (RunState::Completed, RunState::Queued),
        "{}",
        app.timelines()
    );
    app.advance(hours(1));
    assert_eq!(second.state(), RunState::Completed);
}

async fn book(desk: Arc<Desk>, cx: Context, orders: Vec<Order>) -> Result<Vec<u32>> {
    cx.step("book", desk.crm.post("/book").json(&orders)).await?;
    Ok(orders.into_iter().map(|order| order.n).collect())
}

fn batched(events_max: u32, wait: std::time::Duration) -> Workflow<Desk, Order, Vec<u32>> {
    workflow("book", book).batch(events_max, wait)
}

fn books(workflow: &Workflow<Desk, Order, Vec<u32>>) -> App<Desk> {
    App::new("desk", |setup| Desk { crm: setup.api("crm").base_url_env("CRM_BASE_URL") })
        .webhook("/webhooks/stripe", Stripe::secret_env("STRIPE_WEBHOOK_SECRET").on("*", workflow.clone()))
}

#[test]
fn a_batch_that_waits_and_is_cancelled_takes_no_more_and_says_what_it_had() {
    every_crash_point(
        || books(&batched(3, minutes(1))),
        |app| {
            let first = app.send_event("/webhooks/stripe", "order", order("ada", 1));
            app.send_event("/webhooks/stripe", "order", order("ada", 2));
            let run = first.run().id();
            app.cancel(run);
            let third = app.send_event("/webhooks/stripe", "order", order("ada", 3));
            assert_ne!(third.run().id(), run);
            assert_eq!(first.again().run().id(), run, "a redelivery starts nothing");
            app.advance(minutes(2));
            let states: Vec<RunState> = app.runs().iter().map(|run| run.state()).collect();
            assert_eq!(states, [RunState::Cancelled, RunState::Completed], "{}", app.timelines());
            assert_eq!(third.run().output::<Vec<u32>>(), [3]);
        },
    );
}

#[test]
fn a_batch_keeps_its_events_over_a_retry_and_its_replay_takes_no_others() {
    every_crash_point(
        || books(&batched(2, minutes(1))),
        |app| {
            app.mock("crm").when(Match::any()).times(1).answer(Answer::status(422));
            let sent = [1, 2].map(|n| app.send_event("/webhooks/stripe", "order", order("ada", n)));
            let run = sent[0].run().id();
            app.settle();
            assert_eq!(app.run(run).state(), RunState::DeadLettered);
            assert_eq!(sent[1].again().run().id(), run, "a redelivery starts nothing");
            let waiting = app.send_event("/webhooks/stripe", "order", order("ada", 3));
            app.retry(run);
            let replay = app.replay(run).id();
            app.settle();
            assert_eq!(app.run(run).output::<Vec<u32>>(), [1, 2], "{}", app.timelines());
            assert_eq!(app.run(replay).output::<Vec<u32>>(), [1, 2]);
            let fourth = app.send_event("/webhooks/stripe", "order", order("ada", 4));
            assert_eq!(fourth.run().id(), waiting.run().id(), "the replay has not closed the open batch");
            app.settle();
            assert_eq!(waiting.run().output::<Vec<u32>>(), [3, 4]);
        },
    );
}

#[test]
fn a_batch_of_a_paused_workflow_goes_on_gathering_and_goes_when_it_is_resumed() {
    let book = batched(3, minutes(1));
    let app = TestApp::new(books(&book));
    app.pause_workflow("book");
    let first = app.start(&book, &order("ada", 1));
    app.advance(minutes(5));
    let ids: Vec<_> = (2..=4).map(|n| app.start(&book, &order("ada", n)).id()).collect();
    assert_eq!((ids[0], ids[1]), (first.id(), first.id()));
    assert_ne!(ids[2], first.id(), "it never holds more than it may");
    app.advance(minutes(5));
    app.crash();
    assert_eq!(first.state(), RunState::Queued);
    app.resume_workflow("book");
    app.settle();
    assert_eq!(first.output::<Vec<u32>>(), [1, 2, 3]);
    assert_eq!(app.run(ids[2]).output::<Vec<u32>>(), [4]);
}

#[test]
fn the_time_of_a_batch_survives_a_restart() {
    let book = batched(3, minutes(1));
    let app = TestApp::new(books(&book));
    let run = app.start(&book, &order("ada", 1));
    app.advance(secs(50));
    app.crash();
    app.advance(secs(9));
    assert_eq!(run.state(), RunState::Queued);
    app.advance(secs(2));
    assert_eq!(run.output::<Vec<u32>>(), [1]);
}

#[test]
fn a_unique_key_is_free_again_after_every_kind_of_end() {
    let ship = workflow("ship", ship).unique(by_customer);
    let app = TestApp::new(desk(&ship));
    let late = |n| app.start(&ship, &order("ada", n));
    slow(&app, secs(1));
    let cancelled = late(1);
    assert_eq!(late(2).state(), RunState::Cancelled);
    app.cancel(cancelled.id());
    app.advance(secs(5));
    assert_eq!(late(3).end().state(), RunState::Completed, "after a cancel and after a completion");
    app.mock("crm").when(Match::body("/n", 4)).times(1).answer(Answer::status(422));
    let dead = late(4).end();
    assert_eq!(dead.state(), RunState::DeadLettered);
    let beside = late(5);
    app.settle();
    let refused = crate::panic_of(|| app.retry(dead.id()));
    assert!(refused.contains("the unique key of run"), "{refused}");
    let replayed = app.replay(dead.id());
    assert_eq!(replayed.state(), RunState::Cancelled, "a replay is no exception");
    assert_eq!(beside.end().state(), RunState::Completed);
    assert_eq!(app.retry(dead.id()).end().state(), RunState::Completed);
    app.mock("crm").when(Match::body("/n", 6)).times(1).answer(Answer::status(422));
    let dead = late(6).end();
    app.discard(dead.id());
    assert_eq!(late(7).end().state(), RunState::Completed);
}

#[test]
fn a_dead_letter_that_blocks_lets_go_when_it_is_discarded_and_a_replay_waits_behind() {
    every_crash_point(
        || desk(&workflow("ship", ship).key(by_customer).on_dead(OnDead::Block)),
        |app| {
            let ship = workflow("ship", ship).key(by_customer).on_dead(OnDead::Block);
            app.mock("crm").when(Match::body("/n", 1)).times(1).answer(Answer::status(422));
            let first = app.start(&ship, &order("ada", 1)).id();
            app.settle();
            app.start(&ship, &order("ada", 2));
            let replayed = app.replay(first).id();
            app.advance(minutes(1));
            let states = |app: &TestApp<Desk>| app.runs().iter().map(|run| run.state()).collect::<Vec<_>>();
            assert_eq!(states(app), [RunState::DeadLettered, RunState::Queued, RunState::Queued]);
            app.discard(first);
            app.advance(minutes(1));
            assert_eq!(app.run(replayed).state(), RunState::Completed);
            // A crash may send a call again.
            let calls = calls(app).remove("ada").unwrap();
            assert!(calls.rfind("send 2") < calls.rfind("pack 1"), "{calls}");
        },
    );
}

#[test]
fn priority_does_not_change_the_order_within_a_key() {
    let ship: Ship = workflow("ship", ship)
        .key(by_customer)
        .concurrency(1)
        .priority_by(|order: &Order| i16::try_from(order.n).unwrap_or(i16::MAX));
    let app = TestApp::new(desk(&ship));
    slow(&app, secs(1));
    for n in 1..=3 {
        app.start(&ship, &order("ada", n));
    }
    app.start(&ship, &order("bob", 9));
    app.advance(minutes(1));
    assert_eq!(calls(&app)["ada"], "pack 1, send 1, pack 2, send 2, pack 3, send 3");
    let asked: Vec<String> =
        app.mock("crm").requests().iter().map(|r| r.decode::<Order>().customer).collect();
    assert_eq!(asked[..4], ["ada", "ada", "bob", "bob"]);
}

#[test]
fn keys_may_be_anything_that_is_short_enough() {
    let ship = workflow("ship", ship).key(by_customer);
    let app = TestApp::new(desk(&ship));
    slow(&app, secs(1));
    let odd = ["", " ", "ß\u{1f}ß", "\0", "'; DROP TABLE run; --", &"k".repeat(512), "🦀"];
    for key in odd {
        app.start(&ship, &order(key, 1));
        app.start(&ship, &order(key, 2));
    }
    app.advance(minutes(1));
    for key in odd {
        assert_eq!(calls(&app)[key], "pack 1, send 1, pack 2, send 2", "{key:?}");
    }
    let long = app.start(&ship, &order(&"é".repeat(5_000), 1)).end();
    assert!(long.summary().unwrap().contains("has 10000 bytes (limit 512)"), "{:?}", long.summary());
}

async fn fans_out(_: Arc<Desk>, cx: Context, order: Order) -> Result<(Vec<u32>, Vec<u32>)> {
    let other = Order { n: order.n + 1, ..order.clone() };
    let first = cx.child(&batched_child(), &vec![order]).key(1);
    let second = cx.child(&batched_child(), &vec![other]).key(2);
    let (first, second) = futures_util::join!(first.into_future(), second.into_future());
    Ok((first?, second?))
}

fn batched_child() -> Workflow<Desk, Vec<Order>, Vec<u32>> {
    workflow("child", book)
}

#[test]
fn a_child_while_its_workflow_is_paused_waits_and_its_parents_deadline_holds() {
    let parent = workflow("parent", fans_out).deadline(hours(1));
    let app = TestApp::new(
        App::new("desk", |setup| Desk { crm: setup.api("crm").base_url_env("CRM_BASE_URL") })
            .workflow(parent.clone())
            .workflow(batched_child()),
    );
    app.pause_workflow("child");
    let early = app.start(&parent, &order("ada", 1));
    let late = app.start(&parent, &order("bob", 1));
    app.advance(minutes(30));
    assert_eq!(early.state(), RunState::Waiting);
    app.cancel(early.id());
    app.advance(minutes(1));
    let children: Vec<RunState> =
        app.runs().iter().filter(|run| run.row().parent == Some(early.id())).map(|run| run.state()).collect();
    assert_eq!(children, [RunState::Cancelled; 2], "a cancel reaches the children of a paused workflow");
    app.advance(hours(1));
    assert_eq!(late.state(), RunState::DeadLettered, "{}", app.timelines());
    app.resume_workflow("child");
    app.settle();
    assert_eq!(app.retry(late.id()).end().output::<(Vec<u32>, Vec<u32>)>(), (vec![1], vec![2]));
}

#[test]
fn a_run_that_has_not_begun_is_judged_by_its_deadline_when_it_may_begin() {
    let ship = workflow("ship", ship).deadline(hours(1));
    let app = TestApp::new(desk(&ship));
    app.pause_workflow("ship");
    let run = app.start(&ship, &order("ada", 1));
    app.advance(hours(3));
    assert_eq!(run.state(), RunState::Queued, "{}", run.timeline());
    app.resume_workflow("ship");
    app.settle();
    assert_eq!(run.dead_reason().map(|reason| reason.as_str()), Some("deadline"), "{}", run.timeline());
    assert_eq!(app.mock("crm").count(), 0, "it ends before its first step");
}

#[test]
fn a_run_of_a_paused_workflow_is_cancelled_at_once() {
    let ship = workflow("ship", ship).key(by_customer).rate(1, hours(1));
    let app = TestApp::new(desk(&ship));
    app.pause_workflow("ship");
    let runs: Vec<_> = (1..=3).map(|n| app.start(&ship, &order("ada", n))).collect();
    app.cancel(runs[0].id());
    app.cancel(runs[2].id());
    app.settle();
    assert_eq!((runs[0].state(), runs[2].state()), (RunState::Cancelled, RunState::Cancelled));
    app.resume_workflow("ship");
    app.settle();
    assert_eq!(runs[1].state(), RunState::Completed, "{}", app.timelines());
}

async fn undoable(desk: Arc<Desk>, cx: Context, order: Order) -> Result<u32> {
    let crm = desk.crm.clone();
    cx.step("pack", desk.crm.post("/pack").json(&order))
        .undo(move |_| crm.post("/unpack").json(&json!({"customer": "ada", "n": 1})))
        .await?;
    cx.sleep(days(1)).await;
    Ok(order.n)
}

#[test]
fn a_cancelled_run_of_a_paused_workflow_is_undone_when_it_is_resumed() {
    let ship = workflow("ship", undoable);
    let app = TestApp::new(desk(&ship));
    let run = app.start(&ship, &order("ada", 1));
    app.settle();
    app.pause_workflow("ship");
    app.cancel(run.id());
    app.advance(minutes(1));
    assert_eq!((run.state(), app.mock("crm").count()), (RunState::Queued, 1), "a pause sends nothing");
    app.resume_workflow("ship");
    assert_eq!(run.end().state(), RunState::Cancelled, "{}", app.timelines());
    assert_eq!(calls(&app)["ada"], "pack 1, unpack 1");
}

async fn tick(_: Arc<Desk>, _: Context, tick: Tick) -> Result<String> {
    Ok(tick.at.to_string())
}

#[test]
fn ticks_of_a_paused_workflow_are_counted_and_come_when_it_is_resumed() {
    let app = TestApp::new(
        App::new("desk", |setup| Desk { crm: setup.api("crm").base_url_env("CRM_BASE_URL") }).schedule(
            "often",
            Schedule::every(minutes(5)),
            workflow("tick", tick),
        ),
    );
    app.advance(minutes(6));
    let before = app.runs().len();
    app.pause_workflow("tick");
    app.advance(minutes(15));
    let ticks = app.runs();
    println!("{before} before, {} after: {}", ticks.len(), app.timelines());
    app.resume_workflow("tick");
    app.advance(secs(1));
    assert!(app.runs().iter().all(|run| run.state() == RunState::Completed), "{}", app.timelines());
}

#[test]
fn many_who_waited_for_a_resume_begin_within_their_limits() {
    let ship = workflow("ship", ship).concurrency(3);
    let app = TestApp::new(desk(&ship));
    slow(&app, secs(1));
    app.pause_workflow("ship");
    for n in 0..60 {
        app.start(&ship, &order(&format!("c{n}"), n));
    }
    app.resume_workflow("ship");
    for _ in 0..8 {
        app.settle();
        let running = app.runs().iter().filter(|run| run.state() == RunState::Running).count();
        assert_eq!(running, 3);
        app.advance(secs(1));
    }
}
