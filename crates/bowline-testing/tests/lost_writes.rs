//! The crash of the machine: what was synced stays, what was not is lost.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::Duration,
};

use bowline_testing::{LostWrites, Process, Program, lost_writes::TraceEvent, peer, skip};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(120);

/// Runs a Python program in a guarded folder until it says `done`, then kills it.
fn run(disk: &LostWrites, folder: &Path, script: &str) {
    start(disk, folder, script).kill();
}

fn start(disk: &LostWrites, folder: &Path, script: &str) -> Process {
    let python = peer::python("os").expect("python3 is needed by the tests");
    let script = format!(
        "import os\nRW = os.O_RDWR | os.O_CREAT\n{script}\nprint('done', flush=True)\nos.read(0, 1)\nimport time; time.sleep(600)"
    );
    let program = Program::new(python).args(["-c", &script]).dir(folder).envs(disk.env());
    program.ready_on_line("done").start().unwrap()
}

fn guarded() -> (TempDir, LostWrites) {
    let folder = tempfile::tempdir().unwrap();
    let disk = LostWrites::over(folder.path()).unwrap();
    (folder, disk)
}

#[test]
fn unsynced_writes_vanish_and_synced_ones_stay() {
    let (folder, disk) = guarded();
    run(
        &disk,
        folder.path(),
        "
a = os.open('a', RW); os.pwrite(a, b'synced' * 1000, 0); os.fdatasync(a); os.pwrite(a, b'LOST', 100); os.write(a, b'LOST')
b = os.open('b', RW); os.pwrite(b, b'never', 0)
c = os.open('c', os.O_WRONLY | os.O_CREAT | os.O_APPEND); os.write(c, b'one '); os.write(c, b'two '); os.fsync(c); os.write(c, b'LOST')
d = os.open('d', RW); os.writev(d, [b'vec', b'tor ']); os.pwritev(d, [b'at', b'8'], 8); os.fsync(os.dup(d)); os.close(d)
os.mkdir('sub'); e = os.open('sub/50%', RW); os.write(e, b'deep'); os.fsync(e)
",
    );
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(read("a").starts_with(b"LOST") && read("b") == b"never", "a kill alone loses nothing");
    let crash = disk.drop_unsynced().unwrap();
    assert_eq!(read("a"), b"synced".repeat(1000));
    assert!(!folder.path().join("b").exists());
    assert_eq!(read("c"), b"one two ");
    assert_eq!(read("d"), b"vector \0at8");
    assert_eq!(read("sub/50%"), b"deep");
    assert_eq!((crash.pages_lost, crash.files_lost), (2, 1));
    assert!(!disk.drop_unsynced().unwrap().lost_something(), "a second crash finds nothing more to lose");
}

#[test]
fn truncation_is_lost_too_until_it_is_synced() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("before"), "was here").unwrap();
    let disk = LostWrites::over(folder.path()).unwrap();
    let script = "
a = os.open('a', RW); os.write(a, b'x' * 9000); os.fsync(a); os.ftruncate(a, 10)
b = os.open('b', RW); os.write(b, b'x' * 9000); os.fsync(b); os.ftruncate(b, 10); os.ftruncate(b, 20); os.fsync(b)
os.open('before', RW | os.O_TRUNC)
";
    run(&disk, folder.path(), script);
    disk.drop_unsynced().unwrap();
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert_eq!(read("a").len(), 9000);
    assert_eq!(
        read("b"),
        [&[b'x'; 10][..], &[0; 10]].concat(),
        "what a truncation cut off does not come back"
    );
    assert_eq!(read("before"), b"was here");
}

#[test]
fn renames_last_but_carry_only_what_was_synced() {
    let (folder, disk) = guarded();
    let script = "
a = os.open('a.tmp', RW); os.write(a, b'synced'); os.fsync(a); os.write(a, b' LOST'); os.rename('a.tmp', 'a')
b = os.open('b.tmp', RW); os.write(b, b'never synced'); os.rename('b.tmp', 'b')
c = os.open('c', RW); os.write(c, b'gone'); os.fsync(c); os.unlink('c')
old = os.open('d', RW); os.write(old, b'old'); os.fsync(old)
new = os.open('d.new', RW); os.write(new, b'new'); os.fsync(new); os.replace('d.new', 'd'); os.write(new, b' more'); os.fsync(new)
";
    run(&disk, folder.path(), script);
    disk.drop_unsynced().unwrap();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!((read("a").as_str(), read("b").as_str(), read("d").as_str()), ("synced", "", "new more"));
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a", "b", "d"]);
}

#[test]
fn a_mixture_keeps_all_that_was_synced_and_some_of_the_rest() {
    let (folder, disk) = guarded();
    let script = "
a = os.open('a', RW); os.pwrite(a, b'o' * 4096 * 64, 0); os.fsync(a); os.pwrite(a, b'n' * 4096 * 32, 0)
";
    run(&disk, folder.path(), script);
    let crash = disk.mix(1).unwrap();
    assert_eq!(crash.pages_unsynced, 32);
    assert!((1..32).contains(&crash.pages_lost), "{crash:?}");
    let left = fs::read(folder.path().join("a")).unwrap();
    assert!(left[4096 * 32..].iter().all(|&byte| byte == b'o'));
    assert_eq!(left.iter().filter(|&&byte| byte == b'o').count(), 4096 * (32 + crash.pages_lost));
}

/// SQLite with each level of `synchronous`: what a committed row survives, and that the difference shows.
#[test]
fn sqlite_keeps_commits_with_synchronous_full_and_loses_them_with_off() {
    if peer::python("sqlite3").is_none() {
        skip!(
            "sqlite_keeps_commits_with_synchronous_full_and_loses_them_with_off",
            "this Python has no sqlite3"
        );
    }
    assert_eq!(rows_after_crash("full"), 20);
    assert_eq!(rows_after_crash("off"), 0);
}

fn rows_after_crash(synchronous: &str) -> usize {
    let (folder, disk) = guarded();
    let write = format!(
        "
import sqlite3
db = sqlite3.connect('t.db', isolation_level=None)
db.execute('pragma journal_mode = wal'); db.execute('pragma synchronous = full'); db.execute('create table t (x)')
db.execute('pragma wal_checkpoint(truncate)'); db.execute('pragma synchronous = {synchronous}')
for x in range(20): db.execute('insert into t values (?)', (x,))
"
    );
    run(&disk, folder.path(), &write);
    disk.drop_unsynced().unwrap();
    assert!(!folder.path().join("t.db-shm").exists());
    let read = "
import sqlite3
print('rows', sqlite3.connect('t.db').execute('select count(*) from t').fetchone()[0], flush=True)
";
    let mut reader = start(&disk, folder.path(), read);
    let line = reader.wait_for_line("rows", SOON).unwrap();
    line.strip_prefix("rows ").unwrap().parse().unwrap()
}

/// A server that syncs before it answers, or after, as told.
fn serve(disk: &LostWrites, folder: &Path, order: &str) -> (Process, TcpStream) {
    let script = format!(
        "
import socket, threading
door = socket.create_server(('127.0.0.1', 0)); print('port', door.getsockname()[1], flush=True)
def serve():
    peer, _ = door.accept()
    f = os.open('journal', RW)
    while peer.recv(4096):
        os.write(f, b'event')
        sync = lambda: os.fdatasync(f)
        answer = lambda: peer.sendall(b'HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\n\\r\\n')
        for step in ({order}): step()
threading.Thread(target=serve, daemon=True).start()
"
    );
    let mut server = start(disk, folder, &script);
    let line = server.wait_for_line("port ", SOON).unwrap();
    let port: u16 = line.strip_prefix("port ").unwrap().parse().unwrap();
    (server, TcpStream::connect(("127.0.0.1", port)).unwrap())
}

fn post(peer: &mut TcpStream) {
    peer.write_all(b"POST /webhooks/stripe HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").unwrap();
    let mut answer = [0; 38];
    peer.read_exact(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 OK"));
}

#[test]
fn the_trace_tells_a_server_that_syncs_first_from_one_that_answers_first() {
    for (order, without_sync) in [("sync, answer", 0), ("answer, sync", 3)] {
        let (folder, disk) = guarded();
        let (mut server, mut peer) = serve(&disk, folder.path(), order);
        (0..3).for_each(|_| post(&mut peer));
        server.kill();
        let trace = disk.trace().unwrap();
        assert_eq!(trace.answers(200), 3);
        assert_eq!(trace.answers_without_sync(200).len(), without_sync, "{order}: {trace:#?}");
        let first = trace.events.iter().find_map(|(_, event)| match event {
            TraceEvent::Request { path, .. } => Some(path.as_str()),
            TraceEvent::SyncBegin { .. } | TraceEvent::SyncEnd { .. } | TraceEvent::Answer { .. } => None,
        });
        assert_eq!(first, Some("/webhooks/stripe"));
    }
}

#[test]
fn files_outside_the_folder_are_left_alone() {
    let (folder, disk) = guarded();
    let outside = tempfile::tempdir().unwrap();
    let script = format!("a = os.open('{}/a', RW); os.write(a, b'stays')", outside.path().display());
    run(&disk, folder.path(), &script);
    assert!(!disk.drop_unsynced().unwrap().lost_something());
    assert_eq!(fs::read(outside.path().join("a")).unwrap(), b"stays");
}
