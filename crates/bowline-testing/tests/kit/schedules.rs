//! Schedules under test: time that skips makes them tick.

use bowline::{prelude::*, time::hours};
use bowline_model::RunState;
use bowline_testing::TestApp;

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
