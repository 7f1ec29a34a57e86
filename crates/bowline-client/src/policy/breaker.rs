//! A remote that fails is left alone for a while, and asked carefully whether it is back.
//!
//! ```text
//! closed ──many failures──► open ──its time is over──► half open ──good probes──► rising ──► closed
//!                             ▲                            │ a bad one               │ some bad ones
//!                             └────────────────────────────┴─────────────────────────┘ twice as long
//! ```

use std::{collections::VecDeque, time::Duration};

use super::ramp::Ramp;

/// When a remote that fails is left alone. What counts: answers from 500 on, no connection, no answer in time. What does
/// not: answers below 500, a 429 least of all.
///
/// | Option | Default |
/// |---|---|
/// | [`failures_min`](Breaker::failures_min) | 20 within a minute, and as many as half of all calls, or all in a row |
/// | [`open_for`](Breaker::open_for) | 5 s, then twice as long each time, up to 5 min; give or take a fifth |
/// | [`probes`](Breaker::probes) | 3 good ones in a row, one at a time |
///
/// # A remote that is known to stumble
/// ```
/// use bowline_client::{Api, Breaker};
///
/// let crm = Api::new("crm").base_url("https://crm.example.com").breaker(Breaker::default().failures_min(100));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Breaker {
    failures_min: u32,
    open_for: Duration,
    probes: u32,
}

/// Most that it is open, however often it opened before.
const OPEN_MAX: Duration = Duration::from_secs(300);
/// How long failures are remembered, and in how many parts of that time.
const MEMORY: Duration = Duration::from_secs(60);
const MEMORY_PARTS: u32 = 12;
/// So many failures among the first calls after it closed open it again.
const RISING_FAILURES: u32 = 5;

impl Default for Breaker {
    fn default() -> Self {
        Self { failures_min: 20, open_for: Duration::from_secs(5), probes: 3 }
    }
}

impl Breaker {
    /// How many failures within a minute open it, at least one. They must also be half of all calls in that minute, or
    /// have come without a good one between them.
    ///
    /// # At the fifth
    /// ```
    /// let breaker = bowline_client::Breaker::default().failures_min(5);
    /// ```
    pub fn failures_min(self, failures: u32) -> Self {
        Self { failures_min: failures.max(1), ..self }
    }

    /// How long it is open the first time: 1 ms to 5 min.
    ///
    /// # For a minute
    /// ```
    /// let breaker = bowline_client::Breaker::default().open_for(std::time::Duration::from_secs(60));
    /// ```
    pub fn open_for(self, span: Duration) -> Self {
        Self { open_for: span.clamp(Duration::from_millis(1), OPEN_MAX), ..self }
    }

    /// How many good probes close it, at least one.
    ///
    /// # Trust at once
    /// ```
    /// let breaker = bowline_client::Breaker::default().probes(1);
    /// ```
    pub fn probes(self, good: u32) -> Self {
        Self { probes: good.max(1), ..self }
    }
}

/// One breaker at work.
#[derive(Debug)]
pub(super) struct Circuit {
    rules: Breaker,
    state: State,
    /// How often it opened since it was last closed for good.
    opened: u32,
    seen: Memory,
    /// Calls that began before this are of an earlier time, and say nothing of now.
    since: u64,
}

#[derive(Debug)]
enum State {
    Closed,
    Open { until: Duration },
    HalfOpen { good: u32, probe: Option<u64> },
    Rising(Ramp),
}

impl Circuit {
    pub(super) fn new(rules: Breaker) -> Self {
        Self { rules, state: State::Closed, opened: 0, seen: Memory::default(), since: 0 }
    }

    pub(super) fn room(&self, now: Duration) -> u32 {
        match &self.state {
            State::Closed => u32::MAX,
            State::Open { until } => u32::from(*until <= now),
            State::HalfOpen { probe, .. } => u32::from(probe.is_none()),
            State::Rising(ramp) => ramp.room(now),
        }
    }

    /// When the nth call from now may go, if the remote is back.
    pub(super) fn time_of(&self, nth: u32, now: Duration) -> Duration {
        // As long as the probes may take; then as the calls rise.
        let after = |first: Duration| match nth {
            1 => first,
            _ => Ramp::new(first + PROBES_TAKE).time_of(nth - 1, first),
        };
        match &self.state {
            State::Closed => now,
            State::Open { until } => after((*until).max(now)),
            State::HalfOpen { probe: None, .. } => after(now),
            State::HalfOpen { probe: Some(_), .. } => Ramp::new(now + PROBES_TAKE).time_of(nth, now),
            State::Rising(ramp) => ramp.time_of(nth, now),
        }
    }

    /// One goes now.
    pub(super) fn take(&mut self, id: u64, now: Duration) {
        match &mut self.state {
            State::Closed => {}
            State::Open { .. } => self.state = State::HalfOpen { good: 0, probe: Some(id) },
            State::HalfOpen { probe, .. } => *probe = Some(id),
            State::Rising(ramp) => {
                ramp.take(now);
                if ramp.is_over(now) {
                    (self.state, self.opened) = (State::Closed, 0);
                }
            }
        }
    }

    /// A call showed that the remote is there. `next` is the number that the next call will have.
    pub(super) fn good(&mut self, id: u64, next: u64, now: Duration) {
        match &mut self.state {
            State::Closed | State::Rising(_) if id >= self.since => self.seen.good(now),
            State::HalfOpen { good, probe } if *probe == Some(id) => {
                (*probe, *good) = (None, *good + 1);
                if *good >= self.rules.probes {
                    (self.state, self.since, self.seen) =
                        (State::Rising(Ramp::new(now)), next, Memory::default());
                }
            }
            State::Closed | State::Rising(_) | State::HalfOpen { .. } | State::Open { .. } => {}
        }
    }

    /// A call failed. Says for how long the remote is left alone, if that begins with it. `chance` is an even draw.
    pub(super) fn bad(&mut self, id: u64, now: Duration, chance: u64) -> Option<Duration> {
        let opens = match &self.state {
            State::Closed if id >= self.since => {
                self.seen.bad(now);
                self.seen.is_bad(self.rules.failures_min, now)
            }
            State::Rising(_) if id >= self.since => {
                self.seen.bad(now);
                self.seen.is_bad(self.rules.failures_min.min(RISING_FAILURES), now)
            }
            State::HalfOpen { probe, .. } => *probe == Some(id),
            State::Closed | State::Rising(_) | State::Open { .. } => false,
        };
        opens.then(|| self.open(now, chance))
    }

    fn open(&mut self, now: Duration, chance: u64) -> Duration {
        let doubled = self.rules.open_for.saturating_mul(1 << self.opened.min(16)).min(OPEN_MAX);
        // Give or take a fifth, so that not all who use a remote come back at once.
        let span = doubled.mul_f64(0.8 + 0.4 * (chance as f64 / u64::MAX as f64));
        self.opened += 1;
        self.state = State::Open { until: now + span };
        self.seen = Memory::default();
        span
    }

    /// A call was given up: it says nothing.
    pub(super) fn gone(&mut self, id: u64) {
        if let State::HalfOpen { probe, .. } = &mut self.state
            && *probe == Some(id)
        {
            *probe = None;
        }
    }

    /// Whether calls go as if nothing was wrong, or nearly so.
    pub(super) fn trusts(&self) -> bool {
        matches!(self.state, State::Closed | State::Rising(_))
    }
}

/// As long as probes may take, for who waits behind them.
const PROBES_TAKE: Duration = Duration::from_millis(500);

/// Good and bad calls of the last minute.
#[derive(Debug, Default)]
struct Memory {
    parts: VecDeque<(u64, u32, u32)>,
    in_a_row: u32,
}

impl Memory {
    fn part(&mut self, now: Duration) -> &mut (u64, u32, u32) {
        let number = part_of(now);
        if self.parts.back().is_none_or(|last| last.0 != number) {
            self.parts.push_back((number, 0, 0));
        }
        while self.parts.len() > MEMORY_PARTS as usize {
            self.parts.pop_front();
        }
        self.parts.back_mut().expect("was put there")
    }

    fn good(&mut self, now: Duration) {
        self.part(now).1 += 1;
        self.in_a_row = 0;
    }

    fn bad(&mut self, now: Duration) {
        self.part(now).2 += 1;
        self.in_a_row += 1;
    }

    fn is_bad(&self, failures_min: u32, now: Duration) -> bool {
        let oldest = part_of(now).saturating_sub(u64::from(MEMORY_PARTS) - 1);
        let parts = self.parts.iter().filter(|part| part.0 >= oldest);
        let (good, bad) = parts.fold((0, 0), |(good, bad), part| (good + part.1, bad + part.2));
        bad >= failures_min && (bad >= good || self.in_a_row >= failures_min)
    }
}

fn part_of(now: Duration) -> u64 {
    (now.as_millis() / (MEMORY / MEMORY_PARTS).as_millis()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn opened() -> Circuit {
        let mut circuit = Circuit::new(Breaker::default());
        for id in 0..19 {
            assert_eq!(circuit.bad(id, s(1), 0), None);
        }
        assert_eq!(circuit.bad(19, s(1), u64::MAX / 2).map(|span| span.as_secs_f64().round()), Some(5.0));
        circuit
    }

    #[test]
    fn opens_at_the_twentieth_failure_and_lets_one_probe_through_at_its_time() {
        let mut circuit = opened();
        assert_eq!((circuit.room(s(5)), circuit.room(s(7))), (0, 1));
        circuit.take(20, s(7));
        assert_eq!(circuit.room(s(100)), 0, "one at a time");
        circuit.good(20, 21, s(7));
        assert_eq!(circuit.room(s(7)), 1);
        for id in [21, 22] {
            circuit.take(id, s(8));
            circuit.good(id, id + 1, s(8));
        }
        let room = circuit.room(s(8));
        assert!((1..=20).contains(&room), "{room}: not all at once");
        assert!(circuit.room(s(9)) > room);
        for id in 23.. {
            let now = circuit.time_of(1, s(8));
            circuit.take(id, now + s(20));
            if matches!(circuit.state, State::Closed) {
                break;
            }
        }
        assert_eq!(circuit.room(s(30)), u32::MAX);
    }

    #[test]
    fn a_bad_probe_opens_it_for_twice_as_long_up_to_five_minutes() {
        let mut circuit = opened();
        let mut now = s(7);
        for (id, span) in (20..).zip([10, 20, 40, 80, 160, 300, 300]) {
            circuit.take(id, now);
            let open = circuit.bad(id, now, u64::MAX / 2).unwrap();
            assert_eq!(open.as_secs_f64().round(), f64::from(span));
            assert_eq!(circuit.room(now + open / 2), 0);
            now += open;
        }
    }

    #[test]
    fn a_probe_that_is_given_up_counts_neither_way() {
        let mut circuit = opened();
        circuit.take(20, s(7));
        circuit.gone(20);
        assert_eq!(circuit.room(s(7)), 1);
        circuit.take(21, s(7));
        circuit.good(20, 22, s(7));
        circuit.bad(5, s(7), 0);
        assert_eq!(circuit.room(s(7)), 0, "calls from before say nothing");
    }

    #[test]
    fn failures_among_many_good_calls_do_not_open_it() {
        let mut circuit = Circuit::new(Breaker::default());
        for id in 0..1000 {
            circuit.good(2 * id, 0, s(id / 20));
            if id % 2 == 0 {
                assert_eq!(circuit.bad(2 * id + 1, s(id / 20), 0), None);
            }
        }
        for id in 2000..2019 {
            assert_eq!(circuit.bad(id, s(50), 0), None);
        }
        assert!(circuit.bad(2019, s(50), 0).is_some(), "twenty in a row do");
    }

    #[test]
    fn failures_of_long_ago_are_forgotten() {
        let mut circuit = Circuit::new(Breaker::default());
        for id in 0..100 {
            assert_eq!(circuit.bad(id, s(id * 4), 0), None, "fifteen in a minute");
            circuit.good(id, 0, s(id * 4));
        }
    }

    #[test]
    fn it_opens_again_sooner_while_it_rises() {
        let mut circuit = opened();
        for id in 20..23 {
            circuit.take(id, s(7));
            circuit.good(id, id + 1, s(7));
        }
        for id in 23..27 {
            assert_eq!(circuit.bad(id, s(8), 0), None);
        }
        assert!(circuit.bad(27, s(8), 0).unwrap() > s(7), "and for longer");
    }

    #[test]
    fn who_waits_is_told_different_times() {
        let circuit = opened();
        let times: Vec<_> = (1..=1000).map(|nth| circuit.time_of(nth, s(2))).collect();
        assert!(times[0] >= s(4) && times.is_sorted());
        assert!(times.windows(2).filter(|pair| pair[0] < pair[1]).count() > 900);
        assert!(times[999] < s(30), "{:?}", times[999]);
    }
}
