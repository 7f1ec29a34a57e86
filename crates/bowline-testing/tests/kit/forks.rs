//! Forks: a new run that goes on from the middle of an ended one, with what that is worth when it fails, was settled, or asked
//! something in vain.

use bowline::{Workflow, prelude::*};
use bowline_dashboard::commands::Outcome;
use bowline_model::{DeadReason, RunState};
use bowline_testing::{Answer, Match, TestApp, every_crash_point};
use serde_json::{Value, json};

struct Travel {
    crm: Api,
}

impl Travel {
    async fn call(&self, cx: &Context, name: &str) -> Result<Value> {
        cx.step(name, self.crm.post(&format!("/{name}")).json(&name).decode()).await
    }

    /// A flight that can be undone, then a hotel.
    async fn book(self: Arc<Self>, cx: Context, _: Value) -> Result<()> {
        let flight = self.crm.post("/flight").json(&"flight").decode();
        cx.step("flight", flight).undo(|_: &Value| self.crm.post("/flight/cancel").json(&"flight")).await?;
        self.call(&cx, "hotel").await?;
        Ok(())
    }

    /// A slow question that is given up after three seconds, and two steps.
    async fn quote(self: Arc<Self>, cx: Context, _: Value) -> Result<usize> {
        let raced = cx
            .race((
                async { cx.step("ask", self.crm.get("/slow").decode::<Value>()).await.map(Some) },
                async {
                    cx.sleep(secs(3)).await;
                    Ok(None)
                },
            ))
            .await;
        self.call(&cx, "first").await?;
        self.call(&cx, "second").await?;
        Ok(raced.winner)
    }

    /// A charge that nobody sends twice, and a mail.
    async fn charge(self: Arc<Self>, cx: Context, _: Value) -> Result<Value> {
        let charge: Value =
            cx.step("charge", self.crm.post("/charge").json(&1).decode()).at_most_once().await?;
        self.call(&cx, "mail").await?;
        Ok(charge)
    }

    /// Two branches with steps of one name, a child, and an end.
    async fn wide(self: Arc<Self>, cx: Context, _: Value) -> Result<()> {
        cx.all((
            async {
                self.call(&cx, "left").await?;
                self.call(&cx, "same").await
            },
            async { self.call(&cx, "same").await },
        ))
        .await?;
        cx.child(&charge(), &json!(null)).await?;
        self.call(&cx, "end").await?;
        Ok(())
    }
}

fn book() -> Workflow<Travel, Value, ()> {
    workflow("book", Travel::book).undo_on_failure()
}

fn quote() -> Workflow<Travel, Value, usize> {
    workflow("quote", Travel::quote)
}

fn charge() -> Workflow<Travel, Value, Value> {
    workflow("charge", Travel::charge)
}

fn wide() -> Workflow<Travel, Value, ()> {
    workflow("wide", Travel::wide)
}

fn app() -> App<Travel> {
    App::new("travel", |setup| Travel { crm: setup.api("crm").base_url_env("CRM_BASE_URL") })
        .workflow(book())
        .workflow(quote())
        .workflow(charge())
        .workflow(wide())
}

/// How many effects of that path there were, each key counted once.
fn effects(app: &TestApp<Travel>, path: &str) -> usize {
    app.mock("crm").requests_by_key().values().filter(|requests| requests[0].path == path).count()
}

#[test]
fn a_fork_that_fails_undoes_what_it_took() {
    every_crash_point(app, |app: &TestApp<Travel>| {
        let crm = app.mock("crm");
        crm.remember_keys();
        crm.answer(Answer::ok(json!({"id": 7})));
        let run = app.start(&book(), &json!(null)).end();
        assert_eq!(run.state(), RunState::Completed);
        crm.when(Match::call("POST", "/hotel")).answer(Answer::status(422));
        let fork = app.fork(run.id(), "hotel").end();
        assert_eq!(fork.state(), RunState::Cancelled, "{}", fork.timeline());
        assert!(fork.summary().unwrap().starts_with("failed, and undone: "), "{:?}", fork.summary());
        assert_eq!((effects(app, "/flight"), effects(app, "/flight/cancel")), (1, 1));
        fork.summary()
    });
}

#[test]
fn a_question_that_was_given_up_stops_no_fork() {
    let app = TestApp::new(app());
    let crm = app.mock("crm");
    crm.answer(Answer::ok(json!({})));
    crm.when(Match::call("GET", "/slow")).answer(Answer::hang());
    let run = app.start(&quote(), &json!(null)).end();
    assert_eq!(run.output::<usize>(), 1);
    let fork = app.fork(run.id(), "second").end();
    assert_eq!((fork.state(), fork.output::<usize>()), (RunState::Completed, 1), "{}", fork.timeline());
    assert_eq!((effects(&app, "/first"), effects(&app, "/second")), (1, 2));
}

#[test]
fn what_was_settled_is_taken_as_it_was_settled() {
    for (outcome, charges) in [(Outcome::Done(json!({"id": 1})), 1), (Outcome::NotDone, 2)] {
        let app = TestApp::new(app());
        let crm = app.mock("crm");
        crm.answer(Answer::ok(json!({"id": 1})));
        app.crash_before_recording("charge");
        let run = app.start(&charge(), &json!(null));
        app.settle();
        assert_eq!(run.dead_reason(), Some(DeadReason::Stale), "{}", run.timeline());
        let settled = app.settle_step(run.id(), "charge", outcome).end();
        assert_eq!(settled.state(), RunState::Completed, "{}", settled.timeline());
        let fork = app.fork(run.id(), "mail").end();
        assert_eq!(fork.state(), RunState::Completed, "{}", fork.timeline());
        assert_eq!(fork.output::<Value>(), json!({"id": 1}));
        assert_eq!((effects(&app, "/charge"), effects(&app, "/mail")), (charges, 2));
    }
}

#[test]
fn a_fork_from_inside_a_branch_takes_what_was_recorded_before_it_in_all_of_them() {
    let app = TestApp::new(app());
    app.mock("crm").answer(Answer::ok(json!({})));
    let run = app.start(&wide(), &json!(null)).end();
    assert_eq!(run.state(), RunState::Completed, "{}", run.timeline());
    let text = crate::panic_of(|| app.fork(run.id(), "same"));
    assert!(text.contains("all#1.0/same") && text.contains("all#1.1/same"), "names the two: {text}");
    let fork = app.fork(run.id(), "all#1.0/same").end();
    assert_eq!(fork.state(), RunState::Completed, "{}", fork.timeline());
    assert_eq!(effects(&app, "/left"), 1, "recorded before it");
    assert_eq!(effects(&app, "/end"), 2);
    // From the child's step on another child is started; from the step after it the child is taken as it ended.
    let child = app.fork(run.id(), "charge").end();
    assert_eq!(child.state(), RunState::Completed, "{}", child.timeline());
    let charges = effects(&app, "/charge");
    let end = app.fork(run.id(), "end").end();
    assert_eq!(end.state(), RunState::Completed, "{}", end.timeline());
    assert_eq!(effects(&app, "/charge"), charges);
}

#[test]
fn a_run_that_was_undone_is_replayed_and_not_forked() {
    let app = TestApp::new(app());
    let crm = app.mock("crm");
    crm.answer(Answer::ok(json!({"id": 7})));
    crm.when(Match::call("POST", "/hotel")).answer(Answer::status(422));
    let run = app.start(&book(), &json!(null)).end();
    assert_eq!(run.state(), RunState::Cancelled);
    for from in ["hotel", "flight", "undo of flight"] {
        let text = crate::panic_of(|| app.fork(run.id(), from));
        assert!(text.contains("was undone"), "{text}");
        assert!(!text.contains("earlier step"), "no step of it is taken: {text}");
    }
}
