//! What a user of the SQLite store can choose.

use std::{num::NonZeroUsize, time::Duration};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// When a commit counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// When the disk says that it has it. The only choice that keeps the promise of [`Store`](crate::Store).
    #[default]
    Full,
    /// When the operating system has it: a power cut loses acknowledged writes. Here so that a test of durability
    /// can be shown to fail.
    Off,
}

/// The store's bounds and choices. The defaults suit a machine of two cores and a few gigabytes.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// When a commit counts as done.
    pub synchronous: Synchronous,
    /// Writes that wait for the writer thread; past it `accept` is answered `Busy`, other writes wait.
    pub queue_len_max: NonZeroUsize,
    /// Bytes of bodies and results that wait for the writer thread, likewise.
    pub queue_bytes_max: usize,
    /// Writes that share one commit.
    pub batch_len_max: usize,
    /// Bytes that share one commit; one larger write goes alone.
    pub batch_bytes_max: usize,
    /// Free bytes on the store's disk below which `accept` answers `Full`, so that runs under way can still end.
    pub disk_free_bytes_min: u64,
    /// Size of the write-ahead log at which the store warns, and stops writers until it is emptied.
    pub wal_bytes_alert: u64,
    /// What one transaction of a user's SQL may write, roughly: it is looked at now and then.
    pub transaction_bytes_max: u64,
    /// Threads that read.
    pub readers: NonZeroUsize,
    /// Reads that wait for a thread; past it reads are answered `Busy`.
    pub reads_len_max: usize,
    /// How long one read may take, waiting included.
    pub read_deadline: Duration,
    /// How long one period of history lasts. Ended runs are dropped by whole periods.
    pub period: Duration,
    /// How large a period's payloads grow before the next begins: bounds the time that dropping one takes (some 100 ms
    /// for the default). Doubles with every 256 periods that are kept, so that a large history has not too many.
    pub period_bytes_max: u64,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            synchronous: Synchronous::Full,
            queue_len_max: NonZeroUsize::new(4096).expect("not zero"),
            queue_bytes_max: 64 * MIB,
            batch_len_max: 512,
            batch_bytes_max: 8 * MIB,
            disk_free_bytes_min: 64 * MIB as u64,
            wal_bytes_alert: 256 * MIB as u64,
            transaction_bytes_max: 256 * MIB as u64,
            readers: NonZeroUsize::new(4).expect("not zero"),
            reads_len_max: 1024,
            read_deadline: Duration::from_secs(5),
            period: Duration::from_hours(24),
            period_bytes_max: 64 * MIB as u64,
        }
    }
}
