//! The wall clock that the app's process sees: the test's clock, and how far it is ahead after a crash.
//!
//! What comes in: the time of the test's clock, whenever it moves. What goes out: the names of the process's threads,
//! which `native/wallclock.c` reads. What must never happen here: another thread's clock is moved.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

/// Whether the wall clock of a process can be moved on this machine.
pub(crate) const MOVES: bool = cfg!(wall_clock_moves);

/// What the name of a thread begins with whose wall clock is its own.
const PREFIX: &str = "bw@";
/// Twelve digits last until 2120.
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// The wall clock of the app's process.
pub(crate) struct Wall {
    state: Mutex<State>,
}

struct State {
    /// What the test's clock shows.
    time: Timestamp,
    ahead: Duration,
    /// Where the names of the process's threads are written.
    names: Vec<File>,
}

impl Wall {
    pub(crate) fn new(time: Timestamp) -> Self {
        Self { state: Mutex::new(State { time, ahead: Duration::ZERO, names: vec![] }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The test's clock shows that time now.
    pub(crate) fn set(&self, time: Timestamp) {
        let mut state = self.lock();
        state.time = time;
        state.show();
    }

    /// Another process begins, with a wall clock that is that much ahead.
    pub(crate) fn begin(&self, ahead: Duration) {
        let mut state = self.lock();
        state.ahead = ahead;
        state.names.clear();
    }

    /// The thread that calls this belongs to the process from now on, before it asks for the time.
    pub(crate) fn join(&self) {
        if !MOVES {
            return;
        }
        // Without /proc the wall clock is the machine's.
        if let Ok(name) = name_of_this_thread() {
            let mut state = self.lock();
            state.names.push(name);
            state.show();
        }
    }
}

impl State {
    /// Threads that have ended have no name any more.
    fn show(&mut self) {
        let name = name(self.time.checked_add(self.ahead).unwrap_or(self.time));
        self.names.retain_mut(|thread| thread.write_all(name.as_bytes()).is_ok());
    }
}

fn name_of_this_thread() -> io::Result<File> {
    OpenOptions::new().write(true).open("/proc/thread-self/comm")
}

/// The name of a thread whose wall clock shows that time.
fn name(time: Timestamp) -> String {
    let mut left = u128::try_from(time.as_nanosecond()).unwrap_or_default();
    let mut digits = vec![];
    while left > 0 {
        digits.push(DIGITS[usize::try_from(left % 36).expect("below 36")]);
        left /= 36;
    }
    digits.reverse();
    format!("{PREFIX}{}", String::from_utf8_lossy(&digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_into_what_a_thread_can_be_called() {
        let latest: Timestamp = "2119-12-31T23:59:59.999999999Z".parse().unwrap();
        assert!(name(latest).len() <= 15, "{}", name(latest));
    }

    #[test]
    #[cfg(wall_clock_moves)]
    #[allow(clippy::disallowed_methods, reason = "the machine's clocks are what this is about")]
    fn the_wall_clock_of_a_process_is_what_is_said_and_its_timers_are_the_machines() {
        use std::{sync::Arc, time::Instant};
        let noon: Timestamp = "2026-09-21T12:00:00.000000001Z".parse().unwrap();
        let wall = Arc::new(Wall::new(noon));
        wall.begin(Duration::ZERO);
        let timer = Instant::now();
        let look = {
            let wall = wall.clone();
            move || {
                wall.join();
                let first = Timestamp::now();
                wall.set(noon + Duration::from_secs(3600));
                (first, Timestamp::now(), Instant::now())
            }
        };
        let (first, then, timer_there) = std::thread::spawn(look).join().unwrap();
        assert_eq!((first, then), (noon, noon + Duration::from_secs(3600)));
        assert!(timer_there.duration_since(timer).as_secs() < 30);
        assert!((Timestamp::now() - noon).get_seconds().abs() > 0 && Timestamp::now() != then);
    }
}
