//! Sleeps, signals, callbacks, approvals, branches and children, as a workflow's author meets them: also when the process
//! dies at any moment.

use std::future::IntoFuture;

use bowline::prelude::*;
use bowline_model::{
    EntryKind, RunState,
    approval::{Decision, Field, Question},
};
use bowline_testing::{Answer, Match, TestApp, every_crash_point};
use serde_json::{Value, json};

/// A shop whose remotes are there to be asked.
struct Shop {
    crm: Api,
}

impl Shop {
    async fn call(&self, cx: &Context, name: &str) -> Result<Value> {
        cx.step(name, self.crm.post(&format!("/{}", name.replace(' ', "-"))).json(&name).decode()).await
    }

    async fn paid(self: Arc<Self>, cx: Context, _: Value) -> Result<Value> {
        self.call(&cx, "order").await?;
        let paid: Option<u64> = cx.signal("paid").timeout(hours(1)).await?;
        let next = if paid.is_some() { "ship" } else { "remind" };
        self.call(&cx, next).await?;
        Ok(json!(paid))
    }

    async fn sleepy(self: Arc<Self>, cx: Context, _: Value) -> Result<i64> {
        self.call(&cx, "before").await?;
        let begun = cx.now();
        cx.sleep(days(30)).await;
        self.call(&cx, "after").await?;
        Ok(cx.now().duration_since(begun).as_hours())
    }

    async fn called_back(self: Arc<Self>, cx: Context, _: Value) -> Result<Option<String>> {
        let scanned = cx.callback::<String>("scanned");
        let url = scanned.url().to_owned();
        cx.step("scan", self.crm.post("/scan").json(&json!({"notify": url}))).await?;
        let scanned = scanned.timeout(days(1)).await?;
        self.call(&cx, "file").await?;
        Ok(scanned)
    }

    /// Waits for a callback, and gives up before anything of the wait is written; or, if it says so, before it waits.
    async fn lets_go(self: Arc<Self>, cx: Context, waits: bool) -> Result<()> {
        let scanned = cx.callback::<String>("scanned");
        let url = scanned.url().to_owned();
        let ready = std::future::ready(());
        if waits {
            tokio::select! { biased; _ = scanned => {}, () = ready => {} }
        } else {
            tokio::select! { biased; () = ready => {}, _ = scanned => {} }
        }
        self.call(&cx, "order").await?;
        cx.step("scan", self.crm.post("/scan").json(&json!({"notify": url}))).await?;
        cx.sleep(hours(1)).await;
        Ok(())
    }

    /// Fails between a callback's address and the wait for it.
    async fn fails_between(self: Arc<Self>, cx: Context, _: Value) -> Result<String> {
        let scanned = cx.callback::<String>("scanned");
        cx.step("scan", self.crm.post("/scan").json(&json!({"notify": scanned.url()}))).await?;
        self.call(&cx, "order").await?;
        scanned.await
    }

    async fn approved(self: Arc<Self>, cx: Context, _: Value) -> Result<Option<bool>> {
        let question = Question::new("Refund?").field("reason", Field::text("Why"));
        let decision = cx.approval("refund", question).timeout(days(3)).await?;
        self.call(&cx, "book").await?;
        Ok(decision.map(|decision| decision.approved))
    }

    async fn branches(self: Arc<Self>, cx: Context, _: Value) -> Result<Value> {
        let (stock, paid, slept) = cx
            .all((
                async {
                    self.call(&cx, "same").await?;
                    self.call(&cx, "stock").await
                },
                async {
                    self.call(&cx, "same").await?;
                    cx.signal::<u64>("paid").await
                },
                async {
                    cx.sleep(minutes(5)).await;
                    self.call(&cx, "same").await
                },
            ))
            .await?;
        let raced = cx
            .race((
                async {
                    cx.sleep(minutes(5)).await;
                    Ok(0)
                },
                async { cx.signal::<u64>("cancel").await },
                async {
                    cx.sleep(minutes(2)).await;
                    self.call(&cx, "ask").await?;
                    Ok(1)
                },
            ))
            .await;
        self.call(&cx, "end").await?;
        Ok(json!([stock, paid, slept, raced.winner, raced.output?]))
    }

    async fn selects(self: Arc<Self>, cx: Context, _: Value) -> Result<Value> {
        let slow = self.call(&cx, "slow");
        let which = tokio::select! {
            biased;
            done = slow => done.map(|_| "slow")?,
            () = cx.sleep(secs(3)) => "sleep",
        };
        let (signal, step) = tokio::join!(cx.signal::<u64>("go"), self.call(&cx, "beside"));
        self.call(&cx, "end").await?;
        Ok(json!([which, signal?, step?]))
    }

    async fn double(self: Arc<Self>, cx: Context, n: u64) -> Result<u64> {
        let doubled: Value = self.call(&cx, "double").await?;
        if n == 13 {
            return Err(Error::permanent("no luck"));
        }
        let _ = doubled;
        Ok(n * 2)
    }

    async fn parent(self: Arc<Self>, cx: Context, n: u64) -> Result<u64> {
        self.call(&cx, "first").await?;
        let doubled = cx.child(&double(), &n).await?;
        self.call(&cx, "last").await?;
        Ok(doubled + 1)
    }

    async fn starts(self: Arc<Self>, cx: Context, n: u64) -> Result<()> {
        cx.start(&double(), &n)?;
        self.call(&cx, "went on").await?;
        Ok(())
    }

    async fn changing(self: Arc<Self>, cx: Context, _: Value) -> Result<bool> {
        self.call(&cx, "one").await?;
        let new = cx.changed("2026-11 new tax");
        self.call(&cx, if new { "new" } else { "old" }).await?;
        Ok(new)
    }

    async fn counts(self: Arc<Self>, cx: Context, n: u64) -> Result<u64> {
        self.call(&cx, "count").await?;
        cx.sleep(minutes(1)).await;
        if n < 4 {
            return cx.continue_as(&(n + 1)).await;
        }
        Ok(n * 100)
    }

    async fn waits_for_counts(self: Arc<Self>, cx: Context, n: u64) -> Result<u64> {
        cx.child(&counts(), &n).await
    }
}

async fn many(shop: Arc<Shop>, cx: Context, n: u64) -> Result<u64> {
    let _ = &shop;
    let children: Vec<_> = (0..n).map(|nth| cx.child(&idle(), &nth).into_future()).collect();
    Ok(cx.all(children).await?.into_iter().sum())
}

async fn idles(_: Arc<Shop>, cx: Context, n: u64) -> Result<u64> {
    cx.sleep(secs(n % 7)).await;
    Ok(n)
}

fn idle() -> bowline::Workflow<Shop, u64, u64> {
    workflow("idle", idles)
}

async fn endless(_: Arc<Shop>, cx: Context, n: u64) -> Result<u64> {
    cx.child(&nested(), &(n + 1)).await
}

fn nested() -> bowline::Workflow<Shop, u64, u64> {
    workflow("nested", endless)
}

/// Counts to three in runs that follow each other, an hour each.
async fn relay(shop: Arc<Shop>, cx: Context, (who, n): (String, u64)) -> Result<u64> {
    shop.call(&cx, &format!("{who} {n}")).await?;
    cx.sleep(hours(1)).await;
    if n < 3 { cx.continue_as(&(who, n + 1)).await } else { Ok(n) }
}

fn relay_of() -> bowline::Workflow<Shop, (String, u64), u64> {
    workflow("relay", relay).key(|_| "track")
}

fn double() -> bowline::Workflow<Shop, u64, u64> {
    workflow("double", Shop::double)
}

fn counts() -> bowline::Workflow<Shop, u64, u64> {
    workflow("counts", Shop::counts)
}

fn app() -> App<Shop> {
    App::new("shop", |setup| Shop { crm: setup.api("crm").base_url_env("CRM_BASE_URL") })
        .workflow(workflow("paid", Shop::paid))
        .workflow(workflow("sleepy", Shop::sleepy))
        .workflow(workflow("called back", Shop::called_back))
        .workflow(workflow("lets go", Shop::lets_go))
        .workflow(workflow("fails between", Shop::fails_between))
        .workflow(workflow("approved", Shop::approved))
        .workflow(workflow("branches", Shop::branches))
        .workflow(workflow("selects", Shop::selects))
        .workflow(double())
        .workflow(workflow("many", many))
        .workflow(idle())
        .workflow(nested())
        .workflow(relay_of())
        .workflow(workflow("parent", Shop::parent))
        .workflow(workflow("starts", Shop::starts))
        .workflow(workflow("changing", Shop::changing))
        .workflow(counts())
        .workflow(workflow("waits for counts", Shop::waits_for_counts))
}

fn answers(app: &TestApp<Shop>) {
    app.mock("crm").answer(Answer::ok(json!("done")));
}

#[test]
fn a_sleep_of_days_survives_every_crash() {
    let tried = every_crash_point(app, |app: &TestApp<Shop>| {
        answers(app);
        let run = app.start(&workflow("sleepy", Shop::sleepy), &json!(null)).end();
        assert_eq!(run.output::<i64>(), 30 * 24);
        app.mock("crm").requests_by_key().len()
    });
    assert!(tried.moments > 6, "{tried:?}");
}

#[test]
fn a_signal_before_its_wait_and_one_within_it_are_taken_once() {
    for early in [true, false] {
        every_crash_point(app, |app: &TestApp<Shop>| {
            answers(app);
            if early {
                app.mock("crm")
                    .when(Match::call("POST", "/order"))
                    .answer(Answer::ok(json!("done")).after(secs(60)));
            }
            let run = app.start(&workflow("paid", Shop::paid), &json!(null));
            if !early {
                app.advance(minutes(5));
            }
            app.signal(run.id(), "paid", &900);
            run.end().output::<Value>()
        });
    }
}

#[test]
fn a_signal_that_never_comes_times_out_wherever_the_process_dies() {
    every_crash_point(app, |app: &TestApp<Shop>| {
        answers(app);
        let run = app.start(&workflow("paid", Shop::paid), &json!(null)).end();
        assert_eq!(run.output::<Value>(), json!(null));
        run.output::<Value>()
    });
}

#[test]
fn a_signal_that_cannot_be_read_is_noted_and_the_wait_goes_on() {
    let app = TestApp::new(app());
    answers(&app);
    let run = app.start(&workflow("paid", Shop::paid), &json!(null));
    app.settle();
    app.signal(run.id(), "paid", &json!({"amount": "much"}));
    app.settle();
    assert_eq!(run.state(), RunState::Waiting, "{}", run.timeline());
    assert!(run.journal().iter().any(|entry| entry.kind == EntryKind::Misfit));
    app.signal(run.id(), "paid", &7);
    assert_eq!(run.end().output::<Value>(), json!(7));
}

#[test]
fn a_callback_is_answered_at_its_address_once() {
    every_crash_point(app, |app: &TestApp<Shop>| {
        answers(app);
        let run = app.start(&workflow("called back", Shop::called_back), &json!(null));
        app.advance(minutes(5));
        let scans = app.mock("crm").requests();
        let url = scans[0].decode::<Value>()["notify"].as_str().unwrap().to_owned();
        // One whose answer was lost in a crash says it again: the run may have ended since.
        let status = app.call_back(&url, &"clean").status();
        assert!([202, 409, 410].contains(&status), "{status}");
        run.end().output::<Option<String>>()
    });
}

#[test]
fn a_callback_takes_one_message() {
    let app = TestApp::new(app());
    answers(&app);
    let run = app.start(&workflow("called back", Shop::called_back), &json!(null));
    app.settle();
    app.mock("crm").when(Match::call("POST", "/file")).answer(Answer::ok(json!("done")).after(secs(5)));
    let url = app.mock("crm").requests()[0].decode::<Value>()["notify"].as_str().unwrap().to_owned();
    assert_eq!(app.call_back(&url, &"clean").status(), 202);
    app.settle();
    assert_eq!(app.call_back(&url, &"dirty").status(), 409);
    assert_eq!(run.end().output::<Option<String>>().as_deref(), Some("clean"));
}

fn told_address(app: &TestApp<Shop>) -> String {
    let requests = app.mock("crm").requests();
    let scan = requests.iter().find(|request| request.path == "/scan").expect("it was told");
    scan.json()["notify"].as_str().expect("an address").to_owned()
}

#[test]
fn a_callback_that_the_code_lets_go_of_in_the_same_moment_is_closed() {
    for waits in [true, false] {
        every_crash_point(app, |app: &TestApp<Shop>| {
            answers(app);
            let run = app.start(&workflow("lets go", Shop::lets_go), &waits);
            app.settle();
            let status = app.call_back(&told_address(app), &"late").status();
            assert_eq!(status, 410, "{}", run.timeline());
            assert!(run.timeline().contains("no longer waited for"), "{}", run.timeline());
            run.end().state()
        });
    }
}

#[test]
fn a_callback_that_a_failing_run_has_not_awaited_yet_is_kept_for_its_retry() {
    let app = TestApp::new(app());
    app.mock("crm").when(Match::call("POST", "/order")).times(1).answer(Answer::status(422));
    answers(&app);
    let run = app.start(&workflow("fails between", Shop::fails_between), &json!(null)).end();
    assert_eq!(run.state(), RunState::DeadLettered, "{}", run.timeline());
    assert_eq!(app.call_back(&told_address(&app), &"clean").status(), 202);
    assert_eq!(app.retry(run.id()).end().output::<String>(), "clean");
}

#[test]
fn a_callback_after_its_time_is_gone() {
    let app = TestApp::new(app());
    answers(&app);
    let run = app.start(&workflow("called back", Shop::called_back), &json!(null)).end();
    assert_eq!(run.output::<Option<String>>(), None);
    let url = app.mock("crm").requests()[0].decode::<Value>()["notify"].as_str().unwrap().to_owned();
    assert_eq!(app.call_back(&url, &"clean").status(), 410);
    assert!(!run.timeline().contains(url.rsplit('/').next().unwrap()), "the address is a secret");
}

#[test]
fn an_approval_is_decided_by_a_person_or_by_time() {
    every_crash_point(app, |app: &TestApp<Shop>| {
        answers(app);
        let asked = app.start(&workflow("approved", Shop::approved), &json!(null));
        let ignored = app.start(&workflow("approved", Shop::approved), &json!(null));
        app.advance(hours(1));
        let decision = Decision {
            approved: true,
            by: Some("kim".into()),
            values: [("reason".to_owned(), json!("late"))].into_iter().collect(),
            why: None,
        };
        app.decide(asked.id(), decision);
        (asked.end().output::<Option<bool>>(), ignored.end().output::<Option<bool>>())
    });
}

#[test]
fn branches_and_races_of_timers_signals_and_steps_recover_exactly() {
    every_crash_point(app, |app: &TestApp<Shop>| {
        answers(app);
        let run = app.start(&workflow("branches", Shop::branches), &json!(null));
        app.advance(minutes(1));
        app.signal(run.id(), "paid", &3);
        let output = run.end().output::<Value>();
        assert_eq!(output, json!(["done", 3, "done", 2, 1]));
        output
    });
}

#[test]
fn select_and_join_of_timers_signals_and_steps_recover_exactly() {
    for slow in [1, 10] {
        every_crash_point(app, |app: &TestApp<Shop>| {
            answers(app);
            app.mock("crm")
                .when(Match::call("POST", "/slow"))
                .answer(Answer::ok(json!("done")).after(secs(slow)));
            let run = app.start(&workflow("selects", Shop::selects), &json!(null));
            app.advance(minutes(1));
            app.signal(run.id(), "go", &3);
            let output = run.end().output::<Value>();
            // A call that was sent again after a crash may end later than the timer that was under way.
            json!([output[1], output[2]])
        });
    }
}

#[test]
fn a_child_runs_once_and_tells_its_parent() {
    every_crash_point(app, |app: &TestApp<Shop>| {
        answers(app);
        let run = app.start(&workflow("parent", Shop::parent), &20).end();
        assert_eq!(run.output::<u64>(), 41, "{}", app.timelines());
        app.runs().len()
    });
}

#[test]
fn a_child_that_fails_keeps_its_parent_waiting_until_a_person_decides() {
    let app = TestApp::new(app());
    answers(&app);
    let run = app.start(&workflow("parent", Shop::parent), &13);
    app.settle();
    let child = app.dead().pop().expect("the child is a dead letter");
    assert_eq!(run.state(), RunState::Waiting, "{}", app.timelines());
    app.retry(child.id());
    app.settle();
    assert_eq!((run.state(), child.state()), (RunState::Waiting, RunState::DeadLettered));
    app.discard(child.id());
    let run = run.end();
    assert_eq!(run.state(), RunState::DeadLettered, "{}", app.timelines());
    assert!(run.summary().unwrap().contains("was cancelled"), "{:?}", run.summary());
}

#[test]
fn a_detached_run_is_started_once_and_goes_its_own_way() {
    every_crash_point(app, |app: &TestApp<Shop>| {
        answers(app);
        app.start(&workflow("starts", Shop::starts), &20).end();
        app.advance(minutes(1));
        let runs = app.runs();
        (runs.len(), runs.iter().map(|run| run.state()).collect::<Vec<_>>())
    });
}

#[test]
fn a_parent_that_waits_for_its_child_holds_no_slot() {
    let app = TestApp::new(app().concurrency(1));
    answers(&app);
    let runs: Vec<_> = (0..5).map(|n| app.start(&workflow("parent", Shop::parent), &n)).collect();
    for (n, run) in (0..).zip(runs) {
        assert_eq!(run.end().output::<u64>(), n * 2 + 1);
    }
}

#[test]
fn one_build_takes_the_new_path_wherever_it_dies() {
    every_crash_point(app, |app: &TestApp<Shop>| {
        answers(app);
        let run = app.start(&workflow("changing", Shop::changing), &json!(null)).end();
        assert!(run.output::<bool>(), "{}", run.timeline());
        run.output::<bool>()
    });
}

#[test]
fn a_run_that_goes_on_as_another_tells_its_parent_the_last_output() {
    every_crash_point(app, |app: &TestApp<Shop>| {
        answers(app);
        let run = app.start(&workflow("waits for counts", Shop::waits_for_counts), &0).end();
        assert_eq!(run.output::<u64>(), 400, "{}", app.timelines());
        (app.runs().len(), app.mock("crm").requests_by_key().len())
    });
}

#[test]
fn a_thousand_children_of_one_parent_tell_it_all() {
    let app = TestApp::new(app().concurrency(16));
    let run = app.start(&workflow("many", many), &1000).end();
    assert_eq!(run.output::<u64>(), (0..1000).sum::<u64>());
}

#[test]
fn a_workflow_that_starts_itself_without_end_fails_with_words() {
    let app = TestApp::new(app());
    app.start(&nested(), &0);
    app.settle();
    let deepest = app.dead().pop().expect("the last of them fails");
    let summary = deepest.summary().unwrap();
    assert!(summary.contains("100 runs wait for each other already"), "{summary}");
    assert_eq!(app.runs().len(), 101);
}

#[test]
fn a_run_that_goes_on_as_another_keeps_its_place_before_those_of_its_key() {
    every_crash_point(app, |app: &TestApp<Shop>| {
        answers(app);
        app.start(&relay_of(), &("first".to_owned(), 1));
        app.start(&relay_of(), &("second".to_owned(), 1));
        app.advance(hours(7));
        let mut asked: Vec<String> =
            app.mock("crm").requests().iter().map(|request| request.path.clone()).collect();
        asked.dedup();
        assert_eq!(asked, ["/first-1", "/first-2", "/first-3", "/second-1", "/second-2", "/second-3"]);
        asked
    });
}

#[test]
fn a_fork_takes_what_was_recorded_before_the_step_and_does_the_rest_anew() {
    every_crash_point(app, |app: &TestApp<Shop>| {
        answers(app);
        let run = app.start(&workflow("paid", Shop::paid), &json!(null));
        app.advance(minutes(1));
        app.signal(run.id(), "paid", &7);
        run.end();
        let fork = app.fork(run.id(), "ship").end();
        assert_eq!(
            (fork.state(), fork.output::<Value>()),
            (RunState::Completed, json!(7)),
            "{}",
            fork.timeline()
        );
        let of = |path: &str| {
            let keys = app.mock("crm").requests_by_key();
            keys.values().filter(|requests| requests[0].path == path).count()
        };
        (of("/order"), of("/ship"))
    });
}

#[test]
fn a_fork_is_refused_where_it_could_not_be_exact() {
    let app = TestApp::new(app());
    answers(&app);
    let run = app.start(&workflow("called back", Shop::called_back), &json!(null));
    app.settle();
    let text = crate::panic_of(|| app.fork(run.id(), "file"));
    assert!(text.contains("it has not ended yet"), "{text}");
    run.end();
    let text = crate::panic_of(|| app.fork(run.id(), "file"));
    assert!(text.contains("the address of a callback scanned"), "{text}");
    let text = crate::panic_of(|| app.fork(run.id(), "nothing"));
    assert!(text.contains("recorded nothing of a step"), "{text}");
    assert_eq!(app.fork(run.id(), "callback scanned").end().state(), RunState::Completed);
}
