//! Runs that start runs, at their limits: retries in a line, children that go on as others, many
//! of them, and cancels of all that.

use bowline::{Workflow, prelude::*};
use bowline_model::RunState;
use bowline_testing::{Answer, Match, TestApp, every_crash_point};
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

impl Desk {
    async fn undoable(&self, cx: &Context, name: &str) -> Result<Value> {
        let undo = |_: &Value| self.crm.post(&format!("/undo-{name}"));
        cx.step(name, self.crm.post(&format!("/{name}")).json(&json!({})).decode()).undo(undo).await
    }
}

/// Does something that can be undone, then waits for a child that does, too, and for another one that went on as a
/// third run.
async fn trip(desk: Arc<Desk>, cx: Context, _: ()) -> Result<Value> {
    desk.undoable(&cx, "reserve").await?;
    let legs = async { cx.child(&leg(), &3).await };
    let counted = async {
        cx.sleep(secs(10)).await;
        cx.child(&counter(), &1).await.map(Value::from)
    };
    let (one, _) = cx.all((legs, counted)).await?;
    desk.say(&cx, "pay").await?;
    Ok(one)
}

fn trip_of() -> Workflow<Desk, (), Value> {
    workflow("trip", trip).deadline(hours(1)).undo_on_failure()
}

/// As deep as it says: each books, then waits for the next, or for a day.
async fn ride(desk: Arc<Desk>, cx: Context, deep: u32) -> Result<Value> {
    desk.undoable(&cx, &format!("book-{deep}")).await?;
    match deep {
        1 => cx.sleep(days(1)).await,
        _ => drop(cx.child(&leg(), &(deep - 1)).await?),
    }
    desk.say(&cx, "board").await
}

fn leg() -> Workflow<Desk, u32, Value> {
    workflow("leg", ride)
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

/// Reads two letters, one in three of its lives, and says what it read.
async fn read_letters(desk: Arc<Desk>, cx: Context, (life, read): (u32, Vec<u32>)) -> Result<Vec<u32>> {
    let mut read = read;
    for _ in 0..2 {
        read.push(cx.signal("letter").await?);
    }
    desk.say(&cx, "read").await?;
    match life {
        3 => Ok(read),
        _ => cx.continue_as(&(life + 1, read)).await,
    }
}

fn reader() -> Workflow<Desk, (u32, Vec<u32>), Vec<u32>> {
    workflow("reader", read_letters)
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
        .workflow(reader())
        .workflow(trip_of())
        .workflow(leg())
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

/// What was asked of the remote about bookings, each once.
fn bookings(app: &TestApp<Desk>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let paths = app.mock("crm").requests().into_iter().map(|request| request.path);
    paths.filter(|path| path != "/count" && seen.insert(path.clone())).collect()
}

const UNDONE: [&str; 8] = [
    "/reserve",
    "/book-3",
    "/book-2",
    "/book-1",
    "/undo-book-1",
    "/undo-book-2",
    "/undo-book-3",
    "/undo-reserve",
];

#[test]
fn what_children_did_is_undone_before_what_their_parent_did_wherever_a_cancel_is_cut_short() {
    every_crash_point(app, |app: &TestApp<Desk>| {
        answers(app);
        let run = app.start(&trip_of(), &());
        app.advance(minutes(1));
        app.cancel(run.id());
        app.advance(days(2));
        assert_eq!(bookings(app), UNDONE, "{}", app.timelines());
        assert!(app.runs().iter().all(|run| !run.state().is_open()), "{}", app.timelines());
        assert_eq!(app.dead().len(), 0, "{}", app.timelines());
        run.state()
    });
}

#[test]
fn a_run_that_is_undone_past_its_deadline_tells_its_children_when_that_begins() {
    every_crash_point(app, |app: &TestApp<Desk>| {
        answers(app);
        let run = app.start(&trip_of(), &());
        app.advance(days(2));
        assert_eq!(bookings(app), UNDONE, "{}", app.timelines());
        assert_eq!(run.state(), RunState::Cancelled, "{}", app.timelines());
        assert!(app.runs().iter().all(|run| !run.state().is_open()), "{}", app.timelines());
        run.summary()
    });
}

#[test]
fn letters_to_the_first_of_a_chain_come_to_the_latest_once_and_in_order_wherever_it_dies() {
    every_crash_point(app, |app: &TestApp<Desk>| {
        answers(app);
        let run = app.start(&reader(), &(1, vec![]));
        // Before their wait, past the end of the first run, and while nobody waits.
        for letter in 0..3 {
            app.signal(run.id(), "letter", &letter);
        }
        app.settle();
        assert_eq!(run.state(), RunState::Completed, "it went on");
        for letter in 3..6 {
            app.signal(run.id(), "letter", &letter);
            app.settle();
        }
        let last = app.runs().pop().expect("three runs");
        assert_eq!(last.output::<Vec<u32>>(), [0, 1, 2, 3, 4, 5], "{}", app.timelines());
        app.runs().len()
    });
}

#[test]
fn a_cancel_of_the_first_of_a_chain_ends_the_latest_wherever_it_dies() {
    every_crash_point(app, |app: &TestApp<Desk>| {
        answers(app);
        let run = app.start(&counter(), &2);
        app.advance(minutes(1));
        app.cancel(run.id());
        app.advance(days(2));
        let states: Vec<_> = app.runs().iter().map(|run| run.state()).collect();
        assert_eq!(
            states,
            [RunState::Completed, RunState::Completed, RunState::Cancelled],
            "{}",
            app.timelines()
        );
        assert_eq!(app.mock("crm").requests_by_key().len(), 3, "nothing came after");
    });
}

#[test]
fn a_child_that_cannot_be_undone_waits_for_a_person_and_holds_up_nobody() {
    let app = TestApp::new(app());
    app.mock("crm").when(Match::call("POST", "/undo-book-2")).answer(Answer::status(422));
    answers(&app);
    let run = app.start(&trip_of(), &());
    app.advance(minutes(1));
    app.cancel(run.id());
    app.advance(hours(1));
    assert_eq!(bookings(&app), UNDONE, "{}", app.timelines());
    assert_eq!(run.state(), RunState::Cancelled, "{}", app.timelines());
    assert_eq!(app.dead().len(), 1, "{}", app.timelines());
}

#[test]
fn a_child_that_may_not_begin_is_cancelled_with_its_parent() {
    let app = TestApp::new(app());
    answers(&app);
    app.pause_workflow("counter");
    let run = app.start(&workflow("waits", wait_for_counter), &2);
    app.advance(minutes(1));
    app.cancel(run.id());
    let states: Vec<_> = app.runs().iter().map(|run| run.state()).collect();
    assert_eq!(states, [RunState::Cancelled, RunState::Cancelled]);
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

/// Starts a run that nobody waits for, and has the store decide something next.
async fn start_and_count(desk: Arc<Desk>, cx: Context, first: u32) -> Result<()> {
    if first == 0 {
        desk.say(&cx, "first").await?;
    }
    cx.start(&single(), &7)?;
    match first {
        1 => cx.transaction("table", |tx| tx.execute("CREATE TABLE seen (n)", ()).map(drop)).await?,
        2 => drop(cx.state("seen").add(1).await?),
        _ => {}
    }
    desk.say(&cx, "last").await?;
    Ok(())
}

#[test]
fn a_detached_run_begins_at_once_whatever_its_parent_does_next() {
    let starter = workflow("starter", start_and_count);
    for first in 0..3 {
        let app = TestApp::new(app().workflow(starter.clone()));
        answers(&app);
        let begun = app.now();
        app.start(&starter, &first);
        app.settle();
        let states: Vec<_> = app.runs().iter().map(|run| run.state()).collect();
        assert_eq!(states, [RunState::Completed; 2], "{first}: {}", app.timelines());
        assert_eq!(app.now(), begun, "no time has passed");
    }
}
