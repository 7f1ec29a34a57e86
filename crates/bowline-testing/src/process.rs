//! A whole program under test: started, watched, killed, started again.
//!
//! ```
//! use bowline_testing::Program;
//! use std::time::Duration;
//!
//! let mut shell = Program::new("/bin/sh").args(["-c", "echo ready on port 81; exec sleep 1000"]).ready_on_line("ready").start()?;
//! let line = shell.wait_for_line("on port", Duration::from_secs(5))?;
//! assert!(line.ends_with("81"));
//! shell.kill();
//! shell.restart()?;
//! assert_eq!(shell.output().matches("ready").count(), 2);
//! # Ok::<(), bowline_testing::ProcessError>(())
//! ```
//!
//! Nothing here sleeps or polls output: a line, the end of the process and a deadline each wake the waiter. All calls
//! block; that is fine in a test whose mocks run on threads of their own, as [`MockSystem`](crate::MockSystem) does.
//!
//! A process never outlives its test: dropping [`Process`] kills its group, and if the test's own process is killed,
//! a guard beside each child notices and does the same.

mod guard;
mod output;
mod program;
mod ready;

use std::{
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use tempfile::TempDir;

use guard::Guard;
use output::Output;
use ready::Ready;

pub use output::LINES_MAX;
pub use program::Program;
pub use ready::free_port;

/// How long a program may take to become ready, unless it is told.
pub const READY_WITHIN_DEFAULT: Duration = Duration::from_secs(60);

/// How long a killed process's pipes may take to close: a grandchild outside its group can hold them.
const PIPES_CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// What went wrong with a program under test. The message ends with the last lines that it wrote.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// It could not be started.
    #[error("{program} cannot be started: {source}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It ended while something else was waited for.
    #[error("{program} ended ({status}) before {awaited}; it wrote:\n{output}")]
    Ended {
        /// The program.
        program: String,
        /// What was waited for.
        awaited: String,
        /// How it ended.
        status: String,
        /// Its last lines.
        output: String,
    },
    /// It runs, but what was waited for did not come in time.
    #[error("{program}: no {awaited} within {within:?}; it wrote:\n{output}")]
    Late {
        /// The program.
        program: String,
        /// What was waited for.
        awaited: String,
        /// How long.
        within: Duration,
        /// Its last lines.
        output: String,
    },
}

/// A program that was started; see [`Program::start`]. Dropping it kills it, with every process of its group.
#[derive(Debug)]
pub struct Process {
    program: Program,
    /// The folder made for it, if the program named none.
    folder: Option<TempDir>,
    life: Option<Life>,
    output: Arc<Output>,
    ended: Option<ExitStatus>,
}

/// One life, from a start to its end.
#[derive(Debug)]
struct Life {
    child: Child,
    pid: Pid,
    guard: Guard,
}

impl Process {
    fn new(program: Program) -> Result<Self, ProcessError> {
        let folder = match program.dir {
            Some(_) => None,
            None => Some(TempDir::new().map_err(|source| program.cannot_start(source))?),
        };
        let mut process =
            Self { program, folder, life: None, output: Arc::new(Output::default()), ended: None };
        process.begin()?;
        Ok(process)
    }

    /// The process id, while it lives.
    pub fn id(&self) -> Option<u32> {
        self.life.as_ref().map(|life| life.child.id())
    }

    /// The folder it runs in: the program's, or one made for it, which outlasts restarts and goes with this value.
    pub fn dir(&self) -> &Path {
        let made = self.folder.as_ref().map(TempDir::path);
        made.or(self.program.dir.as_deref()).expect("it has a folder of either kind")
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        self.life.is_some() && !self.output.has_ended()
    }

    /// All it wrote, over all its lives: standard output and standard error, by line, as they came.
    pub fn output(&self) -> String {
        self.output.text()
    }

    /// The lines it wrote since it was last started.
    pub fn lines(&self) -> Vec<String> {
        self.output.lines_of_this_life()
    }

    /// Waits for a line, written since the last start, that contains that text; returns the first.
    ///
    /// # Errors
    /// If the process ends first, or the time does.
    pub fn wait_for_line(&mut self, part: &str, within: Duration) -> Result<String, ProcessError> {
        let found = self.output.wait(within, |lines| lines.find(part).map(str::to_owned));
        found.map_err(|_| self.missed(format!("line with {part:?}"), within))
    }

    /// Waits until a GET of that URL (plain HTTP) is answered 200.
    ///
    /// # Errors
    /// If the process ends first, or the time does.
    pub fn wait_for_http(&mut self, url: &str, within: Duration) -> Result<(), ProcessError> {
        let answered = ready::wait_for_http(&self.output, url, within);
        answered.map_err(|last| self.missed(format!("200 from {url} ({last})"), within))
    }

    /// Kills it at once (`SIGKILL`), with its whole group. Nothing of it runs any more when this returns.
    pub fn kill(&mut self) {
        self.end();
    }

    /// Asks it to end (`SIGTERM`), and waits until it did.
    ///
    /// # Errors
    /// If it does not end in time; it still runs then.
    pub fn terminate(&mut self, within: Duration) -> Result<ExitStatus, ProcessError> {
        self.signal(Signal::TERM);
        self.wait(within)
    }

    /// Interrupts it, as Ctrl-C does (`SIGINT`), and waits until it ended.
    ///
    /// # Errors
    /// If it does not end in time; it still runs then.
    pub fn interrupt(&mut self, within: Duration) -> Result<ExitStatus, ProcessError> {
        self.signal(Signal::INT);
        self.wait(within)
    }

    /// Stops it where it is (`SIGSTOP`): it holds its sockets and answers nothing. [`resume`](Self::resume) lets it
    /// go on. All its threads stand when this returns.
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
        if let Some(life) = &self.life {
            // Looks, and does not reap if it ended instead.
            let stands = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let _ = waitid(WaitId::Pid(life.pid), stands);
        }
    }

    /// Lets a paused process go on (`SIGCONT`).
    pub fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// If it does not end in time; it still runs then.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus, ProcessError> {
        if self.life.is_some() && !self.output.wait_for_end(within) {
            return Err(self.missed("end of the process".to_owned(), within));
        }
        self.end();
        Ok(self.ended.expect("it was started, and has ended"))
    }

    /// Starts it again, after killing it if it still runs, with the same arguments, environment and folder; waits
    /// until it is ready.
    ///
    /// # Errors
    /// As [`Program::start`].
    pub fn restart(&mut self) -> Result<(), ProcessError> {
        self.end();
        self.begin()
    }

    /// As [`restart`](Self::restart), as another program: other arguments, say, or another environment.
    ///
    /// # Errors
    /// As [`Program::start`].
    pub fn restart_as(&mut self, change: impl FnOnce(Program) -> Program) -> Result<(), ProcessError> {
        self.end();
        self.program = change(self.program.clone());
        self.begin()
    }

    fn begin(&mut self) -> Result<(), ProcessError> {
        let mut child = self.command().spawn().map_err(|source| self.program.cannot_start(source))?;
        let pid = Pid::from_child(&child);
        self.output.begin(pid, child.stdout.take(), child.stderr.take());
        // If there is no guard the child must not stay either: Life's owner kills it on the way out.
        let guard = Guard::beside(pid);
        self.life = Some(Life { child, pid, guard });
        self.wait_until_ready()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program.path);
        command
            .args(&self.program.args)
            .env_clear()
            .envs(program::inherited())
            .envs(&self.program.env)
            .current_dir(self.dir())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: a kill takes the grandchildren too, and a Ctrl-C at the tests does not race it.
            .process_group(0);
        command
    }

    fn wait_until_ready(&mut self) -> Result<(), ProcessError> {
        let within = self.program.ready_within;
        match self.program.ready.clone() {
            Ready::AtOnce => Ok(()),
            Ready::Line(part) => self.wait_for_line(&part, within).map(|_| ()),
            Ready::Http(url) => self.wait_for_http(&url, within),
        }
    }

    fn signal(&mut self, signal: Signal) {
        if let Some(life) = &self.life {
            // The child is reaped only by end(), so the id is still its own; if it is dead, nothing happens.
            let _ = kill_process(life.pid, signal);
        }
    }

    /// Kills what is left of the group, and reaps.
    fn end(&mut self) {
        let Some(mut life) = self.life.take() else { return };
        // Before the child is reaped, or its id could be somebody else's.
        let _ = kill_process_group(life.pid, Signal::KILL);
        life.guard.dismiss();
        self.ended = life.child.wait().ok();
        self.output.finish(PIPES_CLOSE_WITHIN);
    }

    /// The error for something that did not come.
    fn missed(&mut self, awaited: String, within: Duration) -> ProcessError {
        let program = self.program.path.display().to_string();
        if self.output.has_ended() {
            self.end();
            let status = self.ended.map_or_else(|| "status unknown".to_owned(), |status| status.to_string());
            return ProcessError::Ended { program, awaited, status, output: self.output.tail() };
        }
        ProcessError::Late { program, awaited, within, output: self.output.tail() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
