//! Another wall clock for the process that follows a crash.

/// Whether the wall clock of a process can be moved on this machine.
pub(super) const MOVES: bool = cfg!(wall_clock_moves);

const DAY_S: i64 = 24 * 3600;
const NOON_S: i64 = 12 * 3600;

/// How far the next process's wall clock is ahead, in turn. Each is an odd number of seconds, most of minutes; half of
/// them turn morning into afternoon; between them every weekday, another month and another year come up.
const OFFSETS_S: [i64; 8] = [
    NOON_S + 61,
    DAY_S + 1,
    3 * DAY_S + NOON_S + 61,
    45 * DAY_S + 61,
    5 * DAY_S + NOON_S + 1,
    400 * DAY_S + 61,
    2 * DAY_S + NOON_S + 3661,
    1,
];

/// The name of the thread that the process after the nth crash is: see `native/wallclock.c`.
pub(super) fn process_name(nth: usize) -> String {
    format!("bwl@+{}", OFFSETS_S[nth % OFFSETS_S.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_into_what_a_thread_can_be_called() {
        for nth in 0..OFFSETS_S.len() {
            assert!(process_name(nth).len() <= 15, "{}", process_name(nth));
        }
    }

    #[test]
    #[cfg(wall_clock_moves)]
    #[allow(clippy::disallowed_methods, reason = "the machine's clocks are what this is about")]
    fn the_wall_clock_of_a_named_thread_is_ahead_and_its_timers_are_not() {
        use std::time::{Instant, SystemTime};
        let (wall, timer) = (SystemTime::now(), Instant::now());
        let look = || (SystemTime::now(), jiff::Timestamp::now(), Instant::now());
        let process = std::thread::Builder::new().name(process_name(1)).spawn(look).unwrap();
        let (wall_there, jiff_there, timer_there) = process.join().unwrap();
        let ahead = wall_there.duration_since(wall).unwrap().as_secs();
        assert!((DAY_S as u64 + 1..DAY_S as u64 + 30).contains(&ahead), "{ahead}");
        assert!(jiff_there.as_second() - jiff::Timestamp::now().as_second() > DAY_S - 30);
        assert!(timer_there.duration_since(timer).as_secs() < 30);
    }
}
