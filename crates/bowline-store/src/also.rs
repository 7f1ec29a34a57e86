//! What a run's progress changes besides its journal and its state, in the same commit.

use bowline_model::{MessageId, NewEvent, Payload, Seq};
use jiff::Timestamp;

use crate::{Ask, MailboxKind};

/// Longest of each of the lists of an [`Also`].
pub const ALSO_LEN_MAX: usize = 100_000;

/// What a run's progress changes besides its journal and its state, in the same commit.
#[derive(Debug, Clone, Default)]
pub struct Also {
    /// Entries of the run that are removed: those of a loop's ended items. The places in its journal stay taken.
    pub compact: Vec<Seq>,
    /// Mailboxes that it opens. One that is open stays so; one that was answered stays answered.
    pub opens: Vec<NewMailbox>,
    /// Messages that these entries deliver: they are read. A mailbox that takes one message stays answered; a child's goes.
    pub consumes: Vec<MessageId>,
    /// Mailboxes whose wait timed out. A message that is in one of them unread, and not consumed here, refuses the write.
    pub closes: Vec<String>,
    /// Mailboxes that must have no unread message, and stay open: refused as [`closes`](Self::closes) is.
    pub expects_none: Vec<String>,
    /// Mailboxes in which nobody waits any more: closed, whatever is in them; what was unread there goes. One that
    /// [`opens`](Self::opens) names too is open, unless it has an address.
    pub abandons: Vec<String>,
    /// Messages that nobody could read: removed; a mailbox that takes one message takes another.
    pub returns: Vec<MessageId>,
    /// Runs that it starts, in order.
    pub starts: Vec<NewStart>,
    /// What the store decides; its answer becomes the payload of the last entry.
    pub ask: Option<Ask>,
}

impl Also {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        let Self { compact, opens, consumes, closes, expects_none, abandons, returns, starts, ask } = self;
        compact.is_empty()
            && opens.is_empty()
            && consumes.is_empty()
            && closes.is_empty()
            && expects_none.is_empty()
            && abandons.is_empty()
            && returns.is_empty()
            && starts.is_empty()
            && ask.is_none()
    }
}

/// A mailbox on its way in.
#[derive(Clone)]
pub struct NewMailbox {
    /// Its name, one of its run: `signal:NAME`, `callback:KEY`, `approval:KEY`, `child:KEY`.
    pub name: String,
    /// What it is for.
    pub kind: MailboxKind,
    /// The SHA-256 of the token in its address, if it has one.
    pub token: Option<[u8; 32]>,
    /// When its wait times out, for people: it closes by [`Also::closes`] only.
    pub until: Option<Timestamp>,
    /// What it waits for, for people: an approval's question, approver and fields.
    pub about: Option<Payload>,
}

/// Without the token.
impl std::fmt::Debug for NewMailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewMailbox")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("has_token", &self.token.is_some())
            .field("until", &self.until)
            .field("about", &self.about)
            .finish()
    }
}

/// A run that another run starts.
#[derive(Debug, Clone)]
pub struct NewStart {
    /// Its event, with one run, whose `parent` is the run that starts it. The source is `child` or `start`; the pair of
    /// source and dedupe key is known for as long as the parent has not ended (a dead letter has not), whatever
    /// `dedupe_until` says, and among this parent's only.
    pub event: NewEvent,
    /// The parent's mailbox that learns the end, which a dead letter has once an operator let it go on or discarded it; it
    /// is opened if it is not there. `None`: nobody learns it.
    pub tells: Option<String>,
    /// The dedupe key of an earlier start of the same child. If that run completed, is open or a dead letter, it is the
    /// one that is waited for, and nothing is started.
    pub earlier: Option<String>,
    /// Whether it goes on in the place of the run that starts it, which completes in the same write: who was to learn
    /// this run's end learns that one's instead, and the unread signals are that one's.
    pub continues: bool,
}

impl NewMailbox {
    /// A mailbox without an address, a time at which it ends, or words for people.
    pub fn new(name: impl Into<String>, kind: MailboxKind) -> Self {
        Self { name: name.into(), kind, token: None, until: None, about: None }
    }
}
