//! How programs end, and what that means.

use std::time::Duration;

use bowline_exec::{Exec, ExitMeans, Lane};
use bowline_model::{Attempt, Certainty, Failure, Verdict};

use crate::{attempt, one, sh, unknown};

async fn exit(code: i32) -> Verdict<bowline_exec::Printed> {
    attempt(&sh(&format!("echo why >&2; exit {code}"))).await
}

#[tokio::test]
async fn exit_codes_are_verdicts() {
    assert!(matches!(exit(0).await, Verdict::Done(_)));
    for code in [64, 65, 66, 67, 68, 72, 73, 77, 78] {
        let Verdict::Refused(failure) = exit(code).await else { panic!("{code}") };
        assert!(!failure.retryable && failure.certainty == Certainty::Refused);
    }
    let Verdict::RetryAfter(failure) = exit(75).await else { panic!("75") };
    assert!(
        failure.retryable && failure.message.ends_with("exited with 75 (try again later): why"),
        "{failure}"
    );
    for code in [1, 2, 63, 69, 70, 71, 74, 76, 79, 126, 127, 255] {
        let Verdict::Unknown(failure) = exit(code).await else { panic!("{code}") };
        assert!(failure.retryable && failure.certainty == Certainty::Unknown);
    }
}

#[tokio::test]
async fn an_exit_code_means_what_its_author_says() {
    let three = |means| sh("exit 3").exit_code(3, means);
    assert!(matches!(attempt(&three(ExitMeans::Done)).await, Verdict::Done(_)));
    assert!(matches!(attempt(&three(ExitMeans::Retry)).await, Verdict::RetryAfter(_)));
    assert!(matches!(attempt(&three(ExitMeans::Refused)).await, Verdict::Refused(_)));
    assert!(matches!(attempt(&sh("exit 75").exit_code(75, ExitMeans::Unknown)).await, Verdict::Unknown(_)));
    assert!(matches!(attempt(&sh("exit 0").exit_code(0, ExitMeans::Refused)).await, Verdict::Refused(_)));
}

#[tokio::test]
async fn a_signal_leaves_unknown_what_was_done() {
    let failure = unknown(&sh("kill -9 $$")).await;
    assert!(
        failure.message.contains("was ended by signal 9 (SIGKILL); perhaps this machine ran out of memory"),
        "{failure}"
    );
    assert_eq!(failure.call.unwrap().code.as_deref(), Some("signal 9"));
}

fn refused(verdict: Verdict<bowline_exec::Printed>) -> Failure {
    match verdict {
        Verdict::Refused(failure) => failure,
        verdict => panic!("{verdict:?}"),
    }
}

#[tokio::test]
async fn what_cannot_be_started_says_why_and_is_not_tried_again() {
    let missing = refused(attempt(&Exec::new("no-such-program")).await);
    assert!(missing.message.starts_with("the program no-such-program is not in PATH ("), "{missing}");
    assert!(!missing.retryable);
    let folder = refused(attempt(&Exec::new("echo").dir("/no/such/folder")).await);
    assert_eq!(folder.message, "echo cannot run in /no/such/folder: there is no such folder");
    let from_folder = refused(attempt(&Exec::new("./score").dir("/")).await);
    assert!(from_folder.message.starts_with("the program ./score (from /) cannot be found"), "{from_folder}");
    let name = refused(attempt(&Exec::new("echo").env("A=B", "c")).await);
    assert_eq!(name.message, "echo: the variable name \"A=B\" is not one");
    let huge = refused(attempt(&Exec::new("echo").arg("x".repeat(8 * 1024 * 1024))).await);
    assert!(huge.message.contains("its arguments are too long; use .json"), "{huge}");
}

#[tokio::test]
async fn a_program_whose_time_is_up_is_asked_and_then_killed() {
    let asked = sh("trap 'echo asked >&2; exit 0' TERM; while :; do sleep 0.01; done");
    // A machine that is too slow to get as far as the trap has more time the next time.
    for limit_ms in [200, 2_000, 20_000] {
        let failure = unknown(&asked.clone().timeout(Duration::from_millis(limit_ms))).await;
        let killed = format!("was killed: its {limit_ms} ms were up");
        assert!(failure.message.contains(&killed), "{failure}");
        assert!(failure.retryable, "and an exit with 0 after the signal is no success");
        if failure.message.contains(&format!("{killed}: asked; what it did is unknown")) {
            return;
        }
    }
    panic!("it was not asked");
}

#[tokio::test]
async fn a_tenth_of_the_steps_own_limit_is_for_the_programs_end() {
    let deaf = sh("trap '' TERM; while :; do sleep 0.01; done").lane(&Lane::new(1));
    let Verdict::Unknown(failure) = one(&deaf, Attempt::new("key", 1, Duration::from_millis(500))).await
    else {
        panic!("it never ends");
    };
    let (_, limit) = failure.message.split_once("was killed: its ").unwrap();
    let (limit_ms, _) = limit.split_once(" ms were up").unwrap();
    // Less by what it took to get a place, which is little but for a busy machine.
    assert!((1..=450).contains(&limit_ms.parse::<u64>().unwrap()), "{failure}");
}
