//! What Stripe's own library signs is accepted, what it refuses is refused.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bowline_testing::{MockSystem, peer, skip};
use serde_json::Value;

use crate::{
    crm::{crm, email},
    server::{Server, Settings, folder},
};

const OLD_SECRET: &str = "whsec_of_before_the_rotation_9f8e7d";
const NEW_SECRET: &str = "whsec_of_after_the_rotation_1a2b3c";

/// A webhook as the library made and judged it.
struct Signed {
    name: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    expect: String,
}

fn python(test: &str) -> Result<PathBuf, (&str, &'static str)> {
    peer::python("stripe").ok_or((test, "needs Python with the package stripe: scripts/python makes one"))
}

/// What the library makes with that secret. `other` is a secret that it signs with where the right one is wanted.
fn sign(python: &Path, secret: &str, other: &str) -> Vec<Signed> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/stripe_sign.py");
    let made =
        Command::new(python).args([script, "--secret", secret, "--old-secret", other]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().lines().map(signed).collect()
}

fn signed(line: &str) -> Signed {
    let line: Value = serde_json::from_str(line).unwrap();
    let text = |name: &str| line[name].as_str().unwrap().to_owned();
    let headers = line["headers"].as_object().unwrap().iter();
    Signed {
        name: text("name"),
        headers: headers.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect(),
        body: STANDARD.decode(text("body")).unwrap(),
        expect: text("expect"),
    }
}

impl Signed {
    async fn post(&self, server: &Server) -> (u16, String) {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = server.post(self.body.clone(), &headers).await;
        (answer.status, answer.said().to_owned())
    }
}

async fn check_all(server: &Server, events: &[Signed]) {
    for event in events {
        let expected = match event.expect.as_str() {
            "refused" => (401, ""),
            status => (200, status),
        };
        let (status, said) = event.post(server).await;
        assert_eq!((status, said.as_str()), expected, "{}", event.name);
    }
}

fn count(events: &[Signed], expect: &str) -> usize {
    events.iter().filter(|event| event.expect == expect).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_stripe_library_signs_is_accepted_and_what_it_refuses_is_refused() {
    let python = match python("what_the_stripe_library_signs_is_accepted_and_what_it_refuses_is_refused") {
        Ok(python) => python,
        Err((test, reason)) => skip!(test, reason),
    };
    let (folder, crm) = (folder(), crm_at_once());
    let settings = Settings::new(folder.path(), &crm.url());
    let server = Server::start(settings.env("STRIPE_WEBHOOK_SECRET", NEW_SECRET));
    let events = sign(&python, NEW_SECRET, OLD_SECRET);
    // Tampered, stale, wrong secret, and what else a header can be.
    assert!(count(&events, "accepted") >= 8 && count(&events, "refused") >= 12);
    check_all(&server, &events).await;

    server.until_no_run_is_open().await;
    let contacts = crm.requests();
    assert_eq!(
        contacts.len(),
        count(&events, "accepted"),
        "one contact for each accepted event, none for others"
    );
    assert!(contacts.iter().any(|contact| email(contact) == "unknown@example.com"), "without an address");
    let names: Vec<Value> = contacts.iter().filter_map(|contact| contact.pointer("/name")).collect();
    assert!(names.contains(&"Zoë Łukasiewicz 李".into()) && names.contains(&"Unknown".into()), "{names:?}");
    let output = server.output();
    assert!(
        !output.contains(NEW_SECRET) && !output.contains("jane@example.com"),
        "refusals are logged without bodies"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_secrets_are_accepted_while_they_are_rotated() {
    let python = match python("both_secrets_are_accepted_while_they_are_rotated") {
        Ok(python) => python,
        Err((test, reason)) => skip!(test, reason),
    };
    let (folder, crm) = (folder(), crm_at_once());
    let both = format!("{NEW_SECRET},{OLD_SECRET}");
    let settings = Settings::new(folder.path(), &crm.url());
    let mut server = Server::start(settings.env("STRIPE_WEBHOOK_SECRET", both));
    check_all(&server, &sign(&python, OLD_SECRET, "whsec_of_somebody_else")).await;
    server.until_no_run_is_open().await;

    // Signed with the new one, the same events are known already.
    let mut again = sign(&python, NEW_SECRET, "whsec_of_somebody_else");
    for event in again.iter_mut().filter(|event| event.expect == "accepted") {
        event.expect = "duplicate".to_owned();
    }
    check_all(&server, &again).await;

    server.terminate();
    server.restart(|settings| settings.env("STRIPE_WEBHOOK_SECRET", NEW_SECRET));
    check_all(&server, &again).await;
    let old = sign(&python, OLD_SECRET, "whsec_of_somebody_else");
    for event in old.iter().filter(|event| event.expect == "accepted") {
        assert_eq!(event.post(&server).await.0, 401, "{}: the old secret is out", event.name);
    }
}

fn crm_at_once() -> MockSystem {
    crm(std::time::Duration::ZERO)
}
