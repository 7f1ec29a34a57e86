//! The user's own SQL, committed with the entry that records its value, or not at all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use bowline_model::{
    Certainty, Clock, EntryKind, Error, Failure, Payload, Result, Run, RunState, SystemClock,
};
use bowline_store::{
    Also, Answered, Ask, RunWrite, Sql, SqlValue, StoreErrorKind, Transition, UserTransaction, Written,
};

use crate::bench::{Bench, at, done, entry};

/// Far more than any of these takes, and still an end.
const LONG: Duration = Duration::from_secs(120);

type Closure = dyn Fn(&mut dyn Sql) -> Result<i64> + Send + Sync;

/// The write of a transaction as a run's first entry.
pub(crate) fn write_of(
    run: &Run,
    seq: i64,
    deadline: Duration,
    body: impl Fn(&mut dyn Sql) -> Result<i64> + Send + Sync + 'static,
) -> RunWrite {
    let body: Box<Closure> = Box::new(body);
    let user =
        UserTransaction { run: Arc::new(move |sql| Ok(Payload::encode(&body(sql)?).unwrap())), deadline };
    RunWrite {
        also: Also { ask: Some(Ask::Transaction(user)), ..Also::default() },
        ..RunWrite::new(
            run.id,
            run.epoch,
            at(2),
            vec![entry(seq, EntryKind::Transaction, "book", None)],
            None,
        )
    }
}

async fn running(bench: &Bench, key: &str) -> Run {
    bench.queue(key, key).await;
    bench.claim_one(key, at(1)).await
}

/// What a write is answered. A store that waits for a closure is not waited for: the closure ends with the test.
async fn in_time(bench: &Bench, write: RunWrite) -> Written {
    let written = tokio::time::timeout(LONG, bench.store().write(write)).await;
    written.expect("a closure that does not return is given up").unwrap()
}

/// A table of orders, made by a run of its own.
async fn orders(bench: &Bench) {
    let run = running(bench, "schema").await;
    let made = bench.store().write(write_of(&run, 1, LONG, |sql| {
        sql.execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, item TEXT)", &[])?;
        Ok(0)
    }));
    assert!(matches!(made.await.unwrap().answer, Some(Answered::Value(_))));
}

fn order(sql: &mut dyn Sql, item: &str) -> Result<i64> {
    sql.execute("INSERT INTO orders (item) VALUES (?1)", &[SqlValue::Text(item.to_owned())])?;
    count(sql)
}

fn count(sql: &mut dyn Sql) -> Result<i64> {
    let rows = sql.query("SELECT count(*) AS n FROM orders", &[])?;
    rows[0].get("n")
}

async fn orders_now(bench: &Bench) -> i64 {
    static READER: AtomicUsize = AtomicUsize::new(0);
    let run = running(bench, &format!("reader {}", READER.fetch_add(1, Ordering::Relaxed))).await;
    value(&bench.store().write(write_of(&run, 1, LONG, count)).await.unwrap())
}

fn value(written: &Written) -> i64 {
    match &written.answer {
        Some(Answered::Value(payload)) => payload.decode().unwrap(),
        other => panic!("it is answered with {other:?}"),
    }
}

pub(crate) fn failure(written: Written) -> Failure {
    assert_eq!(written.state, RunState::Running);
    match written.answer {
        Some(Answered::Failed(failure)) => failure,
        other => panic!("it is answered with {other:?}"),
    }
}

pub(crate) async fn commits_the_users_rows_with_the_steps_record(bench: &mut Bench) {
    orders(bench).await;
    let run = running(bench, "1").await;
    let mut write = write_of(&run, 2, LONG, |sql| order(sql, "tea"));
    write.entries.insert(0, done(1, "before"));
    assert_eq!(value(&bench.store().write(write).await.unwrap()), 1);
    bench.crash_and_restart(at(3)).await;
    let journal = bench.store().journal(run.id).await.unwrap();
    assert_eq!(journal[0], done(1, "before"));
    assert_eq!(journal[1].payload.as_ref().unwrap().decode::<i64>().unwrap(), 1);
    assert_eq!(orders_now(bench).await, 1);
}

pub(crate) async fn writes_nothing_when_the_closure_fails(bench: &mut Bench) {
    orders(bench).await;
    let run = running(bench, "1").await;
    let mut write = write_of(&run, 2, LONG, |sql| {
        order(sql, "tea")?;
        Err(Error::permanent("out of tea"))
    });
    write.entries.insert(0, done(1, "before"));
    let failed = failure(bench.store().write(write).await.unwrap());
    assert_eq!((&*failed.message, failed.certainty), ("out of tea", Certainty::Refused), "nothing happened");
    assert_eq!(bench.store().journal(run.id).await.unwrap(), []);
    assert_eq!(bench.run(run.id).await.journal_len, 0);
    assert_eq!(orders_now(bench).await, 0);
    let again = write_of(&run, 1, LONG, |sql| order(sql, "coffee"));
    assert_eq!(value(&bench.store().write(again).await.unwrap()), 1, "the run goes on");
}

pub(crate) async fn lets_a_closure_go_on_after_a_row_that_does_not_fit(bench: &mut Bench) {
    orders(bench).await;
    let run = running(bench, "1").await;
    let write = write_of(&run, 1, LONG, |sql| {
        sql.execute("INSERT INTO orders VALUES (1, 'tea')", &[])?;
        let twice = sql.execute("INSERT INTO orders VALUES (1, 'coffee')", &[]).unwrap_err();
        assert!(twice.to_string().contains("orders.id") && !twice.to_string().contains("coffee"), "{twice}");
        sql.execute("UPDATE orders SET item = 'coffee' WHERE id = 1", &[]).map(|rows| rows as i64)
    });
    assert_eq!(value(&bench.store().write(write).await.unwrap()), 1);
    assert_eq!(orders_now(bench).await, 1);
}

pub(crate) async fn runs_the_closure_once_when_its_write_is_repeated(bench: &mut Bench) {
    orders(bench).await;
    let run = running(bench, "1").await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let write = write_of(&run, 1, LONG, move |sql| {
        counted.fetch_add(1, Ordering::SeqCst);
        order(sql, "tea")
    });
    let first = bench.store().write(write.clone()).await.unwrap();
    let again = bench.store().write(write).await.unwrap();
    assert_eq!(again, first, "the recorded answer");
    assert_eq!((calls.load(Ordering::SeqCst), orders_now(bench).await), (1, 1));
}

pub(crate) async fn runs_no_closure_for_a_stale_owner(bench: &mut Bench) {
    let old = running(bench, "1").await;
    bench.write(&old, vec![], Some(Transition::Release), at(2)).await.unwrap();
    bench.claim_one("1", at(3)).await;
    let write = write_of(&old, 1, LONG, |_| panic!("it must not run"));
    assert_eq!(bench.store().write(write).await.unwrap_err().kind(), StoreErrorKind::Stale);
    let gap = write_of(&running(bench, "2").await, 7, LONG, |_| panic!("it must not run"));
    assert_eq!(bench.store().write(gap).await.unwrap_err().kind(), StoreErrorKind::Conflict);
}

pub(crate) async fn takes_a_panic_for_a_failure(bench: &mut Bench) {
    orders(bench).await;
    let run = running(bench, "1").await;
    let write = write_of(&run, 1, LONG, |sql| {
        order(sql, "tea")?;
        panic!("no {}", "tea");
    });
    let failed = failure(bench.store().write(write).await.unwrap());
    assert!(failed.message.contains("no tea") && !failed.retryable, "{failed}");
    assert_eq!(orders_now(bench).await, 0);
    bench.queue("2", "a").await;
    let other = bench.claim_one("a", at(3)).await;
    bench.write(&other, vec![done(1, "x")], Some(Transition::Complete), at(3)).await.unwrap();
}

pub(crate) async fn gives_up_a_closure_that_sleeps_past_its_deadline(bench: &mut Bench) {
    orders(bench).await;
    let run = running(bench, "1").await;
    // A machine that is too slow to get as far as the sleep has a longer deadline the next time.
    for deadline_ms in [50, 500, 5_000] {
        let (wake, asleep) = mpsc::channel::<()>();
        let (say, said) = mpsc::channel();
        let (asleep, say) = (std::sync::Mutex::new(asleep), std::sync::Mutex::new(say));
        let write = write_of(&run, 1, Duration::from_millis(deadline_ms), move |sql| {
            order(sql, "tea")?;
            let _ = asleep.lock().unwrap().recv();
            say.lock().unwrap().send(order(sql, "coffee")).unwrap();
            Ok(0)
        });
        let failed = failure(in_time(bench, write).await);
        assert!(failed.message.contains(&format!("deadline of {deadline_ms} ms")), "{failed}");
        assert_eq!(orders_now(bench).await, 0, "the store goes on, and nothing was written");
        drop(wake);
        let Ok(late) = said.recv_timeout(LONG) else { continue };
        let late = late.unwrap_err();
        assert!(late.to_string().contains("deadline"), "{late}");
        assert_eq!(orders_now(bench).await, 0);
        return;
    }
    panic!("the closure never got as far as its sleep");
}

pub(crate) async fn begins_no_more_closures_while_many_hang(bench: &mut Bench) {
    let (wake, asleep) = mpsc::channel::<()>();
    let asleep = Arc::new(std::sync::Mutex::new(asleep));
    let mut refused = 0;
    for n in 0..20 {
        let run = running(bench, &n.to_string()).await;
        let asleep = Arc::clone(&asleep);
        let write = write_of(&run, 1, Duration::from_millis(5), move |_| {
            let _ = asleep.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv();
            Ok(0)
        });
        let failed = failure(in_time(bench, write).await);
        refused += usize::from(failed.message.contains("have not returned"));
    }
    assert_eq!(refused, 4, "16 threads hang, and no more");
    drop(wake);
    let run = running(bench, "after").await;
    let end = SystemClock.monotonic() + LONG;
    while SystemClock.monotonic() < end {
        match bench.store().write(write_of(&run, 1, LONG, |_| Ok(1))).await.unwrap().answer {
            Some(Answered::Value(_)) => return,
            Some(Answered::Failed(_)) | None => tokio::task::yield_now().await,
        }
    }
    panic!("closures that returned make room");
}

pub(crate) async fn gives_up_sql_that_runs_past_its_deadline(bench: &mut Bench) {
    orders(bench).await;
    // Far longer than its deadline, and with an end: nobody could stop a store that does not.
    let endless =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000000) SELECT max(i) FROM n";
    let came_to_its_end = Arc::new(AtomicUsize::new(0));
    let comes = Arc::clone(&came_to_its_end);
    let run_it = move |sql: &mut dyn Sql| {
        let rows = sql.query(endless, &[]);
        comes.fetch_add(usize::from(rows.is_ok()), Ordering::SeqCst);
        rows.map(|_| 1)
    };
    let runs_it = run_it.clone();
    let run = running(bench, "1").await;
    let write = write_of(&run, 1, Duration::from_millis(100), move |sql| {
        order(sql, "tea")?;
        run_it(sql)
    });
    let failed = failure(bench.store().write(write).await.unwrap());
    assert!(failed.message.contains("deadline of 100 ms"), "{failed}");
    // Whoever swallows the error cannot commit either.
    let write = write_of(&run, 1, Duration::from_millis(100), move |sql| {
        order(sql, "tea")?;
        let _ = runs_it(sql);
        let _ = order(sql, "coffee");
        Ok(1)
    });
    failure(bench.store().write(write).await.unwrap());
    assert_eq!(orders_now(bench).await, 0);
    assert_eq!(came_to_its_end.load(Ordering::SeqCst), 0, "stopped where it was");
}

pub(crate) async fn harms_no_neighbour_when_a_transaction_fails(bench: &mut Bench) {
    orders(bench).await;
    let (good, bad) = (running(bench, "1").await, running(bench, "2").await);
    let mut writes = vec![];
    for seq in 1..=5 {
        let fail = write_of(&bad, 1, LONG, |sql| {
            order(sql, "tea")?;
            Err(Error::permanent("no"))
        });
        let store = bench.shared();
        writes.push(tokio::spawn(async move { store.write(fail).await.unwrap() }));
        let write = RunWrite::new(good.id, good.epoch, at(2), vec![done(seq, "x")], None);
        bench.store().write(write).await.unwrap();
    }
    for write in writes {
        failure(write.await.unwrap());
    }
    assert_eq!(bench.store().journal(good.id).await.unwrap().len(), 5);
    assert_eq!(orders_now(bench).await, 0);
}

pub(crate) async fn gives_back_values_of_every_type(bench: &mut Bench) {
    let run = running(bench, "1").await;
    let write = write_of(&run, 1, LONG, |sql| {
        let given = [
            SqlValue::Null,
            SqlValue::Integer(i64::MIN),
            SqlValue::Real(0.1),
            SqlValue::Text("ü\0'; DROP TABLE run".to_owned()),
            SqlValue::Blob(vec![0, 255]),
        ];
        sql.execute("CREATE TABLE every (a, b, c, d, e)", &[])?;
        assert_eq!(sql.execute("INSERT INTO every VALUES (?1, ?2, ?3, ?4, ?5)", &given)?, 1);
        let rows = sql.query("SELECT *, a AS first FROM every", &[])?;
        assert_eq!(rows[0].values()[..5], given);
        assert_eq!((rows[0].value("d"), rows[0].value("nothing")), (Some(&given[3]), None));
        Ok(rows.len() as i64)
    });
    assert_eq!(value(&bench.store().write(write).await.unwrap()), 1);
}

pub(crate) async fn refuses_more_rows_than_the_limit(bench: &mut Bench) {
    let run = running(bench, "1").await;
    for many in [
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100001) SELECT i FROM n",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10) SELECT zeroblob(8000000) FROM n",
    ] {
        let write = write_of(&run, 1, LONG, move |sql| {
            let _ = sql.query(many, &[]);
            Ok(1)
        });
        let failed = failure(bench.store().write(write).await.unwrap());
        assert!(failed.message.contains("100000 rows or 64 MiB"), "{failed}");
    }
}
