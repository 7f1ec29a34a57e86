//! What is to be started.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{Process, ProcessError, READY_WITHIN_DEFAULT, ready::Ready};

/// Variables that a child inherits. Nothing else: a test's outcome must not hang on the shell it was started from.
const INHERITED: [&str; 7] =
    ["PATH", "HOME", "TMPDIR", "LANG", "LD_LIBRARY_PATH", "RUST_BACKTRACE", "LLVM_PROFILE_FILE"];

/// A program with its arguments and environment. It is a value: each [`start`](Self::start) is a process of its own.
#[derive(Debug, Clone)]
#[must_use = "a program does nothing until it is started"]
pub struct Program {
    pub(super) path: PathBuf,
    pub(super) args: Vec<OsString>,
    pub(super) env: BTreeMap<OsString, OsString>,
    pub(super) dir: Option<PathBuf>,
    pub(super) ready: Ready,
    pub(super) ready_within: Duration,
}

impl Program {
    /// The program at that path. In a package's own tests: `Program::new(env!("CARGO_BIN_EXE_name"))`.
    ///
    /// It inherits `PATH`, `HOME`, `TMPDIR`, `LANG`, `LD_LIBRARY_PATH`, `RUST_BACKTRACE` and nothing else.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            args: Vec::new(),
            env: BTreeMap::new(),
            dir: None,
            ready: Ready::AtOnce,
            ready_within: READY_WITHIN_DEFAULT,
        }
    }

    /// A binary of another package of this workspace: built first, in the profile of the running test.
    ///
    /// # Errors
    /// If the build fails, with what Cargo said.
    pub fn of_package(package: &str, binary: &str) -> Result<Self, ProcessError> {
        let program = Self::new(built_beside_tests(binary));
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--quiet", "--package", package, "--bin", binary]);
        if !cfg!(debug_assertions) {
            command.arg("--release");
        }
        let built = command.output().map_err(|source| program.cannot_start(source))?;
        if !built.status.success() {
            let said = String::from_utf8_lossy(&built.stderr).into_owned();
            return Err(program.cannot_start(io::Error::other(format!("it does not build:\n{said}"))));
        }
        Ok(program)
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// More arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// A variable of its environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Variables of its environment.
    pub fn envs(mut self, vars: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>) -> Self {
        for (name, value) in vars {
            self = self.env(name, value);
        }
        self
    }

    /// The folder it runs in; without one, each start makes a temporary one.
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// It is ready when it writes a line (to either stream) that contains that text.
    pub fn ready_on_line(mut self, part: impl Into<String>) -> Self {
        self.ready = Ready::Line(part.into());
        self
    }

    /// It is ready when a GET of that URL (plain HTTP) is answered 200.
    pub fn ready_on_http(mut self, url: impl Into<String>) -> Self {
        self.ready = Ready::Http(url.into());
        self
    }

    /// How long it may take to become ready.
    pub fn ready_within(mut self, within: Duration) -> Self {
        self.ready_within = within;
        self
    }

    /// Starts it, and waits until it is ready.
    ///
    /// # Errors
    /// If it cannot be started, ends before it is ready, or is not ready in time; it is killed then.
    pub fn start(&self) -> Result<Process, ProcessError> {
        Process::new(self.clone())
    }

    pub(super) fn cannot_start(&self, source: io::Error) -> ProcessError {
        ProcessError::Start { program: self.path.display().to_string(), source }
    }
}

pub(super) fn inherited() -> impl Iterator<Item = (&'static str, OsString)> {
    INHERITED.into_iter().filter_map(|name| Some((name, env::var_os(name)?)))
}

/// Tests run from `target/PROFILE/deps`; binaries are in `target/PROFILE`. Doc tests run from elsewhere.
fn built_beside_tests(binary: &str) -> PathBuf {
    let running = env::current_exe().unwrap_or_default();
    let profile = running.parent().and_then(Path::parent).unwrap_or(Path::new(""));
    profile.join(format!("{binary}{}", env::consts::EXE_SUFFIX))
}
