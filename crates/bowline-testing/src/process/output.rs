//! What a process wrote, and whether it still lives: the things that wake a waiter.

use std::{
    io::{BufRead, BufReader, Read},
    process::{ChildStderr, ChildStdout},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use bowline_model::{Clock, SystemClock};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// Lines kept of one program; what comes later is read and dropped.
pub const LINES_MAX: usize = 1_000_000;

/// Lines that an error shows.
const TAIL_LINES: usize = 60;

#[derive(Debug, Default)]
pub(super) struct Output {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    /// Where the lines of the present life begin.
    life_begins: usize,
    /// Counts lives: the threads that followed an earlier one have no say in this.
    life: u64,
    open_pipes: usize,
    ended: bool,
}

/// The lines of the present life.
pub(super) struct Lines<'a>(&'a [String]);

impl Lines<'_> {
    pub(super) fn find(&self, part: &str) -> Option<&str> {
        self.0.iter().map(String::as_str).find(|line| line.contains(part))
    }
}

/// The process ended, or the time did.
pub(super) struct Missed;

impl Output {
    /// Follows a new life: its two pipes and its end.
    pub(super) fn begin(self: &Arc<Self>, pid: Pid, out: Option<ChildStdout>, err: Option<ChildStderr>) {
        let mut state = self.lock();
        state.life_begins = state.lines.len();
        state.life += 1;
        state.ended = false;
        let life = state.life;
        state.open_pipes = usize::from(out.is_some()) + usize::from(err.is_some());
        drop(state);
        if let Some(out) = out {
            self.follow(life, out);
        }
        if let Some(err) = err {
            self.follow(life, err);
        }
        let output = self.clone();
        thread::spawn(move || {
            // Looks, but does not reap: the id stays the child's own until its owner is done with it.
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            output.update(life, |state| state.ended = true);
        });
    }

    fn follow(self: &Arc<Self>, life: u64, pipe: impl Read + Send + 'static) {
        let output = self.clone();
        thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                output.add(String::from_utf8_lossy(line.trim_ascii_end()).into_owned());
                line.clear();
            }
            output.update(life, |state| state.open_pipes -= 1);
        });
    }

    fn update(&self, life: u64, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        if state.life == life {
            change(&mut state);
        }
        drop(state);
        self.changed.notify_all();
    }

    fn add(&self, line: String) {
        let mut state = self.lock();
        if state.lines.len() < LINES_MAX {
            state.lines.push(line);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until `look` finds something in the lines of this life.
    pub(super) fn wait<T>(
        &self,
        within: Duration,
        look: impl Fn(Lines<'_>) -> Option<T>,
    ) -> Result<T, Missed> {
        let deadline = SystemClock.monotonic() + within;
        let mut state = self.lock();
        loop {
            if let Some(found) = look(Lines(&state.lines[state.life_begins..])) {
                return Ok(found);
            }
            let left = deadline.saturating_sub(SystemClock.monotonic());
            // A dead process's last lines may still be in its pipes.
            if left.is_zero() || (state.ended && state.open_pipes == 0) {
                return Err(Missed);
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the end of the process; `false` if the time ended first.
    pub(super) fn wait_for_end(&self, within: Duration) -> bool {
        self.wait_while(within, |state| !state.ended)
    }

    /// Waits for anything to happen, but not longer than that. `false` if the process has ended.
    pub(super) fn wait_a_little(&self, most: Duration) -> bool {
        let state = self.lock();
        if state.ended {
            return false;
        }
        let (state, _) = self.changed.wait_timeout(state, most).unwrap_or_else(PoisonError::into_inner);
        !state.ended
    }

    /// Reads what a dead process left in its pipes.
    pub(super) fn finish(&self, within: Duration) {
        self.wait_while(within, |state| state.open_pipes > 0);
    }

    fn wait_while(&self, within: Duration, wait: impl Fn(&State) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), within, |state| wait(state));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    pub(super) fn text(&self) -> String {
        self.lock().lines.join("\n")
    }

    pub(super) fn lines_of_this_life(&self) -> Vec<String> {
        let state = self.lock();
        state.lines[state.life_begins..].to_vec()
    }

    pub(super) fn tail(&self) -> String {
        let state = self.lock();
        let from = state.lines.len().saturating_sub(TAIL_LINES);
        state.lines[from..].join("\n")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
