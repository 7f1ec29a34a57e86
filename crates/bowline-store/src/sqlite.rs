//! The store in the box: one SQLite file, one process.
//!
//! What comes in: calls of [`Store`], from any task. What goes out: answers, after their commit. Writes go through a
//! bounded queue to one thread, which commits as many as wait in one transaction; reads go to threads of their own.
//!
//! What must never happen here: an answer before its commit; a refused write that harms the others of its batch; a
//! queue, a log or a table that grows without bound.
//!
//! | Module | Story |
//! |---|---|
//! | `lock` | who has the store open |
//! | `schema`, `period` | which tables there are |
//! | `queue`, `threads`, `writer`, `transaction` | how a write gets to the disk |
//! | `accept`, `claim`, `progress`, `operate`, `journal`, `node`, `tidy` | the writes |
//! | `ask`, `state`, `user_sql` | what a run asks the store: values between runs, the user's own SQL |
//! | `line`, `rate`, `gather`, `pause` | which runs begin: of a key in their order, at a pace, debounced or in batches, or not now |
//! | `also`, `ask` | what a run's write changes besides |
//! | `mail`, `mailbox`, `mailed` | messages to runs, where they wait for them, who is told |
//! | `child` | runs that runs start |
//! | `credentials` | sealed tokens, and who may refresh them |
//! | `readers`, `read`, `fresh` | the reads |
//! | `beside` | the reads of a process that does not hold the store |
//! | `ends` | who waits for a run's end |
//! | `checkpoint`, `disk` | the log and the room |
//! | `failure` | what tests let go wrong |

mod accept;
mod also;
mod ask;
mod beside;
mod chain;
mod checkpoint;
mod child;
mod claim;
mod credentials;
mod disk;
mod ends;
mod failure;
mod fault;
mod fresh;
mod gather;
mod journal;
mod line;
mod lock;
mod mail;
mod mailbox;
mod mailed;
mod names;
mod node;
mod operate;
mod options;
mod pause;
mod period;
mod progress;
mod queue;
mod rate;
mod read;
mod readers;
mod row;
mod schema;
mod state;
mod threads;
mod tidy;
mod transaction;
mod user_sql;
mod writer;

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use bowline_model::{
    BoxFuture, Clock, CredentialStore, Entry, EntryKey, Event, EventId, Payload, Run, RunId, WorkflowName,
};
use jiff::Timestamp;

pub use beside::SqliteReader;
#[doc(hidden)]
pub use failure::Failure;
pub use lock::{LockHolder, lock_holder};
pub use options::{SqliteOptions, Synchronous};

use crate::{
    Accepted, Batch, Claim, Counts, History, Mailbox, MailboxFilter, Message, NodeStart, Operation, Paused,
    Post, Posted, RunFilter, RunWrite, StateEntry, StateFilter, Store, StoreError, StoreErrorKind, Written,
};
use checkpoint::{Checkpointer, Checkpoints, WalSize};
use disk::Disk;
use ends::Ends;
use fault::Fault;
use fresh::Fresh;
use lock::Lock;
use mailed::{Mailed, Told};
use queue::{Queue, WhenFull, Write};
use readers::{Readers, Snapshot};
use threads::Threads;
use transaction::Tx;
use writer::Writer;

/// SQLite, one file, held by one process.
///
/// Times are exact to the nanosecond from 1677 to 2262; times beyond are kept as those ends.
///
/// A claim whose future is dropped gives its runs back, but for one dropped in the instant of its answer: drive claims
/// to their end.
///
/// # Durability
/// WAL with `synchronous=FULL`: a write is answered after its commit was synced to the disk. After a crash of the
/// process or the machine, the next [`open`](Self::open) finds all that was answered, and nothing of a write that was
/// refused. A write that was never answered is there whole, or not at all.
///
/// # Examples
/// A credential, and who may refresh it:
/// ```
/// # use std::{sync::Arc, time::Duration};
/// # use bowline_model::{Clock, SystemClock};
/// use bowline_model::{CredentialStore, Secret};
/// # use bowline_store::{SqliteOptions, SqliteStore};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = SqliteStore::in_memory(SqliteOptions::default(), Arc::new(SystemClock))?;
/// # let now = SystemClock.now();
///
/// assert!(store.lease("crm", "this process", now, Duration::from_secs(60)).await?);
/// let version = store.save("crm", 0, Secret::new("sealed"), None).await?;
/// store.release("crm", "this process").await?;
///
/// let stored = store.load("crm").await?.expect("saved above");
/// assert_eq!((stored.version, stored.value.expose()), (version, "sealed"));
/// # Ok(()) }
/// ```
pub struct SqliteStore {
    queue: Queue,
    /// None in memory: there the writer reads too.
    readers: Option<Readers>,
    fresh: Arc<Fresh>,
    ends: Arc<Ends>,
    mailed: Arc<Mailed>,
    disk: Option<Disk>,
    options: SqliteOptions,
    clock: Arc<dyn Clock>,
    read_threads: Mutex<Threads>,
    write_threads: Mutex<Threads>,
    lock: Mutex<Option<Arc<Lock>>>,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("options", &self.options).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the store at `path`; creates it if it is not there, in a folder that is.
    ///
    /// # Errors
    /// `Locked` if another process has it open, `Incompatible` if the file is not a store or a newer version's, `Full`
    /// or `Unavailable` if the disk does not serve.
    ///
    /// # Durability
    /// What a killed predecessor had answered is there. What it left half-written is gone.
    ///
    /// # Examples
    /// A store in a folder of its own:
    /// ```
    /// use std::sync::Arc;
    /// use bowline_model::{Clock, SystemClock};
    /// use bowline_store::{SqliteOptions, SqliteStore, Store};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("bowline.db");
    /// let store = SqliteStore::open(&path, SqliteOptions::default(), Arc::new(SystemClock))?;
    /// let start = store.start_node(SystemClock.now()).await?;
    /// assert!(start.recovered.is_empty());
    /// store.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn open(
        path: impl AsRef<Path>,
        options: SqliteOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let path = lock::real_path(path.as_ref());
        let lock = Arc::new(Lock::take(&path)?);
        create_private(&path)?;
        refuse_second_name(&path)?;
        let wal = Arc::new(WalSize::default());
        let (checkpoints, woken) = Checkpoints::new(Arc::clone(&wal), options.wal_bytes_alert);
        let writer = Writer::open(Some(path.clone()), options.clone(), Arc::clone(&clock), Arc::clone(&wal))?
            .with_checkpoints(Some(checkpoints));
        let (fresh, ends, mailed) = (writer.fresh(), writer.ends(), writer.mailed());
        let checkpointer = Checkpointer::open(&path, &options, wal)?;
        let (mut read_threads, mut write_threads) = (Threads::default(), Threads::default());
        let readers = Readers::start(&path, &options, &clock, &mut read_threads)?;
        write_threads.spawn("bowline-checkpoint", move || checkpointer.run(&woken))?;
        let (queue, jobs) = Queue::new(options.queue_len_max.get(), options.queue_bytes_max);
        let held = Arc::clone(&lock);
        write_threads.spawn("bowline-write", move || {
            writer.run(jobs);
            // The lock is held for as long as anything is written, whatever becomes of the store.
            drop(held);
        })?;
        let disk = Some(Disk::new(path, options.disk_free_bytes_min, Arc::clone(&clock)));
        Ok(Self {
            queue,
            readers: Some(readers),
            fresh,
            ends,
            mailed,
            disk,
            options,
            clock,
            read_threads: Mutex::new(read_threads),
            write_threads: Mutex::new(write_threads),
            lock: Mutex::new(Some(lock)),
        })
    }

    /// A store in memory, for tests of what stands on a store: gone when it is dropped.
    ///
    /// # Errors
    /// `Unavailable` if the machine has no memory or thread to give.
    ///
    /// # Durability
    /// None.
    pub fn in_memory(options: SqliteOptions, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let writer = Writer::open(None, options.clone(), Arc::clone(&clock), Arc::default())?;
        let (fresh, ends, mailed) = (writer.fresh(), writer.ends(), writer.mailed());
        let (queue, jobs) = Queue::new(options.queue_len_max.get(), options.queue_bytes_max);
        let mut write_threads = Threads::default();
        write_threads.spawn("bowline-write", move || writer.run(jobs))?;
        Ok(Self {
            queue,
            readers: None,
            fresh,
            ends,
            mailed,
            disk: None,
            options,
            clock,
            read_threads: Mutex::default(),
            write_threads: Mutex::new(write_threads),
            lock: Mutex::default(),
        })
    }

    /// Says, for [`lock_holder`], where this process's admin API listens.
    ///
    /// # Errors
    /// `Unavailable` if the lock file cannot be written.
    pub fn set_admin_address(&self, admin: SocketAddr) -> Result<(), StoreError> {
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        match &*lock {
            Some(lock) => lock.set_admin_address(admin).map_err(|e| {
                let message = format!("cannot write the store's lock file: {e}; check its permissions");
                StoreError::new(StoreErrorKind::Unavailable, message)
            }),
            None => Ok(()),
        }
    }

    /// Lets something go wrong, after all writes so far: for tests of the store.
    #[doc(hidden)]
    pub async fn fail_next(&self, failure: Failure) -> Result<(), StoreError> {
        self.queue.submit(failure, WhenFull::Wait).await
    }

    async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Snapshot<'_>) -> Result<T, Fault> + Send + 'static,
    {
        match &self.readers {
            Some(readers) => readers.read(read).await,
            None => self.queue.submit(ReadInMemory(Some(read)), WhenFull::Wait).await,
        }
    }

    /// Runs that were just accepted from memory, the others from the disk.
    async fn read_histories(&self, runs: &[RunId]) -> Result<Vec<Result<History, StoreError>>, StoreError> {
        let fresh = self.fresh.take(runs);
        let others: Vec<RunId> =
            runs.iter().zip(&fresh).filter(|(_, fresh)| fresh.is_none()).map(|(run, _)| *run).collect();
        let mut others = if others.is_empty() {
            vec![].into_iter()
        } else {
            self.read(move |at| read::histories(at, &others)).await?.into_iter()
        };
        let merged = fresh.into_iter().filter_map(|fresh| match fresh {
            Some(event) => Some(Ok(History { event, journal: vec![], mail: vec![], batch: vec![] })),
            None => others.next(),
        });
        Ok(merged.collect())
    }

    /// Looks, waits, looks again.
    async fn wait_for_end(&self, run: RunId) -> Result<Run, StoreError> {
        loop {
            let waiter = self.ends.wait_for(run).ok_or_else(queue::closed)?;
            let told = waiter.told();
            match self.read(move |at| read::run(at, run)).await? {
                Some(found) if !found.state.is_open() => return Ok(found),
                Some(_) => told.await,
                None => return Err(operate::no_such_run(run)),
            }
        }
    }

    async fn accept_batch(&self, batch: Batch) -> Result<Vec<Accepted>, StoreError> {
        if let Some(disk) = &self.disk {
            disk.check()?;
        }
        let (period, period_bytes_max) = (self.options.period, self.options.period_bytes_max);
        let now = self.clock.now();
        let accept = accept::Accept { batch, now, period, period_bytes_max, ended: vec![] };
        self.queue.submit(accept, WhenFull::Refuse).await
    }

    async fn post_message(&self, post: Post) -> Result<Posted, StoreError> {
        if let Some(disk) = &self.disk {
            disk.check()?;
        }
        self.queue.submit(post, WhenFull::Refuse).await
    }

    async fn next_mailed(&self) -> Result<Vec<RunId>, StoreError> {
        match self.mailed.next().await {
            Told::Runs(runs) => Ok(runs),
            Told::Overfull(look) => {
                let runs = self.read(mail::running_with_mail).await?;
                look.done();
                Ok(runs)
            }
            Told::Closed => Err(queue::closed()),
        }
    }

    /// Tells the readers to end. They go before the writer, so that they hold up its last checkpoint in nothing.
    fn end_reads(&self) -> Threads {
        self.fresh.close();
        self.ends.close();
        self.mailed.close();
        if let Some(readers) = &self.readers {
            readers.close();
        }
        std::mem::take(&mut *self.read_threads.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells the writer to end what is queued.
    fn end_writes(&self) -> Threads {
        self.queue.close();
        std::mem::take(&mut *self.write_threads.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn unlock(&self) {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Ends what is queued, then lets the next process in.
impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.end_reads().join();
        self.end_writes().join();
        self.unlock();
    }
}

/// Creates the file for this user only (it holds customers' data), and makes its name durable: SQLite does so for its
/// log, not for the database itself.
fn create_private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    let create = || -> std::io::Result<()> {
        match fs::File::options().write(true).create_new(true).mode(0o600).open(path) {
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
            Err(e) => return Err(e),
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    create().map_err(|e| {
        let message =
            format!("cannot create the store {}: {e}; check the folder's permissions", path.display());
        StoreError::new(StoreErrorKind::Unavailable, message)
    })
}

/// A hard link is a second name that the lock cannot see.
fn refuse_second_name(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::MetadataExt;
    match fs::metadata(path) {
        Ok(metadata) if metadata.nlink() > 1 => {
            let message = format!(
                "the store {} has {} names (hard links): two servers could own it at once; remove the others, or copy it",
                path.display(),
                metadata.nlink()
            );
            Err(StoreError::new(StoreErrorKind::Incompatible, message))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A read where there is no file for readers to share.
struct ReadInMemory<F>(Option<F>);

impl<T, F> Write for ReadInMemory<F>
where
    T: Send + 'static,
    F: FnOnce(&mut Snapshot<'_>) -> Result<T, Fault> + Send + 'static,
{
    type Out = T;

    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<T, Fault> {
        let read = self.0.take().ok_or_else(|| {
            fault::refused(StoreErrorKind::Unavailable, "a read was lost with a failed batch; read again")
        })?;
        read(&mut Snapshot { conn: tx.conn, names: tx.names })
    }

    fn payload_bytes(&self) -> usize {
        0
    }
}

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

impl Store for SqliteStore {
    fn start_node(&self, now: Timestamp) -> Answer<'_, NodeStart> {
        Box::pin(self.queue.submit(node::StartNode { now }, WhenFull::Wait))
    }

    fn accept(&self, batch: Batch) -> Answer<'_, Vec<Accepted>> {
        Box::pin(self.accept_batch(batch))
    }

    fn claim(&self, claim: Claim) -> Answer<'_, Vec<Run>> {
        Box::pin(self.queue.submit(claim, WhenFull::Wait))
    }

    fn histories<'a>(&'a self, runs: &'a [RunId]) -> Answer<'a, Vec<Result<History, StoreError>>> {
        Box::pin(self.read_histories(runs))
    }

    fn write(&self, write: RunWrite) -> Answer<'_, Written> {
        Box::pin(self.queue.submit(write, WhenFull::Wait))
    }

    fn operate(&self, operation: Operation) -> Answer<'_, ()> {
        Box::pin(self.queue.submit(operation, WhenFull::Wait))
    }

    fn post(&self, post: Post) -> Answer<'_, Posted> {
        Box::pin(self.post_message(post))
    }

    fn mail(&self, run: RunId) -> Answer<'_, Vec<Message>> {
        Box::pin(self.read(move |at| Ok(mail::unread(at.conn, run)?)))
    }

    fn mailed(&self) -> Answer<'_, Vec<RunId>> {
        Box::pin(self.next_mailed())
    }

    fn went_on(&self, run: RunId) -> Answer<'_, Option<RunId>> {
        Box::pin(self.read(move |at| Ok(chain::latest(at.conn, run)?)))
    }

    fn waited_for(&self, run: RunId) -> Answer<'_, Vec<RunId>> {
        Box::pin(self.read(move |at| Ok(child::waited_for(at.conn, run)?)))
    }

    fn mailboxes(&self, filter: MailboxFilter) -> Answer<'_, Vec<Mailbox>> {
        Box::pin(self.read(move |at| mailbox::list(at, &filter)))
    }

    fn next_due(&self, after: Timestamp) -> Answer<'_, Option<Timestamp>> {
        Box::pin(self.read(move |at| read::next_due(at, after)))
    }

    fn run(&self, run: RunId) -> Answer<'_, Option<Run>> {
        Box::pin(self.read(move |at| read::run(at, run)))
    }

    fn ended(&self, run: RunId) -> Answer<'_, Run> {
        Box::pin(self.wait_for_end(run))
    }

    fn runs(&self, filter: RunFilter) -> Answer<'_, Vec<Run>> {
        Box::pin(self.read(move |at| read::runs(at, &filter)))
    }

    fn event(&self, event: EventId) -> Answer<'_, Option<Event>> {
        Box::pin(self.read(move |at| read::event(at, event)))
    }

    fn journal(&self, run: RunId) -> Answer<'_, Vec<Entry>> {
        Box::pin(self.read(move |at| read::journal(at, run)))
    }

    fn forks(&self, runs: Vec<RunId>) -> Answer<'_, Vec<(RunId, EntryKey)>> {
        Box::pin(self.read(move |at| read::forks(at, &runs)))
    }

    fn output(&self, run: RunId) -> Answer<'_, Option<Payload>> {
        Box::pin(self.read(move |at| read::output(at, run)))
    }

    fn pause(&self, pause: Paused) -> Answer<'_, bool> {
        Box::pin(self.queue.submit(pause::Pause(pause), WhenFull::Wait))
    }

    fn resume(&self, workflow: WorkflowName) -> Answer<'_, bool> {
        Box::pin(self.queue.submit(pause::Resume(workflow), WhenFull::Wait))
    }

    fn paused(&self) -> Answer<'_, Vec<Paused>> {
        Box::pin(self.read(pause::all))
    }

    fn counts(&self, now: Timestamp) -> Answer<'_, Counts> {
        Box::pin(self.read(move |at| read::counts(at, now)))
    }

    fn cursor<'a>(&'a self, name: &'a str) -> Answer<'a, Option<String>> {
        let name = name.to_owned();
        Box::pin(self.read(move |at| read::cursor(at, &name)))
    }

    fn state(&self, filter: StateFilter, now: Timestamp) -> Answer<'_, Vec<StateEntry>> {
        Box::pin(self.read(move |at| state::list(at, &filter, now)))
    }

    fn probe(&self, now: Timestamp) -> Answer<'_, ()> {
        Box::pin(self.queue.submit(node::Probe { now }, WhenFull::Wait))
    }

    fn tidy(&self, before: Timestamp, now: Timestamp) -> Answer<'_, bool> {
        let period = self.options.period;
        Box::pin(self.queue.submit(tidy::Tidy { before, now, period }, WhenFull::Wait))
    }

    fn credentials(self: Arc<Self>) -> Arc<dyn CredentialStore> {
        self
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            self.end_reads().wait().await;
            self.end_writes().wait().await;
            self.unlock();
            Ok(())
        })
    }
}
