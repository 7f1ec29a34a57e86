//! Runs that are undone, with a crash at every moment: going forward, and while they are undone.

use std::collections::BTreeMap;

use bowline::{Workflow, prelude::*};
use bowline_dashboard::commands::Outcome;
use bowline_model::{DeadReason, RunState};
use bowline_testing::{Answer, Match, TestApp, every_crash_point};
use serde_json::{Value, json};

struct Travel {
    crm: Api,
}

impl Travel {
    /// Three bookings, each of which can be undone. A trip to nowhere fails after them.
    async fn book(self: Arc<Self>, cx: Context, trip: Value) -> Result<()> {
        for what in ["flight", "hotel", "car"] {
            let call = self.crm.post(&format!("/{what}")).json(&trip).decode();
            let undo = |booking: &Value| {
                self.crm.post(&format!("/{what}/cancel")).json(&json!({"booking": booking["id"]}))
            };
            cx.step("book", call).key(what).undo(undo).await?;
        }
        if trip["to"] == "nowhere" {
            return Err(Error::permanent("nobody goes there"));
        }
        Ok(())
    }

    /// As a parent that waits for its child when it is cancelled.
    async fn pack(self: Arc<Self>, cx: Context, trip: Value) -> Result<()> {
        let bag = self.crm.post("/bag").json(&trip);
        cx.step("bag", bag).undo(|_| self.crm.post("/bag/cancel").json(&trip)).await?;
        cx.sleep(days(1)).await;
        cx.step("never", self.crm.post("/never").json(&trip)).await?;
        Ok(())
    }
}

fn book() -> Workflow<Travel, Value, ()> {
    workflow("book", Travel::book)
}

fn pack() -> Workflow<Travel, Value, ()> {
    workflow("pack", Travel::pack)
}

fn app(book: Workflow<Travel, Value, ()>) -> App<Travel> {
    App::new("travel", |setup| Travel { crm: setup.api("crm").base_url_env("CRM_BASE_URL") })
        .workflow(book)
        .workflow(pack())
}

/// What is left in the world: effects by path, each key counted once.
fn world(app: &TestApp<Travel>) -> BTreeMap<String, usize> {
    let mut world = BTreeMap::new();
    for requests in app.mock("crm").requests_by_key().values() {
        *world.entry(requests[0].path.clone()).or_default() += 1;
    }
    world
}

#[test]
fn a_run_that_fails_is_undone_once_wherever_the_process_dies() {
    let tried = every_crash_point(
        || app(book().undo_on_failure()),
        |app| {
            let crm = app.mock("crm");
            crm.remember_keys();
            crm.answer(Answer::ok(json!({"id": 7})));
            let run = app.start(&book(), &json!({"to": "nowhere"})).end();
            (run.state(), run.summary(), world(app))
        },
    );
    assert!(tried.moments >= 14, "forward, and while it is undone: {tried:?}");
}

#[test]
fn a_cancelled_run_leaves_nothing_wherever_it_was_and_wherever_the_process_dies() {
    // Which one waits for its next attempt when the cancel comes, and what is recorded before and after it.
    let after_one = vec!["book[flight]", "undo of book[flight]"];
    let after_two = vec!["book[flight]", "book[hotel]", "undo of book[hotel]", "undo of book[flight]"];
    for (slow, steps) in [("/hotel", after_one), ("/car", after_two)] {
        for (step, recorded) in steps.into_iter().flat_map(|step| [(step, true), (step, false)]) {
            let app = TestApp::new(app(book()));
            let crm = app.mock("crm");
            crm.remember_keys();
            crm.answer(Answer::ok(json!({"id": 7})));
            crm.when(Match::call("POST", slow)).answer(Answer::status(429));
            match recorded {
                true => app.crash_after(step),
                false => app.crash_before_recording(step),
            }
            let run = app.start(&book(), &json!({"to": "Oslo"}));
            app.settle();
            // What may have been under way at the crash is found out.
            crm.clear_rules();
            crm.answer(Answer::ok(json!({"id": 7})));
            let run = app.cancel(run.id()).end();
            assert_eq!(run.state(), RunState::Cancelled, "{slow} {step}: {:?}", run.summary());
            let world = world(&app);
            for what in ["/flight", "/hotel", "/car"] {
                let done = world.get(what).copied().unwrap_or(0);
                let undone = world.get(&format!("{what}/cancel")).copied().unwrap_or(0);
                // The one that waited was refused, unless it may have been under way at the crash.
                assert!(done == undone || what == slow && undone == 0, "{slow} {step}: {world:?}");
            }
        }
    }
}

#[test]
fn a_sleeping_run_is_undone_and_never_goes_on() {
    let app = TestApp::new(app(book()));
    let run = app.start(&pack(), &json!({"to": "Oslo"}));
    app.settle();
    assert_eq!(run.state(), RunState::Waiting);
    let run = app.cancel(run.id()).end();
    assert_eq!(run.state(), RunState::Cancelled);
    app.skip(days(2));
    assert_eq!(world(&app), BTreeMap::from([("/bag".to_owned(), 1), ("/bag/cancel".to_owned(), 1)]));
}

/// Two bookings race; the slower one is under way when the other wins.
async fn either(travel: Arc<Travel>, cx: Context, _: Value) -> Result<()> {
    let crm = &travel.crm;
    let book = async |what: &'static str| {
        let undo = |_: &_| crm.post(&format!("/{what}/cancel")).json(&what);
        cx.step(what, crm.post(&format!("/{what}")).json(&what)).undo(undo).await.map(drop)
    };
    cx.race((book("train"), book("bus"))).await.output?;
    Err(Error::permanent("nobody goes there"))
}

#[test]
fn what_a_loser_had_under_way_is_for_a_person_to_settle_before_the_rest_is_undone() {
    let either = workflow("either", either).undo_on_failure();
    let app = TestApp::new(app(book()).workflow(either.clone()));
    let crm = app.mock("crm");
    crm.answer(Answer::ok(json!({})));
    crm.when(Match::call("POST", "/bus")).answer(Answer::hang());
    let run = app.start(&either, &json!(null)).end();
    assert_eq!(run.dead_reason(), Some(DeadReason::Undo), "{}", run.timeline());
    assert!(run.summary().unwrap().contains("bus"), "{:?}", run.summary());
    let run = app.settle_step(run.id(), "race#1.1/bus", Outcome::NotDone).end();
    assert_eq!(run.state(), RunState::Cancelled, "{}", run.timeline());
    let mut paths: Vec<_> = crm.requests().into_iter().map(|request| request.path).collect();
    // Which of the two arrives first is theirs.
    paths[..2].sort_unstable();
    assert_eq!(paths, ["/bus", "/train", "/train/cancel"]);
}
