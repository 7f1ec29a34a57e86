//! Nothing a program starts outlives it.

use std::time::Duration;

use bowline_exec::Exec;

use crate::{attempt, done, fifo::Fifo, sh, unknown};

/// 63 shells that fork while their ancestors are dead already, each with a child; all hold the pipe.
const BOMB: &str = r#"
exec 9>"$FIFO"
bomb() {
    if [ "$1" -gt 0 ]; then (bomb $(($1 - 1))) & (bomb $(($1 - 1))) & fi
    echo up >&9
    sleep 1000
}
bomb 5 >/dev/null 2>&1 &
echo '"gone"'
"#;

/// How many of them say that they are up.
const GROUP: usize = 63;

fn bomb(fifo: &Fifo) -> Exec {
    sh(BOMB).env("FIFO", fifo.text())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_bomb_is_gone_after_the_step() {
    let fifo = Fifo::new();
    let lines = fifo.lines();
    // Its leader ends while the bomb goes on; and it ignores what asks it to stop.
    let gone = sh(&format!("trap '' TERM HUP INT\n{BOMB}read -r go <\"$GO\"")).env("FIFO", fifo.text());
    let go = Fifo::new();
    let gone = gone.env("GO", go.text()).decode::<String>();
    let step = tokio::spawn(async move { done(&gone).await });
    for _ in 0..10 {
        lines.next();
    }
    tokio::task::spawn_blocking(move || std::fs::write(go.path(), "go\n").unwrap()).await.unwrap();
    assert_eq!(step.await.unwrap(), "gone");
    lines.all_gone();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_ends_at_once_takes_its_group_along() {
    let fifo = Fifo::new();
    let lines = fifo.lines();
    assert_eq!(done(&bomb(&fifo).decode::<String>()).await, "gone");
    lines.all_gone();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_is_given_up_is_killed_whole() {
    let fifo = Fifo::new();
    let lines = fifo.lines();
    let endless = sh(&format!("{BOMB}\nwait")).env("FIFO", fifo.text());
    let step = tokio::spawn(async move { attempt(&endless).await });
    for _ in 0..10 {
        lines.next();
    }
    step.abort();
    assert!(step.await.unwrap_err().is_cancelled());
    lines.all_gone();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_whose_time_is_up_is_killed_whole() {
    // A machine that is too slow for the whole group to be there has more time the next time.
    for limit_ms in [300, 3_000, 30_000] {
        let fifo = Fifo::new();
        let (open, lines) = fifo.opened();
        let deaf = sh(&format!("trap '' TERM\n{BOMB}\nwait"))
            .env("FIFO", fifo.text())
            .timeout(Duration::from_millis(limit_ms));
        let failure = unknown(&deaf).await;
        assert!(failure.message.contains(&format!("its {limit_ms} ms were up")), "{failure}");
        drop(open);
        if lines.all_gone() == GROUP {
            return;
        }
    }
    panic!("the group was never whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_leaves_the_group_does_not_hold_the_step_up() {
    let fifo = Fifo::new();
    let lines = fifo.lines();
    // In a session of its own, with the program's output open.
    let daemon = sh(
        "setsid sh -c 'exec 9>\"$FIFO\"; echo $$ >&9; exec sleep 1000' & echo '\"done\"'; read -r go <\"$GO\"",
    );
    let go = Fifo::new();
    let daemon = daemon.env("FIFO", fifo.text()).env("GO", go.text()).decode::<String>();
    let step = tokio::spawn(async move { done(&daemon).await });
    let pid = lines.next();
    tokio::task::spawn_blocking(move || std::fs::write(go.path(), "go\n").unwrap()).await.unwrap();
    assert_eq!(step.await.unwrap(), "done");
    assert_eq!(done(&Exec::new("kill").arg("-9").arg(pid)).await.code, 0, "out of reach: it still lived");
    lines.all_gone();
}
