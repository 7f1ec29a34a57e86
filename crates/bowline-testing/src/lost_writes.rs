//! What a crash of the machine leaves of a folder.
//!
//! A killed process loses nothing it wrote: the kernel still has it. A crash of the machine loses what was not
//! synced. [`LostWrites`] makes that crash: a small C library, preloaded into the program, keeps beside each file of
//! the guarded folder a shadow that holds only what was fsync'ed or fdatasync'ed. After the kill the shadows take the
//! place of the files ([`drop_unsynced`](LostWrites::drop_unsynced)), or each page comes from one or the other
//! ([`mix`](LostWrites::mix)): a disk may have written any part of what it was not told to keep.
//!
//! It also traces syncs, requests and answers in their order, so that a test can show that the disk had the event
//! before the sender had its 200.
//!
//! ```
//! use bowline_testing::{LostWrites, Program};
//! use std::time::Duration;
//!
//! let data = tempfile::tempdir()?;
//! let disk = LostWrites::over(data.path())?;
//! let script = "echo kept >kept; sync -d kept; echo lost >lost; echo done";
//! let mut program = Program::new("/bin/sh").args(["-c", script]).dir(data.path()).envs(disk.env()).start()?;
//! program.wait(Duration::from_secs(20))?;
//! let crash = disk.drop_unsynced()?;
//! # let _ = crash;
//! assert!(!data.path().join("lost").exists());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Linux only; needs a C compiler (`cc`, or what `CC` names). The C file tells what the model leaves out.

mod crash;
mod trace;

use std::{
    ffi::OsString,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crash::Survivors;

pub use crash::{Crash, PAGE_BYTES};
pub use trace::{Trace, TraceEvent};

/// The library's source: part of the crate, compiled when a test asks for it.
const SOURCE: &str = include_str!("../native/lostwrites.c");

/// Why the folder cannot be guarded, or the crash cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LostWritesError {
    /// The C library does not compile here.
    #[error("lostwrites.c does not compile with {compiler}: {said}; install a C compiler or set CC")]
    Compile {
        /// The compiler.
        compiler: String,
        /// What it said.
        said: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of the trace is not one.
    #[error("line {line} of the trace is not an event: {text:?}")]
    Trace {
        /// Which line, from 1.
        line: usize,
        /// The line.
        text: String,
    },
}

/// A folder whose unsynced writes can be lost.
#[derive(Debug)]
pub struct LostWrites {
    guarded: PathBuf,
    /// Holds the library, the shadows and the trace.
    folder: TempDir,
}

impl LostWrites {
    /// Guards an existing folder and all below it. What is in it now counts as synced. Compiles the library.
    ///
    /// # Errors
    /// If it does not compile, or a file cannot be copied.
    pub fn over(guarded: impl AsRef<Path>) -> Result<Self, LostWritesError> {
        let guarded = guarded.as_ref();
        let guarded = guarded.canonicalize().map_err(at(guarded))?;
        let folder = TempDir::new().map_err(at("a temporary folder"))?;
        let this = Self { guarded, folder };
        std::fs::create_dir(this.shadows()).map_err(at(this.shadows()))?;
        compile(&this.library())?;
        crash::shadow_all(&this.guarded, &this.shadows())?;
        Ok(this)
    }

    /// The environment for the program (see [`Program::envs`](crate::Program::envs)): only for the one that writes
    /// the folder, and for one at a time.
    pub fn env(&self) -> Vec<(OsString, OsString)> {
        let of = |name: &str, path: PathBuf| (OsString::from(name), path.into_os_string());
        vec![
            of("LD_PRELOAD", self.library()),
            of("LOSTWRITES_DIR", self.guarded.clone()),
            of("LOSTWRITES_SHADOW", self.shadows()),
            of("LOSTWRITES_TRACE", self.trace_file()),
        ]
    }

    /// The crash where nothing unsynced survives. To be called when the program is dead.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    ///
    /// # Durability
    /// Afterwards each file holds what was written before its last sync began, and what was never synced is gone.
    pub fn drop_unsynced(&self) -> Result<Crash, LostWritesError> {
        self.crash(&mut Survivors::None)
    }

    /// The crash where each page that differs ([`PAGE_BYTES`]) comes from the file or from its shadow at random, and
    /// so does each file's length and, if it was never synced, its existence. The same seed and the same files give
    /// the same crash. To be called when the program is dead.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    ///
    /// # Durability
    /// Afterwards what was synced is there; of the rest, any part.
    pub fn mix(&self, seed: u64) -> Result<Crash, LostWritesError> {
        self.crash(&mut Survivors::random(seed))
    }

    /// What happened, over all the program's lives until now.
    ///
    /// # Errors
    /// If the trace cannot be read.
    pub fn trace(&self) -> Result<Trace, LostWritesError> {
        let path = self.trace_file();
        match std::fs::read_to_string(&path) {
            Ok(text) => Trace::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Trace::default()),
            Err(source) => Err(LostWritesError::Io { path, source }),
        }
    }

    fn crash(&self, survivors: &mut Survivors) -> Result<Crash, LostWritesError> {
        crash::crash(&self.guarded, &self.shadows(), survivors)
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("lostwrites.so")
    }

    fn shadows(&self) -> PathBuf {
        self.folder.path().join("shadows")
    }

    fn trace_file(&self) -> PathBuf {
        self.folder.path().join("trace")
    }
}

fn compile(library: &Path) -> Result<(), LostWritesError> {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let failed = |said: String| LostWritesError::Compile { compiler: compiler.clone(), said };
    let mut cc = Command::new(&compiler)
        .args(["-x", "c", "-std=gnu11", "-O1", "-Wall", "-fPIC", "-shared", "-o"])
        .arg(library)
        .args(["-", "-ldl", "-lpthread"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let mut stdin = cc.stdin.take().expect("it was piped");
    stdin.write_all(SOURCE.as_bytes()).map_err(|error| failed(error.to_string()))?;
    drop(stdin);
    let output = cc.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(())
}

/// An IO error, with the file it is about.
fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> LostWritesError {
    let path = path.into();
    move |source| LostWritesError::Io { path, source }
}
