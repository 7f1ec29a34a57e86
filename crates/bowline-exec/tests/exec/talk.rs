//! What goes in and comes out.

use std::{collections::HashMap, time::Duration};

use bowline_exec::{Exec, ExitMeans, Lane, Printed};
use bowline_model::{Attempt, Effect, Repeat, Secret, Verdict};
use serde_json::{Value, json};

use crate::{WITHIN, attempt, done, one, sh, unknown};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn json_goes_in_and_comes_out() {
    let row = json!({"text": "ä \"quoted\"\n", "n": 12345678901234567890_u64});
    assert_eq!(done(&Exec::new("cat").json(&row).decode::<Value>()).await, row);
    let printed = done(&sh("cat; exit 3").stdin("text").exit_code(3, ExitMeans::Done)).await;
    assert_eq!(printed, Printed { code: 3, text: "text".into() });
    done(&sh("").decode::<()>()).await;
    assert_eq!(done(&sh("").decode::<Option<u8>>()).await, None);
}

#[tokio::test]
async fn ten_megabytes_in_and_out_at_once_do_not_block() {
    let text = "x".repeat(10 * MIB);
    // It writes before it has read, and begins to read late: all pipes are full meanwhile.
    let late =
        sh("head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero | tr '\\0' y; cat").stdin(text.clone());
    let printed = done(&late).await;
    assert_eq!(printed.text.len(), 1_000_000 + 10 * MIB);
    assert!(printed.text.ends_with(&text[..MIB]));
    assert_eq!(
        done(&sh("echo deaf").stdin(text)).await.text,
        "deaf\n",
        "and who reads nothing is not made to"
    );
}

#[tokio::test]
async fn arguments_never_pass_through_a_shell() {
    let nasty = ["$(id)", "`id`", "; exit 9", "a b", "", "*", "-c", "\\n'\"", "ä"];
    let printed = done(&Exec::new("printf").arg("%s|").args(nasty)).await.text;
    assert_eq!(printed, nasty.map(|arg| format!("{arg}|")).concat());
    let option = done(&Exec::new("echo").arg("--").arg("-n")).await.text;
    assert_eq!(option, "-- -n\n");
    match attempt(&Exec::new("echo").arg("a\0b")).await {
        Verdict::Refused(failure) => assert!(failure.message.contains("holds a NUL"), "{failure}"),
        verdict => panic!("{verdict:?}"),
    }
}

#[tokio::test]
async fn the_environment_is_what_was_given() {
    let secret = Secret::new("s3cret-value");
    let env = Exec::new("env").env("MODE", "fast").secret_env("API_KEY", &secret).env_from("CARGO_PKG_NAME");
    let text = done(&env).await.text;
    let mut names: Vec<&str> =
        text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    names.retain(|name| !["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"].contains(name));
    // What the shell of this machine sets by itself.
    names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
    names.sort_unstable();
    assert_eq!(names, ["API_KEY", "BOWLINE_ATTEMPT", "BOWLINE_IDEMPOTENCY_KEY", "CARGO_PKG_NAME", "MODE"]);
    assert!(
        text.contains("BOWLINE_IDEMPOTENCY_KEY=key-17\n") && text.contains("CARGO_PKG_NAME=bowline-exec\n")
    );
    assert!(text.contains("API_KEY=[secret]\n"), "a result without the secret: {text}");
    let folder = tempfile::tempdir().unwrap();
    let pwd = done(&Exec::new("pwd").arg("-P").dir(folder.path())).await.text;
    assert_eq!(std::path::Path::new(pwd.trim_end()), folder.path().canonicalize().unwrap());
}

#[tokio::test]
async fn every_attempt_knows_its_number_and_has_the_key_of_its_step() {
    let tell = sh("echo \"$BOWLINE_IDEMPOTENCY_KEY $BOWLINE_ATTEMPT\"").lane(&Lane::new(1));
    for number in [1, 2, 17] {
        match one(&tell, Attempt::new("key-9", number, WITHIN)).await {
            Verdict::Done(printed) => assert_eq!(printed.text, format!("key-9 {number}\n")),
            verdict => panic!("{verdict:?}"),
        }
    }
}

#[test]
fn only_a_key_that_is_forgotten_keeps_a_program_from_being_repeated_at_any_time() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    assert_eq!(Exec::new("score").shape().repeat, Repeat::Safe);
    let keyed = Exec::new("charge").key_lifetime(hours(24)).shape();
    assert_eq!(keyed.repeat, Repeat::Keyed { lifetime: hours(24) });
}

#[tokio::test]
async fn secrets_are_in_no_failure() {
    let secret = Secret::new("s3cret-value");
    let leaks = sh("echo \"trace: $API_KEY\" >&2; echo \"error: $API_KEY\" >&2; exit 1")
        .secret_env("API_KEY", &secret);
    let failure = unknown(&leaks).await;
    assert_eq!(
        failure.message,
        "sh -c \"echo \\\"trace: $API_KEY\\\" >&2; echo \\\"error: $API_KEY\\\" >&2; exit 1\" exited with 1: error: [secret]"
    );
    let call = failure.call.as_ref().unwrap();
    assert_eq!(call.body.as_deref(), Some("trace: [secret]\nerror: [secret]"));
    assert_eq!((call.code.as_deref(), call.attempt), (Some("exit 1"), 1));
    // A secret that the beginning of the excerpt would cut in two.
    let long = sh("i=0; while [ $i -lt 3000 ]; do printf \"$API_KEY \" >&2; i=$((i+1)); done; exit 1")
        .secret_env("API_KEY", &secret);
    let failure = serde_json::to_string(&unknown(&long).await).unwrap();
    assert!(!failure.contains("value"), "{failure}");
    let argument = Exec::new("echo").secret_env("API_KEY", &secret).arg("s3cret-value");
    assert!(!format!("{argument:?} {:?}", argument.shape()).contains("s3cret"));
}

#[tokio::test]
async fn what_is_not_the_wanted_json_is_a_permanent_failure_that_shows_no_values() {
    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    struct Score {
        label: String,
        score: f64,
    }
    for (script, wanted) in [
        (
            "echo private: 1",
            "sh -c \"echo private: 1\" was done, but its output is not JSON (at line 1 column 1 of 10 bytes)",
        ),
        ("echo '{\"label\": \"private\"'", "its output is not JSON"),
        ("echo '{\"label\": \"l\", \"score\": \"private\"}'", "does not fit exec::talk::"),
        ("echo '{\"label\": \"l\", \"score\": 1} private'", "its output is not JSON"),
        ("", "it printed nothing, or null, which does not fit"),
    ] {
        let failure = unknown(&sh(script).decode::<Score>()).await;
        assert!(failure.message.contains(wanted), "{failure}");
        assert!(!failure.retryable);
        let shown = failure.message.replace(&format!("{script:?}"), "");
        assert!(!shown.replace("-c \"echo", "").contains("\"private\""), "{failure}");
    }
    let bytes = unknown(&sh("printf 'a\\377'")).await;
    assert!(bytes.message.contains("is not text (UTF-8) at byte 1"), "{bytes}");
}

#[test]
fn equal_input_has_an_equal_fingerprint_in_every_process() {
    let names: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    let map = |names: &mut dyn Iterator<Item = &String>| -> HashMap<String, u8> {
        names.map(|name| (name.clone(), 1)).collect()
    };
    let shape = |map| Exec::new("score").arg("--top").arg(3).json(&map).shape();
    assert_eq!(shape(map(&mut names.iter())), shape(map(&mut names.iter().rev())));
    assert_ne!(shape(map(&mut names.iter())), shape(map(&mut names.iter().skip(1))));
    let long = Exec::new("score").args(0..1000).shape().fingerprint.unwrap();
    let other = Exec::new("score").args(0..1001).shape().fingerprint.unwrap();
    assert!(long.path.len() < 300 && !long.same_target(&other), "{long}");
}
