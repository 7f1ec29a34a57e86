//! The nouns of Bowline, and the ports where its crates meet.
//!
//! What comes in: nothing but values. What goes out: types that every other crate shares, so that an
//! event, a run or a failure means the same at the door, on disk, in the engine and on a page.
//!
//! What must never happen here: SQL, sockets, files, or a decision that needs them.
//!
//! | Module | Story |
//! |---|---|
//! | [`event`] | one immutable accepted input |
//! | [`run`] | one execution of one workflow for one event |
//! | [`entry`] | what a run's journal consists of |
//! | [`flow`] | by which rules a run begins |
//! | [`generation`] | under which key a step sends, after operators' retries |
//! | [`effect`] | the port between engine and client: one attempt, one verdict |
//! | [`undo`] | the port of undoing: a call as data, and data as a call again |
//! | [`listing`], [`streaming`] | the ports between loops and what they go over |
//! | [`retry`] | the one retry schedule, decided purely |
//! | [`progress`] | whether the engine makes progress, as readiness asks |
//! | [`error`] | failures as data |
//! | [`certificate`](mod@certificate) | when a certificate ends |
//! | [`alert`] | what a person should hear of at once |
//! | [`approval`] | a question to a person, and the answer |
//! | [`canonical`] | JSON whose bytes depend on its value only |
//! | [`clock`] | the one source of time and randomness |
//! | [`credential`] | where refreshed tokens live |
//! | [`secret`], [`variables`] | values that cannot be printed, and where they come from |

pub mod alert;
pub mod approval;
pub mod canonical;
pub mod certificate;
pub mod clock;
pub mod credential;
pub mod effect;
pub mod entry;
pub mod error;
pub mod event;
pub mod flow;
pub mod generation;
pub mod ids;
pub mod listing;
pub mod progress;
pub mod retry;
pub mod run;
pub mod secret;
pub mod streaming;
pub mod undo;
pub mod variables;

pub use alert::{Alert, AlertKind, Alerts, LoggedAlerts};
pub use clock::{BoxFuture, Clock, SystemClock};
pub use credential::{CredentialAnswer, CredentialError, CredentialStore, StoredCredential};
pub use effect::{Attempt, Effect, Recorded, Repeat, Shape, Verdict};
pub use entry::{Entry, EntryKey, EntryKind, EntryMeta, Family, Fingerprint, Payload, Position, ScopePath};
pub use error::{CallFailure, Certainty, Error, Failure, Result};
pub use event::{Event, NewEvent};
pub use flow::{FlowRule, FlowRules, Gather, Line, OnDead, Rate, Ruled, RunFlow, Unruled};
pub use ids::{BuildId, Epoch, EventId, MessageId, NodeId, RunId, Seq, WorkflowName};
pub use listing::Listing;
pub use progress::Progress;
pub use retry::RetryPolicy;
pub use run::{DeadReason, KeySeed, NewRun, Run, RunState};
pub use secret::Secret;
pub use streaming::{Opened, Streaming};
pub use undo::{Recall, Recalled, Reversible};
pub use variables::Variables;
