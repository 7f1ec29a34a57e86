//! The program as its operators meet it: a real process, spoken to with its own command line, killed between.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, net::TcpListener, process::Command, time::Duration};

use bowline_testing::{Answer, MockSystem, Process, Program};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

const WITHIN: Duration = Duration::from_secs(120);
const PROGRAM: &str = env!("CARGO_BIN_EXE_approved-refund");

/// The program with its bank, its mails and its chat, in a folder of its own.
struct Site {
    bank: MockSystem,
    chat: MockSystem,
    process: Process,
    env: Vec<(&'static str, String)>,
    folder: TempDir,
    _mail: MockSystem,
}

/// What a command came to.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Site {
    fn start() -> Self {
        let (bank, mail, chat) = (MockSystem::start(), MockSystem::start(), MockSystem::start());
        bank.answer(Answer::json(202, json!({})));
        let folder = tempfile::tempdir().unwrap();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        // The same addresses in every life of the process.
        let listen = free();
        let env = vec![
            ("BANK_BASE_URL", bank.url()),
            ("MAIL_BASE_URL", mail.url()),
            ("SHOP_API_KEY", "k-17".to_owned()),
            ("BOWLINE_LISTEN", listen.to_string()),
            ("BOWLINE_PUBLIC_URL", format!("http://{listen}")),
            ("BOWLINE_ADMIN", free().to_string()),
            ("BOWLINE_ALERT_URL", format!("{}/hooks/s3cret", chat.url())),
            ("BOWLINE_STORE", format!("sqlite:{}", folder.path().join("refunds.db").display())),
        ];
        let mut program = Program::new(PROGRAM).ready_on_line("listening on");
        for (name, value) in &env {
            program = program.env(name, value);
        }
        Self { bank, chat, process: program.start().unwrap(), env, folder, _mail: mail }
    }

    /// Runs a command of the program, as a person in its folder would.
    fn say(&self, args: &[&str]) -> Said {
        let mut command = Command::new(PROGRAM);
        command.args(args).current_dir(self.folder.path()).env("NO_COLOR", "1").env("USER", "kim");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// It is done.
    #[track_caller]
    fn done(&self, args: &[&str]) -> String {
        let said = self.say(args);
        assert_eq!(said.code, 0, "{args:?}: {said:?}");
        said.out
    }

    /// It is refused, in words that hold these.
    #[track_caller]
    fn refused(&self, args: &[&str], code: i32, words: &[&str]) {
        let said = self.say(args);
        assert_eq!(said.code, code, "{args:?}: {said:?}");
        for word in words {
            assert!(said.err.contains(word), "{args:?} lacks {word:?}: {}", said.err);
        }
    }

    /// A refund of that many euros, posted as the shop would.
    fn refund(&self, order: &str) {
        let file = self.folder.path().join("refund.json");
        std::fs::write(&file, json!({ "order": order, "euros": 900 }).to_string()).unwrap();
        self.done(&["send", "/refunds", "--file", file.to_str().unwrap()]);
    }

    fn die_and_start(&mut self) {
        self.process.kill();
        self.process.restart().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_goes_its_way_by_the_command_line_through_kills() {
    let mut site = Site::start();
    site.refund("C-17");
    site.refused(&["signal", "9", "parcel", "{}"], 1, &["there is no run 9"]);
    site.refused(&["signal", "1", "parcel", "{complete"], 1, &["the body is no JSON"]);
    site.refused(&["signal", "one", "parcel"], 2, &["one"]);
    site.refused(&["approve", "1"], 1, &["run 1"]);
    site.die_and_start();
    assert!(site.done(&["show", "1"]).contains("parcel"), "{}", site.done(&["show", "1"]));
    site.done(&["signal", "1", "parcel", r#"{"complete":true}"#, "--id", "scan-1"]);
    assert!(
        site.done(&["signal", "1", "parcel", r#"{"complete":true}"#, "--id", "scan-1"]).contains("before")
    );

    // Noted on disk too: a kill from here on repeats nothing.
    site.process.wait_for_line("told of approvals", WITHIN).unwrap();
    let told = site.chat.requests()[0].json()["text"].as_str().unwrap().to_owned();
    assert!(told.contains("asked of finance") && told.contains("Refund 900 EUR for C-17?"), "{told}");
    site.die_and_start();
    let asked = site.done(&["approvals"]);
    assert!(asked.contains("Refund 900 EUR for C-17?") && asked.contains("--set reason="), "{asked}");
    site.refused(&["approve", "1"], 1, &["reason"]);
    site.refused(&["approve", "1", "--set", "reason=bored"], 1, &["damaged"]);
    site.refused(&["approve", "1", "--set", "reason"], 2, &["reason"]);
    site.refused(&["approve", "1", "--name", "refnd", "--set", "reason=late"], 1, &["refnd", "refund"]);
    site.done(&["approve", "1", "--set", "reason=late", "--set", "euros=500", "--why", "it was"]);
    site.refused(&["approve", "1", "--set", "reason=late"], 1, &["run 1"]);
    assert_eq!(site.done(&["approvals"]), "nobody is asked anything\n");

    site.bank.wait_for(1).await;
    site.die_and_start();
    let order = site.bank.requests()[0].json();
    assert_eq!(order["euros"], 500);
    let post = async |url: String| {
        let answer = Client::new().post(url).json(&json!({ "id": "T-1" })).send().await.unwrap();
        answer.status()
    };
    let url = order["tell"].as_str().unwrap().to_owned();
    assert_eq!(post(format!("{url}x")).await, StatusCode::NOT_FOUND);
    assert_eq!(post(url.clone()).await, StatusCode::ACCEPTED);
    assert_eq!(post(url.clone()).await, StatusCode::CONFLICT);
    // Killed before its answer was on disk, an order goes out again: as the same one.
    let keys: BTreeSet<_> =
        site.bank.requests().iter().map(|order| order.idempotency_key().unwrap().to_owned()).collect();
    assert_eq!(keys.len(), 1, "ordered once");

    let runs: Value = serde_json::from_str(&site.done(&["runs", "--json"])).unwrap();
    assert!(runs.to_string().contains("waiting"), "a week before the survey: {runs}");
    site.done(&["cancel", "1", "--why", "the shop closes"]);
    site.refused(&["cancel", "1"], 1, &["cancelled"]);
    site.refused(&["signal", "1", "parcel"], 1, &["run 1 is cancelled and takes no messages"]);
    site.refused(&["reject", "1"], 1, &["run 1 is cancelled"]);
    assert!(matches!(post(url.clone()).await, StatusCode::NOT_FOUND | StatusCode::GONE));
    assert!(!site.process.output().contains(url.rsplit('/').next().unwrap()), "the address is a secret");
    assert_eq!(site.chat.count(), 1, "nobody is told twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_who_err_are_told_what_to_do() {
    let mut site = Site::start();
    site.refund("C-18");
    site.refused(&["pause", "refnd"], 1, &["refnd"]);
    site.done(&["pause", "refund", "--why", "audit"]);
    site.done(&["pause", "refund"]);
    site.refund("C-19");
    site.die_and_start();
    let runs = site.done(&["runs"]);
    assert!(runs.contains("paused"), "{runs}");
    site.done(&["resume", "refund"]);
    assert!(site.done(&["check", "--journals"]).contains("FIT"), "{}", site.done(&["check", "--journals"]));
    site.refused(&["settle", "1", "order the transfer", "--not-done"], 1, &["run 1"]);
    site.refused(&["settle", "1", "order the transfer", "--done", "{"], 1, &["JSON"]);
    site.refused(&["fork", "1", "--from", "order the transfer"], 1, &["run 1"]);
    site.refused(&["fork", "99", "--from", "x"], 1, &["there is no run 99"]);
    site.refused(&["show", "99"], 1, &["there is no run 99"]);
    site.process.kill();
    // Nobody serves: the command line speaks with the store itself.
    assert!(site.done(&["signal", "1", "parcel", r#"{"complete":true}"#]).contains("when one starts"));
    site.process.restart().unwrap();
    site.chat.wait_for(1).await;
    site.done(&["reject", "1", "--why", "worn"]);
    site.process.wait_for_line("run completed", WITHIN).unwrap();
    site.done(&["fork", "1", "--from", "refund"]);
}
