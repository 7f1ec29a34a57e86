//! The process of a program and its group: begun within its limits, waited for, killed whole.
//!
//! A thread of its own starts the program, waits for its end without reaping it, kills what is left of its group while the
//! zombie still holds the group's number, and only then reaps it. So no signal ever reaches somebody else's process.

use std::{
    ffi::OsStr,
    io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid},
};
use tokio::sync::oneshot;

use crate::{
    guard::{self, SHELL},
    lane::Place,
};

/// Sets the limits and becomes the program. It waits for a line first: until then the guard may not know its group. Program
/// and arguments are the script's own arguments, which no shell ever reads as text.
const SCRIPT: &str = r#"
IFS= read -r go || exit 125
ulimit -c 0
[ "$1" = - ] || ulimit -v "$1" || exit 125
shift
exec "$@"
"#;

/// What the script waits for, before what the program reads.
pub(crate) const GO: &[u8] = b"\n";

/// A command that becomes the program within its limit of memory, in a group of its own.
pub(crate) fn command<A: AsRef<OsStr>>(program: &Path, args: &[A], memory_kib: Option<u64>) -> Command {
    let mut command = Command::new(SHELL);
    command
        .args(["-c", SCRIPT, "bowline-launch"])
        .arg(memory_kib.map_or_else(|| "-".to_owned(), |kib| kib.to_string()))
        .arg(program)
        .args(args)
        .env_clear()
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A program that runs. Dropping it kills its group.
pub(crate) struct Launched {
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    pub(crate) group: Group,
    /// How it ended, once nothing of its group is left.
    pub(crate) ended: oneshot::Receiver<ExitStatus>,
}

/// Starts the command. It keeps its place in the lane until it has ended, whoever gave up waiting for it.
pub(crate) async fn launch(command: Command, place: Place) -> io::Result<Launched> {
    let (tell, told) = oneshot::channel();
    thread::Builder::new().name("bowline-exec".into()).spawn(move || keep(command, place, tell))?;
    told.await.unwrap_or_else(|_| Err(io::Error::other("the thread that starts programs panicked")))
}

/// The whole life of a process.
fn keep(mut command: Command, place: Place, tell: oneshot::Sender<io::Result<Launched>>) {
    let begun = command.spawn().and_then(watched);
    let (mut child, members) = match begun {
        Ok(begun) => begun,
        Err(error) => return drop(tell.send(Err(error))),
    };
    let (end, ended) = oneshot::channel();
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // If nobody waits for it any more, it is dropped here, and with it the group is killed.
    drop(tell.send(Ok(Launched {
        stdin: stdin.expect("it was asked for").into(),
        stdout: stdout.expect("it was asked for").into(),
        stderr: stderr.expect("it was asked for").into(),
        group: Group(members.clone()),
        ended,
    })));
    wait_for_end(members.leader);
    members.end();
    guard::forget(members.leader);
    let status = child.wait();
    drop(place);
    if let Ok(status) = status {
        let _ = end.send(status);
    }
}

/// The child, once the guard knows its group.
fn watched(mut child: Child) -> io::Result<(Child, Arc<Members>)> {
    let members = Arc::new(Members { leader: Pid::from_child(&child), may_be_reaped: Mutex::new(false) });
    guard::watch(members.leader).inspect_err(|_| {
        members.end();
        let _ = child.wait();
    })?;
    Ok((child, members))
}

/// Waits until the process has ended, and leaves it unreaped.
fn wait_for_end(leader: Pid) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while waitid(WaitId::Pid(leader), options).is_err_and(|error| error == Errno::INTR) {}
}

/// A process group whose leader is a child of ours. Dropping it kills all of it.
pub(crate) struct Group(Arc<Members>);

impl Group {
    /// Asks all of it to end.
    pub(crate) fn terminate(&self) {
        self.0.signal(Signal::TERM);
    }

    /// Kills all of it.
    pub(crate) fn kill(&self) {
        self.0.signal(Signal::KILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

struct Members {
    leader: Pid,
    /// From then on the leader's number may be somebody else's.
    may_be_reaped: Mutex<bool>,
}

impl Members {
    fn signal(&self, signal: Signal) {
        let may_be_reaped = self.may_be_reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*may_be_reaped {
            // The one error there can be is that nobody is left.
            let _ = kill_process_group(self.leader, signal);
        }
    }

    /// Kills whoever is left, for the last time.
    fn end(&self) {
        self.signal(Signal::KILL);
        *self.may_be_reaped.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Lane;

    #[tokio::test]
    async fn no_signal_is_sent_once_the_number_of_its_group_may_be_anothers() {
        let place = Lane::new(1).enter::<()>(Duration::ZERO).await.ok().unwrap();
        let launched = launch(command(Path::new("/bin/true"), &[""; 0], None), place).await.unwrap();
        assert!(!*launched.group.0.may_be_reaped.lock().unwrap(), "it waits for its line");
        drop(launched.stdin);
        launched.ended.await.unwrap();
        assert!(*launched.group.0.may_be_reaped.lock().unwrap());
    }
}
