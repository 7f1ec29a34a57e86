//! The CRM is away, or says no.

use std::{collections::BTreeSet, time::Duration};

use bowline_testing::{Answer, Match, MockSystem, Recorded};
use serde_json::{Value, json};

use crate::{
    crm::{creates, crm, hold_port, one_key_each},
    server::{Server, Settings, TWO_STEPS, folder},
    stripe::Payment,
};

/// The first of these come within a few seconds; after that the waits are longer than any hiccup.
const QUICK_RETRIES: usize = 4;

/// Attempts of a run's last step that failed and were followed by another, or will be.
fn failed_attempts(view: &Value) -> usize {
    let items = view["timeline"].as_array().unwrap();
    items.iter().filter_map(|item| item["failed"].as_array()).next_back().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_finish_by_themselves_when_the_crm_was_away_for_longer_than_the_quick_retries() {
    let (folder, crm) = (folder(), crm(Duration::ZERO));
    let server = Server::start(Settings::new(folder.path(), &crm.url()));
    crm.go_down();
    let held = hold_port(crm.port());
    let mut runs = vec![];
    // So few that their quick retries do not open the breaker, behind which runs wait without trying.
    for payment in Payment::many("away", 3) {
        runs.push(payment.accepted(&server).await);
    }
    for run in &runs {
        let view = server
            .until("the quick retries are used up", async || {
                server.run(*run).await.filter(|view| failed_attempts(view) >= QUICK_RETRIES)
            })
            .await;
        assert!(view.to_string().contains("no connection to 127.0.0.1"), "{view}");
    }
    let counts = server.counts().await;
    assert_eq!((counts.of("dead"), counts.of("completed")), (0, 0), "{counts:?}");

    drop(held);
    crm.come_back().unwrap();
    let counts = server.until_no_run_is_open().await;
    assert_eq!(counts.of("completed"), 3, "{counts:?}");
    let requests = crm.requests();
    assert_eq!((one_key_each(&requests).len(), requests.len()), (3, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attempt_of_a_call_carries_the_same_key() {
    let (folder, crm) = (folder(), crm(Duration::ZERO));
    let server = Server::start(Settings::new(folder.path(), &crm.url()));
    crm.fail_next(1, 503);
    crm.when(Match::any()).times(1).answer(Answer::close());
    crm.fail_next(1, 500);
    let run = Payment::new("evt_flaky").accepted(&server).await;
    server.until_run_is(run, "completed").await;
    let answered: Vec<_> = crm.requests().iter().map(|request| request.answered).collect();
    assert_eq!(answered, [Some(503), None, Some(500), Some(201)]);
    one_key_each(&crm.requests());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_becomes_a_dead_letter_that_names_the_setting_and_retry_finishes_it() {
    let (folder, crm) = (folder(), crm(Duration::ZERO));
    let server = Server::start(Settings::new(folder.path(), &crm.url()));
    crm.answer(Answer::json(401, json!({ "error": "unknown key" })));
    let run = Payment::new("evt_refused").accepted(&server).await;
    let view = server.until_run_is(run, "dead").await;
    let reason = view["run"]["summary"].as_str().unwrap();
    assert!(reason.contains("401") && reason.contains("CRM_API_KEY"), "{reason}");
    assert_eq!(crm.count(), 1, "a definite no is not asked again");

    for command in [&["dead", "--json"][..], &["show", &run.to_string()]] {
        let (code, said) = server.settings().command(command);
        assert!(code == Some(0) && said.contains("CRM_API_KEY"), "{said}");
    }
    creates(&crm, Duration::ZERO);
    let (code, told) = server.settings().command(&["retry", &run.to_string(), "--reason", "key renewed"]);
    assert_eq!(code, Some(0), "{told}");
    let view = server.until_run_is(run, "completed").await;
    assert!(view.to_string().contains("key renewed"), "{view}");
    // Some remotes remember a refusal under its key: after a definite one, a retry asks under another.
    assert_eq!((crm.count(), crm.requests_by_key().len()), (2, 2));
}

/// Of the calls to one path: their keys, and how many there were.
fn keys(crm: &MockSystem, path: &str) -> (BTreeSet<String>, usize) {
    let of_path: Vec<Recorded> = crm.requests().into_iter().filter(|request| request.path == path).collect();
    let keys = of_path.iter().map(|request| request.idempotency_key().unwrap().to_owned()).collect();
    (keys, of_path.len())
}

/// Two steps, of which the second gives up after three attempts with that answer; then an operator's retry. Returns the
/// number of different keys that the second step was sent under.
async fn retried_after_giving_up(answer: Answer) -> usize {
    let (folder, crm) = (folder(), crm(Duration::ZERO));
    let server = Server::start(Settings::new(folder.path(), &crm.url()).binary(TWO_STEPS));
    crm.when(Match::call("POST", "/api/numbers")).answer(Answer::ok(json!({ "number": 17 })));
    crm.when(Match::call("POST", "/api/contacts")).times(3).answer(answer);
    let run = Payment::new("evt_two_steps").accepted(&server).await;
    let view = server.until_run_is(run, "dead").await;
    assert_eq!(view["run"]["dead_reason"], "failed", "{view}");
    assert!(view["run"]["summary"].as_str().unwrap().contains("/api/contacts"), "{view}");
    assert_eq!((keys(&crm, "/api/numbers").1, keys(&crm, "/api/contacts").1), (1, 3));

    let (code, told) = server.settings().command(&["retry", "--all"]);
    assert_eq!(code, Some(0), "{told}");
    let view = server.until_run_is(run, "completed").await;
    assert_eq!(view["run"]["summary"], Value::Null, "a run that ended well has no reason any more");
    let (contact_keys, contacts) = keys(&crm, "/api/contacts");
    assert_eq!((keys(&crm, "/api/numbers").1, contacts), (1, 4), "the recorded step is not sent again");
    let last = crm.requests().pop().unwrap();
    assert_eq!(last.pointer("/number"), Some(17.into()), "the recorded number goes into the contact");
    contact_keys.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_continues_after_the_recorded_steps() {
    assert_eq!(retried_after_giving_up(Answer::status(503)).await, 2, "refused: another key");
    assert_eq!(retried_after_giving_up(Answer::close()).await, 1, "it may have happened: the same key");
}
