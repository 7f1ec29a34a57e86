//! Whole processes: a real program is started, watched, killed and started again.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    time::Duration,
};

use bowline_testing::{ProcessError, Program, process::free_port};

/// More than anything here takes.
const SOON: Duration = Duration::from_secs(120);

fn shell(script: &str) -> Program {
    Program::new("/bin/sh").args(["-c", script])
}

fn mock_crm() -> Program {
    Program::new(env!("CARGO_BIN_EXE_mock-crm"))
}

/// Whether the process has memory: a dead one that nobody reaped has none, and one that just calls exec neither.
fn lives(pid: &str) -> bool {
    std::fs::read(proc(pid).join("cmdline")).is_ok_and(|line| !line.is_empty())
}

fn proc(pid: &str) -> PathBuf {
    Path::new("/proc").join(pid)
}

#[test]
fn starts_when_the_line_is_there_and_keeps_what_was_written() {
    let mut crm = mock_crm().ready_on_line("listening on").start().unwrap();
    let line = crm.wait_for_line("listening on 127.0.0.1:", SOON).unwrap();
    assert!(line.rsplit(':').next().unwrap().parse::<u16>().unwrap() > 0);
    assert!(crm.is_running());
    crm.kill();
    assert!(!crm.is_running());
    assert_eq!(crm.output(), line);
}

#[test]
fn starts_when_http_answers_and_again_on_the_same_port_after_a_kill() {
    let port = free_port().to_string();
    let url = format!("http://127.0.0.1:{port}/_control");
    let program = mock_crm().args(["--port", &port, "--log", "crm.log"]).ready_on_http(&url);
    let mut crm = program.start().unwrap();
    let first = crm.id();
    crm.kill();
    crm.restart().unwrap();
    assert_ne!(crm.id(), first);
    assert!(crm.dir().join("crm.log").exists(), "the folder outlasts the kill");
    crm.restart_as(|program| program.args(["--latency-ms", "1"])).unwrap();
    crm.wait_for_line("listening on", SOON).unwrap();
    assert_eq!(crm.lines().len(), 1, "the lines of this life only");
}

#[test]
fn an_early_end_is_told_with_what_the_program_wrote() {
    let error = shell("echo port is taken >&2; exit 3").ready_on_line("listening").start().unwrap_err();
    assert!(matches!(error, ProcessError::Ended { .. }), "{error}");
    assert!(
        error.to_string().contains("exit status: 3") && error.to_string().contains("port is taken"),
        "{error}"
    );
}

#[test]
fn a_line_that_does_not_come_is_told_with_what_came_instead() {
    let program = shell("echo starting; exec sleep 1000");
    // A machine that is too slow to start the shell has more time the next time.
    for within_ms in [300, 3_000, 30_000] {
        let program =
            program.clone().ready_on_line("listening").ready_within(Duration::from_millis(within_ms));
        let error = program.start().unwrap_err();
        assert!(matches!(error, ProcessError::Late { .. }), "{error}");
        if error.to_string().contains("starting") {
            return;
        }
    }
    panic!("what it wrote is not told");
}

#[test]
fn terminate_lets_the_program_end_by_itself() {
    let script = "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done";
    let mut program = shell(script).ready_on_line("up").start().unwrap();
    assert_eq!(program.terminate(SOON).unwrap().code(), Some(7));
    assert_eq!(program.output(), "up\nbye");
}

#[test]
fn an_interrupt_is_told_from_a_termination() {
    let script = "trap 'exit 2' INT; trap 'exit 15' TERM; echo up; while :; do sleep 0.05; done";
    let mut program = shell(script).ready_on_line("up").start().unwrap();
    assert_eq!(program.interrupt(SOON).unwrap().code(), Some(2));
}

#[test]
fn a_paused_program_keeps_its_socket_and_answers_when_it_goes_on() {
    let port = free_port().to_string();
    let url = format!("http://127.0.0.1:{port}/_control");
    let mut crm = mock_crm().args(["--port", &port]).ready_on_http(&url).start().unwrap();
    crm.pause();
    let mut peer = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    peer.write_all(b"GET /_control HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    peer.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut answer = [0; 12];
    assert!(peer.read_exact(&mut answer).is_err(), "it is paused");
    crm.resume();
    peer.set_read_timeout(Some(SOON)).unwrap();
    peer.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 200");
}

#[test]
fn a_kill_takes_the_grandchildren_too() {
    let mut program = shell("sleep 1000 & echo child $!; wait").ready_on_line("child").start().unwrap();
    let line = program.wait_for_line("child", SOON).unwrap();
    let grandchild = line.strip_prefix("child ").unwrap();
    assert!(proc(grandchild).exists());
    program.kill();
    assert!(!lives(grandchild));
}

#[test]
fn a_new_life_is_not_taken_for_the_one_before() {
    let mut program = shell("echo up; exec sleep 1000").ready_on_line("up").start().unwrap();
    for _ in 0..50 {
        program.restart().unwrap();
        assert!(program.is_running());
        assert_eq!(program.lines(), ["up"]);
    }
}

#[test]
fn sees_only_the_environment_it_was_given() {
    let mut program = shell("env; echo done").env("BOWLINE_LISTEN", "127.0.0.1:0").start().unwrap();
    assert!(program.wait(SOON).unwrap().success());
    let lines = program.lines();
    assert!(lines.contains(&"BOWLINE_LISTEN=127.0.0.1:0".to_owned()));
    assert!(!lines.iter().any(|line| line.starts_with("CARGO_")), "{lines:?}");
}

/// Not a test: what [`a_child_dies_with_a_test_that_was_killed`] runs as a process of its own.
#[test]
fn stays_until_it_is_killed() {
    if std::env::var_os("BOWLINE_STAY").is_none() {
        return;
    }
    let mut child = shell("echo child $$; exec sleep 1000").ready_on_line("child").start().unwrap();
    println!("{}", child.wait_for_line("child", SOON).unwrap());
    child.wait(Duration::from_secs(600)).unwrap();
}

#[test]
fn a_child_dies_with_a_test_that_was_killed() {
    let this = std::env::current_exe().unwrap();
    let program = Program::new(this).args(["--exact", "stays_until_it_is_killed", "--nocapture"]);
    let mut test = program.env("BOWLINE_STAY", "1").ready_on_line("child").start().unwrap();
    let line = test.wait_for_line("child", SOON).unwrap();
    let child = line.rsplit(' ').next().unwrap().to_owned();
    assert!(proc(&child).exists());
    test.kill();
    // The guard acts on its own: this waits for its deed, in a process that ends when it is done.
    let gone = format!("while tr -d '\\0' </proc/{child}/cmdline | grep -q .; do sleep 0.02; done");
    shell(&gone).start().unwrap().wait(SOON).unwrap();
    assert!(!lives(&child));
}

#[test]
fn finds_a_binary_of_another_package() {
    let mut crm = Program::of_package("bowline-testing", "mock-crm")
        .unwrap()
        .ready_on_line("listening")
        .start()
        .unwrap();
    crm.kill();
}
