//! A store's file, read beside the process that holds it: no lock is taken, and nothing of it is changed.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bowline_model::{Clock, Run, RunId};

use super::{
    create_private, lock, options::SqliteOptions, pause, read, readers::Readers, schema, threads::Threads,
};
use crate::{History, Paused, RunFilter, StoreError};

/// Reads a store that another process may hold.
///
/// Of a store that an older version made, a copy beside it is read, in this version's form: the file itself stays as the
/// older version needs it. The copy is removed in the end.
pub struct SqliteReader {
    readers: Readers,
    threads: Mutex<Threads>,
    copy: Option<Copied>,
}

/// A file that is removed when dropped, with what SQLite puts beside it.
struct Copied(PathBuf);

impl Drop for Copied {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm"] {
            let mut name = self.0.clone().into_os_string();
            name.push(end);
            // Nothing is left to do about a file that cannot be removed.
            let _ = fs::remove_file(name);
        }
    }
}

impl std::fmt::Debug for SqliteReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteReader").field("copied", &self.copy.is_some()).finish_non_exhaustive()
    }
}

impl SqliteReader {
    /// Opens the store at `path`, which must be there.
    ///
    /// # Errors
    /// `Incompatible` if the file is not a store or a newer version's, `Unavailable` if it cannot be read, or, of an older
    /// version's, copied.
    pub fn open(path: impl AsRef<Path>, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let path = lock::real_path(path.as_ref());
        let options = SqliteOptions::default();
        let copy = match schema::is_older(&path)? {
            false => None,
            true => Some(copied(&path, &options, &*clock)?),
        };
        let mut threads = Threads::default();
        let read = copy.as_ref().map_or(&path, |copy| &copy.0);
        let readers = Readers::start(read, &options, &clock, &mut threads)?;
        Ok(Self { readers, threads: Mutex::new(threads), copy })
    }

    /// As [`Store::runs`](crate::Store::runs).
    ///
    /// # Errors
    /// `Unavailable` if the file cannot be read.
    pub async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>, StoreError> {
        self.readers.read(move |at| read::runs(at, &filter)).await
    }

    /// As [`Store::paused`](crate::Store::paused).
    ///
    /// # Errors
    /// `Unavailable` if the file cannot be read.
    pub async fn paused(&self) -> Result<Vec<Paused>, StoreError> {
        self.readers.read(pause::all).await
    }

    /// As [`Store::histories`](crate::Store::histories).
    ///
    /// # Errors
    /// `Unavailable` if the file cannot be read; inside, of what cannot be read of one run.
    pub async fn histories(&self, runs: Vec<RunId>) -> Result<Vec<Result<History, StoreError>>, StoreError> {
        self.readers.read(move |at| read::histories(at, &runs)).await
    }
}

impl Drop for SqliteReader {
    fn drop(&mut self) {
        self.readers.close();
        // Before a copy is removed: nobody reads it any more.
        std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner)).join();
    }
}

/// What the store holds now, in a file of its own and in this version's form.
fn copied(path: &Path, options: &SqliteOptions, clock: &dyn Clock) -> Result<Copied, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".check-{}", std::process::id()));
    let copy = Copied(PathBuf::from(name));
    create_private(&copy.0)?;
    schema::copy_into(path, &copy.0)?;
    drop(schema::open_writer(Some(&copy.0), options, clock)?);
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use bowline_model::SystemClock;

    use super::*;
    use crate::StoreErrorKind;

    #[tokio::test]
    async fn an_older_stores_copy_is_read_and_the_store_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bowline.db");
        schema::create_older(&path);
        assert!(schema::is_older(&path).unwrap());
        let reader = SqliteReader::open(&path, Arc::new(SystemClock)).unwrap();
        assert!(reader.runs(RunFilter::default()).await.unwrap().is_empty());
        drop(reader);
        assert!(schema::is_older(&path).unwrap(), "the store itself is not touched");
        let left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().contains("check-")), "{left:?}");
    }

    #[tokio::test]
    async fn what_is_no_store_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.db");
        fs::write(&path, "something else").unwrap();
        let error = SqliteReader::open(&path, Arc::new(SystemClock)).unwrap_err();
        assert_ne!(error.kind(), StoreErrorKind::Locked);
    }
}
