//! How a test knows who lives: every process of a group holds the same pipe open, and it ends with the last of them.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
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
        let (tell, told) = mpsc::channel();
        let path = self.path();
        thread::spawn(move || read(&path, &tell));
        Lines(told)
    }
}

fn read(path: &Path, tell: &mpsc::Sender<String>) {
    for line in BufReader::new(File::open(path).unwrap()).lines() {
        let _ = tell.send(line.unwrap());
    }
}

impl Lines {
    /// The next line.
    pub(crate) fn next(&self) -> String {
        self.0.recv_timeout(WITHIN).expect("a line comes")
    }

    /// Returns when nobody holds the pipe open any more.
    pub(crate) fn all_gone(self) {
        loop {
            match self.0.recv_timeout(WITHIN) {
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("somebody still lives"),
            }
        }
    }
}
