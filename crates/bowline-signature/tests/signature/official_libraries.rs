//! Standard Webhooks' and Svix's own libraries sign, and ours verifies; ours signs, and they verify.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bowline_signature::{StandardWebhooks, standard_webhooks};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{at, peer, secret, skip};

const SECRET: &str = "whsec_b3VycywgMzIgYnl0ZXMgb2Yga2V5IG1hdGVyaWFsLi4=";
const OLD_SECRET: &str = "whsec_b3VycyBiZWZvcmUsIDI0IGJ5dGVzIQ==";
const BODY: &[u8] = "{\"type\":\"contact.created\",\"name\":\"Zoë\"}".as_bytes();

fn python(test: &'static str) -> Result<PathBuf, (&'static str, &'static str)> {
    peer::python("standardwebhooks, svix")
        .ok_or((test, "needs Python with the packages standardwebhooks and svix: scripts/python makes one"))
}

/// What the peer prints, one JSON object a line.
fn ask(python: &Path, mode: &str, lines: &str) -> Vec<Value> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/standard_webhooks.py");
    let mut peer = Command::new(python)
        .args([script, mode])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    peer.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let made = peer.wait_with_output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What ours says of such a line.
fn judge(line: &Value, now: Timestamp) -> &'static str {
    let headers: Vec<(String, String)> =
        serde_json::from_value::<serde_json::Map<_, _>>(line["headers"].clone())
            .unwrap()
            .into_iter()
            .map(|(name, value)| (name, value.as_str().unwrap().to_owned()))
            .collect();
    let mut secrets = line["secrets"].as_array().unwrap().iter().map(|text| secret(text.as_str().unwrap()));
    let webhooks = secrets.next().map(|first| StandardWebhooks::new(&first)).unwrap();
    let webhooks = secrets.fold(webhooks, |webhooks, next| webhooks.and_then(|w| w.also_accept(&next)));
    let body = STANDARD.decode(line["body"].as_str().unwrap()).unwrap();
    match webhooks.map(|webhooks| webhooks.verify(crate::lookup(&headers), &body, now).is_ok()) {
        Ok(true) => "accepted",
        Ok(false) | Err(_) => "refused",
    }
}

#[test]
fn what_the_official_libraries_sign_is_accepted_and_what_they_refuse_is_refused() {
    let test = "what_the_official_libraries_sign_is_accepted_and_what_they_refuse_is_refused";
    let python = match python(test) {
        Ok(python) => python,
        Err((test, reason)) => skip!(test, reason),
    };
    let lines = ask(&python, "sign", "");
    let count = |expect: &str, libraries: &str| {
        lines.iter().filter(|line| line["expect"] == expect && line["libraries"] == libraries).count()
    };
    assert!(count("accepted", "accepted") >= 52 && count("refused", "refused") >= 50);
    // The differences, each with its reason in the peer's table.
    assert_eq!((count("accepted", "refused"), count("refused", "accepted")), (7, 16));
    for line in &lines {
        let now = at(line["now"].as_i64().unwrap());
        assert_eq!(judge(line, now), line["expect"], "{}", line["name"]);
    }
}

/// A webhook that ours signed, under the headers' plain names and under Svix's.
fn ours(name: &str, secrets: &[&str], body: &[u8], headers: [(&str, String); 3], expect: &str) -> [Value; 2] {
    [standard_webhooks::HEADERS, standard_webhooks::SVIX_HEADERS].map(|names| {
        let named: serde_json::Map<_, _> =
            names.iter().zip(&headers).map(|(name, header)| ((*name).to_owned(), json!(header.1))).collect();
        json!({
            "name": format!("{name}, {}", names[0]), "secrets": secrets, "headers": named,
            "body": STANDARD.encode(body), "expect": expect,
        })
    })
}

/// Every way in which what ours signs can be whole or spoilt.
fn table(now: Timestamp) -> Vec<Value> {
    let new = StandardWebhooks::new(&secret(SECRET)).unwrap();
    let old = StandardWebhooks::new(&secret(OLD_SECRET)).unwrap();
    let seconds = |seconds: i64| at(now.as_second() + seconds);
    let signed = |at| new.sign("msg_17", BODY, at).unwrap();
    let with = |place: usize, value: String| {
        let mut headers = signed(now);
        headers[place].1 = value;
        headers
    };
    let both = format!("{} {}", old.sign("msg_17", BODY, now).unwrap()[2].1, signed(now)[2].1);
    let moved = (now.as_second() + 1).to_string();
    let empty = new.sign("msg_17", b"", now).unwrap();
    [
        ours("whole", &[SECRET], BODY, signed(now), "accepted"),
        ours("no body", &[SECRET], b"", empty, "accepted"),
        ours("almost too old", &[SECRET], BODY, signed(seconds(-240)), "accepted"),
        ours("almost too new", &[SECRET], BODY, signed(seconds(240)), "accepted"),
        ours("two signatures, for the old", &[OLD_SECRET], BODY, with(2, both.clone()), "accepted"),
        ours("two signatures, for the new", &[SECRET], BODY, with(2, both.clone()), "accepted"),
        ours("two secrets, one signature", &[OLD_SECRET, SECRET], BODY, signed(now), "accepted"),
        ours("two secrets, two signatures", &[OLD_SECRET, SECRET], BODY, with(2, both), "accepted"),
        ours("tampered body", &[SECRET], b"{\"type\":\"contact.deleted\"}", signed(now), "refused"),
        ours("tampered id", &[SECRET], BODY, with(0, "msg_18".into()), "refused"),
        ours("timestamp moved", &[SECRET], BODY, with(1, moved), "refused"),
        ours("stale", &[SECRET], BODY, signed(seconds(-360)), "refused"),
        ours("of the future", &[SECRET], BODY, signed(seconds(360)), "refused"),
        ours("wrong secret", &[OLD_SECRET], BODY, signed(now), "refused"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the libraries judge by the machine's clock")]
fn what_ours_signs_the_official_libraries_accept_and_what_is_spoilt_all_refuse() {
    let test = "what_ours_signs_the_official_libraries_accept_and_what_is_spoilt_all_refuse";
    let python = match python(test) {
        Ok(python) => python,
        Err((test, reason)) => skip!(test, reason),
    };
    let now = Timestamp::now();
    let lines = table(now);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let said = ask(&python, "judge", &text);
    assert_eq!(said.len(), lines.len());
    for (line, said) in lines.iter().zip(said) {
        assert_eq!(judge(line, now), line["expect"], "{}", line["name"]);
        assert_eq!(said["svix"], line["expect"], "{}", line["name"]);
        // It does not know the headers by Svix's names.
        if line["headers"].get("svix-id").is_none() {
            assert_eq!(said["standardwebhooks"], line["expect"], "{}", line["name"]);
        }
    }
}
