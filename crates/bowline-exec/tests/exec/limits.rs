//! Memory, output and places are limited.

use std::time::Duration;

use bowline_exec::{Exec, Lane, exec::OUTPUT_BYTES_MAX};
use bowline_model::{Attempt, Effect, Verdict};
use bowline_testing::peer::python;

use crate::{attempt, done, fifo::Fifo, one, sh, unknown};

#[tokio::test]
async fn a_memory_hog_is_stopped_at_its_limit() {
    let Some(python) = python("sys") else {
        bowline_testing::skip!("a_memory_hog_is_stopped_at_its_limit", "needs python3");
    };
    let python = python.display().to_string();
    let hog =
        |mib: u64| Exec::new(&python).arg("-c").arg(format!("print(len(bytearray({mib} * 1024 * 1024)))"));
    let failure = unknown(&hog(600).memory_mib(256)).await;
    assert!(failure.message.ends_with(": MemoryError (its memory was limited to 256 MiB)"), "{failure}");
    assert_eq!(done(&hog(100).memory_mib(256)).await.text, "104857600\n");
    // What it starts has the limit too.
    let child = format!(
        "import subprocess, sys; sys.exit(subprocess.call([{python:?}, '-c', 'bytearray(600 * 1024 * 1024)']))"
    );
    let failure = unknown(&Exec::new(&python).arg("-c").arg(child).memory_mib(256)).await;
    assert!(failure.message.contains("MemoryError"), "{failure}");
}

#[tokio::test]
async fn endless_output_is_cut_and_not_tried_again() {
    let failure = unknown(&Exec::new("yes")).await;
    assert!(failure.message.starts_with("yes was killed: it printed more than 16777216 bytes"), "{failure}");
    assert!(!failure.retryable);
    let fits = sh(&format!("head -c {OUTPUT_BYTES_MAX} /dev/zero | tr '\\0' x"));
    assert_eq!(done(&fits).await.text.len(), OUTPUT_BYTES_MAX);
    let noisy = sh("yes error | head -c 60000000 >&2; echo last >&2; exit 1");
    let failure = unknown(&noisy).await;
    let kept = failure.call.unwrap().body.unwrap();
    assert!(kept.len() <= 2048 && kept.ends_with("error\nlast"), "{kept}");
}

#[tokio::test]
async fn what_has_printed_too_much_is_killed_whatever_it_goes_on_to_do() {
    let hour = Duration::from_secs(3600);
    let fifo = Fifo::new();
    let lines = fifo.lines();
    let more = OUTPUT_BYTES_MAX + 1;
    let goes_on = format!("exec 9>\"$FIFO\"; trap '' PIPE TERM; head -c {more} /dev/zero; exec sleep 1000");
    let goes_on = sh(&goes_on).env("FIFO", fifo.text()).timeout(hour).lane(&Lane::new(1));
    let Verdict::Unknown(failure) = one(&goes_on, Attempt::new("key", 1, hour)).await else {
        panic!("it printed too much");
    };
    assert!(failure.message.contains("it printed more than 16777216 bytes"), "{failure}");
    lines.all_gone();
}

#[tokio::test]
async fn input_that_is_too_large_is_refused_before_anything_runs() {
    let input = vec![0_u8; 64 * 1024 * 1024 + 1];
    let Verdict::Refused(failure) = attempt(&Exec::new("cat").stdin(input)).await else {
        panic!("it is too large")
    };
    assert!(failure.message.contains("its input has 67108865 bytes (limit 67108864)"), "{failure}");
}

#[tokio::test]
async fn a_full_lane_makes_a_run_wait_durably_and_a_killed_program_gives_its_place_back() {
    let lane = Lane::new(1);
    let sleeper = sh("sleep 1000").lane(&lane);
    let mut first = Box::pin(attempt(&sleeper));
    tokio::select! {
        biased;
        verdict = &mut first => panic!("{verdict:?}"),
        () = std::future::ready(()) => {}
    }
    let quick = Exec::new("echo").arg("mine").lane(&lane);
    match quick.attempt(Attempt::new("key", 1, Duration::from_millis(40))).await {
        Verdict::Wait { wait, why } => {
            assert!(wait >= Duration::from_secs(1));
            assert_eq!(why, "one of 1 places for programs and closures");
        }
        verdict => panic!("{verdict:?}"),
    }
    drop(first);
    assert_eq!(done(&quick).await.text, "mine\n");
}
