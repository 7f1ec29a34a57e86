//! Room on the disk: new events are refused before the runs under way have no room to end.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bowline_model::Clock;

use crate::{StoreError, StoreErrorKind};

/// How long a look at the disk holds.
const LOOK_HOLDS: Duration = Duration::from_millis(100);

/// The free room on the store's disk.
pub(super) struct Disk {
    path: PathBuf,
    free_bytes_min: u64,
    clock: Arc<dyn Clock>,
    /// When it was looked at last, and how much was free.
    last: Mutex<Option<(Duration, u64)>>,
}

impl Disk {
    pub(super) fn new(path: PathBuf, free_bytes_min: u64, clock: Arc<dyn Clock>) -> Self {
        Self { path, free_bytes_min, clock, last: Mutex::new(None) }
    }

    /// Whether there is room for new events.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let free = self.free_bytes()?;
        if free >= self.free_bytes_min {
            return Ok(());
        }
        let message = format!(
            "{free} bytes are free on the store's disk (new events need {}); free disk space",
            self.free_bytes_min
        );
        Err(StoreError::new(StoreErrorKind::Full, message))
    }

    fn free_bytes(&self) -> Result<u64, StoreError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.monotonic();
        if let Some((at, free)) = *last
            && now.saturating_sub(at) < LOOK_HOLDS
        {
            return Ok(free);
        }
        let stat = rustix::fs::statvfs(&self.path).map_err(|e| {
            let message = format!("cannot look at the store's disk: {e}; check that the file is still there");
            StoreError::new(StoreErrorKind::Unavailable, message)
        })?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        *last = Some((now, free));
        Ok(free)
    }
}
