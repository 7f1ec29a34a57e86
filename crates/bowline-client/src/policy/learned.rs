//! A rate limit that the remote tells with its answers.
//!
//! What an answer says is from the past. Of the calls that were under way while it was, nobody knows whether the remote
//! had counted them, so two bounds are kept apart: no more are left than the answer said, and no fewer than if it had
//! counted none of those. What is believed moves only as far as these bounds force it.

use std::time::Duration;

use super::{
    declared::whole,
    headers::{Reading, Refill, Reset},
};

/// How many times the calls of a limit that are left may be sent at once, before they are spread over what is left of
/// the window: all beyond a half.
const AT_ONCE_SHARE: f64 = 0.5;
/// Limits from here on keep one call back until their window is said to end: an answer to it tells whether it has.
const KEPT_BACK_LIMIT_MIN: f64 = 5.0;
/// A pace that was missed is made up for by this share of the limit at once.
const CATCH_UP_SHARE: f64 = 0.05;
/// When to look again at a limit that is used up and does not say when it ends. Doubles.
const BLIND_WAIT_MIN: Duration = Duration::from_secs(1);
const BLIND_WAIT_MAX: Duration = Duration::from_secs(60);
/// A window whose length nobody knows is at least that long.
const LENGTH_UNKNOWN: Duration = Duration::from_secs(1);
/// How long the answer to a probe takes, before one was seen; and how much the last answer weighs in the estimate.
const ANSWER_TAKES: Duration = Duration::from_millis(20);
const LAST_ANSWER_SHARE: f64 = 0.2;
/// How much of the way to a cheaper call's price goes with each of them.
const PRICE_FORGOTTEN_SHARE: f64 = 0.1;
/// A limit whose calls come back more slowly one by one is taken to come back at once.
const REFILL_MIN_PER_S: f64 = 1.0;
/// Where more than this share of a limit comes back within a window one by one, no end brings them all.
const FLOW_SHARE: f64 = 0.1;
/// An end that is nearer than so many answers take says nothing: it would be past before anything is known.
const END_NEAREST_ANSWERS: u32 = 2;
/// How quickly the measured refill follows what is seen.
const REFILL_MEMORY: Duration = Duration::from_secs(1);

/// When a call was sent, as far as its answer's meaning depends on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sent {
    pub(super) id: u64,
    pub(super) at: Duration,
    /// Other calls that are under way now.
    pub(super) others: f64,
    /// Calls that were answered between the sending of this one and its answer.
    pub(super) overtaken_by: f64,
}

/// One limit of one account.
#[derive(Debug)]
pub(super) struct Learned {
    pub(super) name: String,
    limit: f64,
    /// Calls that nobody has used or is about to, as far as is believed.
    left: f64,
    /// What one call may cost: one, unless the remote says otherwise.
    price: f64,
    /// What it costs usually.
    usual_price: f64,
    /// How long answers take.
    answers_take: Duration,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Window(Window),
    /// What is left grows by that much, as of then.
    Steady {
        per_second: f64,
        at: Duration,
    },
}

#[derive(Debug, Default)]
struct Window {
    /// When it is said to end. Past it, one call at a time asks whether it has.
    end: Option<Duration>,
    /// How much later the end may be, as it was rounded.
    rounded_by: Duration,
    /// Whether ends are known to be rounded down, or known not to be.
    is_rounded_down: Option<bool>,
    length: Option<Duration>,
    /// As long as it seemed when it began.
    seen_length: Duration,
    began: Option<Duration>,
    /// The call that asks whether the window has ended, and when its answer is expected.
    probe: Option<(u64, Duration)>,
    /// The earliest time of the next call, where calls are spread.
    next: Duration,
    /// What comes back within the window, per second.
    refill: f64,
    learned_at: Duration,
    blind: Duration,
}

impl Learned {
    /// `price`: what the call cost that was answered.
    pub(super) fn new(reading: &Reading, price: f64, sent: Sent, now: Duration) -> Self {
        let kind = match reading.refill {
            Refill::Window { .. } => Kind::Window(Window { learned_at: now, ..Window::default() }),
            Refill::Steady { per_second } => Kind::Steady { per_second, at: now },
        };
        // Nothing is known yet: the careful bound.
        let left = reading.remaining - (sent.others + sent.overtaken_by) * price.max(1.0);
        let limit = reading.limit.unwrap_or(reading.remaining + 1.0);
        let mut learned = Self {
            name: reading.name.clone(),
            limit,
            left,
            price: price.max(1.0),
            usual_price: price.max(1.0),
            answers_take: ANSWER_TAKES,
            kind,
        };
        learned.learn(reading, price, sent, now);
        learned
    }

    /// Takes in what an answer says.
    pub(super) fn learn(&mut self, reading: &Reading, price: f64, sent: Sent, now: Duration) {
        // The dearest of the last ones: who guesses low is throttled.
        self.price = (self.price + (price - self.price) * PRICE_FORGOTTEN_SHARE).max(price).max(1.0);
        self.usual_price += (price - self.usual_price) * PRICE_FORGOTTEN_SHARE;
        self.limit = reading.limit.unwrap_or(self.limit.max(reading.remaining + 1.0)).max(1.0);
        let took = now.saturating_sub(sent.at);
        self.answers_take =
            self.answers_take.mul_f64(1.0 - LAST_ANSWER_SHARE) + took.mul_f64(LAST_ANSWER_SHARE);
        let unseen = (sent.others + sent.overtaken_by) * self.price;
        let (least, most) = (reading.remaining - unseen, reading.remaining);
        match (&mut self.kind, reading.refill) {
            (Kind::Window(window), Refill::Window { reset, length }) => {
                window.length = length.or(window.length);
                let came_back = least - self.left;
                let is_whole = reading.remaining + unseen + 1.0 >= self.limit;
                // Sent before this window was known, and perhaps counted in the one before.
                let is_of_before = window.began.is_some_and(|began| sent.at < began);
                window.learn(came_back, is_whole, reset, sent, now, self.answers_take);
                self.left = self.left.max(least);
                if !is_of_before {
                    self.left = self.left.min(most);
                }
                if reset.is_none() && self.left < 2.0 && window.end.is_none_or(|end| end <= now) {
                    window.look_again(now);
                }
            }
            (Kind::Steady { per_second, at }, Refill::Steady { per_second: told }) => {
                let grown = now.saturating_sub(*at).as_secs_f64() * *per_second;
                (*per_second, *at) = (told, now);
                self.left = (self.left + grown).max(least).min(most);
            }
            // Another kind of limit under the same name: it is begun anew.
            (Kind::Window(_), Refill::Steady { .. }) | (Kind::Steady { .. }, Refill::Window { .. }) => {
                *self = Self::new(reading, price, sent, now);
            }
        }
    }

    /// What may be used, in calls.
    fn usable(&self, now: Duration) -> f64 {
        self.left_at(now) / self.price - self.kept_back()
    }

    fn left_at(&self, now: Duration) -> f64 {
        match &self.kind {
            Kind::Window(_) => self.left,
            Kind::Steady { per_second, at } => {
                (self.left + now.saturating_sub(*at).as_secs_f64() * per_second).min(self.limit)
            }
        }
    }

    /// How many calls are not used.
    fn kept_back(&self) -> f64 {
        if self.limit >= KEPT_BACK_LIMIT_MIN { 1.0 } else { 0.0 }
    }

    /// How many may go now.
    pub(super) fn room(&self, now: Duration) -> u32 {
        let usable = self.usable(now);
        match &self.kind {
            Kind::Steady { .. } => whole(usable),
            Kind::Window(window) if window.is_asked(usable, self.left, now) => {
                u32::from(window.may_probe(usable, self.left, now))
            }
            Kind::Window(window) => {
                let spread = self.limit * AT_ONCE_SHARE;
                let at_once = whole(usable - spread);
                let paced = match window.interval(usable, self.limit, now) {
                    Some(interval) => window.due_by(now, interval),
                    None => u32::MAX,
                };
                at_once.max(paced).min(whole(usable))
            }
        }
    }

    /// When the nth call from now may go.
    pub(super) fn time_of(&self, nth: u32, now: Duration) -> Duration {
        let usable = self.usable(now);
        let nth = f64::from(nth);
        let window = match &self.kind {
            Kind::Steady { per_second, .. } => {
                // Who goes must be able to pay much; those before pay what is usual.
                let needed = (nth - 1.0) * self.usual_price + (1.0 + self.kept_back()) * self.price;
                let short = (needed - self.left_at(now)).max(0.0);
                return now + Duration::from_secs_f64((short / per_second.max(1e-6)).min(WAIT_MAX_S));
            }
            Kind::Window(window) => window,
        };
        let per_call = window.length().div_f64(self.limit);
        if window.is_asked(usable, self.left, now) {
            let first = match window.probe {
                Some((_, answered)) => answered.max(now + MOMENT),
                None => window.asked_from(usable, self.left).unwrap_or(now).max(now),
            };
            return first + per_call.mul_f64(nth - 1.0);
        }
        let asked_from = window.asked_from(usable, self.left);
        let end = asked_from.or(window.end).unwrap_or(now + window.length()).max(now);
        let at_once = (usable - self.limit * AT_ONCE_SHARE).max(0.0);
        if nth <= at_once {
            now
        } else if nth <= usable.floor() {
            let interval = window.interval(usable - at_once, self.limit, now).unwrap_or_default();
            window.next.max(now) + interval.mul_f64(nth - at_once.floor() - 1.0)
        } else {
            end + per_call.mul_f64(nth - usable.max(0.0).floor() - 1.0)
        }
    }

    /// One goes now.
    pub(super) fn take(&mut self, id: u64, now: Duration) {
        let usable = self.usable(now);
        match &mut self.kind {
            Kind::Steady { .. } => {}
            Kind::Window(window) if window.is_asked(usable, self.left, now) => {
                window.probe = Some((id, now + self.answers_take));
            }
            Kind::Window(window) => window.take(usable, self.limit, now),
        }
        self.left -= self.price;
    }

    /// A call is over, whatever came of it.
    pub(super) fn gone(&mut self, id: u64, now: Duration) {
        if let Kind::Window(window) = &mut self.kind
            && window.is_probe(id)
        {
            // Its answer said nothing of this limit, or there was none.
            window.probe = None;
            if window.is_over(now) && self.left < 1.0 {
                window.look_again(now);
            }
        }
    }
}

/// An answer that is late may come at any moment.
const MOMENT: Duration = Duration::from_millis(10);
/// Longest time that is foretold.
const WAIT_MAX_S: f64 = 30.0 * 24.0 * 3600.0;

impl Window {
    fn is_over(&self, now: Duration) -> bool {
        self.end.is_some_and(|end| end <= now)
    }

    fn is_probe(&self, id: u64) -> bool {
        self.probe.is_some_and(|(probe, _)| probe == id)
    }

    /// From when one call at a time asks whether there are more: at the end; earlier, where calls come back one by one.
    /// With calls left it costs nothing to ask.
    fn asked_from(&self, usable: f64, left: f64) -> Option<Duration> {
        let rounding =
            if left < 1.0 && self.is_rounded_down.is_none() { self.rounded_by } else { Duration::ZERO };
        let end = self.end.map(|end| end + rounding);
        if usable < 1.0 && left >= 1.0 && self.refill >= REFILL_MIN_PER_S {
            let back = self.learned_at + Duration::from_secs_f64(2.0 / self.refill);
            return Some(end.map_or(back, |end| end.min(back)));
        }
        end
    }

    /// Whether nothing goes but who asks.
    fn is_asked(&self, usable: f64, left: f64, now: Duration) -> bool {
        usable < 1.0 && self.asked_from(usable, left).is_some_and(|from| from <= now)
    }

    /// Whether calls come back one by one, and no end brings them all.
    fn flows(&self, limit: f64) -> bool {
        self.refill * self.length().as_secs_f64() > limit * FLOW_SHARE
    }

    fn may_probe(&self, usable: f64, left: f64, now: Duration) -> bool {
        self.probe.is_none() && self.asked_from(usable, left).is_none_or(|from| from <= now)
    }

    fn length(&self) -> Duration {
        self.length.unwrap_or(self.seen_length.max(LENGTH_UNKNOWN))
    }

    /// The time from one call to the next, so that `usable` calls last until the end.
    fn interval(&self, usable: f64, limit: f64, now: Duration) -> Option<Duration> {
        let end = self.end?;
        let rest = if self.flows(limit) { self.length() } else { end.saturating_sub(now) }.as_secs_f64();
        let per_second = self.refill + usable.max(1.0) / rest.max(1e-3);
        Some(Duration::from_secs_f64(1.0 / per_second))
    }

    /// How many calls of a pace have come due.
    fn due_by(&self, now: Duration, interval: Duration) -> u32 {
        match now.checked_sub(self.next) {
            Some(late) => whole(late.as_secs_f64() / interval.as_secs_f64().max(1e-9)).saturating_add(1),
            None => 0,
        }
    }

    fn take(&mut self, usable: f64, limit: f64, now: Duration) {
        if usable > limit * AT_ONCE_SHARE {
            self.next = now;
        } else if let Some(interval) = self.interval(usable, limit, now) {
            let catch_up = interval.mul_f64((limit * CATCH_UP_SHARE).floor());
            self.next = self.next.max(now.saturating_sub(catch_up)) + interval;
        }
    }

    /// `came_back`: how many more are left than was believed, at least. `is_whole`: as many as if the window had just
    /// begun.
    fn learn(
        &mut self,
        came_back: f64,
        is_whole: bool,
        reset: Option<Reset>,
        sent: Sent,
        now: Duration,
        answers_take: Duration,
    ) {
        let asked_past_end = self.end.is_some_and(|end| end <= sent.at);
        let begins = came_back > 0.5 && (is_whole || asked_past_end);
        if self.is_probe(sent.id) {
            self.probe = None;
        }
        if begins {
            if self.end.is_some_and(|end| sent.at < end + self.rounded_by) {
                self.is_rounded_down.get_or_insert(false);
            }
            (self.began, self.next, self.blind) = (Some(now), now, Duration::ZERO);
        }
        if is_whole {
            self.refill = 0.0;
        } else {
            self.measure_refill(came_back, now);
        }
        self.learned_at = now;
        let Some(reset) = reset else {
            if begins {
                self.end = self.length.map(|length| now + length);
            }
            return;
        };
        if asked_past_end && !begins {
            // It had ended, it is said to end now, and nothing came back: it ends within what was rounded off.
            self.is_rounded_down.get_or_insert(reset.wait.is_zero());
        }
        let end = self.end_of(reset, now).max(now + answers_take * END_NEAREST_ANSWERS);
        self.rounded_by = reset.rounded_by;
        if begins || self.began.is_none() {
            self.seen_length = end.saturating_sub(now);
        }
        self.end = match self.end {
            // What is rounded up, each time from later on, was nearest the first time.
            Some(known) if !begins && known > now => Some(known.min(end)),
            Some(_) | None => Some(end),
        };
    }

    fn end_of(&self, reset: Reset, now: Duration) -> Duration {
        // Nothing left of a span that has not ended is a span that was rounded down.
        let is_rounded_down = self.is_rounded_down == Some(true) || reset.wait.is_zero();
        now + reset.wait + if is_rounded_down { reset.rounded_by } else { Duration::ZERO }
    }

    fn measure_refill(&mut self, came_back: f64, now: Duration) {
        let passed = now.saturating_sub(self.learned_at).as_secs_f64();
        let weight = 1.0 - (-passed / REFILL_MEMORY.as_secs_f64()).exp();
        if passed > 0.0 {
            self.refill += (came_back.max(0.0) / passed - self.refill) * weight;
        }
    }

    fn look_again(&mut self, now: Duration) {
        self.blind = (self.blind * 2).clamp(BLIND_WAIT_MIN, BLIND_WAIT_MAX);
        self.end = Some(now + self.blind);
    }
}
