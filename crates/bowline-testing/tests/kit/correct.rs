//! Correct programs: no crash makes a difference, and none is called a finding.

use bowline::prelude::*;
use bowline_testing::{Answer, CrashPoints, Match, TestApp, every_crash_point};
use futures_util::future::{Either, join_all, select};
use serde_json::{Value, json};

use crate::shop::{Shop, lines, order, shop};

/// Passes at every crash point, with what `set_up` has the mock systems answer.
#[track_caller]
fn passes(app: impl Fn() -> App<Shop>, set_up: impl Fn(&TestApp<Shop>)) -> CrashPoints {
    every_crash_point(app, |app: &TestApp<Shop>| {
        set_up(app);
        let run = app.send_event("/webhooks/stripe", "order", order()).run().end();
        (run.state(), run.output::<Value>())
    })
}

/// A mock system that gives every call another id.
fn counts(app: &TestApp<Shop>) {
    let next = std::sync::atomic::AtomicU64::new(100);
    app.mock("crm").answer_with(move |_| {
        Answer::json(201, json!({"id": next.fetch_add(1, std::sync::atomic::Ordering::SeqCst)}))
    });
}

async fn one_after_the_other(shop: Arc<Shop>, cx: Context, order: Value) -> Result<Value> {
    let contact: Value = cx.step("create contact", shop.crm.post("/contacts").json(&order).decode()).await?;
    cx.step("mail", shop.mail.post("/mails").json(&json!({"contact": contact["id"]}))).await?;
    Ok(contact)
}

#[test]
fn steps_one_after_the_other_with_retries() {
    let tried = passes(
        || shop(one_after_the_other),
        |app| {
            counts(app);
            app.mock("crm").fail_next(2, 503);
            app.mock("mail").fail_next(1, 429);
        },
    );
    assert!(tried.moments >= 12, "{tried:?}");
}

async fn side_by_side(shop: Arc<Shop>, cx: Context, order: Value) -> Result<Vec<u64>> {
    let reserve = lines(&order).into_iter().map(|line| {
        let (cx, shop) = (&cx, &shop);
        async move {
            let sku = line["sku"].as_str().unwrap_or_default().to_owned();
            let reserved: Value =
                cx.step("reserve", shop.crm.post("/stock").json(&line).decode()).key(&sku).await?;
            cx.step("label", shop.mail.post("/labels").json(&json!({"for": reserved["id"]})))
                .key(&sku)
                .await?;
            Ok::<_, Error>(reserved["id"].as_u64().unwrap_or_default())
        }
    });
    let mut ids = join_all(reserve).await.into_iter().collect::<Result<Vec<_>>>()?;
    ids.sort_unstable();
    Ok(ids)
}

#[test]
fn parallel_steps_and_loops_with_keys() {
    passes(
        || shop(side_by_side),
        |app| {
            app.mock("crm").answer_with(|request| {
                Answer::json(
                    201,
                    json!({"id": request.pointer("/n").and_then(|n| n.as_u64()).unwrap_or_default() + 100}),
                )
            });
            app.mock("crm").when(Match::body("/sku", "b")).times(1).answer(Answer::status(500));
        },
    );
}

async fn best_effort(shop: Arc<Shop>, cx: Context, order: Value) -> Result<Value> {
    let age: Option<Value> = cx
        .step("guess age", shop.crm.get("/age").query("name", "ada").decode())
        .timeout(secs(3))
        .best_effort()
        .await;
    let mailed =
        cx.step("mail", shop.mail.post("/mails").json(&order)).attempt_timeout(secs(2)).await.is_ok();
    Ok(json!({"age": age, "mailed": mailed}))
}

#[test]
fn best_effort_and_timeouts() {
    passes(
        || shop(best_effort),
        |app| {
            app.mock("crm").answer(Answer::hang());
            app.mock("mail").when(Match::any()).times(2).answer(Answer::ok(json!({})).after(secs(9)));
        },
    );
}

async fn the_quicker_of_two(shop: Arc<Shop>, cx: Context, order: Value) -> Result<String> {
    let first = cx.step("ask crm", shop.crm.post("/quote").json(&order)).into_future();
    let second = cx.step("ask mail", shop.mail.post("/quote").json(&order)).into_future();
    let winner = match select(first, second).await {
        Either::Left((answer, _)) => answer.map(|_| "crm"),
        Either::Right((answer, _)) => answer.map(|_| "mail"),
    }?;
    cx.step("log", shop.crm.post("/log").json(&winner)).await?;
    Ok(winner.to_owned())
}

#[test]
fn a_race_of_two_steps() {
    passes(
        || shop(the_quicker_of_two),
        |app| {
            app.mock("crm").when(Match::call("POST", "/quote")).answer(Answer::ok(json!({})).after(secs(2)));
            app.mock("mail").answer(Answer::ok(json!({})).after(secs(1)));
        },
    );
}

async fn recorded_chance(shop: Arc<Shop>, cx: Context, _order: Value) -> Result<Value> {
    let (id, at, chance) = (cx.uuid(), cx.now(), cx.random());
    let body = json!({"id": id, "short": id.simple().to_string(), "at": at, "chance": chance});
    cx.step("create contact", shop.crm.post("/contacts").json(&body)).await?;
    let path = if chance % 2 == 0 { "/even" } else { "/odd" };
    cx.step("mail", shop.mail.post(path).json(&cx.now())).await?;
    Ok(body)
}

#[test]
fn recorded_time_and_chance_in_bodies_and_branches() {
    passes(|| shop(recorded_chance), |app| app.mock("crm").fail_next(1, 503));
}

async fn stamps_in_a_closure(shop: Arc<Shop>, cx: Context, _order: Value) -> Result<Value> {
    #[allow(clippy::disallowed_methods, reason = "in a step's closure the machine's clock is recorded")]
    let stamp = cx.step("stamp", async || Ok(jiff::Timestamp::now().to_string())).await?;
    let body = json!({"signed": format!("at {stamp}")});
    cx.step("create contact", shop.crm.post("/contacts").json(&body)).await?;
    Ok(body)
}

#[test]
fn a_closures_recorded_result_may_differ_from_execution_to_execution() {
    passes(|| shop(stamps_in_a_closure), |_| {});
}

async fn asks_until_it_is_done(shop: Arc<Shop>, cx: Context, _order: Value) -> Result<u32> {
    for asked in 1..=10 {
        let job: Value = cx.step("ask", shop.crm.get("/jobs/1").decode()).await?;
        if job["done"] == true {
            cx.step("mail", shop.mail.post("/mails").json(&job)).await?;
            return Ok(u32::from(asked <= 10));
        }
        cx.step("wait", async || -> Result<()> { Ok(()) }).await?;
    }
    Ok(0)
}

#[test]
fn a_loop_that_asks_until_something_is_done() {
    passes(
        || shop(asks_until_it_is_done),
        |app| {
            let asked = std::sync::atomic::AtomicU32::new(0);
            app.mock("crm").answer_with(move |_| {
                let nth = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                Answer::ok(json!({"done": nth >= 3}))
            });
        },
    );
}

async fn fails_for_good(shop: Arc<Shop>, cx: Context, order: Value) -> Result<()> {
    cx.step("create contact", shop.crm.post("/contacts").json(&order)).await?;
    Ok(())
}

#[test]
fn a_run_that_ends_as_a_dead_letter_and_is_retried() {
    every_crash_point(
        || shop(fails_for_good),
        |app: &TestApp<Shop>| {
            app.mock("crm").answer(Answer::status(422));
            let run = app.send_event("/webhooks/stripe", "order", order()).run().end();
            let dead = run.dead_reason();
            app.mock("crm").answer(Answer::ok(json!({})));
            app.retry(run.id()).end();
            (dead, run.state())
        },
    );
}

async fn puts(shop: Arc<Shop>, cx: Context, order: Value) -> Result<()> {
    cx.step("put", shop.crm.put("/contacts/1").json(&order)).await?;
    let lines = lines(&order);
    let updates = lines
        .iter()
        .map(|line| cx.step("update", shop.crm.put("/stock").json(line)).key(&line["sku"]).into_future());
    join_all(updates).await.into_iter().collect::<Result<Vec<_>>>()?;
    cx.step("delete", shop.crm.delete("/drafts/1")).await?;
    Ok(())
}

#[test]
fn calls_without_idempotency_keys() {
    passes(|| shop(puts), |app| app.mock("crm").fail_next(1, 500));
}

#[test]
fn two_runs_at_once() {
    every_crash_point(
        || shop(one_after_the_other),
        |app: &TestApp<Shop>| {
            counts(app);
            let first = app.send_event("/webhooks/stripe", "order", order()).run();
            let second =
                app.send_event("/webhooks/stripe", "order", json!({"email": "bob@example.com"})).run();
            (first.end().state(), second.end().state())
        },
    );
}

#[test]
fn a_refusal_that_nobody_recorded_is_given_again() {
    for status in [404, 409, 422] {
        every_crash_point(
            || shop(one_after_the_other),
            |app: &TestApp<Shop>| {
                app.mock("crm").fail_next(1, status);
                let run = app.send_event("/webhooks/stripe", "order", order()).run().end();
                (run.state(), run.dead_reason())
            },
        );
    }
}

#[test]
fn a_refusal_of_a_call_without_a_key_is_given_again() {
    every_crash_point(
        || shop(puts),
        |app: &TestApp<Shop>| {
            app.mock("crm").fail_next(1, 422);
            app.send_event("/webhooks/stripe", "order", order()).run().end().state()
        },
    );
}

async fn puts_in_a_closure(shop: Arc<Shop>, cx: Context, order: Value) -> Result<()> {
    cx.step("put", async || shop.crm.put("/contacts/1").json(&order).send().await.map(|_| ())).await?;
    cx.step("mail", shop.mail.post("/mails")).await?;
    Ok(())
}

#[test]
fn a_closure_that_puts_the_same_again() {
    passes(|| shop(puts_in_a_closure), |_| {});
}

async fn over_a_map_side_by_side(shop: Arc<Shop>, cx: Context, order: Value) -> Result<()> {
    let by_sku: std::collections::HashMap<String, Value> =
        lines(&order).into_iter().map(|line| (line["sku"].to_string(), line)).collect();
    let reserve = by_sku
        .iter()
        .map(|(sku, line)| cx.step("reserve", shop.crm.post("/stock").json(line)).key(sku).into_future());
    join_all(reserve).await.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(())
}

#[test]
fn steps_side_by_side_under_keys_in_any_order() {
    passes(|| shop(over_a_map_side_by_side), |_| {});
}
