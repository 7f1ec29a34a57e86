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
