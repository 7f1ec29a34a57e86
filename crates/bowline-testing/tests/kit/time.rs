//! Time stands still, and skips where nothing else can happen.

use std::time::Duration;

use bowline::prelude::*;
use bowline_model::RunState;
use bowline_testing::{Answer, Match, TestApp};
use serde_json::{Value, json};

use crate::{
    panic_of,
    shop::{Shop, order, shop},
};

async fn guess(shop: Arc<Shop>, cx: Context, _order: Value) -> Result<Option<Value>> {
    Ok(cx.step("guess age", shop.crm.get("/age").decode()).timeout(secs(3)).best_effort().await)
}

#[test]
fn a_remote_that_never_answers_is_given_up_when_time_has_passed() {
    let app = TestApp::new(shop(guess));
    app.mock("crm").answer(Answer::hang());
    let begun = app.now();
    let run = app.send_event("/webhooks/stripe", "order", order()).run().end();
    assert_eq!(run.output::<Option<Value>>(), None);
    assert_eq!(app.now().duration_since(begun).as_secs(), 3);
}

async fn create(shop: Arc<Shop>, cx: Context, order: Value) -> Result<Value> {
    cx.step("create contact", shop.crm.post("/contacts").json(&order).decode()).await
}

#[test]
fn a_slow_remote_answers_at_its_time_and_not_before() {
    let app = TestApp::new(shop(create));
    app.mock("crm").answer(Answer::ok(json!({"id": 1})).after(secs(8)));
    let run = app.send_event("/webhooks/stripe", "order", order()).run();
    assert_eq!(app.mock("crm").count(), 1);
    app.advance(secs(7));
    assert_eq!(run.state(), RunState::Running);
    app.advance(secs(1));
    assert_eq!(run.state(), RunState::Completed);
}

#[test]
fn retries_come_at_their_times() {
    let app = TestApp::new(shop(create));
    app.mock("crm").when(Match::any()).times(1).answer(Answer::status(429).header("retry-after", "3600"));
    app.mock("crm").fail_next(1, 503);
    let run = app.send_event("/webhooks/stripe", "order", order()).run();
    let begun = app.now();
    app.advance(minutes(59));
    assert_eq!((app.mock("crm").count(), run.state()), (1, RunState::Waiting));
    app.advance(minutes(2));
    assert_eq!((app.mock("crm").count(), run.state()), (3, RunState::Completed));
    assert_eq!(app.now().duration_since(begun).as_mins(), 61);
    let at = |nth: usize| app.mock("crm").requests()[nth].at.duration_since(begun).as_secs();
    assert_eq!((at(0), at(1)), (0, 3600));
}

#[test]
fn a_remote_that_is_down_for_a_day_makes_a_dead_letter_that_can_be_retried() {
    let app = TestApp::new(shop(create));
    app.mock("crm").go_down();
    let begun = app.now();
    let run = app.send_event("/webhooks/stripe", "order", order()).run().end();
    assert_eq!(run.state(), RunState::DeadLettered);
    assert!((18..=21).contains(&app.now().duration_since(begun).as_hours()), "{}", run.timeline());
    app.mock("crm").come_back().expect("its port is free");
    assert_eq!(app.retry(run.id()).end().state(), RunState::Completed);
}

async fn by_closure(shop: Arc<Shop>, cx: Context, order: Value) -> Result<Value> {
    cx.step("sync", async || shop.crm.post("/contacts").json(&order).decode().send().await).await
}

#[test]
fn a_closure_that_tries_again_by_itself_is_waited_for_by_the_clock() {
    let app = TestApp::new(shop(by_closure));
    app.mock("crm").fail_next(3, 503);
    app.mock("crm").answer(Answer::ok(json!({"id": 1})).after(secs(5)));
    let run = app.send_event("/webhooks/stripe", "order", order()).run().end();
    assert_eq!(run.output::<Value>()["id"], 1);
    assert_eq!(app.mock("crm").count(), 4);
}

async fn outside(shop: Arc<Shop>, cx: Context, order: Value) -> Result<Value> {
    let answer: Value = shop.crm.post("/contacts").json(&order).decode().send().await?;
    cx.step("mail", shop.mail.post("/mails")).await?;
    Ok(answer)
}

#[test]
fn a_call_outside_steps_is_waited_for_by_the_clock_too() {
    let app = TestApp::new(shop(outside));
    app.mock("crm").fail_next(2, 503);
    app.mock("crm").answer(Answer::ok(json!({"id": 1})).after(secs(5)));
    let run = app.send_event("/webhooks/stripe", "order", order()).run().end();
    assert_eq!(run.output::<Value>()["id"], 1);
}

async fn works_elsewhere(_shop: Arc<Shop>, cx: Context, _order: Value) -> Result<u64> {
    cx.step("count", async || {
        let counted = tokio::task::spawn_blocking(|| {
            let begun = std::sync::mpsc::channel::<()>();
            let _ = begun.1.recv_timeout(std::time::Duration::from_millis(80));
            17
        });
        Ok(counted.await?)
    })
    .attempt_timeout(secs(1))
    .await
}

#[test]
fn a_closure_that_works_in_real_time_is_waited_for_and_time_stands_still() {
    let app = TestApp::new(shop(works_elsewhere));
    let begun = app.now();
    let run = app.send_event("/webhooks/stripe", "order", order()).run().end();
    assert_eq!((run.output::<u64>(), app.now()), (17, begun));
}

async fn waits_for_nobody(_shop: Arc<Shop>, cx: Context, _order: Value) -> Result<()> {
    cx.step("wait", async || {
        std::future::pending::<()>().await;
        Ok(())
    })
    .attempt_timeout(secs(60))
    .retry(RetryPolicy::never())
    .await
}

#[test]
fn a_closure_that_hangs_is_given_up_when_the_test_moves_the_clock() {
    let app = TestApp::new(shop(waits_for_nobody));
    app.send_event("/webhooks/stripe", "order", order());
    app.advance(secs(61));
    assert_eq!(app.runs()[0].state(), RunState::DeadLettered);
}

#[test]
fn a_test_that_waits_for_what_never_comes_is_told_what() {
    let app = TestApp::new(shop(create));
    let reply = app.send_event("/webhooks/stripe", "order", order());
    let text = panic_of(|| app.run(bowline::RunId(99)).end().state());
    assert_eq!(text, "there is no run 99");
    assert_eq!(reply.run().end().state(), RunState::Completed);
}

#[test]
fn two_apps_have_each_their_own_time() {
    let (one, other) = (TestApp::new(shop(create)), TestApp::new(shop(create)));
    one.advance(days(40));
    assert_eq!(one.now().duration_since(other.now()).as_hours(), 960);
}

async fn sleeps_by_the_machines_clock(_shop: Arc<Shop>, cx: Context, _order: Value) -> Result<()> {
    #[allow(clippy::disallowed_methods, reason = "a workflow may do so by mistake")]
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    cx.step("end", async || Ok(())).await
}

#[test]
fn a_run_that_waits_for_something_of_its_own_is_waited_for_and_time_stands_still() {
    let app = TestApp::new(shop(sleeps_by_the_machines_clock));
    let begun = app.now();
    let run = app.send_event("/webhooks/stripe", "order", order()).run().end();
    assert_eq!((run.state(), app.now()), (RunState::Completed, begun));
}

#[allow(clippy::disallowed_methods, reason = "the machine's clock is what this is about")]
async fn tells_the_time(_shop: Arc<Shop>, cx: Context, _order: Value) -> Result<Vec<jiff::Timestamp>> {
    let here = cx.step("look", async || Ok(jiff::Timestamp::now())).await?;
    let blocking = || tokio::task::spawn_blocking(jiff::Timestamp::now);
    let there = cx.step("look elsewhere", async || Ok(blocking().await.expect("it does not panic"))).await?;
    Ok(vec![here, there])
}

#[test]
#[cfg(target_os = "linux")]
fn the_wall_clock_of_the_app_shows_the_tests_time() {
    let app = TestApp::new(shop(tells_the_time));
    let look =
        || app.send_event("/webhooks/stripe", "order", order()).run().end().output::<Vec<jiff::Timestamp>>();
    assert_eq!(look(), [app.now(), app.now()]);
    app.advance(secs(5400) + std::time::Duration::from_nanos(1));
    assert_eq!(look(), [app.now(), app.now()]);
    app.crash();
    assert_eq!(look(), [app.now(), app.now()]);
}

/// Longer than the test waits for what goes on elsewhere: a machine that is busy with something else.
const SLOW: Duration = Duration::from_millis(800);

async fn slowly(shop: Arc<Shop>, cx: Context, _: Value) -> Result<()> {
    for _ in 0..3 {
        // Nobody sends: the thread has no time for the run.
        let (_held, never) = std::sync::mpsc::channel::<()>();
        let _ = never.recv_timeout(SLOW);
        cx.step("look", shop.crm.get("/age")).await?;
        cx.sleep(hours(1)).await;
    }
    Ok(())
}

#[test]
fn no_time_passes_over_a_run_that_is_at_work_on_a_slow_machine() {
    let app = TestApp::new(shop(slowly));
    app.mock("crm").answer(Answer::ok(json!({})));
    let begun = app.now();
    let run = app.send_event("/webhooks/stripe", "order", order()).run();
    app.advance(hours(3));
    let asked =
        app.mock("crm").requests().iter().map(|request| request.at.duration_since(begun)).collect::<Vec<_>>();
    assert_eq!(asked.iter().map(|after| after.as_secs()).collect::<Vec<_>>(), [0, 3600, 7200]);
    assert_eq!(run.state(), RunState::Completed, "{}", run.timeline());
}
