//! The quickstart as its users meet it: a process, its lines, a kill.

use std::{collections::HashSet, fs, path::Path, time::Duration};

use bowline_testing::{Process, Program, process::free_port};
use serde_json::Value;

const WITHIN: Duration = Duration::from_secs(120);

fn quickstart(dir: &Path) -> Program {
    Program::new(env!("CARGO_BIN_EXE_quickstart")).dir(dir).env("QUICKSTART_DIR", dir)
}

/// One that stays up, with ports of its own, and a CRM that lets Alan wait so long.
fn staying(dir: &Path, wait_s: u32) -> Program {
    quickstart(dir)
        .env("BOWLINE_LISTEN", format!("127.0.0.1:{}", free_port()))
        .env("BOWLINE_ADMIN", format!("127.0.0.1:{}", free_port()))
        .env("QUICKSTART_WAIT_S", wait_s.to_string())
        .ready_on_line("What happens from here on")
}

/// Runs one command of the app to its end, and returns what it wrote.
#[track_caller]
fn command(dir: &Path, words: &[&str]) -> String {
    let mut command = quickstart(dir).args(words).start().expect("it starts");
    let status = command.wait(WITHIN).expect("it ends");
    assert!(status.success(), "{words:?}: {}", command.output());
    command.output()
}

/// The values of that field over the CRM's requests for that contact.
fn crm_saw(dir: &Path, email: &str, field: &str) -> Vec<Value> {
    let file = fs::read_to_string(dir.join("crm.jsonl")).expect("the CRM was asked");
    let asked = file.lines().map(|line| serde_json::from_str::<Value>(line).expect("each line is JSON"));
    asked.filter(|asked| asked["email"] == email).map(|asked| asked[field].clone()).collect()
}

#[test]
fn tells_its_story_once_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut story = quickstart(dir.path()).arg("--once").start().unwrap();
    let status = story.wait(WITHIN).unwrap();
    let told = story.output();
    assert!(status.success(), "{told}");
    for line in [
        "→ 200 accepted",
        "→ 200 duplicate",
        "→ 401 no signature fits",
        "create contact, attempt 2: answered 503",
        "✓ create contact, attempt 3",
        "✗ create contact: POST crm /api/contacts answered 422",
        "● dead letter",
        "It happened as told.",
    ] {
        assert!(told.contains(line), "no {line:?} in:\n{told}");
    }
    assert_eq!(told.matches("● completed").count(), 2, "{told}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn goes_on_after_a_kill_with_the_key_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let mut story = staying(dir.path(), 5).start().unwrap();
    story.kill();

    story.restart().unwrap();

    for line in ["was killed", "Recovered: run 4", "✓ create contact, attempt 2"] {
        story.wait_for_line(line, WITHIN).unwrap();
    }
    let statuses = crm_saw(dir.path(), "alan@example.com", "status");
    assert_eq!(statuses, [503, 201]);
    let keys: HashSet<_> =
        crm_saw(dir.path(), "alan@example.com", "key").iter().map(Value::to_string).collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert!(story.interrupt(WITHIN).unwrap().success(), "{}", story.output());
    assert!(story.output().contains("Stopped."));
}

#[test]
fn every_line_to_try_works() {
    let dir = tempfile::tempdir().unwrap();
    let mut story = staying(dir.path(), 1).start().unwrap();

    assert_eq!(curl(&mut story, dir.path()), 200);
    let sent = command(dir.path(), &["send", "/webhooks/stripe", "--file", "payment.json"]);
    assert!(sent.contains("duplicate"), "{sent}");
    assert!(command(dir.path(), &["retry", "3"]).contains("run 3 is queued"));
    story.wait_for_line("↻ retried", WITHIN).unwrap();
    story.wait_for_line("← Charles Babbage: 201", WITHIN).unwrap();
    assert!(command(dir.path(), &["show", "2"]).contains("attempt 3"));
    let second = quickstart(dir.path()).start().unwrap().wait_for_line("it runs already", WITHIN);
    assert!(second.is_ok(), "{second:?}");
    assert!(story.interrupt(WITHIN).unwrap().success(), "{}", story.output());
}

#[test]
fn every_page_that_it_links_to_answers() {
    let dir = tempfile::tempdir().unwrap();
    let mut story = staying(dir.path(), 60).start().unwrap();
    story.wait_for_line("Try it, in another terminal", WITHIN).unwrap();
    let told = story.output();
    let links: Vec<_> = told.split_whitespace().filter(|word| is_page(word)).collect();
    assert_eq!(links.len(), 4, "introduced, all runs, the one that waits, the dead letter:\n{told}");
    for (link, shows) in links.iter().zip(["stripe-to-crm", "stripe-to-crm", "next attempt at", "retry 3"]) {
        let page = browse(link);
        assert!(page.contains(shows), "{link} does not show {shows:?}:\n{page}");
    }
    assert!(story.interrupt(WITHIN).unwrap().success(), "{}", story.output());
}

fn is_page(word: &str) -> bool {
    word.starts_with("http://") && (word.ends_with('/') || word.contains("/runs/"))
}

/// The page at that address, as a browser gets it.
fn browse(url: &str) -> String {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    block_on(async move {
        let answer = client.get(url).header("accept", "text/html").send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{url}");
        answer.text().await.expect("a page")
    })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// Sends what the line with `curl` would send; returns the status.
fn curl(story: &mut Process, dir: &Path) -> u16 {
    let mut told = |part| story.wait_for_line(part, WITHIN).expect("the line is told");
    let (url, signature) = (told("curl -i http"), told("Stripe-Signature: "));
    let url = url.split_whitespace().find(|word| word.starts_with("http")).expect("an address");
    let signature = signature.split('\'').nth(1).and_then(|header| header.split_once(": "));
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = client
        .post(url)
        .header("content-type", "application/json")
        .header("stripe-signature", signature.expect("a header").1)
        .body(fs::read(dir.join("payment.json")).expect("the event is written"));
    block_on(async { request.send().await.expect("an answer").status().as_u16() })
}

#[test]
fn every_link_of_the_documents_leads_to_a_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        let text = fs::read_to_string(root.join(document)).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("https://")) {
            assert!(root.join(link).exists(), "{document} links to {link}, which is not there");
        }
    }
}
