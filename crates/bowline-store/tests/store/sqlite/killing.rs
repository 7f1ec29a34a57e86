//! The process is killed, as the kernel does it.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use bowline_model::{NodeId, RunState};
use bowline_store::{Accepted, Batch, Claim, RunWrite, SqliteStore, Store, Transition, lock_holder};

use super::{open, options, place};
use crate::bench::{TestClock, at, done, event, run_of};

/// Tells a child process of this test program which store to write to.
const CHILD_STORE: &str = "BOWLINE_TEST_CHILD_STORE";

fn claim(total_max: usize) -> Claim {
    let workflows = vec![("a".into(), total_max)];
    Claim { node: NodeId(1), now: at(1), total_max, workflows, others_max: 0, crashes_min: 0 }
}

/// What the child does until it is killed: accepts and completes, and says what was answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(path) = std::env::var(CHILD_STORE) else { return };
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(path, options(), Arc::new(TestClock::default())).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for number in 0.. {
                let key = format!("{task}-{number}");
                let events = vec![event(&key, vec![run_of("a")])];
                store.accept(Batch { events, ..Batch::default() }).await.unwrap();
                say(&format!("accepted {key}"));
                for run in store.claim(claim(1)).await.unwrap() {
                    let (entries, transition) = (vec![done(1, "x")], Some(Transition::Complete));
                    let write = RunWrite { run: run.id, epoch: run.epoch, now: at(2), entries, transition };
                    store.write(write).await.unwrap();
                    say(&format!("completed {}", run.id));
                }
            }
        });
    }
    tasks.join_all().await;
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // On a line of its own: the test harness prints too.
    out.write_all(format!("\n{line}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
}

/// Runs the child, kills it after so many answers, and returns all the answers it had told.
fn run_and_kill(path: &Path, answers: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sqlite::killing::child", "--nocapture"])
        .env(CHILD_STORE, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let mut lines = out.lines().map(Result::unwrap).filter(|line| line.contains("ed "));
    let mut told: Vec<_> = lines.by_ref().take(answers).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    told.extend(lines);
    told
}

#[tokio::test]
async fn finds_all_that_was_answered_after_a_kill() {
    let (_folder, path) = place();
    let (mut accepted, mut completed) = (vec![], vec![]);
    for round in 1..=3 {
        for line in run_and_kill(&path, 60 * round) {
            match line.split_once(' ') {
                Some(("accepted", key)) => accepted.push(key.to_owned()),
                Some(("completed", run)) => completed.push(run.to_owned()),
                _ => {}
            }
        }
        assert_eq!(lock_holder(&path), None);
        let store = open(&path);
        let recovered = store.start_node(at(9)).await.unwrap().recovered;
        assert!(recovered.len() <= 8, "each task drives one run: {recovered:?}");
        for key in &accepted {
            let events = vec![event(key, vec![run_of("a")])];
            let answer = store.accept(Batch { events, ..Batch::default() }).await.unwrap().remove(0);
            assert!(matches!(answer, Accepted::Duplicate { .. }), "{key} was accepted before the kill");
        }
        for run in &completed {
            let run = store.run(run.parse().unwrap()).await.unwrap().unwrap();
            assert_eq!(run.state, RunState::Completed);
            assert_eq!(store.journal(run.id).await.unwrap(), [done(1, "x")]);
        }
        let counts = store.counts(at(9)).await.unwrap().by_state;
        assert!(counts.iter().all(|(state, _)| *state != RunState::Running), "{counts:?}");
    }
    assert!(accepted.len() > 100 && completed.len() > 100);
}
