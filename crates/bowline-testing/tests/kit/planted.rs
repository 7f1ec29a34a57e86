//! Bugs that a crash brings to light, planted: each is found, and what is said helps.

use std::collections::HashMap;

use bowline::prelude::*;
use bowline_testing::{TestApp, every_crash_point};
use serde_json::{Value, json};

use crate::shop::{Shop, lines, order, shop};

/// What `every_crash_point` says of the app.
fn findings(app: impl Fn() -> App<Shop>) -> String {
    let check = || {
        every_crash_point(app, |app: &TestApp<Shop>| {
            app.send_event("/webhooks/stripe", "order", order()).run().end().state()
        })
    };
    crate::panic_of(check)
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

async fn sends_outside(shop: Arc<Shop>, cx: Context, order: Value) -> Result<()> {
    shop.mail.post("/mails").json(&json!({"to": order["email"]})).send().await?;
    cx.step("create contact", shop.crm.post("/contacts").json(&order)).await?;
    Ok(())
}

#[test]
fn an_effect_outside_a_step_is_found() {
    let text = findings(|| shop(sends_outside));
    assert_says(
        &text,
        &[
            "POST mail /v1/mails was sent once more, under another idempotency key",
            "crash before \"create contact\"",
            "no step recorded this call: put it into one",
        ],
    );
}

async fn branches_on_the_wall_clock(shop: Arc<Shop>, cx: Context, order: Value) -> Result<()> {
    #[allow(clippy::disallowed_methods, reason = "that is the bug")]
    let is_odd = jiff::Timestamp::now().as_second() % 2 == 1;
    let step = if is_odd { "create contact" } else { "update contact" };
    cx.step(step, shop.crm.post(if is_odd { "/contacts" } else { "/contacts/update" }).json(&order)).await?;
    cx.step("mail", shop.mail.post("/mails")).await?;
    Ok(())
}

#[test]
fn a_branch_on_the_wall_clock_is_found() {
    let text = findings(|| shop(branches_on_the_wall_clock));
    assert_says(&text, &["cx.now()"]);
}

async fn greets_by_the_time_of_day(shop: Arc<Shop>, cx: Context, order: Value) -> Result<()> {
    #[allow(clippy::disallowed_methods, reason = "that is the bug")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let is_morning = now.as_secs() / 3600 % 24 < 12;
    cx.step("create contact", shop.crm.post("/contacts").json(&order)).await?;
    let greeting = if is_morning { "good morning" } else { "good afternoon" };
    cx.step("mail", shop.mail.post("/mails").json(&json!({"text": greeting}))).await?;
    cx.step("log", shop.crm.post("/log")).await?;
    Ok(())
}

#[test]
#[cfg(target_os = "linux")]
fn a_body_made_of_the_time_of_day_is_found_whatever_the_time_of_day() {
    let text = findings(|| shop(greets_by_the_time_of_day));
    assert_says(&text, &["good morning", "good afternoon", "cx.now()"]);
}

async fn keys_by_chance(shop: Arc<Shop>, cx: Context, order: Value) -> Result<()> {
    for line in lines(&order) {
        let key = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 1);
        cx.step("reserve", shop.crm.post("/stock").json(&line)).key(key).await?;
    }
    Ok(())
}

#[test]
fn an_unstable_key_is_found() {
    let text = findings(|| shop(keys_by_chance));
    assert_says(
        &text,
        &[
            "POST crm /stock was sent once more, under another idempotency key",
            "under another step name or .key",
        ],
    );
}

async fn loops_over_a_map(shop: Arc<Shop>, cx: Context, order: Value) -> Result<()> {
    let by_sku: HashMap<String, Value> = lines(&order)
        .into_iter()
        .map(|line| (line["sku"].as_str().unwrap_or_default().to_owned(), line))
        .collect();
    for line in by_sku.values() {
        cx.step("reserve", shop.crm.post("/stock").json(line)).await?;
    }
    Ok(())
}

#[test]
fn a_loop_over_a_map_without_keys_is_found() {
    let text = findings(|| shop(loops_over_a_map));
    assert_says(&text, &["order of a map"]);
}

async fn sends_in_a_closure(shop: Arc<Shop>, cx: Context, order: Value) -> Result<()> {
    cx.step("create contact", async || shop.crm.post("/contacts").json(&order).send().await).await?;
    Ok(())
}

#[test]
fn a_closure_that_sends_without_the_attempts_key_is_found() {
    let text = findings(|| shop(sends_in_a_closure));
    assert_says(&text, &["POST crm /contacts was sent once more", "attempt.key()"]);
}

async fn counts_outside(shop: Arc<Shop>, cx: Context, order: Value) -> Result<u32> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static ORDERS: AtomicU32 = AtomicU32::new(0);
    let nth = ORDERS.fetch_add(1, Ordering::SeqCst);
    cx.step("create contact", shop.crm.post("/contacts").json(&json!({"order": order, "nth": nth}))).await?;
    Ok(nth)
}

#[test]
fn a_count_that_outlives_runs_is_found_before_any_crash() {
    let text = findings(|| shop(counts_outside));
    assert_says(&text, &["before any crash: the scenario is not the same twice", "\"nth\""]);
}

async fn draws_an_id(shop: Arc<Shop>, cx: Context, _order: Value) -> Result<()> {
    let id = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 1);
    cx.step("create contact", shop.crm.post("/contacts").json(&json!({"id": id}))).await?;
    cx.step("mail", shop.mail.post("/mails")).await?;
    Ok(())
}

#[test]
fn an_id_that_is_drawn_without_the_context_is_found() {
    let text = findings(|| shop(draws_an_id));
    assert_says(&text, &["POST crm /contacts", "cx.uuid()"]);
}

async fn asks_outside(shop: Arc<Shop>, cx: Context, order: Value) -> Result<()> {
    let plan = shop.crm.get("/plan").send().await?;
    let path = if plan.text().contains("gold") { "/gold" } else { "/contacts" };
    cx.step("create contact", shop.crm.post(path).json(&order)).await?;
    Ok(())
}

#[test]
fn an_answer_that_no_step_recorded_is_found_without_a_crash() {
    let text = findings(|| shop(asks_outside));
    assert_says(&text, &["GET crm /plan was called outside the steps", "   without a crash\n"]);
}

async fn spawns(shop: Arc<Shop>, cx: Context, order: Value) -> Result<()> {
    let mail = shop.mail.post("/mails").json(&order);
    tokio::spawn(async move { mail.send().await });
    cx.step("create contact", shop.crm.post("/contacts").json(&order)).await?;
    Ok(())
}

#[test]
fn an_effect_in_a_spawned_task_is_found() {
    let text = findings(|| shop(spawns));
    assert_says(&text, &["POST mail /v1/mails was sent once more, under another idempotency key"]);
}

async fn counts_in_a_closure(shop: Arc<Shop>, cx: Context, order: Value) -> Result<()> {
    let counted = std::sync::atomic::AtomicU32::new(0);
    for line in lines(&order) {
        cx.step("count", async || Ok(counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst)))
            .key(&line["sku"])
            .await?;
    }
    let counted = counted.into_inner();
    cx.step("mail", shop.mail.post("/mails").json(&json!({"lines": counted}))).await?;
    Ok(())
}

#[test]
fn what_a_closure_changes_outside_its_result_is_found() {
    let text = findings(|| shop(counts_in_a_closure));
    assert_says(
        &text,
        &["POST mail /v1/mails was sent with something else in it", "-   \"lines\": 3", "+   \"lines\": 2"],
    );
}

async fn remembers_since_when(shop: Arc<Shop>, cx: Context, order: Value) -> Result<()> {
    #[allow(clippy::disallowed_methods, reason = "that is the bug")]
    let now = || jiff::Timestamp::now();
    let since = cx.step("begin", async || Ok(now())).await?;
    cx.step("create contact", shop.crm.post("/contacts").json(&order)).await?;
    let late = now().duration_since(since).as_hours() > 6;
    cx.step("mail", shop.mail.post(if late { "/sorry" } else { "/mails" })).await?;
    Ok(())
}

#[test]
#[cfg(target_os = "linux")]
fn a_branch_on_the_time_since_a_recorded_one_is_found() {
    let text = findings(|| shop(remembers_since_when));
    assert_says(&text, &["POST mail /v1/sorry", "cx.now()"]);
}

#[test]
fn a_route_that_cannot_tell_a_repetition_is_found() {
    async fn create(shop: Arc<Shop>, cx: Context, order: Value) -> Result<()> {
        cx.step("create contact", shop.crm.post("/contacts").json(&order)).await?;
        Ok(())
    }
    let site = || shop(create).post("/orders", Post::open().start_unvalidated(workflow("post", create)));
    let text = crate::panic_of(|| {
        every_crash_point(site, |app: &TestApp<Shop>| {
            app.post("/orders", order());
        })
    });
    assert_says(&text, &["2 runs instead of 1 were started", ".dedupe_by(..)"]);
}

async fn puts_outside(shop: Arc<Shop>, cx: Context, order: Value) -> Result<()> {
    shop.crm.put("/contacts/1").json(&order).send().await?;
    cx.step("count", async || Ok(1)).await?;
    cx.step("mail", shop.mail.post("/mails")).await?;
    Ok(())
}

#[test]
fn an_effect_without_a_key_outside_a_step_is_found() {
    let text = findings(|| shop(puts_outside));
    assert_says(
        &text,
        &["PUT crm /contacts/1 was sent once more, without an idempotency key", "put it into one"],
    );
}

async fn names_by_the_day(shop: Arc<Shop>, cx: Context, order: Value) -> Result<()> {
    #[allow(clippy::disallowed_methods, reason = "that is the bug")]
    let today = jiff::Timestamp::now().as_second() / 86_400;
    cx.step(&format!("create contact {today}"), shop.crm.post("/contacts").json(&order)).await?;
    cx.step("mail", shop.mail.post("/mails")).await?;
    Ok(())
}

#[test]
#[cfg(target_os = "linux")]
fn a_step_that_is_named_by_the_day_is_found() {
    let text = findings(|| shop(names_by_the_day));
    assert_says(
        &text,
        &["POST crm /contacts was sent once more, under another idempotency key", "names are literals"],
    );
}

async fn one_key_for_two(shop: Arc<Shop>, cx: Context, order: Value) -> Result<()> {
    cx.step("both", async |attempt: Attempt| {
        for path in ["/contacts", "/companies"] {
            let call = shop.crm.post(path).header("Idempotency-Key", attempt.key()).json(&order);
            call.send().await?;
        }
        Ok(())
    })
    .await
}

#[test]
fn two_calls_under_one_key_are_found() {
    let text = findings(|| shop(one_key_for_two));
    assert_says(
        &text,
        &[
            "1 finding before any crash\n",
            "two different calls share the key ",
            ": POST crm /contacts and POST crm /companies",
            "give each call a step of its own",
        ],
    );
}

async fn mails_to(shop: Arc<Shop>, cx: Context, path: &'static str) -> Result<()> {
    cx.step("create contact", shop.crm.post("/contacts")).await?;
    cx.step("mail", shop.mail.post(path)).await?;
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "the machine's clock is the bug that is planted")]
fn wall() -> jiff::Zoned {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC)
}

async fn apologizes_after_an_hour(shop: Arc<Shop>, cx: Context, _order: Value) -> Result<()> {
    let age = wall().timestamp().duration_since(cx.event().received_at);
    mails_to(shop, cx, if age.as_hours() >= 1 { "/sorry" } else { "/mails" }).await
}

#[test]
#[cfg(target_os = "linux")]
fn a_branch_on_the_age_of_the_event_is_found() {
    assert_says(&findings(|| shop(apologizes_after_an_hour)), &["POST mail /v1/sorry", "cx.now()"]);
}

async fn waits_for_office_hours(shop: Arc<Shop>, cx: Context, _order: Value) -> Result<()> {
    let is_open = (9..17).contains(&wall().hour());
    mails_to(shop, cx, if is_open { "/mails" } else { "/tomorrow" }).await
}

#[test]
#[cfg(target_os = "linux")]
fn office_hours_are_found() {
    assert_says(&findings(|| shop(waits_for_office_hours)), &["POST mail /v1/tomorrow", "cx.now()"]);
}

async fn is_quiet_at_night(shop: Arc<Shop>, cx: Context, _order: Value) -> Result<()> {
    let is_night = wall().hour() >= 22 || wall().hour() < 6;
    mails_to(shop, cx, if is_night { "/quiet" } else { "/mails" }).await
}

#[test]
#[cfg(target_os = "linux")]
fn quiet_hours_are_found() {
    assert_says(&findings(|| shop(is_quiet_at_night)), &["POST mail /v1/quiet", "cx.now()"]);
}

async fn rests_at_weekends(shop: Arc<Shop>, cx: Context, _order: Value) -> Result<()> {
    let is_weekend = wall().weekday().to_monday_one_offset() > 5;
    mails_to(shop, cx, if is_weekend { "/monday" } else { "/mails" }).await
}

#[test]
#[cfg(target_os = "linux")]
fn weekends_are_found() {
    assert_says(&findings(|| shop(rests_at_weekends)), &["POST mail /v1/monday", "cx.now()"]);
}

async fn makes_its_own_key(shop: Arc<Shop>, cx: Context, order: Value) -> Result<()> {
    let chance = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 1);
    let call = shop.crm.post("/contacts").header("Idempotency-Key", format!("{chance}")).json(&order);
    cx.step("create contact", call).await?;
    Ok(())
}

#[test]
fn an_own_key_that_is_drawn_is_told_as_such() {
    let text = findings(|| shop(makes_its_own_key));
    assert_says(&text, &["POST crm /contacts was sent once more", "its Idempotency-Key header differs"]);
}

async fn steps_in_a_step(shop: Arc<Shop>, cx: Context, order: Value) -> Result<()> {
    cx.step("outer", async || {
        cx.step("inner", shop.crm.post("/contacts").json(&order)).await?;
        Ok(())
    })
    .await
}

#[test]
fn a_step_inside_a_step_is_found_though_every_execution_ends_alike() {
    let text = findings(|| shop(steps_in_a_step));
    assert_says(&text, &["asked for a step where none can be", "not in the closure of another step"]);
}

async fn loops_over_a_map_with_keys(shop: Arc<Shop>, cx: Context, order: Value) -> Result<()> {
    let by_sku: HashMap<String, Value> = lines(&order)
        .into_iter()
        .map(|line| (line["sku"].as_str().unwrap_or_default().to_owned(), line))
        .collect();
    for (sku, line) in &by_sku {
        cx.step("reserve", shop.crm.post("/stock").json(line)).key(sku).await?;
    }
    Ok(())
}

#[test]
fn a_loop_over_a_map_with_keys_is_not_told_to_add_a_key() {
    let text = findings(|| shop(loops_over_a_map_with_keys));
    assert_says(&text, &["sort"]);
    assert!(!text.contains("give steps of a loop a .key(id)"), "{text}");
}
