//! What was raised, grouped by Api and kind.

use std::{collections::HashMap, time::Duration};

use bowline_model::{Alert, AlertKind};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::TOLD_AGAIN_AFTER;
use crate::wording;

/// Stories that are kept.
pub(super) const STORIES_MAX: usize = 200;
/// How long a story is shown after it was last raised.
const SHOWN_FOR: Duration = Duration::from_hours(24);
/// A story that was quiet for so long is a new one when it is raised again.
const QUIET: Duration = TOLD_AGAIN_AFTER;
/// How much of an Api's name and of a message is kept.
const NAME_CHARS_MAX: usize = 200;
const MESSAGE_CHARS_MAX: usize = 1000;

/// Trouble of one kind with one Api.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiAlert {
    /// The Api, with `/account` behind it if it is another than the default one.
    pub api: String,
    /// What sort of trouble: `unauthorized`, `forbidden`, `consent_needed`, `breaker_open`.
    pub kind: String,
    /// What the last call said.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
    /// When it was last raised.
    pub last: Timestamp,
    /// How often it was raised since.
    pub count: u64,
}

/// A story, as the board keeps it.
#[derive(Debug, Clone)]
pub(super) struct Story {
    pub(super) api: String,
    pub(super) kind: AlertKind,
    pub(super) message: String,
    pub(super) since: Timestamp,
    pub(super) last: Timestamp,
    pub(super) count: u64,
    /// When it was first raised since people were told.
    untold_since: Option<Timestamp>,
    told_at: Option<Timestamp>,
}

/// What is to be told.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Those that can be told now, the most frequent first.
    pub(super) stories: Vec<Story>,
    /// Since when the first of them is untold.
    pub(super) oldest: Option<Timestamp>,
    /// When the next of the others can be told again.
    pub(super) again_at: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(super) struct Board {
    stories: HashMap<(String, AlertKind), Story>,
    raised: u64,
}

impl Board {
    /// Takes an alert; says whether it begins a story.
    pub(super) fn raise(&mut self, alert: Alert, now: Timestamp) -> bool {
        self.raised += 1;
        let api = wording::cut(&alert.api, NAME_CHARS_MAX);
        let message = wording::cut(&alert.message, MESSAGE_CHARS_MAX);
        let key = (api, alert.kind);
        if let Some(story) = self.stories.get_mut(&key) {
            return story.goes_on(message, now);
        }
        self.make_room();
        let story = Story {
            api: key.0.clone(),
            kind: alert.kind,
            message,
            since: now,
            last: now,
            count: 1,
            untold_since: Some(now),
            told_at: None,
        };
        self.stories.insert(key, story);
        true
    }

    /// The one that was longest quiet goes; of those, one that people know.
    fn make_room(&mut self) {
        while self.stories.len() >= STORIES_MAX {
            let quietest =
                self.stories.values().min_by_key(|story| (story.untold_since.is_some(), story.last));
            let key = quietest.map(|story| (story.api.clone(), story.kind)).expect("it is full");
            self.stories.remove(&key);
        }
    }

    /// How often something was raised so far.
    pub(super) fn raised(&self) -> u64 {
        self.raised
    }

    /// What is to be told.
    pub(super) fn due(&self, now: Timestamp) -> Due {
        let mut due = Due::default();
        for story in self.stories.values() {
            match (story.untold_since, story.told_again_at(now)) {
                (None, _) => {}
                (Some(_), Some(at)) => due.again_at = Some(due.again_at.map_or(at, |first| first.min(at))),
                (Some(since), None) => {
                    due.oldest = Some(due.oldest.map_or(since, |oldest| oldest.min(since)));
                    due.stories.push(story.clone());
                }
            }
        }
        due.stories
            .sort_by(|a, b| b.count.cmp(&a.count).then_with(|| (&a.api, a.kind).cmp(&(&b.api, b.kind))));
        due
    }

    /// People know these, as they were.
    pub(super) fn told(&mut self, stories: &[Story], now: Timestamp) {
        for told in stories {
            if let Some(story) = self.stories.get_mut(&(told.api.clone(), told.kind)) {
                story.told_at = Some(now);
                // What was raised while the message was under way is told with the next.
                story.untold_since = (story.count > told.count).then_some(story.last);
            }
        }
    }

    /// It is over: what people do not know of it is not told. What was told still keeps the next message back.
    pub(super) fn over(&mut self, api: &str, kind: AlertKind) {
        let key = (wording::cut(api, NAME_CHARS_MAX), kind);
        match self.stories.get_mut(&key) {
            Some(story) if story.told_at.is_some() => story.untold_since = None,
            Some(_) => drop(self.stories.remove(&key)),
            None => {}
        }
    }

    pub(super) fn forget(&mut self, api: &str, kind: AlertKind) {
        self.stories.remove(&(wording::cut(api, NAME_CHARS_MAX), kind));
    }

    /// What Apis raised lately, the latest first.
    pub(super) fn shown(&self, now: Timestamp) -> Vec<ApiAlert> {
        let is_recent = |story: &&Story| !story.is_of_trigger() && is_within(story.last, SHOWN_FOR, now);
        let mut stories: Vec<&Story> = self.stories.values().filter(is_recent).collect();
        stories.sort_by(|a, b| b.last.cmp(&a.last).then_with(|| (&a.api, a.kind).cmp(&(&b.api, b.kind))));
        let shown = |story: &Story| ApiAlert {
            api: story.api.clone(),
            kind: story.kind.to_string(),
            message: story.message.clone(),
            since: story.since,
            last: story.last,
            count: story.count,
        };
        stories.into_iter().map(shown).collect()
    }
}

impl Story {
    /// Whether a trigger raised it, and no Api.
    pub(super) fn is_of_trigger(&self) -> bool {
        match self.kind {
            AlertKind::TriggerFailing => true,
            AlertKind::Unauthorized
            | AlertKind::Forbidden
            | AlertKind::ConsentNeeded
            | AlertKind::BreakerOpen => false,
        }
    }

    /// It was raised again; says whether as a new story.
    fn goes_on(&mut self, message: String, now: Timestamp) -> bool {
        let is_new = !is_within(self.last, QUIET, now);
        if is_new {
            (self.since, self.count) = (now, 0);
        }
        self.message = message;
        self.last = now;
        self.count += 1;
        self.untold_since.get_or_insert(now);
        is_new
    }

    /// Until when it is kept back, as people were told of it a short while ago.
    fn told_again_at(&self, now: Timestamp) -> Option<Timestamp> {
        let told = self.told_at.filter(|told| is_within(*told, TOLD_AGAIN_AFTER, now))?;
        Some(later(told, TOLD_AGAIN_AFTER))
    }
}

/// Whether that span of time, from its beginning, has not ended now. One that begins later has: the clock was set back.
fn is_within(from: Timestamp, span: Duration, now: Timestamp) -> bool {
    from <= now && now < later(from, span)
}

fn later(from: Timestamp, span: Duration) -> Timestamp {
    from.checked_add(span).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::constant(1_795_348_800, 0);

    pub(crate) fn at(seconds: i64) -> Timestamp {
        NOON + jiff::SignedDuration::from_secs(seconds)
    }

    fn alert(api: &str, kind: AlertKind) -> Alert {
        Alert { api: api.to_owned(), kind, message: format!("{api} is {kind}"), at: NOON }
    }

    /// A board on which these were raised at those seconds.
    pub(crate) fn board(raised: &[(i64, &str, AlertKind)]) -> Board {
        let mut board = Board::default();
        for (second, api, kind) in raised {
            board.raise(alert(api, *kind), at(*second));
        }
        board
    }

    fn due(board: &Board, second: i64) -> Vec<(String, u64)> {
        board.due(at(second)).stories.into_iter().map(|story| (story.api, story.count)).collect()
    }

    #[test]
    fn a_thousand_calls_of_one_api_are_one_story() {
        let mut board = board(&[]);
        for second in 0..1000 {
            assert_eq!(board.raise(alert("crm", AlertKind::Unauthorized), at(second)), second == 0);
        }
        board.raise(alert("crm", AlertKind::Forbidden), at(1000));
        assert_eq!(due(&board, 1000), [("crm".to_owned(), 1000), ("crm".to_owned(), 1)]);
        let shown = board.shown(at(1000));
        assert_eq!((shown[1].since, shown[1].last, shown[1].count), (at(0), at(999), 1000));
        assert_eq!(shown[1].kind, "unauthorized");
    }

    #[test]
    fn a_story_that_was_told_is_kept_back_for_an_hour_and_told_again_if_it_goes_on() {
        let mut board = board(&[(0, "crm", AlertKind::Unauthorized)]);
        let told = board.due(at(5)).stories;
        board.told(&told, at(5));
        assert!(due(&board, 10).is_empty(), "nothing was raised since");
        board.raise(alert("crm", AlertKind::Unauthorized), at(60));
        let waits = board.due(at(61));
        assert_eq!((waits.stories.len(), waits.again_at), (0, Some(at(3605))));
        assert_eq!(due(&board, 3605), [("crm".to_owned(), 2)]);
    }

    #[test]
    fn another_story_does_not_wait_for_the_one_that_was_told() {
        let mut board = board(&[(0, "crm", AlertKind::Unauthorized)]);
        let told = board.due(at(5)).stories;
        board.told(&told, at(5));
        board.raise(alert("crm", AlertKind::Unauthorized), at(6));
        board.raise(alert("erp", AlertKind::BreakerOpen), at(7));
        assert_eq!(due(&board, 8), [("erp".to_owned(), 1)]);
        assert_eq!(board.due(at(8)).oldest, Some(at(7)));
    }

    #[test]
    fn what_was_raised_while_the_message_was_under_way_is_told_with_the_next() {
        let mut board = board(&[(0, "crm", AlertKind::Unauthorized)]);
        let told = board.due(at(5)).stories;
        board.raise(alert("crm", AlertKind::Unauthorized), at(6));
        board.told(&told, at(7));
        assert_eq!(board.due(at(8)).again_at, Some(at(3607)));
        assert_eq!(due(&board, 3607), [("crm".to_owned(), 2)]);
    }

    #[test]
    fn trouble_that_comes_back_after_an_hour_of_quiet_is_a_new_story() {
        let mut board = board(&[(0, "crm", AlertKind::BreakerOpen), (10, "crm", AlertKind::BreakerOpen)]);
        assert!(board.raise(alert("crm", AlertKind::BreakerOpen), at(3610)));
        let shown = board.shown(at(3610));
        assert_eq!((shown[0].since, shown[0].count), (at(3610), 1));
        assert!(board.shown(at(3610 + 86_400)).is_empty(), "it is not shown for ever");
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nothing_back() {
        let mut board = board(&[(5000, "crm", AlertKind::Unauthorized)]);
        let told = board.due(at(5000)).stories;
        board.told(&told, at(5000));
        board.raise(alert("crm", AlertKind::Unauthorized), at(0));
        assert_eq!(due(&board, 1).len(), 1);
    }

    #[test]
    fn the_story_that_was_longest_quiet_makes_room_first_one_that_people_know() {
        let mut board = board(&[(0, "untold", AlertKind::Forbidden), (1, "told", AlertKind::Forbidden)]);
        let told: Vec<_> = board.due(at(5)).stories.into_iter().filter(|story| story.api == "told").collect();
        board.told(&told, at(5));
        for number in 0..i64::try_from(STORIES_MAX).unwrap() - 1 {
            board.raise(alert(&format!("api-{number}"), AlertKind::Forbidden), at(10 + number));
        }
        let apis: Vec<_> = board.shown(at(900)).into_iter().map(|shown| shown.api).collect();
        assert_eq!(apis.len(), STORIES_MAX);
        assert!(apis.contains(&"untold".to_owned()) && !apis.contains(&"told".to_owned()));
        board.raise(alert("one more", AlertKind::Forbidden), at(800));
        assert_eq!(board.shown(at(900)).len(), STORIES_MAX);
        assert!(!board.shown(at(900)).iter().any(|shown| shown.api == "untold"));
    }

    #[test]
    fn a_trigger_that_does_well_again_is_told_of_no_more_and_is_on_its_own_board() {
        let kind = AlertKind::TriggerFailing;
        let mut board = board(&[(0, "poll/orders", kind), (1, "poll/refunds", kind)]);
        board.over("poll/refunds", kind);
        assert_eq!(due(&board, 5), [("poll/orders".to_owned(), 1)]);
        let told = board.due(at(5)).stories;
        board.told(&told, at(5));
        board.raise(alert("poll/orders", kind), at(6));
        board.over("poll/orders", kind);
        assert!(due(&board, 4000).is_empty(), "it does well");
        assert!(board.shown(at(7)).is_empty(), "no Api");
    }

    #[test]
    fn a_trigger_that_fails_on_and_off_is_told_of_once_an_hour() {
        let kind = AlertKind::TriggerFailing;
        let mut board = board(&[(0, "poll/orders", kind)]);
        let told = board.due(at(5)).stories;
        board.told(&told, at(5));
        for second in (10..3600).step_by(10) {
            board.over("poll/orders", kind);
            board.raise(alert("poll/orders", kind), at(second));
            assert!(due(&board, second).is_empty(), "{second}");
        }
        assert_eq!(due(&board, 3605).len(), 1);
    }

    #[test]
    fn long_texts_are_cut() {
        let mut board = Board::default();
        let message = "é".repeat(5000);
        board.raise(Alert { message, ..alert(&"n".repeat(5000), AlertKind::Forbidden) }, at(0));
        let shown = board.shown(at(0)).remove(0);
        assert!(shown.api.chars().count() <= NAME_CHARS_MAX + 1, "{}", shown.api.len());
        assert!(shown.message.chars().count() <= MESSAGE_CHARS_MAX + 1);
        board.forget(&"n".repeat(5000), AlertKind::Forbidden);
        assert!(board.shown(at(0)).is_empty());
    }
}
