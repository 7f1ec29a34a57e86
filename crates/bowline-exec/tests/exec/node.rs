//! What a node that is killed leaves behind: nothing.

use std::env;

use bowline_exec::Lane;
use bowline_testing::Program;

use crate::{attempt, fifo::Fifo, sh};

const ROLE: &str = "BOWLINE_EXEC_TEST_NODE";

/// With that variable this test is the node, and runs programs until it is killed.
#[tokio::test]
async fn a_killed_node_leaves_no_program_behind() {
    if let Ok(fifo) = env::var(ROLE) {
        let endless = sh("exec 9>\"$FIFO\"; echo up >&9; sleep 1000 & sleep 1000")
            .env("FIFO", fifo)
            .lane(&Lane::new(2));
        let ended = sh("echo ended");
        let _ = attempt(&ended).await;
        let _ = tokio::join!(attempt(&endless), attempt(&endless));
        return;
    }
    let fifo = Fifo::new();
    let lines = fifo.lines();
    let mut node = Program::new(env::current_exe().unwrap())
        .args(["--exact", "node::a_killed_node_leaves_no_program_behind", "--nocapture"])
        .env(ROLE, fifo.text())
        .start()
        .unwrap();
    assert_eq!([lines.next(), lines.next()], ["up", "up"]);
    node.kill();
    lines.all_gone();
}

const BEREFT: &str = "BOWLINE_EXEC_TEST_BEREFT";

/// As above, where what watches over the programs is killed between two of them.
#[tokio::test]
async fn a_killed_node_leaves_no_program_behind_though_its_guard_was_killed_before() {
    if let Ok(fifo) = env::var(BEREFT) {
        let _held_open = std::fs::File::options().write(true).open(&fifo).unwrap();
        let endless = sh("exec 9>\"$FIFO\"; echo up >&9; : >\"$FIFO.up\"; sleep 1000 & sleep 1000")
            .env("FIFO", &fifo)
            .lane(&Lane::new(3));
        let kills = format!(
            "until [ -e \"$FIFO.up\" ]; do sleep 0.01; done; exec 9>\"$FIFO\"; for pid in $(cat /proc/{0}/task/*/children); do \
             tr '\\0' '\\n' </proc/$pid/cmdline | grep -qx bowline-guard && kill -9 $pid; done; echo killed >&9",
            std::process::id()
        );
        let kills_its_guard = sh(&kills).env("FIFO", &fifo).lane(&Lane::new(1));
        let second = async {
            let _ = attempt(&kills_its_guard).await;
            attempt(&endless).await
        };
        let _ = tokio::join!(attempt(&endless), second);
        return;
    }
    let fifo = Fifo::new();
    let lines = fifo.lines();
    let mut node = Program::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "node::a_killed_node_leaves_no_program_behind_though_its_guard_was_killed_before",
            "--nocapture",
        ])
        .env(BEREFT, fifo.text())
        .start()
        .unwrap();
    let mut told = [lines.next(), lines.next(), lines.next()];
    told.sort();
    assert_eq!(told, ["killed", "up", "up"]);
    node.kill();
    lines.all_gone();
}
