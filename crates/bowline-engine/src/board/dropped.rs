//! What the code asked for and has dropped: what is known of it is noted, and who would answer is told that nobody waits.

use bowline_model::{Entry, EntryKind, EntryMeta, Verdict};

use super::{Address, Board, BoardState};
use crate::{
    leaf::{Leaf, LeafId, Phase, Work},
    wait::StaysOpen,
};

impl Board {
    /// The code dropped a leaf. If its effect may have happened, that is noted.
    pub(crate) fn drop_leaf(&self, id: LeafId) {
        let mut state = self.lock();
        let Some(leaf) = state.leaves.remove(&id) else { return };
        if let Phase::Arrived(_) = leaf.phase {
            state.arrivals.retain(|arrived| *arrived != id);
        }
        if state.ended {
            return;
        }
        let was_sent = leaf.sending().is_some_and(|sending| sending.unknown_since.is_some());
        let (known, may_have_acted) = match leaf.phase {
            Phase::Asked if was_sent => {
                ("the code went on without it; an attempt was under way at a crash", true)
            }
            Phase::Asked | Phase::Starting(_)
                if leaf.sending().is_some_and(|sending| sending.begun && sending.unknown_since.is_none()) =>
            {
                ("the code went on without it; nothing was sent", false)
            }
            Phase::Asked => return state.lets_go(&leaf),
            Phase::Starting(_) | Phase::Delivered(_) => return,
            Phase::Backoff { .. } => ("the code went on without it; no further attempt will be made", false),
            Phase::Waiting { .. } if state.withdraw(&leaf) => return state.lets_go(&leaf),
            Phase::Waiting { .. } => {
                state.close_unwanted(&leaf.work);
                ("the code went on without it; nobody waits any more", false)
            }
            Phase::Running => ("the code went on without it; an attempt was under way", true),
            Phase::Arrived(Verdict::Done(_)) => ("the code went on without it; it was done", true),
            Phase::Arrived(Verdict::Unknown(_)) => {
                ("the code went on without it; an attempt had no answer", true)
            }
            Phase::Arrived(Verdict::RetryAfter(_) | Verdict::Wait { .. } | Verdict::Refused(_)) => {
                ("the code went on without it; an attempt had failed", false)
            }
        };
        let (key, mut meta) = leaf.note();
        meta.note = Some(known.to_owned());
        if may_have_acted {
            meta.unknown_since = meta.unknown_since.or(leaf.sending().and_then(|sending| sending.started));
        }
        self.append(&mut state, EntryKind::Dropped, key, meta, None);
    }

    /// The code goes on without having waited at addresses that it made: who sends there is told that nobody waits. Code that
    /// ends there instead leaves them open, as a retry may wait.
    pub(crate) fn close_let_go(&self) {
        let mut state = self.lock();
        for (key, mailbox) in std::mem::take(&mut state.let_go) {
            // An earlier life has closed it.
            if state.ended || state.journal.knows(&key) {
                continue;
            }
            let note = Some("the code went on without it; nobody waits".to_owned());
            let meta = EntryMeta { note, ..EntryMeta::default() };
            self.append(&mut state, EntryKind::Dropped, key, meta, None);
            state.unwritten.also.abandons.push(mailbox);
        }
    }

    /// The code drops an address at which it has not waited.
    pub(crate) fn let_go(&self, address: &Address) {
        self.lock().let_go.push((address.key.clone(), address.mailbox.clone()));
    }
}

impl BoardState {
    /// Takes back the beginning of a wait that is not on disk yet, with what would have happened in its commit; says
    /// whether it was so.
    pub(crate) fn withdraw(&mut self, leaf: &Leaf) -> bool {
        let begun = |entry: &Entry| entry.kind == EntryKind::Awaited && entry.key == leaf.key;
        let Some(at) = self.unwritten.entries.iter().position(begun) else { return false };
        self.unwritten.entries.remove(at);
        for entry in &mut self.unwritten.entries[at..] {
            entry.seq.0 -= 1;
        }
        self.journal.take_back(1);
        let Work::Wait(wait) = &leaf.work else { return true };
        let Some(mail) = &wait.mail else { return true };
        // Others may wait for the same name.
        let awaited: Vec<String> = mail.mailboxes().filter(|name| self.waits_in(name) > 0).cloned().collect();
        let also = &mut self.unwritten.also;
        also.opens.retain(|opens| !mail.takes_from(&opens.name) || awaited.contains(&opens.name));
        also.starts.retain(|starts| starts.tells.as_ref() != Some(&mail.mailbox));
        true
    }

    /// The code drops a wait of which nothing is on disk. An address is there all the same, where it was made before.
    pub(super) fn lets_go(&mut self, leaf: &Leaf) {
        let Work::Wait(wait) = &leaf.work else { return };
        if let Some(mail) = wait.mail.as_ref().filter(|mail| mail.at_address) {
            self.let_go.push((leaf.key.clone(), mail.mailbox.clone()));
        }
    }

    /// Nobody waits there any more: who sends later is told so.
    pub(super) fn close_unwanted(&mut self, work: &Work) {
        let Work::Wait(wait) = work else { return };
        if let Some(mail) = wait.mail.as_ref().filter(|mail| mail.stays_open == StaysOpen::WhileAwaited) {
            self.unwritten.also.abandons.push(mail.mailbox.clone());
        }
    }
}
