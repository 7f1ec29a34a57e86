//! What a user's SQL may not do, however it says it.

use std::{path::Path, sync::Arc, time::Duration};

use bowline_model::{Error, Result, Run};
use bowline_store::{
    Answered, Batch, Claim, Failure, RunWrite, Sql, SqlValue, SqliteOptions, SqliteStore, Store,
    StoreErrorKind, Transition,
};
use futures_util::FutureExt;
use rusqlite::Connection;

use super::{ask, open, options, place};
use crate::{
    bench::{TestClock, at, done, event, run_of},
    conformance::transacting::{failure, write_of},
};

const LONG: Duration = Duration::from_secs(120);

async fn running(store: &SqliteStore, key: &str) -> Run {
    let events = vec![event(key, vec![run_of("a")])];
    store.accept(Batch { events, ..Batch::default() }).await.unwrap();
    let workflows = vec![("a".into(), 1)];
    let node = bowline_model::NodeId(1);
    let claim = Claim { node, now: at(1), total_max: 1, workflows, others_max: 0, crashes_min: 0 };
    store.claim(claim).await.unwrap().remove(0)
}

/// Runs these statements, and then one more of good will; swallows every error.
fn all(statements: &[&str]) -> impl Fn(&mut dyn Sql) -> Result<i64> + Send + Sync + 'static {
    let statements: Vec<String> = statements.iter().map(|&sql| sql.to_owned()).collect();
    move |sql| {
        for statement in &statements {
            let _ = sql.query(statement, &[]);
        }
        let _ = sql.execute("CREATE TABLE IF NOT EXISTS came_through (x)", &[]);
        Ok(0)
    }
}

/// The store's file, without what changes with every write.
fn contents(path: &Path) -> Vec<String> {
    let conn = Connection::open(path).unwrap();
    let mut schema =
        conn.prepare("SELECT type || name || tbl_name || coalesce(sql, '') FROM sqlite_master").unwrap();
    let mut found: Vec<String> =
        schema.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    for table in ["run", "name", "period", "credential", "sqlite_sequence", "entry_1", "event_1"] {
        let mut rows = conn.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = rows.column_count();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            found.push((0..columns).map(|n| format!("{table} {:?}", row.get_ref(n).unwrap())).collect());
        }
    }
    found
}

/// Statements that must be refused, each with a word of why.
const REFUSED: &[(&str, &str)] = &[
    // The transaction is the store's.
    ("COMMIT", "COMMIT"),
    ("END", "COMMIT"),
    ("end transaction", "COMMIT"),
    ("ROLLBACK", "COMMIT"),
    ("BEGIN", "BEGIN"),
    ("/* a comment */ -- another\n ROLLBACK", "ROLLBACK"),
    ("SAVEPOINT s", "SAVEPOINT"),
    ("RELEASE s", "RELEASE"),
    ("ROLLBACK TO s", "ROLLBACK"),
    ("ATTACH ':memory:' AS other", "ATTACH"),
    ("ATTACH '/tmp/other.db' AS other", "ATTACH"),
    ("DETACH main", "ATTACH"),
    // Settings.
    ("PRAGMA writable_schema = ON", "PRAGMA writable_schema"),
    ("PRAGMA synchronous = OFF", "PRAGMA synchronous"),
    ("pragma main.journal_mode(DELETE)", "PRAGMA journal_mode"),
    ("PRAGMA user_version", "PRAGMA user_version"),
    ("PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys"),
    ("PRAGMA quick_check", "PRAGMA quick_check"),
    ("SELECT * FROM pragma_table_info('run')", "whole file"),
    ("SELECT * FROM pragma_user_version", "whole file"),
    ("SELECT load_extension('/tmp/evil.so')", "load_extension"),
    ("SELECT fts3_tokenizer('simple')", "fts3_tokenizer"),
    // What is Bowline's.
    ("SELECT * FROM run", "run"),
    ("SELECT count(*) FROM RUN", "run"),
    ("SELECT 1 FROM main.\"run\"", "run"),
    ("SELECT (SELECT max(id) FROM event_1)", "event_1"),
    ("SELECT [body] FROM [event_1]", "event_1"),
    ("WITH r AS (SELECT payload FROM entry_1) SELECT * FROM r", "entry_1"),
    ("SELECT column1 FROM (VALUES (1)) WHERE EXISTS (SELECT 1 FROM `ledger`)", "ledger"),
    ("SELECT value FROM bowline_state", "bowline_state"),
    ("SELECT value FROM credential", "credential"),
    ("UPDATE run SET epoch = epoch + 1", "run"),
    ("DELETE FROM dedupe", "dedupe"),
    ("DELETE FROM bowline_state", "bowline_state"),
    ("INSERT INTO cursor VALUES ('a', 'b')", "cursor"),
    ("REPLACE INTO name VALUES (1, 'x')", "name"),
    ("INSERT INTO past_1 SELECT * FROM past_0", "past_1"),
    ("DROP TABLE run", "run"),
    ("DROP INDEX run_due", "run_due"),
    ("ALTER TABLE run ADD COLUMN mine", "run"),
    ("ALTER TABLE run RENAME TO runs", "run"),
    ("ALTER TABLE run RENAME COLUMN key TO keys", "run"),
    ("CREATE INDEX mine ON run (created_at)", "run"),
    ("CREATE UNIQUE INDEX mine ON ledger (one)", "ledger"),
    ("CREATE TRIGGER mine AFTER INSERT ON run BEGIN SELECT RAISE(ABORT, 'no'); END", "run"),
    ("CREATE TABLE mine AS SELECT * FROM credential", "credential"),
    ("CREATE TABLE past_99 (x)", "past_99"),
    ("CREATE TABLE Event_7 (x)", "event_7"),
    ("CREATE TABLE bowline_mine (x)", "bowline_mine"),
    ("CREATE VIEW run_soon AS SELECT 1; SELECT * FROM run", "run"),
    ("CREATE VIEW bowline_view AS SELECT 1", "bowline_view"),
    ("SELECT * FROM sqlite_sequence", "sqlite_sequence"),
    ("SELECT sum(pgsize) FROM dbstat", "dbstat"),
    // What would outlive the transaction, or act after it.
    ("CREATE TEMP TABLE run (x)", "temporary"),
    ("CREATE TEMPORARY VIEW v AS SELECT 1", "temporary"),
    ("CREATE TEMP TRIGGER t AFTER INSERT ON run BEGIN SELECT 1; END", "temporary"),
    ("CREATE VIRTUAL TABLE words USING fts5(body)", "virtual"),
    ("CREATE VIRTUAL TABLE boxes USING rtree(id, a, b)", "virtual"),
    ("ANALYZE", "ANALYZE"),
    ("REINDEX", "REINDEX"),
    ("EXPLAIN SELECT * FROM run", "run"),
];

#[tokio::test]
async fn refuses_what_is_not_the_users() {
    let (_folder, path) = place();
    let store = open(&path);
    let run = running(&store, "1").await;
    let before = contents(&path);
    for (sql, why) in REFUSED {
        let written = store.write(write_of(&run, 1, LONG, all(&[sql]))).await.unwrap();
        assert!(matches!(written.answer, Some(Answered::Failed(_))), "{sql}: {written:?}");
        let failed = failure(written);
        let said = failed.message.to_lowercase();
        assert!(said.contains(&why.to_lowercase()), "{sql}: {said}");
        assert!(said.contains("refused") || said.contains("is bowline's"), "{sql}: {said}");
        assert!(!failed.retryable);
    }
    assert_eq!(contents(&path), before, "and nothing happened");
    goes_on(&store, &run).await;
}

/// Statements that SQLite itself has no way for, or that are wrong.
#[tokio::test]
async fn fails_what_cannot_be_run() {
    let (_folder, path) = place();
    let store = open(&path);
    let run = running(&store, "1").await;
    let before = contents(&path);
    for (sql, why) in [
        (
            "INSERT INTO sqlite_master VALUES ('table', 'x', 'x', 3, 'CREATE TABLE x (y)')",
            "may not be modified",
        ),
        ("UPDATE sqlite_schema SET sql = '' WHERE name = 'run'", "may not be modified"),
        ("DELETE FROM sqlite_master", "may not be modified"),
        ("VACUUM", "cannot VACUUM from within a transaction"),
        ("VACUUM INTO '/tmp/copy.db'", "cannot VACUUM from within a transaction"),
        ("SELECT 1; SELECT 2", "several statements"),
        ("CREATE TABLE a (x); COMMIT; DELETE FROM run", ""),
        ("SELECT ?1", "1 parameters"),
        ("SELEC secret-value-7", "syntax error"),
        ("SELECT * FROM nowhere", "no such table: nowhere"),
        ("SELECT zeroblob(20000000)", "too big"),
        ("", "holds no statement"),
        ("-- nothing", "holds no statement"),
    ] {
        let sql_of = sql.to_owned();
        let write = write_of(&run, 1, LONG, move |tx| tx.query(&sql_of, &[]).map(|_| 0));
        match store.write(write).await.unwrap().answer {
            Some(Answered::Failed(failed)) => {
                assert!(failed.message.contains(why), "{sql}: {failed}");
                assert!(!failed.to_string().contains("secret-value"), "{failed}");
            }
            other => panic!("{sql}: {other:?}"),
        }
    }
    assert_eq!(contents(&path), before);
    goes_on(&store, &run).await;
}

/// Many statements that are each allowed, and together would harm.
#[tokio::test]
async fn refuses_harm_by_detours() {
    let (_folder, path) = place();
    let store = open(&path);
    let run = running(&store, "1").await;
    let before = contents(&path);
    let detours: &[(&[&str], &str)] = &[
        (
            &[
                "CREATE TABLE mine (x)",
                "CREATE TRIGGER t AFTER INSERT ON mine BEGIN DELETE FROM run; END",
                "INSERT INTO mine VALUES (1)",
            ],
            "run",
        ),
        (
            &[
                "CREATE TABLE mine (x)",
                "CREATE TRIGGER t AFTER INSERT ON mine BEGIN UPDATE sqlite_sequence SET seq = 0; END",
                "INSERT INTO mine VALUES (1)",
            ],
            "sqlite_sequence",
        ),
        (
            &[
                "CREATE VIEW v AS SELECT * FROM mine",
                "CREATE TABLE mine (x)",
                "CREATE TRIGGER t INSTEAD OF INSERT ON v BEGIN INSERT INTO cursor VALUES (new.x, ''); END",
                "INSERT INTO v VALUES ('x')",
            ],
            "cursor",
        ),
        (&["CREATE VIEW v AS SELECT payload FROM entry_1", "SELECT * FROM v"], "entry_1"),
        (&["CREATE TABLE mine (x)", "ALTER TABLE mine RENAME TO past_99"], "past_99"),
        (&["CREATE TABLE mine (x)", "ALTER TABLE mine RENAME TO Bowline_Future"], "Bowline_Future"),
        (&["CREATE TABLE mine (run INTEGER REFERENCES run (id))"], "foreign key"),
        (
            &["CREATE TABLE mine (run INTEGER, FOREIGN KEY (run) REFERENCES RUN ON DELETE CASCADE)"],
            "foreign key",
        ),
        (
            &["CREATE TABLE mine (x)", "ALTER TABLE mine ADD COLUMN run REFERENCES event_9 (id)"],
            "foreign key",
        ),
        (
            &[
                "CREATE TABLE mine (x UNIQUE)",
                "INSERT INTO mine VALUES (1)",
                "INSERT OR ROLLBACK INTO mine VALUES (1)",
            ],
            "UNIQUE constraint",
        ),
        (
            &[
                "CREATE TABLE mine (x)",
                "CREATE TRIGGER t BEFORE INSERT ON mine BEGIN SELECT RAISE(ROLLBACK, 'all of it'); END",
                "INSERT INTO mine VALUES (1)",
                "DELETE FROM mine",
            ],
            "",
        ),
    ];
    for (statements, why) in detours {
        let failed = failure(store.write(write_of(&run, 1, LONG, all(statements))).await.unwrap());
        assert!(failed.message.contains(why), "{statements:?}: {failed}");
        assert_eq!(contents(&path), before, "{statements:?}");
    }
    goes_on(&store, &run).await;
}

/// What users do with tables of their own.
#[tokio::test]
async fn lets_users_keep_tables_of_their_own() {
    let (_folder, path) = place();
    let store = open(&path);
    let run = running(&store, "1").await;
    let statements = [
        "CREATE TABLE customer (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE) STRICT",
        "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customer, total REAL)",
        "CREATE INDEX orders_customer ON orders (customer)",
        "INSERT INTO customer (name) VALUES ('ada'), ('bob') RETURNING id",
        "INSERT INTO orders VALUES (1, 1, 9.5) ON CONFLICT (id) DO UPDATE SET total = excluded.total",
        "CREATE TABLE seen (id INTEGER)",
        "CREATE TRIGGER note AFTER INSERT ON orders BEGIN INSERT INTO seen VALUES (new.id); END",
        "INSERT OR REPLACE INTO orders VALUES (2, 2, json_extract('{\"a\": 3}', '$.a'))",
        "CREATE VIEW totals AS SELECT customer, sum(total) AS total FROM orders GROUP BY customer",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 9) INSERT INTO seen SELECT i FROM n",
        "SELECT rank() OVER (ORDER BY total) FROM totals",
        "ALTER TABLE orders ADD COLUMN note TEXT",
        "ALTER TABLE orders ADD COLUMN kind TEXT NOT NULL DEFAULT 'x' CHECK (kind <> '')",
        "ALTER TABLE seen RENAME TO seen_orders",
        "ALTER TABLE seen_orders RENAME COLUMN id TO order_id",
        "CREATE TABLE gone (id INTEGER PRIMARY KEY AUTOINCREMENT)",
        "INSERT INTO gone VALUES (7)",
        "DROP TABLE gone",
        "SELECT 1 FROM sqlite_master WHERE name = 'orders'",
        "WITH run AS (SELECT 1 AS x) SELECT x FROM run",
        "SELECT name AS run FROM customer",
        "DELETE FROM seen_orders; -- all of it",
    ];
    let write = write_of(&run, 1, LONG, move |sql| {
        for statement in statements {
            sql.query(statement, &[]).map_err(|error| Error::permanent(format!("{statement}: {error}")))?;
        }
        Ok(0)
    });
    match store.write(write).await.unwrap().answer {
        Some(Answered::Value(_)) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(ask(&path, "SELECT CAST(sum(total) AS INTEGER) FROM totals"), 12);
    goes_on(&store, &run).await;
}

/// A run can be written to the end, which goes over most tables of Bowline's.
async fn goes_on(store: &SqliteStore, run: &Run) {
    let len = store.run(run.id).await.unwrap().unwrap().journal_len;
    let write = RunWrite::new(run.id, run.epoch, at(9), vec![done(len + 1, "x")], Some(Transition::Complete));
    store.write(write).await.unwrap();
    running(store, "after").await;
    store.tidy(at(100 * 86_400), at(100 * 86_400)).await.unwrap();
}

#[tokio::test]
async fn fails_a_transaction_whose_rows_do_not_fit_at_the_commit() {
    let (_folder, path) = place();
    let store = open(&path);
    let run = running(&store, "1").await;
    let write = write_of(&run, 1, LONG, |sql| {
        sql.execute("CREATE TABLE a (id INTEGER PRIMARY KEY)", &[])?;
        sql.execute("CREATE TABLE b (a REFERENCES a (id) DEFERRABLE INITIALLY DEFERRED)", &[])?;
        sql.execute("INSERT INTO b VALUES (7)", &[])?;
        Ok(0)
    });
    let failed = failure(store.write(write).await.unwrap());
    assert!(failed.message.contains("FOREIGN KEY constraint failed"), "{failed}");
    assert_eq!(ask(&path, "SELECT count(*) FROM sqlite_master WHERE name IN ('a', 'b')"), 0);
    goes_on(&store, &run).await;
}

#[tokio::test]
async fn takes_a_full_disk_for_the_stores_trouble_and_not_for_the_users() {
    let (_folder, path) = place();
    let store = open(&path);
    let run = running(&store, "1").await;
    store.fail_next(Failure::PagesMax(100)).await.unwrap();
    let fill = |swallow: bool| {
        move |sql: &mut dyn Sql| {
            sql.execute("CREATE TABLE IF NOT EXISTS big (x)", &[])?;
            match sql.execute("INSERT INTO big VALUES (zeroblob(1000000))", &[]) {
                Err(_) if swallow => Ok(1),
                other => other.map(|_| 0),
            }
        }
    };
    for swallow in [false, true] {
        let error = store.write(write_of(&run, 1, LONG, fill(swallow))).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Full, "it is tried again: {error}");
    }
    store.fail_next(Failure::PagesMax(1_000_000)).await.unwrap();
    assert!(matches!(
        store.write(write_of(&run, 1, LONG, fill(false))).await.unwrap().answer,
        Some(Answered::Value(_))
    ));
}

#[tokio::test]
async fn runs_a_closure_again_only_if_its_commit_was_lost() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let (_folder, path) = place();
    let store = open(&path);
    let calls = Arc::new(AtomicUsize::new(0));
    for (n, (fault, is_there)) in
        [(Failure::CommitLost, false), (Failure::CommitUnanswered, true)].into_iter().enumerate()
    {
        let run = running(&store, &n.to_string()).await;
        let counted = Arc::clone(&calls);
        let write = write_of(&run, 1, LONG, move |sql| {
            counted.fetch_add(1, Ordering::SeqCst);
            sql.execute("CREATE TABLE IF NOT EXISTS orders (x)", &[])?;
            sql.execute("INSERT INTO orders VALUES (?1)", &[SqlValue::Integer(1)])?;
            Ok(1)
        });
        store.fail_next(fault).await.unwrap();
        let first = store.write(write.clone()).await;
        assert_eq!(first.is_ok(), is_there);
        let again = store.write(write).await.unwrap();
        assert!(matches!(again.answer, Some(Answered::Value(_))));
        assert_eq!(ask(&path, "SELECT count(*) FROM orders"), n as i64 + 1);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 3, "twice where the commit was lost, once where it was not");
}

/// Names that a later version gives to its own tables must not be taken by a user's.
#[tokio::test]
async fn reserves_every_name_that_it_uses() {
    let (_folder, path) = place();
    let store = open(&path);
    let run = running(&store, "1").await;
    let conn = Connection::open(&path).unwrap();
    let mut query = conn
        .prepare("SELECT DISTINCT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name")
        .unwrap();
    let names: Vec<String> = query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(names.len() > 20);
    for name in names {
        let view = format!("CREATE VIEW IF NOT EXISTS \"{name}\" AS SELECT 1");
        let failed = failure(store.write(write_of(&run, 1, LONG, all(&[&view]))).await.unwrap());
        assert!(failed.message.contains("is Bowline's"), "begin new names with bowline_: {failed}");
    }
}

#[tokio::test]
async fn other_programs_read_users_tables_while_the_store_is_open() {
    let (_folder, path) = place();
    let store = open(&path);
    let run = running(&store, "1").await;
    let write = write_of(&run, 1, LONG, |sql| {
        sql.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)", &[])?;
        sql.execute("INSERT INTO orders VALUES (7)", &[]).map(|_| 0)
    });
    store.write(write).await.unwrap();
    let other = Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let read = || other.query_row("SELECT sum(id) FROM orders", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(read(), 7);
    other.execute_batch("BEGIN; SELECT * FROM orders").unwrap();
    let more = write_of(&run, 2, LONG, |sql| sql.execute("INSERT INTO orders VALUES (8)", &[]).map(|_| 0));
    assert!(
        matches!(store.write(more).await.unwrap().answer, Some(Answered::Value(_))),
        "a reader stops no writer"
    );
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(read(), 15);
}

#[tokio::test]
async fn is_alone_in_its_transaction_though_others_wait_with_it() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let (_folder, path) = place();
    let store = open(&path);
    let (good, bad) = (running(&store, "1").await, running(&store, "2").await);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The writer waits with the first; the others wait in the queue, and are taken together.
    let mut first = store.write(RunWrite::new(good.id, good.epoch, at(2), vec![done(1, "x")], None));
    assert!((&mut first).now_or_never().is_none());
    let mut before = store.write(RunWrite::new(good.id, good.epoch, at(2), vec![done(2, "x")], None));
    let mut fails = store.write(write_of(&bad, 1, LONG, move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Err(Error::permanent("no"))
    }));
    let mut after = store.write(RunWrite::new(good.id, good.epoch, at(2), vec![done(3, "x")], None));
    for write in [&mut before, &mut fails, &mut after] {
        assert!(write.now_or_never().is_none());
    }
    other.execute_batch("ROLLBACK").unwrap();
    first.await.unwrap();
    before.await.unwrap();
    after.await.unwrap();
    failure(fails.await.unwrap());
    assert_eq!(calls.load(Ordering::SeqCst), 1, "it was not done again after a batch that failed");
}

/// A file of SQL, handed over whole.
#[tokio::test]
async fn a_text_of_ever_so_many_statements_is_an_error_and_not_the_end_of_the_process() {
    let (_folder, path) = place();
    let store = open(&path);
    let run = running(&store, "1").await;
    let write = write_of(&run, 1, LONG, |sql| {
        let file = "SELECT 1;\n".repeat(100_000);
        let refused = sql.execute(&file, &[]).unwrap_err().to_string();
        assert!(refused.contains("several statements in one text"), "{refused}");
        sql.query("-- a comment\nSELECT 1; -- and another\n ;; /* third */", &[])
            .map(|rows| rows.len() as i64)
    });
    match store.write(write).await.unwrap().answer {
        Some(Answered::Value(_)) => {}
        other => panic!("{other:?}"),
    }
    goes_on(&store, &run).await;
}

#[tokio::test]
async fn a_statement_that_was_given_to_the_wrong_method_does_nothing() {
    let (_folder, path) = place();
    let store = open(&path);
    let run = running(&store, "1").await;
    let write = write_of(&run, 1, LONG, |sql| {
        sql.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)", &[])?;
        let refused =
            sql.execute("INSERT INTO orders VALUES (1), (2) RETURNING id", &[]).unwrap_err().to_string();
        assert!(refused.contains("use query instead of execute"), "{refused}");
        let rows = sql.query("SELECT count(*) AS n FROM orders", &[])?;
        rows[0].get("n")
    });
    store.write(write).await.unwrap();
    assert_eq!(ask(&path, "SELECT count(*) FROM orders"), 0, "what failed was not done");
    goes_on(&store, &run).await;
}

const MIB: u64 = 1 << 20;

fn rows(n: usize) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {n}) \
         INSERT INTO big SELECT zeroblob(1000000) FROM n"
    )
}

/// Fills a table with so many megabytes, and then does what is too much.
async fn gives_up(rows_before: usize, statements: Vec<String>) {
    let (_folder, path) = place();
    let options = SqliteOptions { transaction_bytes_max: 30 * MIB, wal_bytes_alert: MIB, ..options() };
    let store = SqliteStore::open(&path, options, Arc::new(TestClock::default())).unwrap();
    let run = running(&store, "1").await;
    // What the cache holds is written by the commit.
    let pieces = rows_before.div_ceil(20);
    for seq in 1..=pieces as i64 + 1 {
        let made = write_of(&run, seq, LONG, move |sql| {
            sql.execute("CREATE TABLE IF NOT EXISTS big (x)", &[])?;
            if seq == 1 { Ok(0) } else { sql.execute(&rows(20), &[]).map(|_| 0) }
        });
        let made = store.write(made).await.unwrap().answer;
        assert!(matches!(made, Some(Answered::Value(_))), "{made:?}");
    }
    let log = path.with_file_name("bowline.db-wal");
    let before = std::fs::metadata(&log).unwrap().len();
    let write = write_of(&run, pieces as i64 + 2, LONG, move |sql| {
        for statement in &statements {
            // Whoever swallows the error cannot commit either.
            let _ = sql.execute(statement, &[]);
        }
        Ok(0)
    });
    let failed = failure(store.write(write).await.unwrap());
    assert!(failed.message.contains("wrote more than 30 MiB"), "{failed}");
    assert!(!failed.retryable && failed.message.contains("nothing of it was kept"), "{failed}");
    // A checkpoint may have made it shorter meanwhile.
    let written = std::fs::metadata(&log).unwrap().len().saturating_sub(before);
    assert!(written < 100 * MIB, "it was stopped after {written} bytes");
    assert_eq!(ask(&path, "SELECT count(*) FROM big"), pieces as i64 * 20);
    goes_on(&store, &run).await;
}

#[tokio::test]
async fn one_statement_that_writes_more_than_its_limit_is_given_up() {
    gives_up(0, vec![rows(10_000)]).await;
}

#[tokio::test]
async fn statements_that_write_more_than_their_limit_are_given_up() {
    gives_up(0, vec![rows(1); 10_000]).await;
}

/// It makes the file no longer.
#[tokio::test]
async fn a_change_of_more_than_the_limit_is_given_up() {
    gives_up(140, vec!["UPDATE big SET x = printf('%.*c', 1000000, 'x')".to_owned()]).await;
}
