//! What the simulated store knows besides the journal: messages, children, counters; held to the promises of the real one.

use std::collections::{BTreeMap, BTreeSet};

use bowline_model::{Entry, EntryKey, EntryKind, Family, MessageId, Payload};
use bowline_store::{Also, Answered, Ask, Message, StateOp};

use super::{interpreter::Counted, sim::SEED, world::World};
use crate::{board::Unwritten, key::idempotency_key};

#[derive(Clone, Default)]
pub(super) struct Office {
    unread: Vec<Message>,
    last: i64,
    /// Mailboxes whose wait timed out: they take nothing until a wait opens them.
    closed: BTreeSet<String>,
    /// Children by their dedupe keys, with the mailboxes that learn their end.
    children: BTreeMap<String, String>,
    /// How those ended that did.
    ended: BTreeMap<String, String>,
    /// Mailboxes in which nobody waits any more.
    abandoned: BTreeSet<String>,
    /// Messages that were put into a mailbox, and those that an entry delivered.
    posted: BTreeSet<MessageId>,
    delivered: BTreeSet<MessageId>,
    counters: BTreeMap<String, u64>,
}

/// What became of a write.
pub(super) enum Filed {
    Done(Option<Answered>),
    Overtaken,
    /// What was asked for failed, and nothing was written.
    Failed(bowline_model::Failure),
}

impl Office {
    pub(super) fn unread(&self) -> Vec<Message> {
        self.unread.clone()
    }

    pub(super) fn has_after(&self, seen: Option<MessageId>) -> bool {
        self.unread.iter().any(|message| seen.is_none_or(|seen| message.id > seen))
    }

    fn put(&mut self, mailbox: String, body: String) {
        self.last += 1;
        let id = MessageId(self.last);
        self.posted.insert(id);
        let body = Payload::from_stored(body);
        self.unread.push(Message { id, mailbox, at: jiff::Timestamp::UNIX_EPOCH, body });
    }

    /// A write's other half, all of it or nothing. `chance` decides whether an ask fails.
    pub(super) fn file(&mut self, unwritten: &mut Unwritten, fails: bool) -> Filed {
        let Also { consumes, closes, opens, starts, ask, abandons, returns, expects_none, compact: _ } =
            unwritten.also.clone();
        assert!(returns.is_empty(), "no program makes these");
        assert!(!unwritten.entries.is_empty() || unwritten.also.is_empty(), "what comes with no entry");
        for mailbox in closes.iter().chain(&expects_none) {
            let waits = |message: &Message| message.mailbox == *mailbox && !consumes.contains(&message.id);
            if self.unread.iter().any(waits) {
                return Filed::Overtaken;
            }
        }
        if ask.is_some() && fails {
            return Filed::Failed(bowline_model::Failure::refused("the store said no").permanent());
        }
        for entry in &unwritten.entries {
            self.check_entry(entry, &unwritten.also);
        }
        for start in &starts {
            let begun = |entry: &Entry| {
                entry.kind == EntryKind::Awaited
                    && idempotency_key(SEED, &entry.key, &entry.key.name, 0) == start.event.dedupe_key
            };
            assert!(unwritten.entries.iter().any(begun), "a child is started that nobody waits for");
        }
        for id in consumes {
            let at = self.unread.iter().position(|message| message.id == id);
            self.unread.remove(at.expect("a message is taken once, and it is there"));
            assert!(self.delivered.insert(id), "message {id} was delivered twice");
        }
        self.closed.extend(closes);
        for mailbox in &abandons {
            self.unread.retain(|message| message.mailbox != *mailbox);
            self.closed.insert(mailbox.clone());
            self.abandoned.insert(mailbox.clone());
        }
        for mailbox in opens {
            self.closed.remove(&mailbox.name);
        }
        for start in starts {
            let tells = start.tells.expect("no program starts a run for nobody");
            let identity = start.event.dedupe_key;
            if self.children.insert(identity.clone(), tells.clone()).is_some() {
                // An operator's retry, or a loop's item that came again: the code waits once more for what it went on without,
                // or for what has ended.
                let end = self.ended.get(&identity).cloned();
                let waited = self.abandoned.remove(&tells);
                assert!(waited || end.is_some(), "child {identity} was started twice");
                if let Some(end) = end {
                    self.put(tells, end);
                }
            }
        }
        let answer = ask.map(|ask| {
            let Ask::State(ask) = ask else { unreachable!("no program has SQL") };
            assert!(matches!(ask.op, StateOp::Add { by: 1, .. }));
            let count = self.counters.entry(ask.key).or_default();
            *count += 1;
            let answer = Payload::encode(&Counted { value: *count }).expect("JSON");
            unwritten.entries.last_mut().expect("an ask has an entry").payload = Some(answer.clone());
            Answered::Value(answer)
        });
        Filed::Done(answer)
    }
}

impl Office {
    /// A message is taken with the entry that delivers it, and is what was sent; a wait that timed out is over on disk.
    fn check_entry(&self, entry: &Entry, also: &Also) {
        if !matches!(entry.kind, EntryKind::Message | EntryKind::Child) {
            return;
        }
        let Some(id) = entry.meta.message else {
            let mailbox = format!("signal:{}", entry.key.name);
            let ends = also.closes.iter().chain(&also.expects_none);
            assert!(
                ends.into_iter().any(|name| *name == mailbox),
                "a wait timed out, and nobody asked for its mail"
            );
            return;
        };
        assert!(also.consumes.contains(&id), "message {id} is delivered, and not taken");
        let message = self.unread.iter().find(|message| message.id == id).expect("it is unread");
        let sent = String::from_utf8_lossy(message.body.as_bytes()).into_owned();
        let got = match (&entry.payload, &entry.meta.failure) {
            (Some(payload), _) => String::from_utf8_lossy(payload.as_bytes()).into_owned(),
            (None, Some(failure)) => failure.message.rsplit(' ').next().unwrap_or_default().to_owned(),
            (None, None) => panic!("message {id} has no value"),
        };
        let is_whole = entry.kind == EntryKind::Message && sent == got;
        let is_output = entry.kind == EntryKind::Child && sent.contains(&format!(r#""output":{got}}}"#));
        let is_reason = entry.kind == EntryKind::Child && sent.contains(&format!(r#" {got}""#));
        assert!(is_whole || is_output || is_reason, "{sent} was sent, and {got} delivered");
    }
}

impl World {
    /// Somebody sends a signal, or a child ends: whatever chance wills. Says whether anything did.
    pub(super) fn something_comes(&self) -> bool {
        let signal = ["paid", "packed"][self.pick(2)];
        let (value, ends_well) = (self.unique(), !self.one_in(4));
        let nth = self.pick(8);
        let mut state = self.lock();
        let office = &mut state.disk.post;
        let open: Vec<(String, String)> = office
            .children
            .iter()
            .filter(|(identity, mailbox)| {
                !office.ended.contains_key(*identity) && !office.closed.contains(*mailbox)
            })
            .map(|(identity, mailbox)| (identity.clone(), mailbox.clone()))
            .collect();
        if let Some((identity, mailbox)) = open.get(nth) {
            let end = match ends_well {
                true => format!(r#"{{"run":{nth},"state":"completed","output":{value}}}"#),
                false => format!(r#"{{"run":{nth},"state":"cancelled","why":"by hand {value}"}}"#),
            };
            office.ended.insert(identity.clone(), end.clone());
            office.put(mailbox.clone(), end);
            return true;
        }
        let mailbox = format!("signal:{signal}");
        if office.closed.contains(&mailbox) {
            return false;
        }
        office.put(mailbox, value.to_string());
        true
    }

    /// Whether the run waits for a message that only somebody else can send.
    pub(super) fn waits_for_mail(&self) -> Vec<EntryKey> {
        let state = self.lock();
        let mut waits = BTreeSet::new();
        for entry in &state.disk.entries {
            match (entry.kind, entry.key.family) {
                (EntryKind::Awaited, Family::Message | Family::Child) => {
                    waits.insert(entry.key.clone());
                }
                (EntryKind::Message | EntryKind::Child | EntryKind::Dropped, _) => {
                    waits.remove(&entry.key);
                }
                _ => {}
            }
        }
        waits.into_iter().collect()
    }
}
