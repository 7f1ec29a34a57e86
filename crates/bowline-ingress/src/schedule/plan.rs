//! From what a schedule says to instants: zones, clock changes, intervals.

use std::time::Duration;

use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase},
};

use super::{CatchUp, INTERVAL_MAX, INTERVAL_MIN, Overlap, Schedule, Times, cron::Cron};

/// Local times that are looked at for one tick: all seconds of a day that comes twice.
const LOCAL_TIMES_MAX: usize = 86_400;
/// Clock changes that are crossed for one tick: four a year, for as long as an expression may pause.
const CHANGES_MAX: usize = 4 * 400;

/// A checked [`Schedule`]: pure, and the same for everybody who asks.
#[derive(Debug, Clone)]
pub struct Plan {
    /// As [`Schedule::describe`] has it.
    text: String,
    times: PlannedTimes,
    jitter: Duration,
    catch_up: CatchUp,
    overlap: Overlap,
}

#[derive(Debug, Clone)]
enum PlannedTimes {
    Cron { cron: Box<Cron>, zone: TimeZone },
    Every { nanos: i128 },
}

impl Plan {
    pub(super) fn new(schedule: &Schedule) -> Result<Self, Vec<String>> {
        let mut problems = vec![];
        let times = match &schedule.times {
            Times::Cron(expression) => {
                let zone = find_zone(schedule.zone.as_deref()).map_err(|problem| problems.push(problem));
                let cron = Cron::parse(expression).map_err(|problem| problems.push(problem));
                if let Ok(cron) = &cron
                    && cron.after(DateTime::constant(2000, 1, 1, 0, 0, 0, 0)).is_none()
                {
                    problems.push(format!(
                        "has the expression {expression:?}, which names no day of any year; mend it"
                    ));
                }
                cron.and_then(|cron| Ok(PlannedTimes::Cron { cron: Box::new(cron), zone: zone? }))
            }
            Times::Every(interval) => {
                check_interval(*interval, schedule.zone.as_deref()).map_err(|problem| {
                    problems.push(problem);
                })
            }
        };
        if schedule.jitter > INTERVAL_MAX {
            let (jitter, most) = (schedule.jitter.as_secs(), INTERVAL_MAX.as_secs());
            problems.push(format!("has a jitter of {jitter} s (limit {most} s); shorten it"));
        }
        match times {
            Ok(times) if problems.is_empty() => Ok(Self {
                text: schedule.describe(),
                times,
                jitter: schedule.jitter,
                catch_up: schedule.catch_up,
                overlap: schedule.overlap,
            }),
            Ok(_) | Err(()) => Err(problems),
        }
    }

    /// The first tick after that instant; `None`: there is none.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.times {
            PlannedTimes::Cron { cron, zone } if cron.is_wildcard => next_in_real_time(cron, zone, after),
            PlannedTimes::Cron { cron, zone } => next_time_of_day(cron, zone, after),
            PlannedTimes::Every { nanos } => {
                let next = (after.as_nanosecond().div_euclid(*nanos) + 1) * nanos;
                Timestamp::from_nanosecond(next).ok()
            }
        }
    }

    /// The last tick after `after` and not after `until`.
    pub fn latest(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let mut latest = self.next(after).filter(|tick| *tick <= until)?;
        // No tick lies in (beyond, until].
        let mut beyond = until;
        while latest < beyond {
            let middle = middle(latest, beyond);
            match self.next(middle).filter(|tick| *tick <= until) {
                Some(tick) => latest = tick,
                None if middle == latest => break,
                None => beyond = middle,
            }
        }
        Some(latest)
    }

    /// When a run of that tick begins. `chance` is an even draw from all of `u64`.
    pub fn begin(&self, tick: Timestamp, chance: u64) -> Option<Timestamp> {
        if self.jitter.is_zero() {
            return None;
        }
        let gap = self.next(tick).map(|next| next.duration_since(tick).unsigned_abs());
        let most = gap.map_or(self.jitter, |gap| gap.min(self.jitter));
        let nanos = most.as_nanos().saturating_mul(u128::from(chance)) >> u64::BITS;
        tick.checked_add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))).ok()
    }

    /// Its times in one line: see [`Schedule::describe`].
    pub fn describe(&self) -> &str {
        &self.text
    }

    /// The same where the last tick is of other times: what these name before now was never scheduled, and one run is
    /// enough for it.
    pub(super) fn after_a_change(&self) -> Self {
        let catch_up = match self.catch_up {
            CatchUp::All | CatchUp::Once => CatchUp::Once,
            CatchUp::Skip => CatchUp::Skip,
        };
        Self { catch_up, ..self.clone() }
    }

    /// See [`Schedule::catch_up`].
    pub fn catch_up(&self) -> CatchUp {
        self.catch_up
    }

    /// See [`Schedule::overlap`].
    pub fn overlap(&self) -> Overlap {
        self.overlap
    }
}

fn middle(one: Timestamp, other: Timestamp) -> Timestamp {
    let nanos = one.as_nanosecond() + (other.as_nanosecond() - one.as_nanosecond()) / 2;
    Timestamp::from_nanosecond(nanos).expect("between two times is a time")
}

fn find_zone(name: Option<&str>) -> Result<TimeZone, String> {
    let Some(name) = name else { return Ok(TimeZone::UTC) };
    // A machine's own rules are newer than the program; without any, those that were built in are better than none.
    jiff::tz::db().get(name).or_else(|_| TimeZoneDatabase::bundled().get(name)).map_err(|_| {
        format!("is in the time zone {name:?}, which nobody knows; write an IANA name, as \"Europe/Berlin\"")
    })
}

fn check_interval(interval: Duration, zone: Option<&str>) -> Result<PlannedTimes, String> {
    if zone.is_some() {
        return Err("has an interval and a time zone; an interval has no time of day: write a cron expression, or leave \
                    the zone out"
            .to_owned());
    }
    if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        let (seconds, least, most) = (interval.as_secs_f64(), INTERVAL_MIN.as_secs(), INTERVAL_MAX.as_secs());
        return Err(format!("has an interval of {seconds} s; it goes from {least} s to {most} s"));
    }
    let nanos = i128::try_from(interval.as_nanos()).expect("checked to be short");
    Ok(PlannedTimes::Every { nanos })
}

/// The next instant whose local time is named. Between two clock changes local time passes as real time does.
fn next_in_real_time(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let offset = zone.to_offset(after);
    let (mut since, mut offset, mut found) = (after, offset, cron.after(offset.to_datetime(after))?);
    for _ in 0..CHANGES_MAX {
        let tick = offset.to_timestamp(found).ok()?;
        match zone.following(since).next() {
            Some(change) if change.timestamp() <= tick => {
                (since, offset) = (change.timestamp(), change.offset());
                found = cron.from(offset.to_datetime(since))?;
            }
            Some(_) | None => return Some(tick),
        }
    }
    None
}

/// The next instant at which a named local time comes for the first time, or is jumped over.
fn next_time_of_day(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let mut local = zone.to_datetime(after);
    for _ in 0..LOCAL_TIMES_MAX {
        local = cron.after(local)?;
        let tick = instant(zone, local)?;
        // Not so if the clock was set back: what is local time now came before.
        if tick > after {
            return Some(tick);
        }
    }
    None
}

fn instant(zone: &TimeZone, local: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok(),
        AmbiguousOffset::Gap { after, .. } => {
            // By the clock as it is after the jump, that was less than the jump's length before it.
            let earlier = after.to_timestamp(local).ok()?;
            zone.following(earlier).next().map(|jump| jump.timestamp())
        }
    }
}
