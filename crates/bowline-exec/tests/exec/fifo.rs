//! How a test knows who lives: every process of a group holds the same pipe open, and it ends with the last of them.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::PathBuf,
    sync::mpsc,
    thread,
};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use crate::WITHIN;

/// A pipe with a name. Scripts open it (`exec 9>"$FIFO"`), and write lines to it.
pub(crate) struct Fifo {
    folder: TempDir,
}

/// Its other end.
pub(crate) struct Lines(mpsc::Receiver<String>);

impl Fifo {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fifo = Self { folder };
        mknodat(CWD, fifo.path(), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        fifo
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("fifo")
    }

    pub(crate) fn text(&self) -> String {
        self.path().display().to_string()
    }

    /// Reads it on a thread of its own: opening it waits for who writes.
    pub(crate) fn lines(&self) -> Lines {
        let path = self.path();
        Lines::of(move || File::open(&path).unwrap())
    }

    /// Reads it as well, and holds it open besides: the lines end also if nobody else ever opens it.
    pub(crate) fn opened(&self) -> (File, Lines) {
        // One who also reads does not wait until somebody writes, or reads.
        let open = File::options().read(true).write(true).open(self.path()).unwrap();
        let from = File::open(self.path()).unwrap();
        (open, Lines::of(move || from))
    }
}

impl Lines {
    fn of(open: impl FnOnce() -> File + Send + 'static) -> Self {
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(open()).lines() {
                let _ = tell.send(line.unwrap());
            }
        });
        Self(told)
    }

    /// The next line.
    pub(crate) fn next(&self) -> String {
        self.0.recv_timeout(WITHIN).expect("a line comes")
    }

    /// Returns when nobody holds the pipe open any more: how many lines came until then.
    pub(crate) fn all_gone(self) -> usize {
        let mut count = 0;
        loop {
            match self.0.recv_timeout(WITHIN) {
                Ok(_) => count += 1,
                Err(mpsc::RecvTimeoutError::Disconnected) => return count,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("somebody still lives"),
            }
        }
    }
}
