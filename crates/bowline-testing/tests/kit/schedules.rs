//! Schedules under test: time that skips makes them tick.

use bowline::{prelude::*, time::hours};
use bowline_model::RunState;
use bowline_testing::{Answer, TestApp, every_crash_point};
use serde_json::json;

use crate::shop::Shop;

async fn report(_shop: Arc<Shop>, _cx: Context, tick: Tick) -> Result<String> {
    Ok(tick.at.to_string())
}

async fn slow(shop: Arc<Shop>, cx: Context, tick: Tick) -> Result<String> {
    cx.step("fetch", shop.crm.get("/report").decode::<serde_json::Value>()).await?;
    Ok(tick.at.to_string())
}

/// From 2026-09-21T12:00:00Z on.
fn scheduled<F, Fut>(schedule: Schedule, code: F) -> App<Shop>
where
    F: Fn(Arc<Shop>, Context, Tick) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<String>> + Send + 'static,
{
    App::new("shop", |setup| Shop {
        crm: setup.api("crm").base_url_env("CRM_BASE_URL"),
        mail: setup.api("mail").base_url_env("MAIL_BASE_URL"),
    })
    .schedule("nightly report", schedule, workflow("report", code))
}

fn outputs(runs: &[bowline_testing::TestRun<'_, Shop>]) -> Vec<String> {
    runs.iter().map(|run| run.output::<String>()).collect()
}

#[test]
fn a_schedule_ticks_at_its_times_as_time_skips() {
    let app = TestApp::new(scheduled(Schedule::cron("0 */6 * * *"), report));
    assert!(app.skip(minutes(359)).is_empty());
    let ticks =
        ["2026-09-21T18:00:00Z", "2026-09-22T00:00:00Z", "2026-09-22T06:00:00Z", "2026-09-22T12:00:00Z"];
    assert_eq!(outputs(&app.skip(hours(19))), ticks);
}

#[test]
fn an_interval_is_aligned_to_the_epoch() {
    let app = TestApp::new(scheduled(Schedule::every(minutes(25)), report));
    // 2026-09-21T12:00:00Z is 1,789,992,000 s: 25 minutes fit 1,193,328 times.
    let ticks = ["2026-09-21T12:25:00Z", "2026-09-21T12:50:00Z"];
    assert_eq!(outputs(&app.skip(hours(1))), ticks);
}

#[test]
fn every_moment_of_death_leaves_one_run_for_each_tick() {
    let app = || scheduled(Schedule::every(hours(1)).overlap(Overlap::Skip), report);
    let tried = every_crash_point(app, |app| {
        app.advance(hours(4));
        assert!(app.runs().iter().all(|run| run.state() == RunState::Completed), "{}", app.timelines());
        let ticks =
            ["2026-09-21T13:00:00Z", "2026-09-21T14:00:00Z", "2026-09-21T15:00:00Z", "2026-09-21T16:00:00Z"];
        assert_eq!(outputs(&app.runs()), ticks);
    });
    assert!(tried.moments >= 18, "{tried:?}");
}

/// A call that never ends, of which only the first run is caught.
#[test]
fn every_moment_of_death_leaves_one_open_run_where_the_old_one_is_cancelled() {
    let app = || scheduled(Schedule::every(hours(1)).overlap(Overlap::CancelOld), stuck);
    let tried = every_crash_point(app, |app| {
        app.mock("crm").answer(Answer::hang());
        app.advance(minutes(185));
        let states: Vec<RunState> = app.runs().iter().map(|run| run.state()).collect();
        assert_eq!(
            states,
            [RunState::Cancelled, RunState::Cancelled, RunState::Running],
            "{}",
            app.timelines()
        );
    });
    assert!(tried.moments >= 8, "{tried:?}");
}

#[test]
fn a_newer_tick_cancels_the_open_run_with_its_call() {
    let app = TestApp::new(scheduled(Schedule::every(hours(1)).overlap(Overlap::CancelOld), stuck));
    app.mock("crm").answer(Answer::hang());
    let first = app.skip(minutes(65)).remove(0);
    assert_eq!((first.state(), app.mock("crm").count()), (RunState::Running, 1));
    let second = app.skip(hours(1)).remove(0);
    assert_eq!((first.state(), second.state()), (RunState::Cancelled, RunState::Running));
    let timeline = first.timeline();
    assert!(timeline.contains("cancelled by the schedule \"nightly report\""), "{timeline}");
}

#[test]
fn queued_runs_go_one_at_a_time() {
    let app = TestApp::new(scheduled(Schedule::every(hours(1)), stuck));
    app.mock("crm").answer(Answer::ok(json!(1)).after(minutes(150)));
    let runs = app.skip(minutes(245));
    let states: Vec<RunState> = runs.iter().map(|run| run.state()).collect();
    assert_eq!(states, [RunState::Completed, RunState::Running, RunState::Queued, RunState::Queued]);
    app.advance(hours(8));
    assert!(runs[..4].iter().all(|run| run.state() == RunState::Completed), "{}", app.timelines());
    assert_eq!(
        app.mock("crm").count(),
        app.runs().iter().filter(|run| run.state() != RunState::Queued).count()
    );
}

#[test]
fn jitter_lets_a_run_begin_later_and_not_by_a_sweep() {
    let app = TestApp::new(scheduled(Schedule::every(hours(1)).jitter(minutes(10)), begun));
    let begun = outputs(&app.skip(minutes(75))).remove(0);
    // The clock of tests draws about half of what there is.
    let late =
        begun.parse::<jiff::Timestamp>().unwrap().duration_since("2026-09-21T13:00:00Z".parse().unwrap());
    assert!((299..=301).contains(&late.as_secs()), "{late:?}");
}

async fn begun(_shop: Arc<Shop>, cx: Context, _tick: Tick) -> Result<String> {
    Ok(cx.now().to_string())
}

async fn stuck(shop: Arc<Shop>, cx: Context, tick: Tick) -> Result<String> {
    let call = shop.crm.get("/report").decode::<serde_json::Value>();
    cx.step("fetch", call).attempt_timeout(hours(100)).await?;
    Ok(tick.at.to_string())
}

#[test]
fn a_crash_between_ticks_and_at_a_tick_starts_nothing_twice() {
    let app = TestApp::new(scheduled(Schedule::every(hours(1)), report));
    let mut all = app.skip(hours(2)).len();
    for _ in 0..4 {
        app.crash();
        all += app.skip(hours(1)).len();
        app.crash();
        app.crash();
        all += app.skip(hours(1)).len();
    }
    assert_eq!(all, 10);
    assert_eq!(app.runs().len(), 10);
}

#[test]
fn a_retry_waits_while_the_schedule_ticks() {
    let app = TestApp::new(scheduled(Schedule::every(hours(1)).overlap(Overlap::Skip), slow));
    app.mock("crm").fail_next(3, 503);
    let runs = app.skip(hours(3));
    assert_eq!(runs.len(), 3, "{}", app.timelines());
    assert!(runs.iter().all(|run| run.state() == RunState::Completed));
}
