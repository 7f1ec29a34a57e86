//! Threads that read, each with its own read-only connection.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use bowline_model::Clock;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    fault::{Fault, is_in_doubt, store_error},
    names::Names,
    options::SqliteOptions,
    queue::closed,
    schema,
    threads::Threads,
};
use crate::{StoreError, StoreErrorKind};

/// SQLite's instructions between two looks at the clock: some tens of microseconds.
const DEADLINE_STEPS: i32 = 2000;

/// Looks at the clock that every read may take: about a millisecond. A short read is answered though it waited long, and
/// though a clock was moved meanwhile.
const LOOKS_MIN: u32 = 25;

/// A consistent view of the store: what one read sees.
pub(super) struct Snapshot<'c> {
    pub(super) conn: &'c Connection,
    pub(super) names: &'c mut Names,
}

/// One read, as a thread sees it.
trait Read: Send {
    /// Reads and answers. Returns the error that puts the connection in doubt.
    fn read(self: Box<Self>, conn: &Connection, names: &mut Names) -> Option<rusqlite::Error>;
    fn fail(self: Box<Self>, error: StoreError);
}

struct Request<F, T> {
    read: F,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Read for Request<F, T>
where
    F: FnOnce(&mut Snapshot<'_>) -> Result<T, Fault> + Send,
    T: Send,
{
    fn read(self: Box<Self>, conn: &Connection, names: &mut Names) -> Option<rusqlite::Error> {
        let Self { read, reply } = *self;
        if reply.is_closed() {
            return None;
        }
        let (answer, doubt) = match in_snapshot(conn, names, read) {
            Ok(value) => (Ok(value), None),
            Err(Fault::Refused(error)) => (Err(error), None),
            Err(Fault::Failed(failure)) => {
                (Err(StoreError::new(StoreErrorKind::Unavailable, failure.to_string())), None)
            }
            Err(Fault::Sqlite(error)) => {
                let answer = Err(store_error(&error));
                (answer, is_in_doubt(&error).then_some(error))
            }
        };
        // The caller may be gone.
        let _ = reply.send(answer);
        doubt
    }

    fn fail(self: Box<Self>, error: StoreError) {
        let _ = self.reply.send(Err(error));
    }
}

/// All statements of one read see the same state: a run that moves between tables is seen once.
fn in_snapshot<T>(
    conn: &Connection,
    names: &mut Names,
    read: impl FnOnce(&mut Snapshot<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    conn.prepare_cached("BEGIN")?.execute([])?;
    let outcome = read(&mut Snapshot { conn, names });
    if !conn.is_autocommit() {
        conn.prepare_cached("ROLLBACK")?.execute([])?;
    }
    outcome
}

struct Waiting {
    read: Box<dyn Read>,
    deadline: Duration,
    _place: OwnedSemaphorePermit,
}

/// The callers' end.
pub(super) struct Readers {
    jobs: Mutex<Option<Sender<Waiting>>>,
    places: Arc<Semaphore>,
    deadline: Duration,
    clock: Arc<dyn Clock>,
}

impl Readers {
    /// Starts the threads, and puts them where they are waited for.
    pub(super) fn start(
        path: &Path,
        options: &SqliteOptions,
        clock: &Arc<dyn Clock>,
        threads: &mut Threads,
    ) -> Result<Self, StoreError> {
        let (sender, receiver) = channel();
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..options.readers.get() {
            let mut reader = Reader {
                path: path.to_owned(),
                conn: Some(schema::open_reader(path)?),
                names: Names::default(),
                deadline: Arc::default(),
                clock: Arc::clone(clock),
            };
            reader.watch_deadline()?;
            let jobs = Arc::clone(&receiver);
            threads.spawn(&format!("bowline-read-{number}"), move || reader.run(&jobs))?;
        }
        Ok(Self {
            jobs: Mutex::new(Some(sender)),
            places: Arc::new(Semaphore::new(options.reads_len_max)),
            deadline: options.read_deadline,
            clock: Arc::clone(clock),
        })
    }

    /// Reads on one of the threads.
    pub(super) async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        F: FnOnce(&mut Snapshot<'_>) -> Result<T, Fault> + Send + 'static,
        T: Send + 'static,
    {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| busy())?;
        let (reply, answer) = oneshot::channel();
        let deadline = self.clock.monotonic().saturating_add(self.deadline);
        let waiting = Waiting { read: Box::new(Request { read, reply }), deadline, _place: place };
        self.sender()?.send(waiting).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Lets no further read in.
    pub(super) fn close(&self) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn sender(&self) -> Result<Sender<Waiting>, StoreError> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(closed)
    }
}

struct Reader {
    path: PathBuf,
    conn: Option<Connection>,
    names: Names,
    deadline: Arc<Deadline>,
    clock: Arc<dyn Clock>,
}

/// When the read under way must end.
#[derive(Default)]
struct Deadline {
    /// In nanoseconds of the clock's monotonic time.
    at: AtomicU64,
    looks: AtomicU32,
}

impl Deadline {
    fn set(&self, at: Duration) {
        self.at.store(nanos(at), Ordering::Relaxed);
        self.looks.store(0, Ordering::Relaxed);
    }

    fn is_over(&self, clock: &dyn Clock) -> bool {
        self.looks.fetch_add(1, Ordering::Relaxed) >= LOOKS_MIN
            && nanos(clock.monotonic()) > self.at.load(Ordering::Relaxed)
    }
}

impl Reader {
    /// Reads until the store closes.
    fn run(mut self, jobs: &Mutex<Receiver<Waiting>>) {
        loop {
            // One thread waits in the channel, the others for the lock.
            let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            match next {
                Ok(waiting) => self.read(waiting),
                Err(_) => return,
            }
        }
    }

    fn read(&mut self, waiting: Waiting) {
        self.deadline.set(waiting.deadline);
        if self.conn.is_none()
            && let Err(error) = self.open_again()
        {
            return waiting.read.fail(error);
        }
        let conn = self.conn.as_ref().expect("opened above");
        if let Some(error) = waiting.read.read(conn, &mut self.names) {
            tracing::debug!(%error, "a reader's connection failed; the next read opens another");
            self.conn = None;
        }
    }

    fn open_again(&mut self) -> Result<(), StoreError> {
        self.conn = Some(schema::open_reader(&self.path)?);
        self.watch_deadline()
    }

    fn watch_deadline(&mut self) -> Result<(), StoreError> {
        let (deadline, clock) = (Arc::clone(&self.deadline), Arc::clone(&self.clock));
        match &mut self.conn {
            Some(conn) => conn
                .progress_handler(DEADLINE_STEPS, Some(move || deadline.is_over(&*clock)))
                .map_err(|e| store_error(&e)),
            None => Ok(()),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn busy() -> StoreError {
    StoreError::new(StoreErrorKind::Busy, "too many reads wait for the store; try again in a second")
}
