//! Schedules: time that passes brings events.
//!
//! What comes in: a clock, and what an app says of when. What goes out: one event for each tick, on disk in the same
//! transaction as the cursor that says which tick was the last. What must never happen here: a tick that starts its
//! workflow twice, whatever becomes of the process or its clock.
//!
//! | Module | Story |
//! |---|---|
//! | `cron` | an expression, and the times of a calendar that it names |
//! | `plan` | from those times to instants: zones, clock changes, intervals |
//! | `due` | which ticks are to be started now, and which are left out |
//! | `ticker` | one schedule: its cursor, its ticks, its runs |
//! | `run` | all schedules of a process, asleep until the earliest tick |
//!
//! # When a clock changes
//! An expression whose seconds, minutes or hours hold a `*` means every so often, and follows real time: whatever
//! instant's local time it names is a tick, so that `0 */15 * * * *` goes on every 15 minutes through both changes.
//!
//! Any other expression means times of day, each once:
//!
//! * A local time that does not exist, because the clock jumps over it, ticks at the instant of the jump. Several that
//!   one jump skips tick there together, as one tick.
//! * A local time that comes twice, because the clock is set back, ticks the first time.
//!
//! That is the rule of Debian's cron (`man 8 cron`, "Notes") for its expressions of five fields.
//!
//! # When a machine's clock is wrong
//! A tick is a compare-and-set on the last tick, and its instant in UTC is its event's id. A clock that is set forward
//! makes the ticks in between missed ones, for which [`CatchUp`] decides. One that is set back makes the schedule wait
//! until the time of its last tick has come again. Only a last tick that is more than [`CURSOR_AHEAD_MAX`] ahead of the
//! clock is not believed: the schedule goes on from now, and the ids of the events keep a tick from being started twice
//! for [`TICK_DEDUPE_FOR`].

mod cron;
mod due;
mod plan;
mod run;
mod ticker;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::{
    due::{Due, due},
    plan::Plan,
    run::{CancelRun, Scheduled, run_schedules},
};

/// Longest name of a schedule.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest expression.
pub const CRON_BYTES_MAX: usize = 256;
/// Shortest interval.
pub const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Longest interval, and longest jitter.
pub const INTERVAL_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Missed ticks that [`CatchUp::All`] starts at most, the latest; those before them are left out, and counted.
pub const CATCH_UP_MAX: usize = 1_000;
/// A tick that is noticed no later than this is on time, for [`CatchUp::Skip`] too.
pub const LATE_MAX: Duration = Duration::from_secs(60);
/// How far ahead of the clock a last tick may be and is still believed.
pub const CURSOR_AHEAD_MAX: Duration = Duration::from_secs(48 * 3600);
/// For how long a tick's event is remembered beside the cursor.
pub const TICK_DEDUPE_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// What to do about ticks that came while nobody watched: the process was down, the machine asleep, or its clock set
/// forward. Ticks that a living process could not write, because the store was down, are never missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CatchUp {
    /// Leave them out. A tick that is noticed within [`LATE_MAX`] is not missed.
    Skip,
    /// One run, for the latest of them.
    #[default]
    Once,
    /// A run for each of them, the oldest first: the latest [`CATCH_UP_MAX`]. What was missed before those is left out.
    All,
}

/// What to do when a tick comes while a run of an earlier one is still open. Runs of one schedule never go side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// The new run waits on disk until the ones before it have ended.
    #[default]
    Queue,
    /// The tick is left out.
    Skip,
    /// The open runs are cancelled, and the new one begins when they are.
    CancelOld,
}

/// When a workflow runs by itself.
///
/// ```
/// # use std::time::Duration;
/// # use bowline_ingress::schedule::{CatchUp, Overlap, Schedule};
/// let nightly = Schedule::cron("0 30 3 * * *")
///     .zone("Europe/Berlin")
///     .jitter(Duration::from_secs(300))
///     .catch_up(CatchUp::Once)
///     .overlap(Overlap::Skip);
/// let plan = nightly.plan().expect("a valid schedule");
/// let noon = "2026-06-01T12:00:00Z".parse()?;
/// assert_eq!(plan.next(noon), Some("2026-06-02T01:30:00Z".parse()?));
/// # Ok::<(), jiff::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    times: Times,
    zone: Option<String>,
    jitter: Duration,
    catch_up: CatchUp,
    overlap: Overlap,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Times {
    Cron(String),
    Every(Duration),
}

impl Schedule {
    /// At the times that a cron expression names: five fields (minute, hour, day of month, month, day of week), or six
    /// with seconds first.
    ///
    /// | Field | Values | Beside `*` `,` `-` `/` |
    /// |---|---|---|
    /// | second, if there are six | 0–59 | |
    /// | minute | 0–59 | |
    /// | hour | 0–23 | |
    /// | day of month | 1–31 | `L` the last, `15W` the weekday nearest to the 15th, `LW` the last weekday |
    /// | month | 1–12, `JAN`–`DEC` | |
    /// | day of week | 0–7, `SUN`–`SAT`; 0 and 7 are Sunday | `FRI#2` the second Friday, `FRIL` the last one |
    ///
    /// `?` is `*` in a day. If both days are restricted either is enough, unless one of them begins with `*`: then both
    /// must fit (Vixie cron). `@yearly`, `@monthly`, `@weekly`, `@daily` and `@hourly` are known. In UTC, unless a
    /// [`zone`](Self::zone) is said. See the [module](self) for what a clock change does.
    ///
    /// An expression that is wrong is told by [`plan`](Self::plan).
    pub fn cron(expression: impl Into<String>) -> Self {
        Self::new(Times::Cron(expression.into()))
    }

    /// Again and again after that long: at the multiples of the interval since 1970-01-01T00:00:00Z, so that several
    /// nodes and the next process agree on them. Every 5 minutes is at :00, :05 and so on; every 7 minutes is not
    /// aligned to hours. At least [`INTERVAL_MIN`].
    pub fn every(interval: Duration) -> Self {
        Self::new(Times::Every(interval))
    }

    fn new(times: Times) -> Self {
        let (catch_up, overlap) = (CatchUp::default(), Overlap::default());
        Self { times, zone: None, jitter: Duration::ZERO, catch_up, overlap }
    }

    /// Whose local time a cron expression means: an IANA name, as `Europe/Berlin`. From the machine's time zone database,
    /// or the one that is built in where the machine has none.
    pub fn zone(mut self, name: impl Into<String>) -> Self {
        self.zone = Some(name.into());
        self
    }

    /// Each run begins up to that much later than its tick, drawn anew for each, and before the next tick.
    ///
    /// # Durability
    /// The run is on disk at its tick, and waits there.
    pub fn jitter(mut self, most: Duration) -> Self {
        self.jitter = most;
        self
    }

    /// What to do about missed ticks; [`CatchUp::Once`] unless set.
    pub fn catch_up(mut self, catch_up: CatchUp) -> Self {
        self.catch_up = catch_up;
        self
    }

    /// What to do when the run before is still open; [`Overlap::Queue`] unless set.
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// The schedule, checked and ready to be asked.
    ///
    /// # Errors
    /// All that is wrong with it, each in one line.
    pub fn plan(&self) -> Result<Plan, Vec<String>> {
        Plan::new(self)
    }

    /// Its times in one line: `0 30 3 * * * in Europe/Berlin`, `every 300 s`.
    pub fn describe(&self) -> String {
        match (&self.times, &self.zone) {
            (Times::Cron(expression), Some(zone)) => format!("{expression} in {zone}"),
            (Times::Cron(expression), None) => format!("{expression} in UTC"),
            (Times::Every(interval), _) => format!("every {} s", interval.as_secs_f64()),
        }
    }
}

/// What a scheduled workflow receives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// The schedule's name.
    pub schedule: String,
    /// The instant that it was scheduled for; the run begins a little later, or much later if it was missed.
    pub at: Timestamp,
}

/// What is wrong with the name of a schedule.
pub fn name_problem(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("has no name; give it one".to_owned());
    }
    if name.len() > NAME_BYTES_MAX {
        return Some(format!("has a name of {} bytes (limit {NAME_BYTES_MAX}); shorten it", name.len()));
    }
    name.chars()
        .any(char::is_control)
        .then(|| "has control characters in its name; leave them out".to_owned())
}
