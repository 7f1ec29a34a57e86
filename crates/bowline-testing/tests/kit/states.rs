//! Values between runs, and the author's own SQL, with crashes wherever there can be one.

use bowline::prelude::*;
use bowline_model::{DeadReason, EntryKind, RunState};
use bowline_testing::{TestApp, every_crash_point};
use serde_json::{Value, json};

use crate::shop::{Shop, order, shop};

/// An order is counted, booked and mailed.
async fn book(shop: Arc<Shop>, cx: Context, _order: Value) -> Result<(i64, i64)> {
    let number = cx.state("orders").add(1).await?;
    let run = cx.run_id().0;
    let booked: i64 = cx
        .transaction("book", move |tx| {
            tx.execute("CREATE TABLE IF NOT EXISTS orders (run INTEGER PRIMARY KEY, number INTEGER)", ())?;
            tx.execute("INSERT INTO orders (run, number) VALUES (?1, ?2)", (run, number))?;
            tx.query("SELECT count(*) AS n FROM orders", ())?[0].get("n")
        })
        .await?;
    cx.step("mail", shop.mail.post("/mails").json(&json!({"order": number}))).await?;
    Ok((number, booked))
}

fn send(app: &TestApp<Shop>, key: usize) -> bowline_testing::TestRun<'_, Shop> {
    let order = json!({"email": "ada@example.com", "nth": key});
    app.send_event("/webhooks/stripe", "order", order).run()
}

/// Entries of that kind in all journals.
fn recorded(app: &TestApp<Shop>, kind: EntryKind) -> usize {
    app.runs().iter().flat_map(|run| run.journal()).filter(|entry| entry.kind == kind).count()
}

#[test]
fn a_counter_and_a_table_are_exact_whenever_the_process_dies() {
    let tried = every_crash_point(
        || shop(book),
        |app: &TestApp<Shop>| {
            let mut results = vec![];
            for key in 0..3 {
                results.push(send(app, key).end().output::<(i64, i64)>());
            }
            assert_eq!(recorded(app, EntryKind::State), 3);
            assert_eq!(recorded(app, EntryKind::Transaction), 3);
            results
        },
    );
    assert!(tried.moments > 20, "{tried:?}");
}

#[test]
fn fifty_runs_count_to_fifty_with_a_crash_in_each() {
    let app = TestApp::new(shop(book));
    let mut numbers = vec![];
    for key in 0..50 {
        match key % 3 {
            0 => app.crash_after("add orders"),
            1 => app.crash_before_recording("book"),
            _ => app.crash_after("book"),
        }
        numbers.push(send(&app, key).end().output::<(i64, i64)>());
    }
    assert_eq!(numbers, (1..=50).map(|n| (n, n)).collect::<Vec<_>>());
    assert_eq!(recorded(&app, EntryKind::Transaction), 50, "the table equals the journal");
}

#[test]
fn what_was_read_is_read_again_after_a_crash_though_it_changed() {
    async fn read(shop: Arc<Shop>, cx: Context, order: Value) -> Result<Option<String>> {
        if let Some(new) = order["set"].as_str() {
            cx.shared_state("price").set(new).await?;
            return Ok(None);
        }
        let price: Option<String> = cx.shared_state("price").get().await?;
        cx.sleep(secs(60)).await;
        cx.step("mail", shop.mail.post("/mails").json(&price)).await?;
        Ok(price)
    }
    let app = TestApp::new(shop(read));
    let send = |body: Value| app.send_event("/webhooks/stripe", "order", body).run();
    send(json!({"set": "old"})).end();
    let reader = send(json!({}));
    app.settle();
    assert_eq!(reader.state(), RunState::Waiting);
    send(json!({"set": "new"})).end();
    app.crash();
    assert_eq!(reader.end().output::<Option<String>>().as_deref(), Some("old"));
}

#[test]
fn one_of_many_runs_wins_a_compare_and_set() {
    async fn lead(_: Arc<Shop>, cx: Context, _: Value) -> Result<(bool, i64)> {
        let run = cx.run_id().0;
        let free = cx.state("leader").versioned::<i64>().await?;
        cx.sleep(secs(10)).await;
        let won = cx.state("leader").compare_and_set(free.version, &run).await?;
        let sum: Vec<i64> = cx
            .state("all")
            .update(|all: Option<Vec<i64>>| {
                let mut all = all.unwrap_or_default();
                all.push(run);
                all
            })
            .await?;
        Ok((won, i64::try_from(sum.len())?))
    }
    let app = TestApp::new(shop(lead));
    let runs: Vec<_> = (0..8).map(|key| send(&app, key)).collect();
    app.advance(secs(11));
    let mut results: Vec<(bool, i64)> = runs.into_iter().map(|run| run.end().output()).collect();
    assert_eq!(results.iter().filter(|(won, _)| *won).count(), 1);
    results.sort_by_key(|(_, nth)| *nth);
    assert_eq!(
        results.iter().map(|(_, nth)| *nth).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6, 7, 8],
        "no update was lost"
    );
}

#[test]
fn values_go_at_their_time() {
    async fn once_a_day(_: Arc<Shop>, cx: Context, _: Value) -> Result<i64> {
        cx.state("today").expires(bowline::time::days(1)).add(1).await
    }
    let app = TestApp::new(shop(once_a_day));
    let mut next = 0..;
    let mut count = || send(&app, next.next().unwrap_or_default()).end().output::<i64>();
    assert_eq!((count(), count()), (1, 2));
    app.advance(bowline::time::days(1));
    assert_eq!(count(), 1);
}

#[test]
fn an_operators_retry_runs_a_failed_transaction_again() {
    async fn strict(_: Arc<Shop>, cx: Context, order: Value) -> Result<i64> {
        if order["make"] == true {
            cx.transaction("make", |tx| tx.execute("CREATE TABLE stock (n INTEGER)", ())).await?;
            return Ok(0);
        }
        cx.transaction("take", |tx| {
            tx.execute("INSERT INTO stock VALUES (1)", ())?;
            tx.query_first("SELECT count(*) AS n FROM stock", ())?
                .ok_or_else(|| Error::refused("empty"))?
                .get("n")
        })
        .await
    }
    let app = TestApp::new(shop(strict));
    let failed = app.send_event("/webhooks/stripe", "order", order()).run().end();
    assert_eq!(failed.dead_reason(), Some(DeadReason::Failed));
    assert!(failed.summary().unwrap().contains("no such table: stock"), "{:?}", failed.summary());
    app.send_event("/webhooks/stripe", "order", json!({"make": true})).run().end();
    app.retry(failed.id());
    assert_eq!(failed.end().output::<i64>(), 1);
}

#[test]
fn a_transaction_that_fails_is_an_error_that_the_code_can_handle_and_stays_one() {
    async fn careful(shop: Arc<Shop>, cx: Context, _: Value) -> Result<String> {
        let refused = cx.transaction("harm", |tx| tx.execute("DELETE FROM run", ())).await.unwrap_err();
        let panicked = cx.transaction("panic", |_| -> Result { panic!("no luck") }).await.unwrap_err();
        let counted = cx.state("name").set("ada").await.map(|()| "set")?;
        let no_number = cx.state("name").add(1).await.unwrap_err();
        cx.step("mail", shop.mail.post("/mails").json(&counted)).await?;
        Ok(format!("{refused} | {panicked} | {no_number}"))
    }
    let tried = every_crash_point(
        || shop(careful),
        |app: &TestApp<Shop>| {
            let text = app.send_event("/webhooks/stripe", "order", order()).run().end().output::<String>();
            assert!(text.contains("run is Bowline's") && text.contains("no luck"), "{text}");
            assert!(text.contains("no whole number"), "{text}");
            text
        },
    );
    assert!(tried.moments > 10, "{tried:?}");
}

#[test]
fn neither_is_asked_for_inside_a_step() {
    async fn inside(_: Arc<Shop>, cx: Context, _: Value) -> Result {
        let of_step = cx.clone();
        cx.step("outer", async || of_step.state("n").add(1).await).await?;
        Ok(())
    }
    let app = TestApp::new(shop(inside));
    let run = app.send_event("/webhooks/stripe", "order", order()).run().end();
    assert_eq!(run.state(), RunState::DeadLettered);
    assert!(run.summary().unwrap().contains("inside the closure of step"), "{:?}", run.summary());
}

#[test]
fn an_entry_is_named_after_what_was_asked() {
    async fn before(shop: Arc<Shop>, cx: Context, _: Value) -> Result<String> {
        let text = format!("{:?}", cx.state("n"));
        cx.state("n").add(1).await?;
        cx.step("mail", shop.mail.post("/mails")).await?;
        Ok(text)
    }
    let app = TestApp::new(shop(before));
    let run = app.send_event("/webhooks/stripe", "order", order()).run().end();
    let entry = run.journal().into_iter().find(|entry| entry.kind == EntryKind::State).unwrap();
    assert_eq!(entry.key.to_string(), "\"add n\"", "the operation is part of the entry's name");
    assert!(run.output::<String>().contains("workflow:order"));
}
