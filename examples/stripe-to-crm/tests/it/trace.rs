//! The disk has the event before the sender has its 200.
//!
//! One event at a time, each sent when the run of the one before has ended: so the only write between a request and its
//! answer is the event's own, and the sync seen there is its sync.

use std::{collections::HashMap, process::Command, time::Duration};

use bowline_store::lock_holder;
use bowline_testing::{
    LostWrites,
    lost_writes::{Trace, TraceEvent},
    skip,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    crm::crm,
    server::{Server, Settings, folder, store_in},
    stripe::Payment,
};

const EVENTS: usize = 20;

/// The write-ahead log: what a commit syncs.
const WAL: &str = "bowline.db-wal";

/// One event after the other, each to the end of its run.
async fn send_one_by_one(server: &Server) {
    for payment in Payment::many("trace", EVENTS) {
        let run = payment.accepted(server).await;
        // Not the status: that tries a write of its own.
        server.until_run_is(run, "completed").await;
    }
}

/// How many answers 200 there were, and how many of them left before a sync of the log, begun after the request was
/// read, had succeeded.
#[derive(Debug, PartialEq, Eq)]
struct Judged {
    answers: usize,
    too_early: usize,
}

/// What a trace tells, from whichever tool.
enum Seen {
    Request { socket: String },
    SyncBegin { thread: String, file: String },
    SyncDone { thread: String },
    Answer { socket: String },
}

fn judge(events: impl IntoIterator<Item = Seen>) -> Judged {
    let mut judged = Judged { answers: 0, too_early: 0 };
    // Per socket: whether a sync began after its request was read, and was done.
    let mut asked: HashMap<String, bool> = HashMap::new();
    // Per thread: the sockets whose requests had been read when its sync of the log began.
    let mut syncing: HashMap<String, Vec<String>> = HashMap::new();
    for event in events {
        match event {
            Seen::Request { socket } => {
                asked.insert(socket, false);
            }
            Seen::SyncBegin { thread, file } if file.ends_with(WAL) => {
                syncing.insert(thread, asked.keys().cloned().collect());
            }
            Seen::SyncBegin { .. } => {}
            Seen::SyncDone { thread } => {
                for socket in syncing.remove(&thread).unwrap_or_default() {
                    asked.entry(socket).and_modify(|synced| *synced = true);
                }
            }
            Seen::Answer { socket } => {
                if let Some(synced) = asked.remove(&socket) {
                    judged.answers += 1;
                    judged.too_early += usize::from(!synced);
                }
            }
        }
    }
    judged
}

async fn judged_by_the_layer(synchronous: &str) -> Judged {
    let (folder, crm) = (folder(), crm(Duration::ZERO));
    let disk = LostWrites::over(folder.path()).unwrap();
    let settings = Settings::new(folder.path(), &crm.url()).envs(disk.env());
    let mut server = Server::start(settings.store_options(folder.path(), synchronous));
    send_one_by_one(&server).await;
    server.kill();
    judge(seen_by_the_layer(disk.trace().unwrap()))
}

fn seen_by_the_layer(trace: Trace) -> impl Iterator<Item = Seen> {
    trace.events.into_iter().filter_map(|(_, event)| match event {
        TraceEvent::Request { socket, path } => {
            (path == "/webhooks/stripe").then(|| Seen::Request { socket: socket.to_string() })
        }
        TraceEvent::SyncBegin { thread, file, .. } => {
            Some(Seen::SyncBegin { thread: thread.to_string(), file })
        }
        TraceEvent::SyncEnd { thread, done } => done.then(|| Seen::SyncDone { thread: thread.to_string() }),
        TraceEvent::Answer { socket, status } => {
            (status == 200).then(|| Seen::Answer { socket: socket.to_string() })
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_synced_between_each_request_and_its_200() {
    assert_eq!(judged_by_the_layer("synchronous=full").await, Judged { answers: EVENTS, too_early: 0 });
}

/// The same check where nothing is synced: if it finds nothing wrong there, the one above shows nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trace_catches_synchronous_off() {
    assert_eq!(judged_by_the_layer("synchronous=off").await, Judged { answers: EVENTS, too_early: EVENTS });
}

/// The kernel's own word: the layer sees the C library's calls only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kernel_sees_the_sync_between_each_request_and_its_200() {
    let works = Command::new("strace").args(["-o", "/dev/null", "true"]).status();
    if !works.is_ok_and(|status| status.success()) {
        skip!(
            "the_kernel_sees_the_sync_between_each_request_and_its_200",
            "needs strace, and the right to trace processes"
        );
    }
    assert_eq!(judged_by_strace("synchronous=full").await, Judged { answers: EVENTS, too_early: 0 });
    assert_eq!(judged_by_strace("synchronous=off").await, Judged { answers: EVENTS, too_early: EVENTS });
}

async fn judged_by_strace(synchronous: &str) -> Judged {
    let (folder, crm, traces) = (folder(), crm(Duration::ZERO), folder());
    let trace = traces.path().join("trace").display().to_string();
    let calls = "trace=fsync,fdatasync,read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg";
    let settings = Settings::new(folder.path(), &crm.url())
        .store_options(folder.path(), synchronous)
        .under("strace", &["-f", "-qq", "-y", "-s", "64", "-e", calls, "-e", "signal=none", "-o", &trace]);
    let mut server = Server::start(settings);
    send_one_by_one(&server).await;
    // The server itself: strace then ends too, and writes out what it saw.
    let holder =
        lock_holder(&store_in(folder.path())).and_then(|holder| holder.pid).expect("it holds the store");
    let pid = Pid::from_raw(holder.try_into().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    server.wait_for_end();
    let mut strace = Strace::default();
    let text = String::from_utf8_lossy(&std::fs::read(trace).unwrap()).into_owned();
    judge(text.lines().flat_map(|line| strace.read(line)))
}

/// Reads strace's lines: `7 fdatasync(9</tmp/x/bowline.db-wal>) = 0`. A call during which another thread called
/// something takes two: `7 fdatasync(9</tmp/x/bowline.db-wal> <unfinished ...>`, `7 <... fdatasync resumed>) = 0`.
#[derive(Default)]
struct Strace {
    /// Per thread: the descriptor and its file in an unfinished call.
    unfinished: HashMap<String, (String, String)>,
}

impl Strace {
    fn read(&mut self, line: &str) -> Vec<Seen> {
        let Some((thread, call)) = line.split_once(' ') else { return vec![] };
        let (thread, call) = (thread.to_owned(), call.trim_start());
        let begins = !call.starts_with("<...");
        let finishes = !call.ends_with("<unfinished ...>");
        let on = if begins { descriptor(call) } else { self.unfinished.remove(&thread) };
        let Some((socket, file)) = on else { return vec![] };
        let mut seen = vec![];
        if call.starts_with("fdatasync") || call.starts_with("fsync") {
            seen.push(Seen::SyncBegin { thread: thread.clone(), file: file.clone() });
        }
        if call.contains("sync") && finishes && call.ends_with("= 0") {
            seen.push(Seen::SyncDone { thread: thread.clone() });
        }
        if call.contains("\"POST /webhooks/stripe") {
            seen.push(Seen::Request { socket: socket.clone() });
        }
        // Its beginning is what counts: from then on it may be on its way.
        if begins && call.contains("\"HTTP/1.1 200") {
            seen.push(Seen::Answer { socket: socket.clone() });
        }
        if !finishes {
            self.unfinished.insert(thread, (socket, file));
        }
        seen
    }
}

/// `write(9</tmp/x>, ...` → `9`, `/tmp/x`.
fn descriptor(call: &str) -> Option<(String, String)> {
    let (_, args) = call.split_once('(')?;
    let (number, rest) = args.split_once('<')?;
    let file = rest.split('>').next().unwrap_or_default();
    Some((number.to_owned(), file.to_owned()))
}
