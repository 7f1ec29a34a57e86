//! The lock file beside the store: proves that whoever held the store before is dead.
//!
//! The kernel drops the lock when its holder ends, however it ends. So there is no lease to wait for: who gets the lock
//! may recover at once. The file stays; removing it would let two processes lock two different files.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    net::SocketAddr,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::{StoreError, StoreErrorKind};

/// The holder's line is padded to this, so that one write replaces another whole.
const LINE_BYTES: usize = 128;

/// Tries to get the lock. [`lock_holder`] of another process may hold it for an instant.
const TRIES_MAX: u32 = 100;

/// Who has a store open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHolder {
    /// The process, if it has said so yet.
    pub pid: Option<u32>,
    /// Where its admin API listens, if it has one.
    pub admin: Option<SocketAddr>,
}

/// Who has the store at `path` open now; `None` if nobody has.
///
/// # Examples
/// Reach a running server, or open the store oneself:
/// ```
/// let path = std::env::temp_dir().join("bowline-nobody-has-this-open.db");
/// assert_eq!(bowline_store::lock_holder(&path), None);
/// ```
pub fn lock_holder(path: &Path) -> Option<LockHolder> {
    let mut file = File::open(lock_path(path)).ok()?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::WOULDBLOCK) => {}
        Ok(()) => {
            let _ = flock(&file, FlockOperation::Unlock);
            return None;
        }
        Err(_) => return None,
    }
    let mut line = String::new();
    let unknown = LockHolder { pid: None, admin: None };
    match file.read_to_string(&mut line) {
        Ok(_) => Some(serde_json::from_str(line.trim()).unwrap_or(unknown)),
        Err(_) => Some(unknown),
    }
}

/// A held lock. Dropping it lets the next process in.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of the store at `path`.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let lock_path = lock_path(path);
        // The standard library opens with O_CLOEXEC: a child that outlives this process does not keep the lock.
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|e| unavailable(&lock_path, &e))?;
        for _ in 0..TRIES_MAX {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    let lock = Self { file };
                    lock.write(None).map_err(|e| unavailable(&lock_path, &e))?;
                    return Ok(lock);
                }
                Err(rustix::io::Errno::WOULDBLOCK) => std::thread::yield_now(),
                Err(e) => return Err(unavailable(&lock_path, &e.into())),
            }
        }
        Err(held(path))
    }

    /// Says where the holder's admin API listens.
    pub(super) fn set_admin_address(&self, admin: SocketAddr) -> io::Result<()> {
        self.write(Some(admin))
    }

    fn write(&self, admin: Option<SocketAddr>) -> io::Result<()> {
        let holder = LockHolder { pid: Some(std::process::id()), admin };
        let json = serde_json::to_string(&holder).expect("two plain fields are JSON");
        self.file.write_all_at(format!("{json:<width$}\n", width = LINE_BYTES - 1).as_bytes(), 0)
    }
}

/// Closing the file would not be enough: a process that another thread is just starting has a copy of every open file
/// until its program is loaded, and the lock belongs to all copies.
impl Drop for Lock {
    fn drop(&mut self) {
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// `bowline.db` → `bowline.db-lock`.
fn lock_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(real_path(path));
    name.push("-lock");
    name.into()
}

/// The file itself, where the path leads there by links: two names of one store have one lock.
pub(super) fn real_path(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    // Not there yet: its folder is what may be a link.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (folder.canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        (Ok(_) | Err(_), _) => path.to_owned(),
    }
}

fn held(path: &Path) -> StoreError {
    let holder = lock_holder(path).unwrap_or(LockHolder { pid: None, admin: None });
    let who = holder.pid.map_or("another process".to_owned(), |pid| format!("process {pid}"));
    let message = format!(
        "the store {} is open in {who}; stop it first, or give this one another path with BOWLINE_STORE",
        path.display()
    );
    StoreError::new(StoreErrorKind::Locked, message)
}

fn unavailable(lock_path: &Path, error: &io::Error) -> StoreError {
    let message = format!(
        "cannot lock the store with {}: {error}; check that the folder exists and can be written",
        lock_path.display()
    );
    StoreError::new(StoreErrorKind::Unavailable, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_go_though_a_process_being_started_has_a_copy_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bowline.db");
        let lock = Lock::take(&path).unwrap();
        // What fork does to every open file.
        let copy = lock.file.try_clone().unwrap();
        drop(lock);
        assert_eq!(lock_holder(&path), None);
        drop(Lock::take(&path).unwrap());
        drop(copy);
    }
}
