//! Identities, each a type of its own, so that a run's id can never be passed for an event's.

use std::{fmt, num::ParseIntError, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIntError;
            fn from_str(s: &str) -> Result<Self, ParseIntError> {
                s.parse().map($name)
            }
        }
    };
}

number_id! {
    /// One accepted event. Given by the store in the order of acceptance, from 1.
    EventId
}
number_id! {
    /// One run. Given by the store in the order of creation, from 1: the lower id is the older run.
    RunId
}
number_id! {
    /// One process that drives runs. A new one at every start.
    NodeId
}
number_id! {
    /// Who owns a run: raised at every claim. A write that carries an older epoch is refused by the store.
    Epoch
}
number_id! {
    /// An entry's place in its run's journal: rising from 1. Gaps are possible where ended items of a loop were compacted.
    Seq
}

number_id! {
    /// One message to a run. Given by the store in the order in which messages were kept: of one run's, the higher id is
    /// the later one.
    MessageId
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the text as it is.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }
    };
}

text_id! {
    /// A workflow's name: what the journal and the operator call it. Stable across builds.
    WorkflowName
}
text_id! {
    /// Which build of the user's program wrote something: its version and a digest of the executable.
    BuildId
}
