//! The process is killed, as the kernel does it.

use std::{
    collections::{HashMap, HashSet},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bowline_model::{
    CredentialStore, EntryKind, Gather, NewRun, NodeId, Run, RunFlow, RunId, RunState, Secret,
};
use bowline_store::{
    Accepted, Also, Ask, Batch, Claim, RunFilter, RunWrite, SqlValue, SqliteStore, StateAsk, StateFilter,
    StateOp, Store, Transition, lock_holder,
};

use super::{ask, open, options, place};
use crate::{
    bench::{TestClock, at, done, entry, event, run_of},
    conformance::transacting::write_of,
};

/// Tells a child process of this test program which store to write to.
const CHILD_STORE: &str = "BOWLINE_TEST_CHILD_STORE";

/// What the child does.
const CHILD_WORK: &str = "BOWLINE_TEST_CHILD_WORK";

fn claim(total_max: usize) -> Claim {
    let workflows = vec![("a".into(), total_max)];
    Claim { node: NodeId(1), now: at(1), total_max, workflows, others_max: 0, crashes_min: 0 }
}

/// What the child does until it is killed, and says what was answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(path) = std::env::var(CHILD_STORE) else { return };
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(path, options(), Arc::new(TestClock::default())).unwrap());
    match std::env::var(CHILD_WORK).unwrap().as_str() {
        "runs" => accept_and_complete(store).await,
        "mail" => super::mailing::send_and_end(store, say).await,
        "credentials" => refresh(store.credentials()).await,
        "transactions" => book(store).await,
        "batches" => gather(store).await,
        work => panic!("{work} is no work"),
    }
}

async fn accept_and_complete(store: Arc<dyn Store>) {
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
                    let write = RunWrite::new(run.id, run.epoch, at(2), entries, transition);
                    store.write(write).await.unwrap();
                    say(&format!("completed {}", run.id));
                }
            }
        });
    }
    tasks.join_all().await;
}

/// Rotates four credentials, each under its lease, until it is killed in the midst of it.
async fn refresh(store: Arc<dyn CredentialStore>) {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let (name, mut version) = (format!("crm/{task}"), 0);
            for number in 0.. {
                assert!(store.lease(&name, "child", at(0), Duration::from_mins(5)).await.unwrap());
                let token = Secret::new(format!("token {number}"));
                version = store.save(&name, version, token, Some(at(number))).await.unwrap();
                say(&format!("saved {task} {number} {version}"));
            }
        });
    }
    tasks.join_all().await;
}

/// Books an order and counts it, run by run, until it is killed in the midst of it.
async fn book(store: Arc<dyn Store>) {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for number in 0.. {
                let events = vec![event(&format!("{task}-{number}"), vec![run_of("a")])];
                store.accept(Batch { events, ..Batch::default() }).await.unwrap();
                for run in store.claim(claim(1)).await.unwrap() {
                    store.write(booking(&run)).await.unwrap();
                    store.write(counting(&run)).await.unwrap();
                    say(&format!("booked {}", run.id));
                }
            }
        });
    }
    tasks.join_all().await;
}

fn booking(run: &Run) -> RunWrite {
    let id = run.id.0;
    write_of(run, 1, Duration::from_secs(30), move |sql| {
        sql.execute("CREATE TABLE IF NOT EXISTS orders (run INTEGER PRIMARY KEY)", &[])?;
        sql.execute("INSERT INTO orders VALUES (?1)", &[SqlValue::Integer(id)]).map(|_| id)
    })
}

fn counting(run: &Run) -> RunWrite {
    let op = StateOp::Add { by: 1, expires_at: None };
    let ask = Ask::State(StateAsk { space: "a".to_owned(), key: "booked".to_owned(), op });
    let entries = vec![entry(2, EntryKind::State, "booked", None)];
    let also = Also { ask: Some(ask), ..Also::default() };
    RunWrite { also, ..RunWrite::new(run.id, run.epoch, at(2), entries, None) }
}

/// Ten senders at once, whose events join batches of five, until they are killed in the midst of it.
async fn gather(store: Arc<dyn Store>) {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..10 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for number in 0.. {
                let key = format!("{}-{task}-{number}", std::process::id());
                let run = gathered(&store, &key).await;
                say(&format!("gathered {key} {run}"));
            }
        });
    }
    tasks.join_all().await;
}

/// The run that takes that event.
async fn gathered(store: &Arc<dyn Store>, key: &str) -> RunId {
    let gather = Gather::Batch { key: "all".to_owned(), events_max: 5, wait: Duration::from_hours(1) };
    let flow = RunFlow { gather: Some(gather), ..RunFlow::default() };
    let events = vec![event(key, vec![NewRun { flow, ..run_of("a") }])];
    match store.accept(Batch { events, ..Batch::default() }).await.unwrap().remove(0) {
        Accepted::New { runs, .. } | Accepted::Duplicate { runs, .. } => {
            assert_eq!(runs.len(), 1, "{key} is in one batch");
            runs[0]
        }
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // On a line of its own: the test harness prints too.
    out.write_all(format!("\n{line}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
}

/// Runs the child, kills it after so many answers, and returns all the answers it had told.
fn run_and_kill(path: &Path, work: &str, answers: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sqlite::killing::child", "--nocapture"])
        .env(CHILD_STORE, path)
        .env(CHILD_WORK, work)
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
        for line in run_and_kill(&path, "runs", 60 * round) {
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

#[tokio::test]
async fn finds_every_message_and_every_end_of_a_child_after_a_kill() {
    let (_folder, path) = place();
    let told = run_and_kill(&path, "mail", 300);
    let store = open(&path);
    store.start_node(at(9)).await.unwrap();
    let (mut awake, mut ends) = (HashSet::new(), 0);
    for line in &told {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["started", parent, child] => {
                let child = store.run(child.parse().unwrap()).await.unwrap().expect("it was started");
                assert_eq!(child.parent, Some(parent.parse().unwrap()));
            }
            ["posted", run] => {
                let mail = store.mail(run.parse().unwrap()).await.unwrap();
                assert!(mail.iter().any(|message| message.mailbox == "signal:go"), "{line}");
                awake.insert(run.to_owned());
            }
            ["ended", parent, child] => {
                let mail = store.mail(parent.parse().unwrap()).await.unwrap();
                let ends_here = |message: &&bowline_store::Message| message.mailbox == "child:1";
                let body: serde_json::Value = mail.iter().find(ends_here).expect(line).body.decode().unwrap();
                assert_eq!(body["run"].to_string(), *child);
                awake.insert(parent.to_owned());
                ends += 1;
            }
            _ => {}
        }
    }
    assert!(awake.len() > 50 && ends > 50, "{} {ends}", awake.len());
    let claimed = store.claim(Claim { now: at(10), others_max: 100_000, ..claim(100_000) }).await.unwrap();
    let claimed: HashSet<_> = claimed.iter().map(|run| run.id.to_string()).collect();
    assert!(awake.is_subset(&claimed), "each of them goes on");
}

#[tokio::test]
async fn finds_every_credential_that_was_saved_before_a_kill() {
    let (_folder, path) = place();
    // By task: the number of the last token that the child was told is saved, and its version.
    let mut saved: HashMap<String, (i64, i64)> = HashMap::new();
    for line in run_and_kill(&path, "credentials", 200) {
        let words: Vec<_> = line.split(' ').collect();
        if let ["saved", task, number, version] = words[..] {
            saved.insert(task.to_owned(), (number.parse().unwrap(), version.parse().unwrap()));
        }
    }
    assert_eq!(saved.len(), 4, "{saved:?}");
    let store = open(&path);
    store.start_node(at(1)).await.unwrap();
    for (task, (number, version)) in saved {
        let name = format!("crm/{task}");
        let found = store.load(&name).await.unwrap().expect("it was saved");
        let token: i64 = found.value.expose().strip_prefix("token ").unwrap().parse().unwrap();
        // One more may have reached the disk before the child could say so.
        assert!((number..=number + 1).contains(&token), "{token} after {number}");
        assert_eq!((found.version == version, found.expires_at), (token == number, Some(at(token))));
        let is_free = store.lease(&name, "next", at(1), Duration::from_mins(5)).await.unwrap();
        assert!(is_free, "the dead hold no lease: the lock proves that they are dead");
    }
}

#[tokio::test]
async fn the_users_rows_and_counters_equal_the_journals_after_a_kill() {
    let (_folder, path) = place();
    let mut told = HashSet::new();
    for round in 1..=3 {
        // Runs of the rounds before, whose writes come again, among them.
        told.extend(run_and_kill(&path, "transactions", 30 * round));
        let store = open(&path);
        store.start_node(at(9)).await.unwrap();
        let (mut booked, mut counted) = (0, 0);
        for run in store.runs(RunFilter { limit: 1000, ..RunFilter::default() }).await.unwrap() {
            let journal = store.journal(run.id).await.unwrap();
            booked += journal.iter().filter(|entry| entry.kind == EntryKind::Transaction).count();
            counted += journal.iter().filter(|entry| entry.kind == EntryKind::State).count();
            let orders = ask(&path, &format!("SELECT count(*) FROM orders WHERE run = {}", run.id.0));
            assert_eq!(orders, i64::from(!journal.is_empty()), "run {}", run.id);
        }
        assert_eq!(ask(&path, "SELECT count(*) FROM orders"), booked as i64);
        let filter = StateFilter { space: "a".to_owned(), ..StateFilter::default() };
        let counter = store.state(filter, at(9)).await.unwrap().remove(0).value;
        assert_eq!(counter.decode::<usize>().unwrap(), counted);
        let told = told.iter().filter(|line| line.starts_with("booked")).count();
        assert!(counted >= told && booked >= counted, "{told} told, {counted} counted, {booked} booked");
    }
}

#[tokio::test]
async fn every_event_is_in_one_batch_after_a_kill() {
    let (_folder, path) = place();
    let mut told = HashMap::new();
    for round in 1..=3 {
        for line in run_and_kill(&path, "batches", 100 * round) {
            if let ["gathered", key, run] = line.split(' ').collect::<Vec<_>>()[..] {
                told.insert(key.to_owned(), run.parse::<RunId>().unwrap());
            }
        }
        let store: Arc<dyn Store> = Arc::new(open(&path));
        store.start_node(at(9)).await.unwrap();
        for (key, run) in &told {
            assert_eq!(gathered(&store, key).await, *run, "a redelivery of {key} starts nothing");
        }
    }
    assert!(told.len() >= 600, "{}", told.len());
    let one = "SELECT count(*) FROM (SELECT event FROM batch GROUP BY event HAVING count(*) <> 1)";
    assert_eq!(ask(&path, one), 0);
    assert_eq!(ask(&path, "SELECT max(n) FROM (SELECT count(*) AS n FROM batch GROUP BY run)"), 5);
    let open = ask(&path, "SELECT count(*) FROM (SELECT 1 FROM batch GROUP BY run HAVING count(*) < 5)");
    assert!(open <= 1, "{open} batches are not full: one may be");
    assert_eq!(ask(&path, "SELECT count(*) FROM batch"), ask(&path, "SELECT count(*) FROM dedupe"));
}
