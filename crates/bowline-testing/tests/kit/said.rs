//! What people, systems and clocks do at awkward moments: a signal to a run that is paused, parked or gone on, a sleep for ever,
//! an undo that never works, a lookup that fails for good.

use std::time::Duration;

use bowline::{Workflow, prelude::*};
use bowline_dashboard::commands::Outcome;
use bowline_model::{DeadReason, RunState};
use bowline_testing::{Answer, Match, TestApp};
use serde_json::{Value, json};

struct Shop {
    crm: Api,
}

impl Shop {
    /// Needs its CRM before it listens.
    async fn listens(self: Arc<Self>, cx: Context, _: Value) -> Result<u64> {
        cx.step("greet", self.crm.post("/greet").json(&1)).await?;
        cx.signal("paid").await
    }

    /// Goes on as another run before it listens.
    async fn relays(self: Arc<Self>, cx: Context, round: u64) -> Result<u64> {
        cx.sleep(hours(1)).await;
        if round == 0 {
            return cx.continue_as(&1).await;
        }
        cx.signal("paid").await
    }

    /// Sleeps from the past to the end of time.
    async fn sleeps(self: Arc<Self>, cx: Context, _: Value) -> Result<()> {
        cx.sleep_until(jiff::Timestamp::MIN).await;
        cx.step("awake", self.crm.post("/awake").json(&1)).await?;
        cx.sleep_until(jiff::Timestamp::MAX).await;
        cx.sleep(Duration::MAX).await;
        Ok(())
    }

    async fn books(self: Arc<Self>, cx: Context, _: Value) -> Result<()> {
        for what in ["flight", "hotel"] {
            let undo = |_: &Value| self.crm.post(&format!("/{what}/cancel")).json(&what);
            cx.step(what, self.crm.post(&format!("/{what}")).json(&what).decode()).undo(undo).await?;
        }
        cx.signal("never").await
    }

    /// Whether it was charged can be asked, but nobody is let in.
    async fn charges(self: Arc<Self>, cx: Context, _: Value) -> Result<u64> {
        let crm = &self.crm;
        let find = |_key: String| async move {
            let found: Vec<u64> = crm.get("/charges").decode().send().await?;
            Ok(found.first().copied())
        };
        cx.step("charge", crm.post("/charges").json(&1).decode()).recheck(find).await
    }
}

fn listens() -> Workflow<Shop, Value, u64> {
    workflow("listens", Shop::listens)
}

fn relays() -> Workflow<Shop, u64, u64> {
    workflow("relays", Shop::relays)
}

fn sleeps() -> Workflow<Shop, Value, ()> {
    workflow("sleeps", Shop::sleeps)
}

fn books() -> Workflow<Shop, Value, ()> {
    workflow("books", Shop::books)
}

fn charges() -> Workflow<Shop, Value, u64> {
    workflow("charges", Shop::charges)
}

fn app() -> App<Shop> {
    App::new("shop", |setup| Shop { crm: setup.api("crm").base_url_env("CRM_BASE_URL") })
        .workflow(listens())
        .workflow(relays())
        .workflow(sleeps())
        .workflow(books())
        .workflow(charges())
}

fn count(app: &TestApp<Shop>, path: &str) -> usize {
    app.mock("crm").requests().iter().filter(|request| request.path == path).count()
}

#[test]
fn a_signal_to_a_run_that_has_not_begun_is_kept_until_it_listens() {
    let app = TestApp::new(app());
    app.mock("crm").answer(Answer::ok(json!({})));
    app.pause_workflow("listens");
    let run = app.start(&listens(), &json!(null));
    app.settle();
    assert_eq!(run.state(), RunState::Queued);
    app.signal(run.id(), "paid", &7);
    app.crash();
    assert_eq!(count(&app, "/greet"), 0, "a message begins no run that is paused");
    app.resume_workflow("listens");
    assert_eq!(run.end().output::<u64>(), 7);
}

#[test]
fn a_signal_to_a_dead_letter_is_there_when_it_goes_on() {
    let app = TestApp::new(app());
    let crm = app.mock("crm");
    crm.answer(Answer::status(422));
    let run = app.start(&listens(), &json!(null)).end();
    assert_eq!(run.state(), RunState::DeadLettered);
    app.signal(run.id(), "paid", &7);
    crm.answer(Answer::ok(json!({})));
    assert_eq!(app.retry(run.id()).end().output::<u64>(), 7);
}

#[test]
fn a_signal_to_a_run_that_went_on_as_another_is_handed_on_until_that_one_has_ended() {
    let app = TestApp::new(app());
    let run = app.start(&relays(), &0);
    app.settle();
    app.signal(run.id(), "paid", &7);
    app.advance(hours(1));
    assert_eq!(run.state(), RunState::Completed);
    app.signal(run.id(), "paid", &8);
    app.advance(hours(1));
    let last = app.runs().pop().unwrap();
    assert_eq!(last.output::<u64>(), 7);
    let shown = run.timeline();
    assert!(shown.contains(&format!("went on as run {}", last.id())), "{shown}");
    let text = crate::panic_of(|| app.signal(run.id(), "paid", &9));
    assert!(text.contains("410") && text.contains(&format!("run {} is completed", last.id())), "{text}");
}

#[test]
fn a_sleep_to_the_end_of_time_is_slept_and_can_be_cancelled() {
    let app = TestApp::new(app());
    app.mock("crm").answer(Answer::ok(json!({})));
    let run = app.start(&sleeps(), &json!(null));
    app.settle();
    for _ in 0..2 {
        assert_eq!((run.state(), count(&app, "/awake")), (RunState::Waiting, 1), "{}", run.timeline());
        app.crash();
        app.skip(days(3650));
    }
    assert_eq!(app.cancel(run.id()).state(), RunState::Cancelled);
}

#[test]
fn an_undo_that_never_works_is_tried_for_long_and_then_names_itself_to_a_person() {
    let app = TestApp::new(app());
    let crm = app.mock("crm");
    crm.answer(Answer::ok(json!({})));
    crm.when(Match::call("POST", "/flight/cancel")).answer(Answer::status(503));
    let run = app.start(&books(), &json!(null));
    app.settle();
    app.cancel(run.id());
    app.advance(hours(2));
    assert!(count(&app, "/flight/cancel") > 5, "tried again and again");
    assert_eq!(
        (run.state(), count(&app, "/hotel/cancel")),
        (RunState::Waiting, 1),
        "the newer one is undone"
    );
    app.cancel(run.id());
    assert_eq!(run.state(), RunState::Waiting, "a second cancel changes nothing");
    let run = run.end();
    assert_eq!(run.dead_reason(), Some(DeadReason::Undo), "{}", run.timeline());
    assert!(run.summary().unwrap().contains("flight"), "{:?}", run.summary());
    let tried = count(&app, "/flight/cancel");
    let run = app.settle_step(run.id(), "undo of flight", Outcome::Done(json!(null))).end();
    assert_eq!(run.state(), RunState::Cancelled, "{}", run.timeline());
    assert_eq!((count(&app, "/flight/cancel"), count(&app, "/hotel/cancel")), (tried, 1), "a person did it");
}

#[test]
fn a_lookup_that_fails_for_good_sends_nothing_again() {
    let app = TestApp::new(app());
    let crm = app.mock("crm");
    crm.when(Match::call("POST", "/charges")).answer(Answer::hang());
    crm.when(Match::call("GET", "/charges")).answer(Answer::status(403));
    let run = app.start(&charges(), &json!(null)).end();
    assert_eq!(run.state(), RunState::DeadLettered, "{}", run.timeline());
    let posts = || crm.requests().iter().filter(|request| request.method == "POST").count();
    assert_eq!(posts(), 1, "nobody knows whether it happened");
    let settled = app.settle_step(run.id(), "charge", Outcome::Done(json!(17))).end();
    assert_eq!((settled.output::<u64>(), posts()), (17, 1));
}
