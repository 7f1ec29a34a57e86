//! Inboxes: folders into which others put files.
//!
//! What comes in: files that nobody writes to any more. What goes out: one event for each, with its run; and the file moved
//! once that run has ended. What must never happen here: half a file taken, a file taken twice or moved before its run has
//! ended, anything overwritten or deleted.
//!
//! | Module | Story |
//! |---|---|
//! | `pattern` | which names are files for it |
//! | `look` | what is in the folder |
//! | `steady` | which of it nobody writes to any more, decided purely |
//! | `shelf` | where a file goes when its run has ended |
//! | `turn` | the loop |

mod look;
mod pattern;
mod shelf;
mod steady;
mod turn;

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use bowline_model::WorkflowName;
use jiff::Timestamp;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

pub use self::{pattern::Pattern, turn::run};
use crate::poll::name_problem;

/// For how long a file's length and time must not change unless the inbox says otherwise.
pub const STABLE_DEFAULT: Duration = Duration::from_secs(2);
/// How often an inbox is looked into unless it says otherwise.
pub const EVERY_DEFAULT: Duration = Duration::from_secs(1);
/// No inbox is looked into more often.
pub const EVERY_MIN: Duration = Duration::from_millis(10);
/// Names that one look reads. What is beyond them is seen when these are gone.
pub const NAMES_MAX: usize = 20_000;
/// Files that one look takes; the others come with the next.
pub const TAKEN_MAX: usize = 1_000;
/// For how long a file that lies in its folder is known to be taken already: longer than dead letters stay there.
pub const KNOWN_FOR: Duration = Duration::from_secs(400 * 24 * 3600);
/// The folder, within the inbox, of files whose runs completed.
pub const DONE: &str = "done";
/// The folder, within the inbox, of files whose runs were cancelled or discarded.
pub const FAILED: &str = "failed";

/// A file in an inbox: what its workflow receives.
///
/// The file stays where it is until the run has ended, and can be read there, also after a crash or an operator's retry.
/// Read it within a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InboxFile {
    /// Its name.
    pub name: String,
    /// Where it is, from the root.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// When it was last written to.
    pub modified: Timestamp,
}

impl InboxFile {
    /// Opens it, if it is still the file that was taken.
    ///
    /// # Errors
    /// As [`File::open`], also for what has become a link; [`InvalidData`](io::ErrorKind::InvalidData) if another file has
    /// its name, or it was written to since: that one comes in by itself.
    pub fn open(&self) -> io::Result<File> {
        let file = open(&self.path)?;
        let now = file.metadata()?;
        if !now.is_file() || now.len() != self.bytes || modified(&now) != self.modified {
            let message = format!("{} was replaced or written to since it was taken", self.path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(file)
    }

    /// Reads it whole, up to `bytes_max`.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`FileTooLarge`](io::ErrorKind::FileTooLarge) if it is larger.
    pub fn read(&self, bytes_max: u64) -> io::Result<Vec<u8>> {
        if self.bytes > bytes_max {
            let message = format!("{} has {} bytes (limit {bytes_max})", self.path.display(), self.bytes);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        let mut bytes = vec![];
        io::Read::read_to_end(&mut io::Read::take(self.open()?, bytes_max), &mut bytes)?;
        Ok(bytes)
    }
}

/// Opens a file for reading. Whoever can write to the folder may have put something else in its place: a link is not
/// followed, and nobody is waited for at the other end of a pipe.
fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)
}

/// What tells a file from others of its name, and from itself before the last write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Stamp {
    bytes: u64,
    modified: Timestamp,
    inode: u64,
}

impl Stamp {
    fn of(file: &std::fs::Metadata) -> Self {
        Self { bytes: file.len(), modified: modified(file), inode: file.ino() }
    }
}

/// By the file system; where it names no time that can be, the beginning of all.
fn modified(file: &std::fs::Metadata) -> Timestamp {
    let nanos = i32::try_from(file.mtime_nsec()).unwrap_or_default();
    Timestamp::new(file.mtime(), nanos).unwrap_or_default()
}

/// An inbox that can run: its folder, which files are for it, and what they start.
#[derive(Debug, Clone)]
pub struct InboxSpec {
    name: String,
    folder: PathBuf,
    pattern: Pattern,
    stable_for: Duration,
    every: Duration,
    workflow: WorkflowName,
}

impl InboxSpec {
    /// An inbox of that name, in that folder.
    pub fn new(name: impl Into<String>, folder: impl Into<PathBuf>, workflow: WorkflowName) -> Self {
        Self {
            name: name.into(),
            folder: folder.into(),
            pattern: Pattern::new("*"),
            stable_for: STABLE_DEFAULT,
            every: EVERY_DEFAULT,
            workflow,
        }
    }

    /// Only files whose names fit.
    pub fn pattern(mut self, pattern: Pattern) -> Self {
        self.pattern = pattern;
        self
    }

    /// For how long a file must not change before it is taken.
    pub fn stable_for(mut self, time: Duration) -> Self {
        self.stable_for = time;
        self
    }

    /// How often the folder is looked into.
    pub fn every(mut self, time: Duration) -> Self {
        self.every = time;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is wrong with it, one problem each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = name_problem(&self.name).into_iter().collect();
        let folder = self.folder.display();
        if self.folder.as_os_str().is_empty() {
            problems.push("names no folder".to_owned());
        } else if self.folder.to_str().is_none() {
            problems.push(format!("has a folder whose name is not UTF-8: {folder}"));
        }
        if self.pattern.as_str().is_empty() {
            problems.push("takes no file: its pattern is empty; write one as *.csv".to_owned());
        }
        if self.every < EVERY_MIN {
            problems.push(format!("is looked into every {:?} (at least {EVERY_MIN:?})", self.every));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn taken(folder: &Path, text: &str) -> InboxFile {
        let path = folder.join("a.csv");
        std::fs::write(&path, text).unwrap();
        let file = std::fs::symlink_metadata(&path).unwrap();
        InboxFile { name: "a.csv".to_owned(), path, bytes: file.len(), modified: modified(&file) }
    }

    #[test]
    fn what_was_put_in_a_files_place_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let file = taken(folder.path(), "");
        assert_eq!(file.read(10).unwrap(), b"");
        std::fs::rename(&file.path, folder.path().join("b.csv")).unwrap();
        symlink("b.csv", &file.path).unwrap();
        assert!(file.open().is_err(), "a link to it");
        std::fs::remove_file(&file.path).unwrap();
        mknodat(CWD, &file.path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        // Opened as a file is, it would wait for somebody who writes, for ever.
        let (told, opened) = std::sync::mpsc::channel();
        std::thread::spawn(move || told.send(file.open().map(drop).map_err(|error| error.kind())));
        let opened = opened.recv_timeout(Duration::from_secs(60)).expect("it does not wait");
        assert_eq!(opened, Err(io::ErrorKind::InvalidData));
    }
}
