//! The bench as people run it, and the durable floor: what it is said to do, it does.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::time::Duration;

use bowline_model::{Clock, SystemClock};
use bowline_signature::{SigningSecret, Stripe};
use bowline_testing::{Answer, MockSystem, Process, Program, process::free_port};
use serde_json::json;

const BENCH: &str = env!("CARGO_BIN_EXE_bench");
const SECRET: &str = "whsec_bench_test";
const API_KEY: &str = "crm-key";
const WAIT: Duration = Duration::from_secs(120);

/// A floor, and where it listens.
struct Floor {
    process: Process,
    url: String,
}

impl Floor {
    fn start(role: &str, crm: &MockSystem) -> Self {
        let listen = format!("127.0.0.1:{}", free_port());
        let program = Program::new(BENCH)
            .arg(role)
            .env("LISTEN", &listen)
            .env("STRIPE_WEBHOOK_SECRET", SECRET)
            .env("CRM_BASE_URL", crm.url())
            .env("CRM_API_KEY", API_KEY)
            .ready_on_http(format!("http://{listen}/health"));
        Self { process: program.start().unwrap(), url: format!("http://{listen}/webhooks/stripe") }
    }

    /// The status with which an event of that id is answered.
    async fn post(&self, id: &str, secret: &str) -> u16 {
        let body = event(id).to_string();
        let signature =
            Stripe::new(SigningSecret::new(secret).unwrap()).sign(body.as_bytes(), SystemClock.now());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(&self.url).header("stripe-signature", signature).body(body);
        request.send().await.unwrap().status().as_u16()
    }
}

fn event(id: &str) -> serde_json::Value {
    json!({
        "id": id,
        "type": "payment_intent.succeeded",
        "data": {"object": {
            "amount_received": 4200, "currency": "gbp", "receipt_email": format!("{id}@example.com"), "shipping": null,
        }},
    })
}

/// Which events the CRM was called for, in the order of the calls.
fn emails(crm: &MockSystem) -> Vec<String> {
    let email = |request: &bowline_testing::Recorded| request.json()["email"].as_str().unwrap().to_owned();
    crm.requests().iter().map(email).collect()
}

#[tokio::test]
async fn both_floors_create_a_contact_for_a_signed_event_and_refuse_another_signature() {
    for role in ["bare", "durable"] {
        let crm = MockSystem::start();
        crm.answer(Answer::json(201, json!({"id": 1})));
        let floor = Floor::start(role, &crm);
        assert_eq!(floor.post("evt_1", "whsec_wrong").await, 401, "{role}");
        assert_eq!(floor.post("evt_1", SECRET).await, 200, "{role}");
        crm.wait_for(1).await;
        let request = &crm.requests()[0];
        assert_eq!(request.header("x-api-key"), Some(API_KEY), "{role}");
        let contact = json!({
            "email": "evt_1@example.com", "name": "Unknown", "source": "stripe_payment", "total_spent_pence": 4200,
            "currency": "GBP", "status": "customer",
        });
        assert_eq!(request.json(), contact, "{role}");
    }
}

#[tokio::test]
async fn the_durable_floor_answers_a_redelivery_and_calls_once() {
    let crm = MockSystem::start();
    crm.answer(Answer::json(201, json!({"id": 1})));
    let floor = Floor::start("durable", &crm);
    for id in ["evt_1", "evt_1", "evt_2"] {
        assert_eq!(floor.post(id, SECRET).await, 200);
    }
    crm.wait_for(2).await;
    let mut called = emails(&crm);
    called.sort();
    assert_eq!(called, ["evt_1@example.com", "evt_2@example.com"]);
}

#[tokio::test]
async fn the_durable_floor_calls_again_after_a_kill_what_was_not_done() {
    let crm = MockSystem::start();
    crm.answer(Answer::json(201, json!({"id": 1})));
    crm.go_down();
    let mut floor = Floor::start("durable", &crm);
    assert_eq!(floor.post("evt_1", SECRET).await, 200);
    floor.process.kill();
    crm.come_back().unwrap();
    floor.process.restart().unwrap();
    crm.wait_for(1).await;
    assert_eq!(emails(&crm), ["evt_1@example.com"]);
    assert_eq!(floor.post("evt_1", SECRET).await, 200);
    assert_eq!(crm.count(), 1, "a redelivery after a restart is still known");
}

#[test]
fn one_command_prints_the_table() {
    let mut bench =
        Program::new(BENCH).args(["--events", "200", "--rounds", "1", "--connections", "8"]).start().unwrap();
    let status = bench.wait(WAIT * 4).unwrap();
    let printed = bench.output();
    assert!(status.success(), "{printed}");
    for row in ["| floor: bare |", "| floor: durable |", "| Bowline |", "| **Bowline ÷ floor: durable** |"] {
        assert!(printed.contains(row), "no {row} in:\n{printed}");
    }
}

#[test]
fn under_four_times_its_load_nothing_is_reset_nothing_lost_and_the_rest_is_503() {
    // Where load and server share a machine that is busy besides, the load may be too slow for that, and more is asked.
    let refused = ["4", "8", "16"].iter().any(|times| refused_at(times) > 0);
    assert!(refused, "nobody was turned away");
}

/// How many are told to come again under so many times what the server takes; none of what must never be may be.
fn refused_at(times: &str) -> u64 {
    let mut bench = Program::new(BENCH)
        .args(["--events", "300", "overload", "--times", times, "--seconds", "3", "--seed", "7"])
        .start()
        .unwrap();
    let status = bench.wait(WAIT * 6).unwrap();
    let printed = bench.output();
    assert!(status.success(), "{printed}");
    let cell = |row: &str| -> u64 {
        let line = printed.lines().find(|line| line.starts_with(&format!("| {row} |")));
        let value = line.and_then(|line| line.split('|').nth(2)).map(str::trim);
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {row} in:\n{printed}"))
    };
    assert!(cell("accepted") > 0);
    for none in ["resets", "not answered", "other answers", "accepted and lost"] {
        assert_eq!(cell(none), 0, "{none} in:\n{printed}");
    }
    cell("503 with Retry-After")
}

#[test]
fn a_sleeping_run_among_thousands_wakes_in_a_new_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = std::process::Command::new(BENCH);
    let out =
        bench.args(["--data-dir"]).arg(folder.path()).args(["sleepers", "--runs", "5000"]).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    assert!(said.contains("5000 runs that sleep"), "{said}");
}

/// The short form of a long measurement: attempts that fail, a key that is blocked, and real kills.
#[test]
fn runs_of_a_key_keep_their_order_through_failures_and_kills() {
    let folder = tempfile::tempdir().unwrap();
    let done = std::process::Command::new(BENCH)
        .args(["--data-dir", folder.path().to_str().unwrap()])
        .args(["keys", "--runs", "400", "--keys", "20", "--kills", "2", "--seed", "7"])
        .output()
        .unwrap();
    let (table, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{table}{errors}");
    assert!(table.contains("| out of order within a key | 0 |"), "{table}");
}

/// The short form of a long measurement: a loop over a listing that changes, and real kills.
#[test]
fn a_loop_misses_no_record_and_sends_each_under_one_key_through_changes_and_kills() {
    let folder = tempfile::tempdir().unwrap();
    let done = std::process::Command::new(BENCH)
        .args(["--data-dir", folder.path().to_str().unwrap(), "records", "--records", "300", "--page", "20"])
        .args(["--memory-rounds", "0", "--seed", "7"])
        .output()
        .unwrap();
    let (table, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{table}{errors}");
    for none in ["there all the time, and missed", "contacts under several keys"] {
        assert!(table.contains(&format!("| {none} | 0 |")), "{table}");
    }
    assert!(table.contains("(SIGKILL) 3 times"), "{table}");
}
