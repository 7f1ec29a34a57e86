//! All that must agree before a call goes. Pure: times come in as spans since some fixed point.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;

use super::{
    Rules, Seen,
    breaker::Circuit,
    budget::Budget,
    declared::Declared,
    headers::{self, LIMITS_MAX, NUMBER_MAX, Reading, Refill},
    lanes::Lanes,
    learned::{self, Learned},
    start::Start,
    their_clock::TheirClock,
    throttle::Throttle,
};
use crate::{
    read::Cost,
    retry_after::{limit_reset, retry_after},
};

/// The name of the limit that counts costs.
const COST: &str = "cost";

/// The limits of one account, and what is under way.
#[derive(Debug)]
pub(super) struct Gates {
    declared: Vec<Declared>,
    learns: bool,
    learned: Vec<Learned>,
    their_clock: TheirClock,
    start: Start,
    throttle: Throttle,
    lanes: Option<Lanes>,
    circuit: Option<Circuit>,
    pub(super) budget: Option<Budget>,
    /// The number of the next call.
    next: u64,
    /// Calls whose answer has not begun.
    unanswered: u32,
    answered: u64,
}

/// A call under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    id: u64,
    sent: Duration,
    /// Calls that had been answered when it was sent.
    answered_before: u64,
    is_unanswered: bool,
    has_shown: bool,
    went_well: bool,
    is_repetition: bool,
}

impl Mark {
    /// Whether it was answered, and not with "too many" or a failure.
    pub(super) fn went_well(&self) -> bool {
        self.went_well
    }
}

#[cfg(test)]
impl Mark {
    pub(super) fn sent(&self) -> Duration {
        self.sent
    }
}

/// What an observation leads to, beside what is remembered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum News {
    None,
    /// The remote is left alone.
    Opened {
        wait: Duration,
    },
    Closed,
}

impl Gates {
    pub(super) fn new(rules: &Rules) -> Self {
        Self {
            declared: rules.limits.iter().copied().map(Declared::new).collect(),
            learns: rules.learns,
            learned: vec![],
            their_clock: TheirClock::default(),
            start: Start::default(),
            throttle: Throttle::default(),
            lanes: rules.concurrency.map(Lanes::new),
            circuit: rules.breaker.map(Circuit::new),
            budget: rules.budget.map(Budget::new),
            next: 0,
            unanswered: 0,
            answered: 0,
        }
    }

    /// How many may go now.
    pub(super) fn room(&self, now: Duration) -> u32 {
        let declared = self.declared.iter().map(|limit| limit.room(now));
        let learned = self.learned.iter().map(|limit| limit.room(now));
        let others = [
            self.start_room(now),
            self.throttle.room(now),
            self.lanes.as_ref().map_or(u32::MAX, Lanes::room),
            self.circuit.as_ref().map_or(u32::MAX, |circuit| circuit.room(now)),
        ];
        declared.chain(learned).chain(others).min().unwrap_or(u32::MAX)
    }

    fn start_room(&self, now: Duration) -> u32 {
        if self.learns { self.start.room(self.unanswered, now) } else { u32::MAX }
    }

    /// When the nth call from now may go, and what it waits for longest.
    pub(super) fn time_of(&self, nth: u32, now: Duration) -> (Duration, &'static str) {
        let declared = self.declared.iter().map(|limit| (limit.time_of(nth, now), "the rate limit"));
        let learned = self.learned.iter().map(|limit| (limit.time_of(nth, now), "the remote's rate limit"));
        let start = self.learns.then(|| self.start.time_of(nth, self.unanswered, now));
        let lanes = self.lanes.as_ref().map(|lanes| lanes.time_of(nth, now));
        let circuit = self.circuit.as_ref().map(|circuit| circuit.time_of(nth, now));
        let others = [
            (start, "the first answers"),
            (Some(self.throttle.time_of(nth, now)), "the remote, that asked for it"),
            (lanes, "calls under way to end"),
            (circuit, "the remote to recover"),
        ];
        let others = others.into_iter().filter_map(|(time, why)| Some((time?, why)));
        declared.chain(learned).chain(others).max_by_key(|(time, _)| *time).unwrap_or((now, ""))
    }

    /// One goes now.
    pub(super) fn take(&mut self, is_repetition: bool, now: Duration) -> Mark {
        let id = self.next;
        self.next += 1;
        self.unanswered += 1;
        self.declared.iter_mut().for_each(|limit| limit.take(now));
        self.learned.iter_mut().for_each(|limit| limit.take(id, now));
        self.start.take(now);
        self.throttle.take(now);
        if let Some(lanes) = &mut self.lanes {
            lanes.take(now);
        }
        if let Some(circuit) = &mut self.circuit {
            circuit.take(id, now);
        }
        Mark {
            id,
            sent: now,
            answered_before: self.answered,
            is_unanswered: true,
            has_shown: false,
            went_well: false,
            is_repetition,
        }
    }

    /// What was seen of a call. `chance` is an even draw.
    pub(super) fn saw(
        &mut self,
        mark: &mut Mark,
        seen: &Seen<'_>,
        now: Duration,
        wall: Timestamp,
        chance: u64,
    ) -> News {
        mark.has_shown = true;
        self.is_answered(mark);
        let trusted = self.circuit.as_ref().is_none_or(Circuit::trusts);
        match seen {
            Seen::Answer { status, headers } => {
                let theirs = self.their_clock.read(headers, wall);
                let readings = if self.learns { headers::read(headers, theirs) } else { vec![] };
                let is_limited = is_limited(*status, headers, &readings);
                let tells = !readings.is_empty();
                readings.into_iter().for_each(|reading| self.learn(reading, mark, now));
                if is_limited {
                    let wait = retry_after(headers, wall).or_else(|| limit_reset(headers, theirs));
                    self.throttle.limited(wait, !tells && self.learns, mark.sent, now);
                    if let Some(budget) = &mut self.budget {
                        budget.limited();
                    }
                    self.neither(mark);
                } else if is_failure(*status) {
                    return self.failed(mark, now, chance);
                } else {
                    mark.went_well = true;
                    self.succeeded(mark, now);
                }
            }
            Seen::NotReached | Seen::Lost | Seen::TimedOut => return self.failed(mark, now, chance),
        }
        match &self.circuit {
            Some(circuit) if circuit.trusts() && !trusted => News::Closed,
            Some(_) | None => News::None,
        }
    }

    fn is_answered(&mut self, mark: &mut Mark) {
        if std::mem::take(&mut mark.is_unanswered) {
            self.unanswered -= 1;
            self.answered += 1;
        }
    }

    fn succeeded(&mut self, mark: &Mark, now: Duration) {
        self.start.answered(now);
        self.throttle.good(mark.sent, now);
        if let Some(budget) = &mut self.budget {
            budget.good(mark.is_repetition, now);
        }
        if let Some(circuit) = &mut self.circuit {
            circuit.good(mark.id, self.next, now);
        }
    }

    fn failed(&mut self, mark: &Mark, now: Duration, chance: u64) -> News {
        let opened = self.circuit.as_mut().and_then(|circuit| circuit.bad(mark.id, now, chance));
        opened.map_or(News::None, |wait| News::Opened { wait })
    }

    fn neither(&mut self, mark: &Mark) {
        if let Some(circuit) = &mut self.circuit {
            circuit.gone(mark.id);
        }
    }

    /// What the body said of costs.
    pub(super) fn cost(&mut self, mark: &Mark, cost: Cost, now: Duration) {
        let told = [cost.maximum, cost.available, cost.restored_per_second];
        if !self.learns || told.iter().any(|number| !(-NUMBER_MAX..=NUMBER_MAX).contains(number)) {
            return;
        }
        let reading = Reading {
            name: COST.into(),
            limit: Some(cost.maximum),
            remaining: cost.available.max(0.0),
            refill: Refill::Steady { per_second: cost.restored_per_second.max(0.0) },
        };
        let price = if (0.0..=NUMBER_MAX).contains(&cost.actual) { cost.actual } else { 1.0 };
        self.learn_at(reading, price, mark, now);
    }

    fn learn(&mut self, reading: Reading, mark: &Mark, now: Duration) {
        self.learn_at(reading, 1.0, mark, now);
    }

    fn learn_at(&mut self, reading: Reading, price: f64, mark: &Mark, now: Duration) {
        let sent = learned::Sent {
            id: mark.id,
            at: mark.sent,
            others: f64::from(self.unanswered),
            // All that were answered since, but itself.
            overtaken_by: (self.answered - mark.answered_before).saturating_sub(1) as f64,
        };
        let known = self.learned.iter().position(|limit| limit.name == reading.name);
        if let Some(known) = known {
            self.learned[known].learn(&reading, price, sent, now);
        } else if self.learned.len() < LIMITS_MAX {
            self.learned.push(Learned::new(&reading, price, sent, now));
        }
    }

    /// A call is over: its answer is read, or it was given up.
    pub(super) fn gone(&mut self, mark: &mut Mark, now: Duration) {
        self.is_answered(mark);
        self.learned.iter_mut().for_each(|limit| limit.gone(mark.id, now));
        if let Some(lanes) = &mut self.lanes {
            lanes.gone(mark.sent, now);
        }
        if !mark.has_shown {
            self.neither(mark);
        }
    }
}

/// Whether an answer says "too many". Some remotes say it with a 403.
fn is_limited(status: u16, headers: &HeaderMap, readings: &[Reading]) -> bool {
    let is_used_up = || readings.iter().any(|reading| reading.remaining < 1.0);
    status == 429 || (status == 403 && (headers.contains_key("retry-after") || is_used_up()))
}

/// Whether an answer shows that the remote is in trouble; not that it cannot do what was asked.
fn is_failure(status: u16) -> bool {
    status >= 500 && !matches!(status, 501 | 505)
}
