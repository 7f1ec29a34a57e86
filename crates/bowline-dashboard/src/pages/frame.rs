//! What stands around every page: its title, when it was made, and how to have it made again.

use bowline_model::RunState;
use jiff::Timestamp;

use super::links::Links;
use crate::wording;

/// How often a page that is followed loads again: slower than a person looks, quicker than one asks "still?".
const FOLLOW_EVERY_S: u32 = 3;

/// The frame of one page.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) links: Links,
    pub(super) title: String,
    /// Absent where loading again would show the same.
    pub(super) again: Option<Again>,
}

/// How to have a page made again.
#[derive(Debug)]
pub(super) struct Again {
    /// When this one was made.
    pub(super) made: Stamp,
    /// The page as it is, asked for again.
    pub(super) refresh: String,
    pub(super) follow: Follow,
}

/// Whether a page loads itself again.
#[derive(Debug)]
pub(super) enum Follow {
    /// It does; the link that ends that.
    On { stop: String },
    /// It does not; the link that begins it.
    Off { start: String },
    /// Nothing changes by itself any more.
    Ended,
}

impl Frame {
    /// Whether nothing on the page changes by itself any more.
    pub(super) fn ended(&self) -> bool {
        self.again.as_ref().is_none_or(|again| matches!(again.follow, Follow::Ended))
    }

    /// Seconds until the page loads itself again.
    pub(super) fn reload_s(&self) -> Option<u32> {
        self.again.as_ref()?.follow.stop().map(|_| FOLLOW_EVERY_S)
    }
}

impl Follow {
    /// The link that ends it.
    pub(super) fn stop(&self) -> Option<&str> {
        match self {
            Self::On { stop } => Some(stop),
            Self::Off { .. } | Self::Ended => None,
        }
    }

    /// The link that begins it.
    pub(super) fn start(&self) -> Option<&str> {
        match self {
            Self::Off { start } => Some(start),
            Self::On { .. } | Self::Ended => None,
        }
    }
}

/// A moment: for people, and for machines.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    pub(super) text: String,
    pub(super) iso: String,
}

impl Stamp {
    /// `2026-11-22 10:00:00.123 UTC`
    pub(super) fn full(at: Timestamp) -> Self {
        Self::said(at, wording::moment(at))
    }

    /// `2026-11-22 10:00:00 UTC`
    pub(super) fn second(at: Timestamp) -> Self {
        Self::said(at, at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
    }

    /// That moment, in other words.
    pub(super) fn said(at: Timestamp, text: String) -> Self {
        Self { text, iso: at.to_string() }
    }
}

/// A run's state: a word with a mark before it, and a class for its colour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Badge {
    pub(super) word: &'static str,
    pub(super) mark: &'static str,
    pub(super) tone: Tone,
}

impl From<RunState> for Badge {
    fn from(state: RunState) -> Self {
        let (mark, tone) = match state {
            RunState::Queued => ("·", Tone::Plain),
            RunState::Running => ("▸", Tone::Busy),
            RunState::Waiting => ("…", Tone::Wait),
            RunState::Completed => ("✓", Tone::Good),
            RunState::Cancelled => ("–", Tone::Dim),
            RunState::DeadLettered => ("✗", Tone::Bad),
        };
        Self { word: state.as_str(), mark, tone }
    }
}

/// What a colour means; its name is a class of the stylesheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Busy,
    Wait,
    Good,
    Bad,
    Dim,
}

impl Tone {
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Busy => "busy",
            Self::Wait => "wait",
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Dim => "dim",
        }
    }
}
