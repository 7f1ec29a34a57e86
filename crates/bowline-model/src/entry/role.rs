//! What kinds of entries have in common: whoever reads a journal asks here, and names single kinds only where one of them
//! means something of its own.

use super::{Entry, EntryKind};

/// What an entry is in a journal. Every kind has one role, and a new kind must be given one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Delivered: how a step's effect ended. `StepDone`, `StepRefused`, `StepUnknown`.
    Outcome,
    /// Delivered: what the code was told, which is no work of the run. `Value`, `Race`, `State`, `Changed`.
    Answer,
    /// Delivered: a wait that ended. `Timer`, `Message`.
    Waited,
    /// Delivered: work beside steps that came to its end. `Child`, `Transaction`, `Looped`.
    Work,
    /// Note: what is known of a step without its outcome. `AttemptFailed`, `Started`, `Dropped`, `InFlight`.
    Attempt,
    /// Note: how a loop goes. `Items`, `ItemDead`.
    Progress,
    /// Note: how a wait goes. `Awaited`, `Misfit`.
    Waiting,
    /// Note: a person's word, which may take back what was recorded. `OperatorRetry`, `Settled`.
    Operator,
    /// Note: about undoing the run. `Undo`, `Undoing`.
    Undo,
    /// Note: what the run took over from another one. `Inherited`.
    Inherited,
    /// The run's end, after which only an operator's word can follow. `Completed`, `DeadLettered`, `Cancelled`,
    /// `Continued`.
    End,
}

impl EntryKind {
    /// What entries of this kind are in a journal.
    pub const fn role(self) -> Role {
        match self {
            Self::StepDone | Self::StepRefused | Self::StepUnknown => Role::Outcome,
            Self::Value | Self::Race | Self::State | Self::Changed => Role::Answer,
            Self::Timer | Self::Message => Role::Waited,
            Self::Child | Self::Transaction | Self::Looped => Role::Work,
            Self::AttemptFailed | Self::Started | Self::Dropped | Self::InFlight => Role::Attempt,
            Self::Items | Self::ItemDead => Role::Progress,
            Self::Awaited | Self::Misfit => Role::Waiting,
            Self::OperatorRetry | Self::Settled => Role::Operator,
            Self::Undo | Self::Undoing => Role::Undo,
            Self::Inherited => Role::Inherited,
            Self::Completed | Self::DeadLettered | Self::Cancelled | Self::Continued => Role::End,
        }
    }

    /// Whether recovery hands the entry to user code.
    pub const fn is_delivered(self) -> bool {
        match self.role() {
            Role::Outcome | Role::Answer | Role::Waited | Role::Work => true,
            Role::Attempt
            | Role::Progress
            | Role::Waiting
            | Role::Operator
            | Role::Undo
            | Role::Inherited
            | Role::End => false,
        }
    }

    /// Whether it is how a step's effect ended.
    pub const fn is_outcome(self) -> bool {
        matches!(self, Self::StepDone | Self::StepRefused | Self::StepUnknown)
    }

    /// Whether it is a step's failure: what an operator's retry may forget.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::StepRefused | Self::StepUnknown)
    }

    /// Whether it is a run's end.
    pub const fn is_end(self) -> bool {
        matches!(self.role(), Role::End)
    }

    /// Whether it shows that the run's code began; the others tell what became of the run without it.
    pub const fn shows_begun(self) -> bool {
        match self.role() {
            Role::Outcome
            | Role::Answer
            | Role::Waited
            | Role::Work
            | Role::Attempt
            | Role::Progress
            | Role::Waiting
            | Role::Undo => true,
            Role::Operator | Role::Inherited | Role::End => false,
        }
    }

    /// Whether it is a person's word on the run, which lists in `forgets` what no longer counts.
    pub const fn is_operators(self) -> bool {
        matches!(self.role(), Role::Operator)
    }
}

impl Entry {
    /// Whether it records that work was done, which a retry keeps: a step, a wait, a child, a loop without a failure. What
    /// the code was told (the time, a value) is no work.
    pub fn is_success(&self) -> bool {
        match self.kind.role() {
            Role::Outcome => self.kind == EntryKind::StepDone,
            Role::Waited => true,
            Role::Work => self.kind != EntryKind::Looped || self.meta.failure.is_none(),
            Role::Operator => self.is_settled_as_done(),
            Role::Answer
            | Role::Attempt
            | Role::Progress
            | Role::Waiting
            | Role::Undo
            | Role::Inherited
            | Role::End => false,
        }
    }

    /// Whether a person said that the step happened; its value is the payload.
    pub fn is_settled_as_done(&self) -> bool {
        self.kind == EntryKind::Settled && self.payload.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_on_disk_say_the_same_as_the_roles() {
        for kind in EntryKind::ALL {
            let by_number = match kind.code() {
                0 => panic!("0 is never used"),
                1..32 => (true, false),
                32..64 => (false, false),
                64.. => (false, true),
            };
            assert_eq!((kind.is_delivered(), kind.is_end()), by_number, "{kind:?}");
        }
    }

    #[test]
    fn a_failure_is_an_outcome_and_no_success() {
        for kind in EntryKind::ALL {
            assert_eq!(kind.is_outcome(), kind.role() == Role::Outcome, "{kind:?}");
            assert!(!kind.is_failure() || kind.is_outcome(), "{kind:?}");
        }
    }
}
