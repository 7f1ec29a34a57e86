//! The program as its senders meet it: a real process, killed and stopped while they wait for their row.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{net::TcpListener, time::Duration};

use bowline_testing::{Answer, Match, MockSystem, Process, Program};
use reqwest::{Client, Response, StatusCode, header::LOCATION};
use serde_json::{Value, json};
use tempfile::TempDir;

const WITHIN: Duration = Duration::from_secs(120);

/// The program with its sheet and its guesses, in a folder of its own.
struct Site {
    sheet: MockSystem,
    process: Process,
    url: String,
    _agify: MockSystem,
    _folder: TempDir,
}

impl Site {
    fn start() -> Self {
        let (sheet, agify, folder) = (MockSystem::start(), MockSystem::start(), tempfile::tempdir().unwrap());
        agify.answer(Answer::ok(json!({ "age": 41 })));
        // The same address in every life of the process.
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let process = Program::new(env!("CARGO_BIN_EXE_signup-to-sheet"))
            .env("AGIFY_BASE_URL", agify.url())
            .env("SHEETS_WEBHOOK_URL", format!("{}/macros/s3cret-hook-of-the-sheet", sheet.url()))
            .env("BOWLINE_LISTEN", free.to_string())
            .env("BOWLINE_ADMIN", "127.0.0.1:0")
            .env("BOWLINE_STORE", format!("sqlite:{}", folder.path().join("signups.db").display()))
            .ready_on_line("listening on")
            .start()
            .unwrap();
        Self { sheet, process, url: format!("http://{free}"), _agify: agify, _folder: folder }
    }

    /// Posts the form, under one key however often it is sent.
    async fn sign_up(url: String) -> reqwest::Result<Response> {
        let form = json!({ "email": "ada@example.com", "name": "Ada Lovelace" });
        let post = Client::new().post(format!("{url}/signups")).header("idempotency-key", "form-17");
        post.json(&form).send().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_again_after_a_kill_has_the_row_of_the_first_time() {
    let mut site = Site::start();
    site.sheet.when(Match::any()).times(1).answer(Answer::hang());
    let waiting = tokio::spawn(Site::sign_up(site.url.clone()));
    site.sheet.wait_for(1).await;
    site.process.kill();
    assert!(waiting.await.unwrap().is_err(), "who waited has no answer");

    site.process.restart().unwrap();
    let answer = Site::sign_up(site.url.clone()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let row: Value = answer.json().await.unwrap();
    let sent = site.sheet.requests();
    assert_eq!(sent.len(), 2, "the append that was under way is sent again");
    assert_eq!(sent[0].idempotency_key(), sent[1].idempotency_key());
    assert_eq!((sent[0].json(), sent[1].json()), (row.clone(), row), "the very row, its time included");
    assert!(!site.process.output().contains("s3cret-hook"), "the hook's URL is a secret");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_at_a_stop_has_an_address_that_the_next_process_answers() {
    let mut site = Site::start();
    site.sheet.go_down();
    let waiting = tokio::spawn(Site::sign_up(site.url.clone()));
    site.process.wait_for_line("accepted", WITHIN).unwrap();
    site.process.terminate(WITHIN).unwrap();
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let address = answer.url().join(answer.headers()[LOCATION].to_str().unwrap()).unwrap();

    site.sheet.come_back().unwrap();
    site.process.restart().unwrap();
    site.sheet.wait_for(1).await;
    site.process.wait_for_line("run completed", WITHIN).unwrap();
    let row = Client::new().get(address.clone()).send().await.unwrap();
    assert_eq!(row.status(), StatusCode::OK);
    assert_eq!(row.json::<Value>().await.unwrap(), site.sheet.requests()[0].json());

    let guessed = address.as_str().trim_end_matches(|last: char| last != '-').to_owned() + &"0".repeat(32);
    assert_eq!(Client::new().get(guessed).send().await.unwrap().status(), StatusCode::NOT_FOUND);
}
