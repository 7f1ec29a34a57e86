//! Commands, a second server, missing settings.

use std::time::Duration;

use bowline_testing::{Answer, MockSystem};
use serde_json::Value;

use crate::{
    crm::crm,
    server::{Server, Settings, folder, store_in},
    stripe::Payment,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_on_the_same_store_is_refused_and_says_why() {
    let (folder, crm) = (folder(), crm(Duration::ZERO));
    let server = Server::start(Settings::new(folder.path(), &crm.url()));
    let (code, said) = server.settings().command(&[]);
    assert_eq!(code, Some(1), "{said}");
    let holder = bowline_store::lock_holder(&store_in(folder.path())).unwrap().pid.unwrap();
    for part in ["bowline.db", &format!("process {holder}"), "BOWLINE_STORE"] {
        assert!(said.contains(part), "{part} is not named: {said}");
    }
    // The first one did not notice.
    let run = Payment::new("evt_first").accepted(&server).await;
    server.until_run_is(run, "completed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_starts_at_once_when_the_one_before_was_killed() {
    let (folder, crm) = (folder(), crm(Duration::ZERO));
    let mut server = Server::start(Settings::new(folder.path(), &crm.url()));
    let run = Payment::new("evt_before").accepted(&server).await;
    server.kill();
    assert!(!server.is_running());
    server.restart(|settings| settings);
    server.until_run_is(run, "completed").await;
    let again = Payment::new("evt_before").send(&server).await;
    assert_eq!((again.status, again.said(), again.run()), (200, "duplicate", run));
}

fn json(settings: &Settings, args: &[&str]) -> Value {
    let (code, said) = settings.command(args);
    assert_eq!(code, Some(0), "{args:?}: {said}");
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{args:?}: {error}: {said}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_say_the_same_through_the_server_and_on_the_store() {
    let (folder, crm) = (folder(), crm(Duration::ZERO));
    let mut server = Server::start(Settings::new(folder.path(), &crm.url()));
    let run = Payment::new("evt_told").accepted(&server).await;
    server.until_run_is(run, "completed").await;
    // Operators need no secret of the app.
    let settings = server.settings().clone().without_env("STRIPE_WEBHOOK_SECRET").without_env("CRM_API_KEY");
    let run = run.to_string();
    let commands: [&[&str]; 4] = [
        &["runs", "--json"],
        &["dead", "--json"],
        &["show", &run, "--json"],
        &["runs", "--state", "waiting", "--json"],
    ];
    let through_server = commands.map(|args| json(&settings, args));
    assert_eq!(through_server[0]["runs"][0]["state"], "completed");
    server.terminate();
    assert_eq!(commands.map(|args| json(&settings, args)), through_server);

    let (code, timeline) = settings.command(&["show", &run]);
    assert_eq!(code, Some(0));
    assert!(timeline.contains("create contact") && timeline.contains("POST crm /api/contacts"), "{timeline}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replay_runs_a_stored_event_again_and_discard_closes_a_dead_letter() {
    let (folder, crm) = (folder(), crm(Duration::ZERO));
    let mut server = Server::start(Settings::new(folder.path(), &crm.url()));
    let first = Payment::new("evt_again").accepted(&server).await;
    server.until_run_is(first, "completed").await;
    let (code, said) = server.settings().command(&["replay", &first.to_string()]);
    assert_eq!(code, Some(0), "{said}");
    let counts = server.until_no_run_is_open().await;
    assert_eq!(
        (counts.of("completed"), crm.count(), crm.requests_by_key().len()),
        (2, 2, 2),
        "a new run, a new key"
    );

    crm.answer(Answer::status(422));
    let dead = Payment::new("evt_dead").accepted(&server).await;
    server.until_run_is(dead, "dead").await;
    // Without a server: on the store itself.
    server.terminate();
    let (code, said) =
        server.settings().command(&["discard", &dead.to_string(), "--reason", "a test account"]);
    assert_eq!(code, Some(0), "{said}");
    server.restart(|settings| settings);
    let view = server.until_run_is(dead, "cancelled").await;
    assert!(view.to_string().contains("a test account"), "{view}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_missing_settings_are_named_at_once() {
    let folder = folder();
    let bare = Settings::new(folder.path(), "http://127.0.0.1:9")
        .without_env("STRIPE_WEBHOOK_SECRET")
        .without_env("CRM_BASE_URL")
        .without_env("CRM_API_KEY")
        .env("BOWLINE_LOG", "loud");
    let names = ["STRIPE_WEBHOOK_SECRET", "CRM_BASE_URL", "CRM_API_KEY", "BOWLINE_LOG"];
    for command in ["serve", "check"] {
        let (code, said) = bare.command(&[command]);
        assert_eq!(code, Some(1), "{command}: {said}");
        for name in names {
            assert!(said.contains(name), "{command} does not name {name}: {said}");
        }
    }
    assert!(!store_in(folder.path()).exists(), "nothing is begun without its settings");
    let whole = Settings::new(folder.path(), "http://127.0.0.1:9");
    let (code, said) = whole.command(&["check"]);
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn send_signs_an_event_as_stripe_would() {
    let (folder, crm) = (folder(), crm(Duration::ZERO));
    let server = Server::start(Settings::new(folder.path(), &crm.url()));
    let file = folder.path().join("event.json");
    std::fs::write(&file, Payment::new("evt_sent").body()).unwrap();
    let file = file.to_str().unwrap();
    let send = ["send", "/webhooks/stripe", "--file", file, "--to", &server.addresses().events];
    for expected in ["accepted", "duplicate"] {
        let (code, said) = server.settings().command(&send);
        assert!(code == Some(0) && said.contains(expected), "{said}");
    }
    let other = server.settings().clone().env("STRIPE_WEBHOOK_SECRET", "whsec_of_another");
    let (code, said) = other.command(&send);
    assert!(code == Some(1) && said.contains("401"), "{said}");
    server.until_no_run_is_open().await;
    assert_eq!(crm.count(), 1);
}

/// A chat's hook: its address is a secret as a whole.
const HOOK_PATH: &str = "/services/T0AB/B1CD/xoxb-s3cret-of-the-hook";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_told_to_a_chat_once_though_the_process_died_before_that() {
    let (folder, crm, chat) = (folder(), crm(Duration::ZERO), MockSystem::start());
    crm.answer(Answer::status(422));
    let hook = format!("{}{HOOK_PATH}", chat.url());
    let settings = Settings::new(folder.path(), &crm.url()).env("BOWLINE_ALERT_URL", &hook);
    let mut server = Server::start(settings);
    for event in ["evt_a", "evt_b", "evt_c"] {
        let dead = Payment::new(event).accepted(&server).await;
        server.until_run_is(dead, "dead").await;
    }
    // They wait for their neighbours: nobody was told yet.
    assert_eq!(chat.count(), 0);
    server.kill();
    server.restart(|settings| settings);

    let told = chat.wait_for(1).await;
    assert_eq!(told[0].path, HOOK_PATH);
    let text = told[0].json()["text"].as_str().unwrap().to_owned();
    for part in ["3 new dead letters", "`stripe-to-crm`, failed: 3", "422", "retry --all"] {
        assert!(text.contains(part), "{part} is not told: {text}");
    }
    assert!(!text.contains("@"), "no customer's data: {text}");
    server.terminate();
    assert_eq!(chat.count(), 1);
    assert!(!server.output().contains("xoxb-s3cret"), "the hook's address is in the log");
}
