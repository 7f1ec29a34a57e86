//! Values between runs: read and changed in the commit that records the answer.

use bowline_model::{EntryKind, Payload, Run, RunState};
use bowline_store::{
    Also, Answered, Ask, RunWrite, StateAsk, StateFilter, StateOp, StoreError, StoreErrorKind, Transition,
    Written,
    state::{STATE_KEY_BYTES_MAX, STATE_SPACE_BYTES_MAX, STATE_VALUE_BYTES_MAX},
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::bench::{Bench, at, done, entry};

/// What the store answers.
#[derive(Debug, PartialEq, Deserialize)]
struct Told {
    value: Value,
    version: u64,
    done: bool,
}

fn told(value: Value, version: u64, done: bool) -> Told {
    Told { value, version, done }
}

/// A run, and how far its journal is.
struct Asker {
    run: Run,
    seq: i64,
}

impl Asker {
    async fn new(bench: &Bench, key: &str) -> Self {
        bench.queue(key, key).await;
        Self { run: bench.claim_one(key, at(1)).await, seq: 0 }
    }

    fn write(&self, space: &str, key: &str, op: StateOp, now: Timestamp) -> RunWrite {
        let ask = StateAsk { space: space.to_owned(), key: key.to_owned(), op };
        RunWrite {
            also: Also { ask: Some(Ask::State(ask)), ..Also::default() },
            ..RunWrite::new(
                self.run.id,
                self.run.epoch,
                now,
                vec![entry(self.seq + 1, EntryKind::State, key, None)],
                None,
            )
        }
    }

    async fn try_ask(&mut self, bench: &Bench, op: StateOp, now: Timestamp) -> Result<Written, StoreError> {
        let written = bench.store().write(self.write("orders", "cursor", op, now)).await?;
        self.seq += i64::from(matches!(written.answer, Some(Answered::Value(_))));
        Ok(written)
    }

    async fn ask(&mut self, bench: &Bench, op: StateOp, now: Timestamp) -> Told {
        read(&self.try_ask(bench, op, now).await.unwrap())
    }
}

fn read(written: &Written) -> Told {
    match &written.answer {
        Some(Answered::Value(payload)) => payload.decode().unwrap(),
        other => panic!("it is answered with {other:?}"),
    }
}

fn payload(value: Value) -> Payload {
    Payload::encode(&value).unwrap()
}

fn set(value: Value) -> StateOp {
    StateOp::Set { value: payload(value), expires_at: None }
}

fn compare(version: u64, value: Value) -> StateOp {
    StateOp::CompareAndSet { version, value: payload(value), expires_at: None }
}

fn add(by: i64) -> StateOp {
    StateOp::Add { by, expires_at: None }
}

pub(crate) async fn gives_back_a_value_as_it_was_set(bench: &mut Bench) {
    let mut run = Asker::new(bench, "1").await;
    assert_eq!(run.ask(bench, StateOp::Get, at(2)).await, told(Value::Null, 0, false));
    let set = run.ask(bench, set(json!({"page": "ü", "n": [1, 2.5]})), at(2)).await;
    assert_eq!((set.value, set.done), (Value::Null, true), "the caller knows the value");
    let got = run.ask(bench, StateOp::Get, at(3)).await;
    assert_eq!(got, told(json!({"page": "ü", "n": [1, 2.5]}), set.version, true));
}

pub(crate) async fn keeps_spaces_and_keys_apart(bench: &mut Bench) {
    let mut run = Asker::new(bench, "1").await;
    for (n, (space, key)) in
        [("a", "x"), ("a", "y"), ("b", "x"), ("a", ""), ("", "a")].into_iter().enumerate()
    {
        bench.store().write(run.write(space, key, set(json!(n)), at(2))).await.unwrap();
        run.seq += 1;
    }
    for (n, (space, key)) in
        [("a", "x"), ("a", "y"), ("b", "x"), ("a", ""), ("", "a")].into_iter().enumerate()
    {
        let got = read(&bench.store().write(run.write(space, key, StateOp::Get, at(2))).await.unwrap());
        run.seq += 1;
        assert_eq!(got.value, json!(n));
    }
}

pub(crate) async fn records_its_answer_as_the_last_entrys_payload(bench: &mut Bench) {
    let mut run = Asker::new(bench, "1").await;
    let mut write = run.write("orders", "cursor", add(5), at(2));
    write.entries.insert(0, done(1, "before"));
    write.entries[1].seq.0 = 2;
    let answer = read(&bench.store().write(write).await.unwrap());
    run.seq = 2;
    let journal = bench.store().journal(run.run.id).await.unwrap();
    assert_eq!(journal[0], done(1, "before"));
    assert_eq!(journal[1].payload.as_ref().unwrap().decode::<Told>().unwrap(), answer);
    assert_eq!(bench.run(run.run.id).await.journal_len, 2);
}

pub(crate) async fn changes_a_value_once_when_its_write_is_repeated(bench: &mut Bench) {
    let mut run = Asker::new(bench, "1").await;
    let write = run.write("orders", "cursor", add(5), at(2));
    let first = bench.store().write(write.clone()).await.unwrap();
    let again = bench.store().write(write).await.unwrap();
    assert_eq!(again, first, "the recorded answer");
    run.seq = 1;
    assert_eq!(run.ask(bench, StateOp::Get, at(3)).await.value, json!(5));
}

pub(crate) async fn changes_nothing_for_a_stale_owner(bench: &mut Bench) {
    let mut old = Asker::new(bench, "1").await;
    bench.write(&old.run, vec![], Some(Transition::Release), at(2)).await.unwrap();
    let new = bench.claim_one("1", at(3)).await;
    assert_eq!(old.try_ask(bench, add(5), at(4)).await.unwrap_err().kind(), StoreErrorKind::Stale);
    let mut new = Asker { run: new, seq: 0 };
    assert_eq!(new.ask(bench, StateOp::Get, at(5)).await, told(Value::Null, 0, false));
}

pub(crate) async fn replaces_only_the_version_that_was_read(bench: &mut Bench) {
    let mut run = Asker::new(bench, "1").await;
    let made = run.ask(bench, compare(0, json!("a")), at(2)).await;
    assert!(made.done);
    let again = run.ask(bench, compare(0, json!("b")), at(2)).await;
    assert_eq!(again, told(json!("a"), made.version, false), "it says what is there");
    let next = run.ask(bench, compare(made.version, json!("b")), at(2)).await;
    assert!(next.done && next.version > made.version);
    assert!(!run.ask(bench, compare(made.version, json!("c")), at(2)).await.done);
    assert_eq!(run.ask(bench, StateOp::Get, at(2)).await, told(json!("b"), next.version, true));
}

pub(crate) async fn lets_one_of_many_win_a_compare_and_set(bench: &mut Bench) {
    let mut askers = vec![];
    for n in 0..20 {
        askers.push(Asker::new(bench, &n.to_string()).await);
    }
    let writes = askers.iter().enumerate().map(|(n, asker)| {
        let (store, write) = (bench.shared(), asker.write("orders", "leader", compare(0, json!(n)), at(2)));
        tokio::spawn(async move { store.write(write).await.unwrap() })
    });
    let mut winners = vec![];
    for (n, write) in writes.collect::<Vec<_>>().into_iter().enumerate() {
        if read(&write.await.unwrap()).done {
            winners.push(n);
        }
    }
    assert_eq!(winners.len(), 1);
    let mut first = askers.remove(0);
    first.seq = 1;
    let got = read(&bench.store().write(first.write("orders", "leader", StateOp::Get, at(3))).await.unwrap());
    assert_eq!(got.value, json!(winners[0]));
}

pub(crate) async fn counts_every_add_of_many(bench: &mut Bench) {
    let mut writes = vec![];
    for n in 0..40 {
        let asker = Asker::new(bench, &n.to_string()).await;
        let (store, write) = (bench.shared(), asker.write("orders", "cursor", add(n - 3), at(2)));
        writes.push(tokio::spawn(async move { store.write(write).await.unwrap() }));
    }
    let mut seen = vec![];
    for write in writes {
        seen.push(read(&write.await.unwrap()).version);
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 40, "each has a version of its own");
    let mut run = Asker::new(bench, "last").await;
    assert_eq!(run.ask(bench, add(0), at(3)).await.value, json!((0..40).map(|n| n - 3).sum::<i64>()));
}

pub(crate) async fn never_gives_a_values_version_again(bench: &mut Bench) {
    let mut run = Asker::new(bench, "1").await;
    let first = run.ask(bench, set(json!(1)), at(2)).await.version;
    assert_eq!(run.ask(bench, StateOp::Remove, at(2)).await, told(Value::Null, 0, true));
    assert_eq!(run.ask(bench, StateOp::Remove, at(2)).await, told(Value::Null, 0, false));
    let gone = run.ask(bench, compare(first, json!(2)), at(2)).await;
    assert_eq!(gone, told(Value::Null, 0, false), "what is gone has no version");
    assert!(run.ask(bench, set(json!(1)), at(2)).await.version > first);
    assert!(!run.ask(bench, compare(first, json!(2)), at(2)).await.done);
}

pub(crate) async fn sees_no_value_past_its_time(bench: &mut Bench) {
    let mut run = Asker::new(bench, "1").await;
    let until = |second, value| StateOp::Set { value: payload(value), expires_at: Some(at(second)) };
    run.ask(bench, until(10, json!(7)), at(2)).await;
    assert_eq!(run.ask(bench, StateOp::Get, at(9)).await.value, json!(7));
    assert_eq!(run.ask(bench, StateOp::Get, at(10)).await, told(Value::Null, 0, false));
    assert_eq!(run.ask(bench, StateOp::Remove, at(10)).await, told(Value::Null, 0, false));
    run.ask(bench, until(20, json!(7)), at(10)).await;
    assert!(run.ask(bench, compare(0, json!(8)), at(20)).await.done, "a new one is made in its place");
    run.ask(bench, until(30, json!(7)), at(20)).await;
    assert_eq!(run.ask(bench, add(1), at(30)).await.value, json!(1), "a counter begins at 0 again");
    run.ask(bench, until(40, json!(7)), at(30)).await;
    run.ask(bench, set(json!(9)), at(31)).await;
    assert_eq!(run.ask(bench, StateOp::Get, at(50)).await.value, json!(9), "the last set says for how long");
}

pub(crate) async fn keeps_a_counters_time_unless_an_add_says_another(bench: &mut Bench) {
    let mut run = Asker::new(bench, "1").await;
    run.ask(bench, StateOp::Add { by: 1, expires_at: Some(at(10)) }, at(2)).await;
    run.ask(bench, add(1), at(3)).await;
    assert_eq!(run.ask(bench, StateOp::Get, at(10)).await.value, Value::Null);
    run.ask(bench, StateOp::Add { by: 1, expires_at: Some(at(20)) }, at(11)).await;
    run.ask(bench, StateOp::Add { by: 1, expires_at: Some(at(30)) }, at(12)).await;
    assert_eq!(run.ask(bench, StateOp::Get, at(29)).await.value, json!(2));
}

pub(crate) async fn refuses_to_count_what_is_no_whole_number(bench: &mut Bench) {
    let mut run = Asker::new(bench, "1").await;
    for (value, by) in
        [(json!("7"), 1), (json!(1.5), 1), (Value::Null, 1), (json!(i64::MAX), 1), (json!(i64::MIN), -1)]
    {
        let version = run.ask(bench, set(value.clone()), at(2)).await.version;
        let written = run.try_ask(bench, add(by), at(2)).await.unwrap();
        assert_eq!(written.state, RunState::Running);
        let Some(Answered::Failed(failure)) = written.answer else { panic!("{value} is counted") };
        assert!(failure.message.contains("cursor") && !failure.retryable, "{failure}");
        assert_eq!(
            run.ask(bench, StateOp::Get, at(2)).await,
            told(value, version, true),
            "and nothing happened"
        );
    }
}

pub(crate) async fn refuses_keys_and_values_that_are_too_long(bench: &mut Bench) {
    let run = Asker::new(bench, "1").await;
    let (long_key, long_value) = ("k".repeat(STATE_KEY_BYTES_MAX), "v".repeat(STATE_VALUE_BYTES_MAX - 2));
    let too_long = [
        run.write("s", &format!("{long_key}k"), add(1), at(2)),
        run.write(&"s".repeat(STATE_SPACE_BYTES_MAX + 1), "k", add(1), at(2)),
        run.write("s", "k", set(json!(format!("{long_value}v"))), at(2)),
        run.write("s", "k", compare(0, json!(format!("{long_value}v"))), at(2)),
    ];
    for write in too_long {
        assert_eq!(bench.store().write(write).await.unwrap_err().kind(), StoreErrorKind::Limit);
    }
    let fits = run.write(&long_key, &long_key, set(json!(long_value)), at(2));
    assert!(read(&bench.store().write(fits).await.unwrap()).done);
}

pub(crate) async fn finds_values_after_a_restart(bench: &mut Bench) {
    let mut run = Asker::new(bench, "1").await;
    let version = run.ask(bench, set(json!("here")), at(2)).await.version;
    bench.crash_and_restart(at(3)).await;
    let mut run = Asker { run: bench.claim_one("1", at(4)).await, seq: run.seq };
    assert_eq!(run.ask(bench, StateOp::Get, at(5)).await, told(json!("here"), version, true));
    assert!(run.ask(bench, set(json!("new")), at(5)).await.version > version);
}

pub(crate) async fn tidies_values_past_their_time(bench: &mut Bench) {
    let mut run = Asker::new(bench, "1").await;
    for n in 0..250 {
        let expires_at = (n % 5 != 0).then(|| at(100));
        let op = StateOp::Set { value: payload(json!(n)), expires_at };
        bench.store().write(run.write("s", &format!("{n:03}"), op, at(2))).await.unwrap();
        run.seq += 1;
    }
    let mut pieces = 0;
    while bench.store().tidy(at(0), at(100)).await.unwrap() {
        pieces += 1;
    }
    assert!(pieces >= 2, "a bounded piece at a time");
    // An earlier time shows what is still there.
    let all = bench.store().state(filter("s", ""), at(2)).await.unwrap();
    assert_eq!(all.len(), 50);
    assert!(all.iter().all(|entry| entry.expires_at.is_none()));
}

fn filter(space: &str, prefix: &str) -> StateFilter {
    StateFilter { space: space.to_owned(), prefix: prefix.to_owned(), limit: 1000, ..StateFilter::default() }
}

pub(crate) async fn lists_values_by_the_beginning_of_their_keys(bench: &mut Bench) {
    let mut run = Asker::new(bench, "1").await;
    for key in ["b/1", "a/1", "a/2", "a", "a/3", "ä"] {
        let op = StateOp::Set { value: payload(json!(key)), expires_at: (key == "a/2").then(|| at(50)) };
        bench.store().write(run.write("s", key, op, at(2))).await.unwrap();
        run.seq += 1;
    }
    let keys = |entries: Vec<bowline_store::StateEntry>| -> Vec<String> {
        assert!(entries.iter().all(|entry| entry.value == payload(json!(entry.key)) && entry.version > 0));
        entries.into_iter().map(|entry| entry.key).collect()
    };
    let list = async |filter, now| keys(bench.store().state(filter, now).await.unwrap());
    assert_eq!(list(filter("s", "a/"), at(3)).await, ["a/1", "a/2", "a/3"]);
    assert_eq!(list(filter("s", "a/"), at(50)).await, ["a/1", "a/3"], "what is past its time is not there");
    assert_eq!(list(filter("s", ""), at(3)).await, ["a", "a/1", "a/2", "a/3", "b/1", "ä"]);
    let page = |after: &str, limit| StateFilter { after: Some(after.to_owned()), limit, ..filter("s", "a") };
    assert_eq!(list(page("a", 2), at(3)).await, ["a/1", "a/2"]);
    assert_eq!(list(page("a/2", 2), at(3)).await, ["a/3"]);
    assert_eq!(list(filter("other", ""), at(3)).await, [""; 0]);
}
