//! Where events and runs become durable.
//!
//! What comes in: verified events, claims, progress, an operator's commands. What goes out: answers that are true
//! after a crash; every method that writes returns after its commit, and no sooner.
//!
//! What must never happen elsewhere: SQL. What must never happen here: a decision about a run.
//!
//! [`Store`] is the trait; [`sqlite`] the store in the box.

pub mod also;
pub mod ask;
pub mod error;
pub mod mail;
pub mod sql_value;
pub mod sqlite;
pub mod state;
pub mod store;

pub use also::{Also, NewMailbox, NewStart};
pub use ask::{Answered, Ask, Sql, SqlRow, SqlValue, StateAsk, StateOp, UserSql, UserTransaction};
pub use error::{StoreError, StoreErrorKind};
pub use mail::{Address, Mailbox, MailboxFilter, MailboxKind, MailboxState, Message, Post, Posted};
pub use sql_value::{FromSqlValue, SqlParams};
#[doc(hidden)]
pub use sqlite::Failure;
pub use sqlite::{LockHolder, SqliteOptions, SqliteReader, SqliteStore, Synchronous, lock_holder};
pub use state::{StateEntry, StateFilter};
pub use store::{
    Accepted, Batch, Claim, Counts, CursorMove, History, NodeStart, Operation, Paused, RunFilter, RunWrite,
    Store, Transition, Written,
};
