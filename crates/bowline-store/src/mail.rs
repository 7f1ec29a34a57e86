//! Messages to runs: signals, callbacks, approvals, and the ends of children.
//!
//! A run waits for a message in a mailbox of its own. What comes is kept until an entry of the run's journal delivers it.

use bowline_model::{MessageId, Payload, RunId, RunState};
use jiff::Timestamp;

/// Most messages of one run that are kept unread.
pub const MESSAGES_MAX: usize = 1000;
/// Most bytes of one run's messages that are kept unread: whoever drives it has all of them in memory.
pub const UNREAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest message that is posted. A child's output may be larger: as large as a result.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Longest id of a message at its sender.
pub const POST_ID_BYTES_MAX: usize = 512;
/// Messages with an id, per run, whose repetition is recognised after they were read.
pub const POST_IDS_KEPT_MAX: usize = 1000;
/// Longest name of a mailbox.
pub const MAILBOX_NAME_BYTES_MAX: usize = 4096;
/// Largest text that a mailbox holds about what it waits for.
pub const ABOUT_BYTES_MAX: usize = 64 * 1024;
/// Mailboxes of one run that are kept. Past it, the oldest that are answered or closed go: a message to them finds none.
pub const MAILBOXES_KEPT_MAX: usize = 10_000;
/// A page of mailboxes, if the filter does not say.
pub const MAILBOXES_PAGE_DEFAULT: usize = 50;
/// The largest page of mailboxes.
pub const MAILBOXES_PAGE_MAX: usize = 1000;

/// The mailbox in which a run is told, by the store, that it is cancelled as the run is that waits for it. It is never
/// opened, and takes no posts; what is in it stays unread. The body is the reason, as a JSON string.
pub const CANCEL_MAILBOX: &str = "cancel";

/// The mailbox in which a run that is undone learns, from the store, that one that it waits for became a dead letter.
/// Taken care of as [`CANCEL_MAILBOX`] is.
pub const FAMILY_MAILBOX: &str = "family";

/// With what a signal's mailbox is named: `signal:NAME`. One that was never opened takes messages, too.
pub const SIGNAL_PREFIX: &str = "signal:";

/// What a mailbox is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MailboxKind {
    /// Takes many messages, one for each wait.
    Signal,
    /// Takes one message, to an address that only its receiver knows.
    Callback,
    /// Takes one message: a person's decision.
    Approval,
    /// Takes one message, from the store: how a child run ended.
    Child,
}

impl MailboxKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Signal, Self::Callback, Self::Approval, Self::Child];

    /// The kind's number on disk. Never changes meaning.
    pub const fn code(self) -> i64 {
        match self {
            Self::Signal => 1,
            Self::Callback => 2,
            Self::Approval => 3,
            Self::Child => 4,
        }
    }

    /// The kind with that number on disk.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Whether it takes one message and no more.
    pub const fn is_once(self) -> bool {
        match self {
            Self::Signal => false,
            Self::Callback | Self::Approval | Self::Child => true,
        }
    }
}

/// Where a mailbox stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MailboxState {
    /// Takes messages.
    Open,
    /// Has, or had, the one message that it takes.
    Answered,
    /// Its wait timed out. That of a signal opens again with the next wait.
    Closed,
}

impl MailboxState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Open, Self::Answered, Self::Closed];

    /// The state's number on disk. Never changes meaning.
    pub const fn code(self) -> i64 {
        match self {
            Self::Open => 0,
            Self::Answered => 1,
            Self::Closed => 2,
        }
    }

    /// The state with that number on disk.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }
}

/// A mailbox, as the store gives it back. The token of its address is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// Whose it is.
    pub run: RunId,
    /// Its name, one of its run.
    pub name: String,
    /// What it is for.
    pub kind: MailboxKind,
    /// Where it stands.
    pub state: MailboxState,
    /// When it was opened last.
    pub opened_at: Timestamp,
    /// When its wait times out. It closes by the run's write, not by itself.
    pub until: Option<Timestamp>,
    /// What it waits for: an approval's question, approver and fields.
    pub about: Option<Payload>,
}

/// Which mailboxes to list.
#[derive(Debug, Clone, Default)]
pub struct MailboxFilter {
    /// Of this run.
    pub run: Option<RunId>,
    /// Of this kind.
    pub kind: Option<MailboxKind>,
    /// In this state.
    pub state: Option<MailboxState>,
    /// At most this many; 0 means [`MAILBOXES_PAGE_DEFAULT`], and never more than [`MAILBOXES_PAGE_MAX`].
    pub limit: usize,
}

/// A message that no entry has delivered yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id: rising.
    pub id: MessageId,
    /// In which mailbox of its run.
    pub mailbox: String,
    /// When it was posted.
    pub at: Timestamp,
    /// What it says. Of a child's end: `{"run": 7, "state": "completed", "output": …}`, or
    /// `{"run": 7, "state": "cancelled", "why": …}` with the run's summary (a string or null).
    pub body: Payload,
}

/// A message on its way in.
#[derive(Debug, Clone)]
pub struct Post {
    /// To whom.
    pub to: Address,
    /// Its id at its sender, if it has one: it is kept once in its mailbox. At most [`POST_ID_BYTES_MAX`].
    pub id: Option<String>,
    /// What it says, at most [`MESSAGE_BYTES_MAX`].
    pub body: Payload,
    /// When.
    pub now: Timestamp,
}

/// To whom a message goes.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// A run's mailbox. One of a child's end is none: what it takes comes from the store.
    Mailbox {
        /// Whose. A signal to a run that went on as another one comes to the latest of them.
        run: RunId,
        /// Its name.
        name: String,
    },
    /// The mailbox whose address has the token with this SHA-256.
    Token([u8; 32]),
}

/// Without the token.
impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mailbox { run, name } => {
                f.debug_struct("Mailbox").field("run", run).field("name", name).finish()
            }
            Self::Token(_) => f.write_str("Token(…)"),
        }
    }
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// It is on disk, and its run goes on with it.
    Kept {
        /// Whose it is.
        run: RunId,
        /// Its id.
        message: MessageId,
    },
    /// Its id was kept before in that mailbox; this one was not.
    Duplicate {
        /// Whose mailbox it is.
        run: RunId,
    },
    /// The mailbox takes one message, and has had it.
    Answered {
        /// Whose mailbox it is.
        run: RunId,
    },
    /// The wait timed out before.
    Closed {
        /// Whose mailbox it is.
        run: RunId,
    },
    /// The run is completed or cancelled.
    Ended {
        /// Which run.
        run: RunId,
        /// How it stands.
        state: RunState,
    },
    /// No such run is stored.
    NoSuchRun,
    /// The run has no such mailbox, or none has that token (any more).
    NoSuchMailbox,
    /// So many messages of the run wait to be read already, or so many bytes of them: [`UNREAD_BYTES_MAX`].
    TooMany {
        /// The limit to their number.
        limit: usize,
    },
}
