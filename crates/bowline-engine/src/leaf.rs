//! What the code waits for, as the board keeps it: a step, a timer, a message, an answer of the store.

use std::task::Waker;

use bowline_model::{Attempt, EntryKey, EntryMeta, Failure, Payload, Verdict};
use bowline_store::Ask;
use jiff::Timestamp;

use crate::{sending::Sending, wait::Wait};

pub(crate) type LeafId = u64;

/// Something that the code waits for.
pub(crate) struct Leaf {
    pub(crate) key: EntryKey,
    pub(crate) phase: Phase,
    pub(crate) work: Work,
    pub(crate) output_type: &'static str,
    /// When the last outcome was made that the code had seen when it asked: nothing of this leaf was sent before.
    pub(crate) asked_after: Option<Timestamp>,
    /// Told to start, and not polled by the code then: it starts when the code comes back to it.
    pub(crate) set_aside: bool,
    /// The run is undone, and what became of this is known, or nobody may find it out.
    pub(crate) held: bool,
    pub(crate) waker: Option<Waker>,
}

/// What it is.
pub(crate) enum Work {
    /// A step: attempts of an effect.
    Effect(Box<Sending>),
    /// A time, a message, or whichever comes first.
    Wait(Box<Wait>),
    /// What the store decides in the commit that records it.
    Ask(Ask),
}

/// Where a leaf stands.
pub(crate) enum Phase {
    /// Wants its recorded outcome, or else to begin.
    Asked,
    /// A step that wants another attempt then.
    Backoff { due: Timestamp },
    /// A step that may make this attempt at its next poll.
    Starting(Attempt),
    /// An attempt is under way.
    Running,
    /// An attempt ended; the machine has not looked at it.
    Arrived(Verdict<Payload>),
    /// A wait that was begun, and ends then at the latest.
    Waiting { due: Option<Timestamp> },
    /// Has its outcome; the code takes it at its next poll.
    Delivered(Outcome),
}

/// What the code receives.
#[derive(Clone)]
pub(crate) enum Outcome {
    Done(Payload),
    Failed(Failure),
    /// A wait whose time ended before its message came.
    TimedOut,
}

impl Leaf {
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(self.phase, Phase::Starting(_) | Phase::Running | Phase::Arrived(_))
    }

    /// A step that may make an attempt.
    pub(crate) fn wants_attempt(&self, now: Timestamp) -> bool {
        match (&self.work, &self.phase) {
            (Work::Effect(_), Phase::Asked) => !self.set_aside && !self.held,
            (_, Phase::Backoff { due }) => *due <= now && !self.held,
            (Work::Wait(_) | Work::Ask(_), Phase::Asked)
            | (
                _,
                Phase::Starting(_)
                | Phase::Running
                | Phase::Arrived(_)
                | Phase::Waiting { .. }
                | Phase::Delivered(_),
            ) => false,
        }
    }

    /// Whether it waits for what is on disk: a time, or a message.
    pub(crate) fn is_durable_wait(&self) -> bool {
        matches!(self.phase, Phase::Backoff { .. } | Phase::Waiting { .. })
    }

    pub(crate) fn due(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Backoff { due } => Some(due),
            Phase::Waiting { due } => due,
            Phase::Asked | Phase::Starting(_) | Phase::Running | Phase::Arrived(_) | Phase::Delivered(_) => {
                None
            }
        }
    }

    /// What is known of a step's attempts.
    pub(crate) fn sending(&self) -> Option<&Sending> {
        match &self.work {
            Work::Effect(sending) => Some(sending),
            Work::Wait(_) | Work::Ask(_) => None,
        }
    }

    pub(crate) fn sending_mut(&mut self) -> Option<&mut Sending> {
        match &mut self.work {
            Work::Effect(sending) => Some(sending),
            Work::Wait(_) | Work::Ask(_) => None,
        }
    }

    /// What an entry about this leaf says.
    pub(crate) fn note(&self) -> (EntryKey, EntryMeta) {
        let mut meta = self.sending().map_or_else(EntryMeta::default, Sending::meta);
        meta.output_type = Some(self.output_type.to_owned());
        (self.key.clone(), meta)
    }
}
