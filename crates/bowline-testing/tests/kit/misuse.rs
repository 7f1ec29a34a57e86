//! Code that does what it should not: contexts in other tasks, futures that are dropped half-way, order that is chance.

use std::{
    future::Future,
    sync::{Mutex, mpsc},
};

use bowline::{Workflow, prelude::*};
use bowline_model::{DeadReason, RunState};
use bowline_testing::{Answer, TestApp, TestRun};
use serde_json::{Value, json};

struct Desk {
    crm: Api,
}

fn app<F, O>(code: fn(Arc<Desk>, Context, Value) -> F) -> (App<Desk>, Workflow<Desk, Value, O>)
where
    F: Future<Output = Result<O>> + Send + 'static,
    O: Serialize + serde::de::DeserializeOwned + Send + 'static,
{
    let flow = workflow("main", code);
    let app = App::new("desk", |setup| Desk { crm: setup.api("crm").base_url_env("CRM_BASE_URL") });
    (app.workflow(flow.clone()).workflow(echo()), flow)
}

async fn echo_code(_: Arc<Desk>, _: Context, input: u32) -> Result<u32> {
    Ok(input)
}

fn echo() -> Workflow<Desk, u32, u32> {
    workflow("echo", echo_code)
}

fn started<F, O>(code: fn(Arc<Desk>, Context, Value) -> F) -> (&'static TestApp<Desk>, TestRun<'static, Desk>)
where
    F: Future<Output = Result<O>> + Send + 'static,
    O: Serialize + serde::de::DeserializeOwned + Send + 'static,
{
    let (app, flow) = app(code);
    let app: &'static TestApp<Desk> = Box::leak(Box::new(TestApp::new(app)));
    app.mock("crm").answer(Answer::ok(json!("done")));
    let run = app.start(&flow, &json!(null));
    (app, run)
}

#[test]
fn a_wait_whose_future_dies_elsewhere_while_the_store_decides_it_is_no_panic() {
    async fn code(_: Arc<Desk>, cx: Context, _: Value) -> Result<u32> {
        let of_task = cx.clone();
        let (begun, has_begun) = mpsc::channel();
        let (gone, is_gone) = mpsc::channel::<()>();
        let is_gone = Mutex::new(is_gone);
        let mut asked = Box::pin(async move {
            let slow = move |_: &mut bowline::Tx<'_>| -> Result<()> {
                begun.send(()).ok();
                is_gone.lock().unwrap().recv().ok();
                Err(Error::permanent("never mind"))
            };
            of_task.transaction("slow", slow).await
        });
        // It is asked for in the run, and dropped outside of it.
        assert!(futures_util::poll!(&mut asked).is_pending());
        std::thread::spawn(move || {
            has_begun.recv().ok();
            drop(asked);
            gone.send(()).ok();
        });
        cx.sleep(secs(5)).await;
        Ok(1)
    }
    let (_, run) = started(code);
    assert_eq!(run.end().state(), RunState::Completed, "{}", run.timeline());
}

#[test]
fn every_verb_refuses_to_be_used_in_a_spawned_task() {
    async fn code(_: Arc<Desk>, cx: Context, _: Value) -> Result<Vec<String>> {
        let of_task = cx.clone();
        let told = tokio::spawn(async move {
            let cx = of_task;
            vec![
                cx.signal::<u32>("a").await.unwrap_err().to_string(),
                cx.child(&echo(), &1).await.unwrap_err().to_string(),
                cx.state("a").add(1).await.unwrap_err().to_string(),
                cx.transaction("a", |_| Ok(1)).await.unwrap_err().to_string(),
            ]
        });
        Ok(told.await.unwrap())
    }
    let (_, run) = started(code);
    let told: Vec<String> = run.end().output();
    assert!(told.iter().all(|told| told.contains("spawned task")), "{told:#?}");
}

#[test]
fn children_that_swap_places_are_not_given_each_others_output() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static LIVES: AtomicU32 = AtomicU32::new(0);
    async fn code(desk: Arc<Desk>, cx: Context, _: Value) -> Result<Value> {
        // As a map's order would.
        let order = if LIVES.fetch_add(1, Ordering::SeqCst) == 0 { [1, 2] } else { [2, 1] };
        let mut got = vec![];
        for n in order {
            got.push((n, cx.child(&echo(), &n).await?));
        }
        cx.sleep(minutes(5)).await;
        cx.step("after", desk.crm.post("/after").json(&json!({}))).await?;
        Ok(json!(got))
    }
    let (app, run) = started(code);
    app.advance(minutes(1));
    app.crash();
    let run = run.end();
    assert_eq!(run.dead_reason(), Some(DeadReason::Mismatch), "{} {}", run.timeline(), run.state());
    assert!(run.summary().unwrap().contains("same order"), "{:?}", run.summary());
}

#[test]
fn names_of_any_letters_and_512_bytes_are_names() {
    async fn code(desk: Arc<Desk>, cx: Context, _: Value) -> Result<Value> {
        let long = "é".repeat(256);
        for name in ["a\"[b", "a/b/../c", "", "a#1", "名前 🪢", "\0\n", long.as_str()] {
            let (a, b) = cx
                .all((async { cx.signal::<u32>(name).timeout(secs(1)).await }, async {
                    cx.state(name.chars().take(200).collect::<String>()).add(1).await
                }))
                .await?;
            assert_eq!((a, b > 0), (None, true));
            cx.child(&echo(), &1).named(name).key(name).await?;
            let scanned = cx.callback::<u32>(name);
            assert!(scanned.url().is_ascii());
            assert_eq!(scanned.timeout(secs(1)).await?, None);
            let question = bowline_model::approval::Question::new("May I?");
            assert!(cx.approval(name, question).timeout(secs(1)).await?.is_none());
            assert_eq!(cx.transaction(name, |_| Ok(1)).key(name).await?, 1);
            let _ = &desk;
        }
        Ok(json!(1))
    }
    let (_, run) = started(code);
    assert_eq!(run.end().state(), RunState::Completed, "{:?} {}", run.summary(), run.timeline());
}

#[test]
fn names_past_their_limit_are_dead_letters_that_say_so() {
    async fn code(_: Arc<Desk>, cx: Context, _: Value) -> Result<Value> {
        let scanned = cx.callback::<u32>(&"x".repeat(600));
        let _ = scanned.timeout(secs(1)).await?;
        Ok(json!(1))
    }
    let (_, run) = started(code);
    assert_eq!(run.end().dead_reason(), Some(DeadReason::Limit), "{:?} {}", run.summary(), run.timeline());
    async fn signal(_: Arc<Desk>, cx: Context, _: Value) -> Result<Value> {
        let _ = cx.signal::<u32>(&"x".repeat(513)).await?;
        Ok(json!(1))
    }
    let (_, run) = started(signal);
    assert_eq!(run.end().dead_reason(), Some(DeadReason::Limit), "{:?} {}", run.summary(), run.timeline());
}

#[test]
fn decisions_beside_calls_under_way_do_not_fill_the_journal() {
    async fn code(desk: Arc<Desk>, cx: Context, _: Value) -> Result<usize> {
        let slow = (0..20).map(|n| {
            let (desk, cx) = (&desk, &cx);
            async move { cx.step(&format!("slow {n}"), desk.crm.post("/slow").json(&n)).await.map(drop) }
        });
        let counting = async {
            for _ in 0..200 {
                cx.state("n").add(1).await?;
            }
            Ok(())
        };
        cx.all((async { futures_util::future::try_join_all(slow).await.map(drop) }, counting)).await?;
        Ok(0)
    }
    let (app, flow) = app(code);
    let app = TestApp::new(app);
    app.mock("crm").answer(Answer::ok(json!("done")).after(secs(5)));
    let run = app.start(&flow, &json!(null)).end();
    assert_eq!(run.state(), RunState::Completed, "{:?}", run.summary());
    assert!(run.journal().len() < 500, "{} entries", run.journal().len());
}

#[test]
fn futures_dropped_half_way_leave_no_child_signal_or_address_behind() {
    async fn code(desk: Arc<Desk>, cx: Context, _: Value) -> Result<Value> {
        for _ in 0..3 {
            // Begun, and dropped in the same breath.
            drop(futures_util::poll!(Box::pin(cx.child(&echo(), &1).into_future())));
            drop(futures_util::poll!(Box::pin(cx.signal::<u32>("s").into_future())));
            assert!(futures_util::poll!(Box::pin(cx.sleep(secs(1)))).is_pending());
            drop(futures_util::poll!(Box::pin(cx.state("n").add(1))));
        }
        cx.step("middle", desk.crm.post("/middle").json(&json!({}))).await?;
        let raced = cx
            .race((async { cx.child(&echo(), &2).await }, async { cx.signal::<u32>("s").await }, async {
                cx.state("n").get::<u32>().await.map(|n| n.unwrap_or(77))
            }))
            .await;
        cx.step("end", desk.crm.post("/end").json(&json!({}))).await?;
        Ok(json!(raced.output?))
    }
    fn flow() -> Workflow<Desk, Value, Value> {
        workflow("main", code)
    }
    fn desk() -> App<Desk> {
        App::new("desk", |setup| Desk { crm: setup.api("crm").base_url_env("CRM_BASE_URL") })
    }
    let tried = bowline_testing::every_crash_point(
        || desk().workflow(flow()).workflow(echo()),
        |app: &TestApp<Desk>| {
            app.mock("crm").answer(Answer::ok(json!("done")));
            let run = app.start(&flow(), &json!(null)).end();
            assert_eq!(run.state(), RunState::Completed, "{:?} {}", run.summary(), run.timeline());
            // The child that lost goes on by itself.
            app.advance(minutes(1));
            (run.output::<Value>(), app.runs().len())
        },
    );
    assert!(tried.moments > 6, "{tried:?}");
}

#[test]
fn a_race_of_nobody_is_told_and_does_not_wait_for_ever() {
    async fn code(_: Arc<Desk>, cx: Context, _: Value) -> Result<u32> {
        cx.race(Vec::<std::future::Ready<Result<u32>>>::new()).await.output
    }
    let (_, run) = started(code);
    assert_eq!(run.end().dead_reason(), Some(DeadReason::Panicked), "{}", run.timeline());
    assert!(run.summary().unwrap().contains("no branches"), "{:?}", run.summary());
}
