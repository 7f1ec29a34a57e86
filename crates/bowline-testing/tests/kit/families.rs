//! Runs that start runs, at their limits: retries in a line, children that go on as others, many
//! of them, and cancels of all that.

use bowline::{Workflow, prelude::*};
use bowline_model::RunState;
use bowline_testing::{Answer, Match, TestApp};
use serde_json::{Value, json};

struct Desk {
    crm: Api,
}

/// Whose line it waits in.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Job {
    who: String,
}

fn job(who: &str) -> Job {
    Job { who: who.to_owned() }
}

impl Desk {
    async fn say(&self, cx: &Context, name: &str) -> Result<Value> {
        cx.step(name, self.crm.post(&format!("/{name}")).json(&json!({})).decode()).await
    }
}

/// Its own child, until the bottom.
async fn dig(_: Arc<Desk>, cx: Context, deep: u32) -> Result<u32> {
    if deep == 0 {
        return Ok(0);
    }
    Ok(1 + cx.child(&digger(), &(deep - 1)).await?)
}

fn digger() -> Workflow<Desk, u32, u32> {
    workflow("dig", dig)
}

/// A child that fails at first, in the line of its parent.
async fn parent(_: Arc<Desk>, cx: Context, job: Job) -> Result<Value> {
    cx.child(&fragile(), &job).await
}

async fn fail(desk: Arc<Desk>, cx: Context, _: Job) -> Result<Value> {
    desk.say(&cx, "fragile").await
}

fn fragile() -> Workflow<Desk, Job, Value> {
    workflow("fragile", fail).key_shared("who", |job: &Job| job.who.clone())
}

fn waiting_parent() -> Workflow<Desk, Job, Value> {
    workflow("parent", parent).key_shared("who", |job: &Job| job.who.clone())
}

/// Counts down, each time as another run, and then waits.
async fn count_down(desk: Arc<Desk>, cx: Context, n: u32) -> Result<u32> {
    desk.say(&cx, "count").await?;
    if n > 0 {
        return cx.continue_as(&(n - 1)).await;
    }
    cx.sleep(days(1)).await;
    desk.say(&cx, "late").await?;
    Ok(n)
}

fn counter() -> Workflow<Desk, u32, u32> {
    workflow("counter", count_down)
}

async fn wait_for_counter(_: Arc<Desk>, cx: Context, n: u32) -> Result<u32> {
    cx.child(&counter(), &n).await
}

/// One of an account that starts, by way of another workflow, one more of the account; and then calls.
async fn outer(desk: Arc<Desk>, cx: Context, deep: u32) -> Result<u32> {
    if deep > 0 {
        cx.child(&middle_of(), &(deep - 1)).await?;
    }
    desk.say(&cx, "account").await?;
    Ok(deep)
}

async fn middle(_: Arc<Desk>, cx: Context, deep: u32) -> Result<u32> {
    cx.child(&outer_of(1), &deep).await
}

fn outer_of(together: u32) -> Workflow<Desk, u32, u32> {
    workflow("outer", outer).key(|_| "account").key_concurrency(together)
}

fn middle_of() -> Workflow<Desk, u32, u32> {
    workflow("middle", middle)
}

async fn one(_: Arc<Desk>, _: Context, n: u32) -> Result<u32> {
    Ok(n)
}

fn single() -> Workflow<Desk, u32, u32> {
    workflow("one", one)
}

async fn fan_out(desk: Arc<Desk>, cx: Context, n: u32) -> Result<u32> {
    let all = cx
        .all(
            (0..n)
                .map(|n| {
                    let cx = &cx;
                    async move { cx.child(&single(), &n).await }
                })
                .collect::<Vec<_>>(),
        )
        .await?;
    desk.say(&cx, "sum").await?;
    Ok(all.iter().sum())
}

fn app() -> App<Desk> {
    App::new("desk", |setup| Desk { crm: setup.api("crm").base_url_env("CRM_BASE_URL") })
        .workflow(digger())
        .workflow(fragile())
        .workflow(waiting_parent())
        .workflow(counter())
        .workflow(workflow("waits", wait_for_counter))
        .workflow(single())
        .workflow(workflow("fan out", fan_out))
}

fn answers(app: &TestApp<Desk>) {
    app.mock("crm").answer(Answer::ok(json!("done")));
}

#[test]
fn a_retried_child_does_not_wait_behind_the_parent_that_waits_for_it() {
    let app = TestApp::new(app());
    app.mock("crm").answer(Answer::status(422));
    let run = app.start(&waiting_parent(), &job("ada"));
    app.advance(minutes(1));
    let child = app.dead().pop().expect("the child is a dead letter");
    answers(&app);
    app.retry(child.id());
    app.advance(minutes(5));
    assert_eq!(child.state(), RunState::Completed, "{}", app.timelines());
    assert_eq!(run.state(), RunState::Completed, "{}", app.timelines());
}

fn accounts(together: u32) -> impl Fn() -> App<Desk> + Sync {
    move || app().workflow(outer_of(together)).workflow(middle_of())
}

#[test]
fn a_run_goes_beside_those_of_its_key_that_wait_for_it_however_far_above() {
    for together in [1, 2, 3] {
        let app = TestApp::new(accounts(together)());
        answers(&app);
        let runs: Vec<_> = (0..5).map(|_| app.start(&outer_of(together), &3)).collect();
        app.advance(minutes(10));
        for run in runs {
            assert_eq!(run.state(), RunState::Completed, "{together} together: {}", app.timelines());
        }
        assert_eq!(app.mock("crm").count(), 5 * 4);
    }
}

#[test]
fn a_retried_run_goes_beside_those_of_its_key_that_wait_for_it_however_far_above() {
    for together in [1, 2] {
        let app = TestApp::new(accounts(together)());
        app.mock("crm")
            .when(Match::call("POST", "/account"))
            .times(together as usize)
            .answer(Answer::status(422));
        answers(&app);
        let runs: Vec<_> = (0..3).map(|_| app.start(&outer_of(together), &1)).collect();
        app.advance(minutes(1));
        for dead in app.dead() {
            app.retry(dead.id());
        }
        app.advance(minutes(10));
        for run in runs {
            assert_eq!(run.state(), RunState::Completed, "{together} together: {}", app.timelines());
        }
    }
}

#[test]
fn a_cancel_reaches_a_child_that_went_on_as_another_run() {
    let app = TestApp::new(app());
    answers(&app);
    let run = app.start(&workflow("waits", wait_for_counter), &2);
    app.advance(minutes(1));
    assert_eq!(app.mock("crm").count(), 3);
    app.cancel(run.id());
    app.advance(days(2));
    assert_eq!(run.state(), RunState::Cancelled);
    let open = app.runs().iter().filter(|run| run.state() == RunState::Completed).count();
    assert_eq!((open, app.mock("crm").count()), (2, 3), "{}", app.timelines());
}

#[test]
fn a_thousand_and_one_children_are_waited_for_with_one_slot() {
    let app = TestApp::new(app().concurrency(1));
    answers(&app);
    let run = app.start(&workflow("fan out", fan_out), &1001);
    assert_eq!(run.end().output::<u32>(), 1001 * 1000 / 2, "{}", run.timeline());
}

#[test]
fn children_of_children_need_one_slot() {
    let app = TestApp::new(app().concurrency(1));
    let run = app.start(&digger(), &50);
    assert_eq!(run.end().output::<u32>(), 50);
}
