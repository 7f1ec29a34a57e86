//! What kills the groups of programs when this process is killed itself, and no destructor runs.
//!
//! One shell for all of them waits for the end of its input, which only this process holds open. (The kernel's own signal
//! at a parent's death is sent when the *thread* ends that started the program, reaches no grandchild, and cannot be asked
//! for in safe code.) No program starts before its group is known here: see [`launch`](crate::launch).

use std::{
    collections::BTreeSet,
    io::{self, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::process::Pid;

/// Where the shell is, on every Unix.
pub(crate) const SHELL: &str = "/bin/sh";

/// Keeps the set of groups in a variable, as words. No `--` before a group: dash would take it for a process.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
groups=' '
while read -r what group; do
    case $what in
        watch) groups="$groups$group " ;;
        forget) case $groups in *" $group "*) groups="${groups%%" $group "*} ${groups#*" $group "}" ;; esac ;;
    esac
done
for group in $groups; do kill -9 "-$group"; done
"#;

static GUARD: Mutex<Guard> = Mutex::new(Guard::new());

struct Guard {
    groups: BTreeSet<i32>,
    shell: Option<Child>,
}

/// From now on the group dies with this process.
///
/// # Errors
/// If the guard cannot be started.
pub(crate) fn watch(group: Pid) -> io::Result<()> {
    lock().watch(group)
}

/// The group is dead. To be called before its leader is reaped, while nobody else can have its number.
pub(crate) fn forget(group: Pid) {
    lock().forget(group);
}

fn lock() -> MutexGuard<'static, Guard> {
    GUARD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guard {
    const fn new() -> Self {
        Self { groups: BTreeSet::new(), shell: None }
    }

    fn watch(&mut self, group: Pid) -> io::Result<()> {
        self.groups.insert(group.as_raw_pid());
        let told = self.tell("watch", group).or_else(|_| self.begin());
        if told.is_err() {
            self.groups.remove(&group.as_raw_pid());
        }
        told
    }

    fn forget(&mut self, group: Pid) {
        self.groups.remove(&group.as_raw_pid());
        // A guard that cannot be told is gone, and the next one is told of the groups that live.
        let _ = self.tell("forget", group);
    }

    fn tell(&mut self, what: &str, group: Pid) -> io::Result<()> {
        let input = self.shell.as_mut().and_then(|shell| shell.stdin.as_mut());
        let line = format!("{what} {}\n", group.as_raw_pid());
        // One write: the line is there whole or not at all.
        input.ok_or(io::ErrorKind::NotConnected)?.write_all(line.as_bytes())
    }

    /// Starts a shell, and tells it of all groups.
    fn begin(&mut self) -> io::Result<()> {
        if let Some(mut gone) = self.shell.take() {
            let _ = gone.kill();
            let _ = gone.wait();
        }
        let mut shell = Command::new(SHELL)
            .args(["-c", SCRIPT, "bowline-guard"])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Out of this process's group: what kills that must not take the guard along.
            .process_group(0)
            .spawn()?;
        let known: String = self.groups.iter().map(|group| format!("watch {group}\n")).collect();
        shell.stdin.as_mut().expect("it was asked for").write_all(known.as_bytes())?;
        self.shell = Some(shell);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::process::ExitStatusExt, time::Duration};

    use bowline_model::{Clock, SystemClock};
    use rustix::process::{Signal, getpgid, kill_process};

    use super::*;

    /// A program in a group of its own. It ends by itself, so that a test that waits for its end does so.
    fn program() -> Child {
        Command::new("sleep").arg("60").process_group(0).spawn().unwrap()
    }

    fn group(program: &Child) -> Pid {
        Pid::from_child(program)
    }

    /// This process dies: what it held open is closed. Returns when the guard has done its work.
    fn bereave(mut guard: Guard) {
        let mut shell = guard.shell.take().unwrap();
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }

    /// The signal by which it ended; `None` if it came to its own end.
    fn signal_of(mut program: Child) -> Option<i32> {
        program.wait().unwrap().signal()
    }

    const KILLED: Option<i32> = Some(9);

    #[test]
    fn kills_the_groups_that_it_watches_and_none_that_it_was_told_to_forget() {
        let (mut guard, forgotten, watched) = (Guard::new(), program(), [program(), program()]);
        guard.watch(group(&watched[0])).unwrap();
        guard.watch(group(&forgotten)).unwrap();
        guard.watch(group(&watched[1])).unwrap();
        guard.forget(group(&forgotten));
        bereave(guard);
        assert_eq!(watched.map(signal_of), [KILLED, KILLED]);
        // Who was killed before dies of that.
        kill_process(group(&forgotten), Signal::TERM).unwrap();
        assert_eq!(signal_of(forgotten), Some(15), "its number may be that of somebody else's group");
    }

    #[test]
    fn the_next_guard_knows_whom_the_one_before_watched() {
        let (mut guard, first, second) = (Guard::new(), program(), program());
        guard.watch(group(&first)).unwrap();
        let shell = guard.shell.as_mut().unwrap();
        shell.kill().unwrap();
        shell.wait().unwrap();
        guard.watch(group(&second)).unwrap();
        bereave(guard);
        assert_eq!([first, second].map(signal_of), [KILLED, KILLED]);
    }

    /// As a terminal and a service manager ask: everybody, and the guard is asked with this process.
    #[test]
    fn who_asks_everybody_to_end_takes_no_guard_along() {
        let (mut guard, watched) = (Guard::new(), program());
        guard.watch(group(&watched)).unwrap();
        let shell = Pid::from_child(guard.shell.as_ref().unwrap());
        assert_eq!(getpgid(Some(shell)).unwrap(), shell, "it is in no group with this process");
        let signals = [Signal::HUP, Signal::INT, Signal::TERM];
        until_ignored(shell, signals);
        for signal in signals {
            kill_process(shell, signal).unwrap();
        }
        bereave(guard);
        assert_eq!(signal_of(watched), KILLED);
    }

    /// Its first line says so; until then it may not have come there. (proc_pid_status(5): bit n - 1 is signal n.)
    fn until_ignored(shell: Pid, signals: [Signal; 3]) {
        let bits: u64 = signals.iter().map(|signal| 1 << (signal.as_raw() - 1)).sum();
        let status = format!("/proc/{}/status", shell.as_raw_pid());
        let end = SystemClock.monotonic() + Duration::from_secs(60);
        while SystemClock.monotonic() < end {
            let status = fs::read_to_string(&status).unwrap();
            let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
            if u64::from_str_radix(ignored.trim(), 16).unwrap() & bits == bits {
                return;
            }
            std::thread::yield_now();
        }
        panic!("the guard does not ignore {signals:?}");
    }
}
