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

static GUARD: Mutex<Guard> = Mutex::new(Guard { groups: BTreeSet::new(), shell: None });

struct Guard {
    groups: BTreeSet<i32>,
    shell: Option<Child>,
}

/// From now on the group dies with this process.
///
/// # Errors
/// If the guard cannot be started.
pub(crate) fn watch(group: Pid) -> io::Result<()> {
    let mut guard = lock();
    guard.groups.insert(group.as_raw_pid());
    let told = guard.tell("watch", group).or_else(|_| guard.begin());
    if told.is_err() {
        guard.groups.remove(&group.as_raw_pid());
    }
    told
}

/// The group is dead. To be called before its leader is reaped, while nobody else can have its number.
pub(crate) fn forget(group: Pid) {
    let mut guard = lock();
    guard.groups.remove(&group.as_raw_pid());
    // A guard that cannot be told is gone, and the next one is told of the groups that live.
    let _ = guard.tell("forget", group);
}

fn lock() -> MutexGuard<'static, Guard> {
    GUARD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guard {
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
