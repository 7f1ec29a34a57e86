//! What kills a child whose test was killed itself, when no destructor ran.

use std::{
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

use rustix::process::Pid;

/// A shell that waits for the end of its input, which only this process holds open; then it kills the child's group.
#[derive(Debug)]
pub(super) struct Guard {
    shell: Option<Child>,
}

impl Guard {
    pub(super) fn beside(child: Pid) -> Self {
        let shell = Command::new("/bin/sh")
            // No `--` before the group: dash would take it for a process.
            .args(["-c", "read -r line; kill -9 \"-$1\"", "guard", &child.as_raw_pid().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Out of the test's group: whatever kills that must not take the guard along.
            .process_group(0)
            .spawn();
        // A machine without a shell has only the destructor: that is what most tests end with anyway.
        Self { shell: shell.ok() }
    }

    /// Sends the guard away. To be called before the child is reaped.
    pub(super) fn dismiss(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            let _ = shell.kill();
            let _ = shell.wait();
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.dismiss();
    }
}
