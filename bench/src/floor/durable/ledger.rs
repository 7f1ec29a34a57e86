//! Its disk: one writer thread that commits whatever is waiting in one transaction, then answers.

use std::{path::Path, thread};

use axum::body::Bytes;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::{Result, floor::log};

/// Writes that wait; past it whoever writes waits too.
const QUEUE_LEN_MAX: usize = 4096;
/// Writes that share one commit.
const BATCH_LEN_MAX: usize = 512;
/// Pages in the log at which it is copied into the file: 16 MiB, as Bowline has it.
const CHECKPOINT_PAGES: u32 = 4096;

/// Keys that dedupe, bodies, and what is done: apart, so that no write touches a body again.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS dedupe (key TEXT PRIMARY KEY, event INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS done (event INTEGER PRIMARY KEY);
";

pub(super) struct Ledger {
    writes: mpsc::Sender<Write>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Accepted {
    New(i64),
    Duplicate,
}

enum Write {
    Accept { key: String, body: Bytes, answer: oneshot::Sender<Accepted> },
    Done { event: i64 },
}

/// An event that was accepted and is not marked as done.
type Undone = (i64, Vec<u8>);

impl Ledger {
    /// Opens the file; returns what an earlier life left undone.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Undone>)> {
        let conn = Connection::open(path)?;
        conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        conn.execute_batch(SCHEMA)?;
        let undone = conn
            .prepare("SELECT id, body FROM events WHERE id NOT IN (SELECT event FROM done) ORDER BY id")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let last = conn.query_row("SELECT coalesce(max(id), 0) FROM events", [], |row| row.get(0))?;
        let (writes, waiting) = mpsc::channel(QUEUE_LEN_MAX);
        let writer = Writer { conn, last };
        thread::Builder::new().name("writer".to_owned()).spawn(move || writer.run(waiting))?;
        Ok((Self { writes }, undone))
    }

    /// Returns after the commit. `None`: it is not on disk.
    pub(super) async fn accept(&self, key: String, body: Bytes) -> Option<Accepted> {
        let (answer, answered) = oneshot::channel();
        self.writes.send(Write::Accept { key, body, answer }).await.ok()?;
        answered.await.ok()
    }

    /// Returns before the commit: a mark that is lost costs one more call after a crash.
    pub(super) async fn mark_done(&self, event: i64) {
        // Closed: the process ends, and the next start calls again.
        let _ = self.writes.send(Write::Done { event }).await;
    }
}

struct Writer {
    conn: Connection,
    last: i64,
}

impl Writer {
    fn run(mut self, mut waiting: mpsc::Receiver<Write>) {
        while let Some(first) = waiting.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH_LEN_MAX
                && let Ok(write) = waiting.try_recv()
            {
                batch.push(write);
            }
            let last = self.last;
            match self.commit(&batch) {
                Ok(accepted) => answer(batch, accepted),
                Err(error) => {
                    // Those who wait see their channel close: 503. Marks are lost: called again after a restart.
                    log("batch of", &batch.len().to_string(), &error);
                    self.last = last;
                }
            }
        }
    }

    /// What became of each event, in the order of the batch.
    fn commit(&mut self, batch: &[Write]) -> rusqlite::Result<Vec<Accepted>> {
        let tx = self.conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut accepted = Vec::with_capacity(batch.len());
        {
            let mut dedupe =
                tx.prepare_cached("INSERT OR IGNORE INTO dedupe (key, event) VALUES (?1, ?2)")?;
            let mut insert = tx.prepare_cached("INSERT INTO events (id, body) VALUES (?1, ?2)")?;
            let mut done = tx.prepare_cached("INSERT OR IGNORE INTO done (event) VALUES (?1)")?;
            for write in batch {
                match write {
                    Write::Accept { key, body, answer: _ } => {
                        let id = self.last + 1;
                        if dedupe.execute((key, id))? == 0 {
                            accepted.push(Accepted::Duplicate);
                            continue;
                        }
                        insert.execute((id, body.as_ref()))?;
                        self.last = id;
                        accepted.push(Accepted::New(id));
                    }
                    Write::Done { event } => {
                        done.execute([event])?;
                    }
                }
            }
        }
        tx.commit()?;
        Ok(accepted)
    }
}

fn answer(batch: Vec<Write>, accepted: Vec<Accepted>) {
    let waiting = batch.into_iter().filter_map(|write| match write {
        Write::Accept { answer, .. } => Some(answer),
        Write::Done { .. } => None,
    });
    for (answer, accepted) in waiting.zip(accepted) {
        // A client that left gets it as a duplicate when it comes again; its row is found at the next start.
        let _ = answer.send(accepted);
    }
}
