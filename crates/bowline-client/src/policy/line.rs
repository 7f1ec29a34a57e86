//! Places in line: whoever came first goes first, though it goes away while it waits.
//!
//! What comes in: tickets (the same over all attempts of one call) and times since some fixed point. What goes out: who
//! is ahead of whom. What must never happen here: a place that is kept for ever for someone who does not come, or an old
//! call behind younger ones because it went, and failed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::sync::Notify;

/// Most places that are kept, of those who wait and of those who went. Who comes then waits without one.
const PLACES_MAX: usize = 100_000;
/// How long a place is kept after its time, for someone who was told to come then.
const CLAIM_GRACE: Duration = Duration::from_secs(5);

/// A place: the lower, the earlier its owner came.
pub(super) type Place = u64;

/// All who wait, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Line {
    next: Place,
    by_ticket: HashMap<Arc<str>, Place>,
    waiting: BTreeMap<Place, Waiter>,
    /// Those who went, and may come back to go again.
    gone: BTreeMap<Place, Arc<str>>,
    /// Those who are here, and those whose time has come and who are awaited.
    claimants: BTreeSet<Place>,
    /// Those who were told to come later, by that time.
    away: BTreeSet<(Duration, Place)>,
    /// Those who are awaited, by the time at which they no longer are.
    awaited: BTreeSet<(Duration, Place)>,
}

#[derive(Debug)]
struct Waiter {
    ticket: Arc<str>,
    state: State,
}

#[derive(Debug)]
enum State {
    Here(Arc<Notify>),
    Away { due: Duration },
    Awaited { until: Duration },
}

impl Line {
    /// The place of that ticket, whose owner is here now: the one that it had, or a new one at the end. `None` if the line
    /// is full.
    pub(super) fn enter(&mut self, ticket: &str, now: Duration) -> Option<Place> {
        self.pass(now);
        let known = self.by_ticket.get(ticket).copied();
        if let Some(place) = known.filter(|place| self.waiting.contains_key(place)) {
            self.forget_state(place);
            self.set_state(place, State::Here(Arc::default()));
            return Some(place);
        }
        if self.waiting.len() >= PLACES_MAX {
            return None;
        }
        let (place, ticket) = match known.and_then(|place| self.gone.remove_entry(&place)) {
            Some(back) => back,
            None => self.new_place(ticket),
        };
        self.waiting.insert(place, Waiter { ticket, state: State::Here(Arc::default()) });
        self.claimants.insert(place);
        Some(place)
    }

    fn new_place(&mut self, ticket: &str) -> (Place, Arc<str>) {
        let (place, ticket): (_, Arc<str>) = (self.next, ticket.into());
        self.next += 1;
        self.by_ticket.insert(ticket.clone(), place);
        (place, ticket)
    }

    /// How many wait, whoever they are.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether fewer than `room` of those who may claim it now are ahead of that place.
    pub(super) fn is_within(&self, place: Place, room: u32) -> bool {
        // Room for everybody is the usual case.
        room == u32::MAX || self.claimants.range(..place).take(room as usize).count() < room as usize
    }

    /// How many are ahead of that place, here or away.
    pub(super) fn ahead(&self, place: Place) -> usize {
        if self.waiting.last_key_value().is_some_and(|(last, _)| *last == place) {
            return self.waiting.len() - 1;
        }
        self.waiting.range(..place).count()
    }

    /// What wakes the owner of that place, while it is here.
    pub(super) fn waker(&self, place: Place) -> Option<Arc<Notify>> {
        match &self.waiting.get(&place)?.state {
            State::Here(wake) => Some(wake.clone()),
            State::Away { .. } | State::Awaited { .. } => None,
        }
    }

    /// The owner of that ticket goes away, and was told to come back at `due`.
    pub(super) fn step_aside(&mut self, ticket: &str, due: Duration, now: Duration) {
        let known = self.by_ticket.get(ticket).copied();
        if let Some(place) = known.filter(|place| self.waiting.contains_key(place)) {
            self.forget_state(place);
            self.set_state(place, State::Away { due });
            self.pass(now);
        }
    }

    /// The owner goes. Should it come back, as its call failed, it has its place again.
    pub(super) fn go(&mut self, place: Place) {
        self.forget_state(place);
        if let Some(waiter) = self.waiting.remove(&place) {
            self.gone.insert(place, waiter.ticket);
        }
        // The oldest are the likeliest not to come back.
        if self.gone.len() > PLACES_MAX
            && let Some((_, ticket)) = self.gone.pop_first()
        {
            self.by_ticket.remove(&ticket);
        }
    }

    /// Who went from that place does not come back.
    pub(super) fn is_done(&mut self, place: Place) {
        if let Some(ticket) = self.gone.remove(&place) {
            self.by_ticket.remove(&ticket);
        }
    }

    /// The owner waits no longer.
    pub(super) fn leave(&mut self, place: Place) {
        self.forget_state(place);
        if let Some(waiter) = self.waiting.remove(&place) {
            self.by_ticket.remove(&waiter.ticket);
        }
    }

    /// Wakes the first `room` of those who are here.
    pub(super) fn wake(&self, room: u32) {
        // Whoever goes wakes the next ones: nobody needs to be woken by the thousand.
        const WOKEN_MAX: usize = 64;
        for place in self.claimants.iter().take(WOKEN_MAX.min(room as usize)) {
            if let Some(wake) = self.waker(*place) {
                wake.notify_one();
            }
        }
    }

    /// Time passes: who is due is awaited, who was awaited for too long has no place any more.
    pub(super) fn pass(&mut self, now: Duration) {
        while let Some((due, place)) = self.away.first().copied().filter(|(due, _)| *due <= now) {
            self.forget_state(place);
            self.set_state(place, State::Awaited { until: due + CLAIM_GRACE });
        }
        while let Some((_, place)) = self.awaited.first().copied().filter(|(until, _)| *until <= now) {
            self.leave(place);
        }
    }

    fn forget_state(&mut self, place: Place) {
        let Some(waiter) = self.waiting.get(&place) else { return };
        match waiter.state {
            State::Here(_) => {}
            State::Away { due } => {
                self.away.remove(&(due, place));
            }
            State::Awaited { until } => {
                self.awaited.remove(&(until, place));
            }
        }
        self.claimants.remove(&place);
    }

    fn set_state(&mut self, place: Place, state: State) {
        match state {
            State::Here(_) => {
                self.claimants.insert(place);
            }
            State::Away { due } => {
                self.away.insert((due, place));
            }
            State::Awaited { until } => {
                self.awaited.insert((until, place));
                self.claimants.insert(place);
            }
        }
        self.waiting.get_mut(&place).expect("has that place").state = state;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_place_is_kept_for_who_goes_away_and_comes_back() {
        let mut line = Line::default();
        let first = line.enter("first", s(0)).unwrap();
        line.step_aside("first", s(10), s(0));
        let second = line.enter("second", s(0)).unwrap();
        assert!(line.is_within(second, 1), "nobody claims the room before its time");
        assert_eq!(line.ahead(second), 1);
        assert_eq!(line.enter("second", s(11)), Some(second));
        assert!(!line.is_within(second, 1), "the first is due");
        assert!(line.is_within(second, 2));
        assert_eq!(line.enter("first", s(11)), Some(first));
        assert!(line.is_within(first, 1));
        line.leave(first);
        assert!(line.is_within(second, 1));
    }

    #[test]
    fn who_does_not_come_loses_the_place() {
        let mut line = Line::default();
        line.enter("gone", s(0)).unwrap();
        line.step_aside("gone", s(10), s(0));
        let other = line.enter("other", s(10)).unwrap();
        assert!(!line.is_within(other, 1));
        line.pass(s(10) + CLAIM_GRACE);
        assert!(line.is_within(other, 1));
        assert_eq!(line.len(), 1);
        assert!(line.enter("gone", s(16)).unwrap() > other, "comes back as anybody else");
    }

    #[test]
    fn who_went_and_failed_is_ahead_of_who_came_later() {
        let mut line = Line::default();
        let (first, second) = (line.enter("first", s(0)).unwrap(), line.enter("second", s(0)).unwrap());
        line.go(first);
        assert_eq!((line.ahead(second), line.len()), (0, 1));
        line.step_aside("first", s(5), s(0));
        assert_eq!(line.len(), 1, "who went does not wait");
        assert_eq!(line.enter("first", s(1)), Some(first));
        assert_eq!(line.ahead(second), 1);
        line.go(first);
        line.is_done(first);
        assert!(line.enter("first", s(1)).unwrap() > second, "another call of that name");
    }

    #[test]
    fn places_of_those_who_went_are_not_kept_without_end() {
        let mut line = Line::default();
        for ticket in 0..PLACES_MAX + 10 {
            let place = line.enter(&ticket.to_string(), s(0)).unwrap();
            line.go(place);
        }
        assert_eq!((line.gone.len(), line.by_ticket.len()), (PLACES_MAX, PLACES_MAX));
    }

    #[test]
    fn the_line_has_an_end() {
        let mut line = Line::default();
        for ticket in 0..PLACES_MAX {
            line.enter(&ticket.to_string(), s(0)).unwrap();
        }
        assert_eq!(line.enter("one more", s(0)), None);
        assert_eq!(line.enter("7", s(0)), Some(7));
    }
}
