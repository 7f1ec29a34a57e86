//! The mock systems: what they record and how they answer, seen by a real client.

use std::time::Duration;

use bowline_testing::{Answer, CrmChanging, CrmMode, Match, MockCrm, MockCrmOptions, MockSystem};
use reqwest::Client;
use serde_json::{Value, json};

async fn post(url: &str, email: &str) -> reqwest::Result<(u16, Value)> {
    let request = Client::new().post(format!("{url}/api/contacts")).header("X-Api-Key", "k");
    let answer = request.header("Idempotency-Key", format!("key-{email}")).json(&json!({ "email": email }));
    let answer = answer.send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

#[tokio::test]
async fn records_what_came_in_order_before_it_answers() {
    let mock = MockSystem::start();
    mock.answer(Answer::json(201, json!({ "id": 7 })).header("x-request-id", "r1"));
    assert_eq!(post(&mock.url(), "a@example.com").await.unwrap(), (201, json!({ "id": 7 })));
    assert_eq!(post(&mock.url(), "b@example.com").await.unwrap().0, 201);

    let requests = mock.requests();
    assert_eq!(requests.iter().map(|request| request.nth).collect::<Vec<_>>(), [1, 2]);
    let first = &requests[0];
    assert_eq!((first.method.as_str(), first.path.as_str()), ("POST", "/api/contacts"));
    assert_eq!(first.idempotency_key(), Some("key-a@example.com"));
    assert_eq!(first.header("x-api-key"), Some("k"));
    assert_eq!(first.json(), json!({ "email": "a@example.com" }));
    assert_eq!(first.answered, Some(201));
    assert_eq!(mock.requests_by_key().len(), 2);
}

#[tokio::test]
async fn limited_rules_come_before_lasting_ones_and_end() {
    let mock = MockSystem::start();
    mock.when(Match::body("/email", "bad@example.com")).answer(Answer::status(422));
    mock.when(Match::call("POST", "/api/contacts").and(Match::header("x-api-key", "k")))
        .times(1)
        .answer(Answer::status(409));
    mock.fail_next(2, 503);
    let mut statuses = Vec::new();
    for email in ["bad@example.com", "a@example.com", "a@example.com", "a@example.com", "bad@example.com"] {
        statuses.push(post(&mock.url(), email).await.unwrap().0);
    }
    assert_eq!(statuses, [409, 503, 503, 200, 422]);
    mock.clear_rules();
    assert_eq!(post(&mock.url(), "bad@example.com").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_closed_and_a_hanging_request_are_recorded_but_not_answered() {
    let mock = MockSystem::start();
    mock.when(Match::any()).times(1).answer(Answer::close());
    assert!(post(&mock.url(), "a@example.com").await.unwrap_err().is_request());
    mock.answer(Answer::hang());
    let hanging = tokio::spawn({
        let url = mock.url();
        async move { post(&url, "b@example.com").await }
    });
    let requests = mock.wait_for(2).await;
    assert_eq!(requests.iter().map(|request| request.answered).collect::<Vec<_>>(), [None, None]);
    assert!(!hanging.is_finished());
    drop(mock);
    assert!(hanging.await.unwrap().is_err());
}

#[tokio::test]
async fn answers_after_the_delay() {
    let mock = MockSystem::start();
    mock.answer(Answer::ok(json!({})).after(Duration::from_millis(100)));
    post(&mock.url(), "a@example.com").await.unwrap();
    post(&mock.url(), "a@example.com").await.unwrap();
    let requests = mock.requests();
    assert!(requests[1].elapsed - requests[0].elapsed >= Duration::from_millis(100));
}

#[tokio::test]
async fn refuses_connections_while_down_and_comes_back_on_the_same_port() {
    let mock = MockSystem::start();
    mock.answer(Answer::hang());
    let hanging = tokio::spawn({
        let url = mock.url();
        async move { post(&url, "a@example.com").await }
    });
    mock.wait_for(1).await;
    mock.go_down();
    assert!(hanging.await.unwrap().is_err(), "an open connection is closed too");
    assert!(post(&mock.url(), "b@example.com").await.unwrap_err().is_connect());
    mock.come_back().unwrap();
    mock.answer(Answer::status(200));
    assert_eq!(post(&mock.url(), "c@example.com").await.unwrap().0, 200);
    assert_eq!(mock.count(), 2, "what came before is remembered; what was refused never came");
}

#[test]
fn has_let_go_of_the_port_when_it_is_down() {
    let mock = MockSystem::start();
    for _ in 0..200 {
        mock.go_down();
        mock.come_back().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn waits_in_real_time_under_a_paused_clock() {
    let mock = MockSystem::start();
    let url = mock.url();
    let sender = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(post(&url, "a@example.com")).unwrap();
    });
    assert_eq!(mock.wait_for(1).await.len(), 1);
    sender.join().unwrap();
}

#[tokio::test]
async fn the_crm_logs_every_request_and_deduplicates_none() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("crm.log");
    let mut options = MockCrmOptions::default();
    options.log = Some(log.clone());
    options.api_key = Some("k".into());
    options.fail_first = 1;
    let crm = MockCrm::start(options).unwrap();

    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(post(&crm.url(), "a@example.com").await.unwrap().0);
    }
    crm.set_mode(CrmMode::Down);
    statuses.push(post(&crm.url(), "a@example.com").await.unwrap().0);
    crm.set_mode(CrmMode::Reset);
    post(&crm.url(), "a@example.com").await.unwrap_err();
    assert_eq!(statuses, [503, 201, 201, 503]);
    assert_eq!((crm.requests(), crm.created()), (5, 3));

    let no_key = Client::new().post(format!("{}/api/contacts", crm.url())).body("{}").send().await.unwrap();
    assert_eq!(no_key.status().as_u16(), 401);

    let records = MockCrm::read_log(&log).unwrap();
    let seen: Vec<_> = records.iter().map(|record| (record.status, record.created)).collect();
    assert_eq!(seen, [(503, false), (201, true), (201, true), (503, false), (0, true), (401, false)]);
    assert_eq!(records[1].key.as_deref(), Some("key-a@example.com"));
    assert_eq!(records[1].email.as_deref(), Some("a@example.com"));
}

#[tokio::test]
async fn the_crm_obeys_its_control_endpoint() {
    let crm = MockCrm::start(MockCrmOptions::default()).unwrap();
    let control = async |body: Value| {
        let request = Client::new().post(format!("{}/_control", crm.url())).json(&body);
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    assert_eq!(control(json!({ "mode": "down" })).await["mode"], "down");
    assert_eq!(post(&crm.url(), "a@example.com").await.unwrap().0, 503);
    control(json!({ "mode": "up", "fail_email": { "email": "b@example.com", "times": 1, "status": 422 } }))
        .await;
    assert_eq!(post(&crm.url(), "b@example.com").await.unwrap().0, 422);
    assert_eq!(post(&crm.url(), "b@example.com").await.unwrap().0, 201);
    assert!(control(json!({ "mode": "sideways" })).await["error"].is_string());
}

#[tokio::test]
async fn the_crm_lists_changes_and_logs_contacts_that_change_by_themselves_too() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("crm.log");
    let mut options = MockCrmOptions::default();
    options.log = Some(log.clone());
    options.contacts = 5;
    options.changing = Some(CrmChanging { every: 1, most: 2, seed: 1 });
    let crm = MockCrm::start(options).unwrap();
    let ask = async |method: &str, path: &str, key: Option<&str>| {
        let request = Client::new().request(method.parse().unwrap(), format!("{}{path}", crm.url()));
        let request = request.header("idempotency-key", format!("k {path}")).body("{}");
        let request = key.into_iter().fold(request, |request, key| request.header("x-api-key", key));
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let (status, page) = ask("GET", "/api/contacts?limit=3", Some("k")).await;
    assert_eq!((status, &page["next"], page["contacts"].as_array().unwrap().len()), (200, &json!("3"), 3));
    assert_eq!(ask("GET", "/api/contacts?limit=3&after=3", Some("k")).await.1["next"], json!(null));
    assert_eq!(ask("GET", "/api/contacts?limit=0", Some("k")).await.0, 400);
    assert_eq!(ask("GET", "/api/contacts", None).await.0, 401);

    assert_eq!(ask("PATCH", "/api/contacts/1", None).await.0, 401);
    assert_eq!((crm.patches(), crm.changes().total()), (0, 0));
    assert_eq!(ask("PATCH", "/api/contacts/1", Some("k")).await.1["email"], "contact-1@example.com");
    for _ in 0..3 {
        assert_eq!(ask("PATCH", "/api/contacts/99", Some("k")).await.0, 404);
    }
    assert_eq!((crm.patches(), crm.changes().total(), crm.patches_under_way()), (4, 2, (0, 1)));

    let records = MockCrm::read_log(&log).unwrap();
    let last = records.last().unwrap();
    assert_eq!((&*last.method, last.contact, last.status), ("PATCH", Some(99), 404));
    assert_eq!(last.key.as_deref(), Some("k /api/contacts/99"));
    assert_eq!(records.iter().filter(|record| record.method == "GET").count(), 4);
}
