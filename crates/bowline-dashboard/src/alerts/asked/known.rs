//! Which questions people were told of, as small as it can be kept.

use bowline_model::RunId;
use bowline_store::Mailbox;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Most questions that are kept one by one: some 400 KiB on disk. Those put before them count as told.
const QUESTIONS_MAX: usize = 8_000;

/// The open questions that people know. One that was answered is dropped from it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// Those put last first.
    questions: Vec<Told>,
    /// All that were put by then were told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

/// A question: its run, when it was put, and its name's digest. One that is put again has another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Told(RunId, Timestamp, u32);

impl Told {
    fn of(mailbox: &Mailbox) -> Self {
        let digest = Sha256::digest(mailbox.name.as_bytes());
        let digest = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        Self(mailbox.run, mailbox.opened_at, digest)
    }
}

impl Known {
    pub(super) fn holds(&self, mailbox: &Mailbox) -> bool {
        self.until.is_some_and(|until| mailbox.opened_at <= until)
            || self.questions.contains(&Told::of(mailbox))
    }

    /// Those that were told, of a list that ends with `last` if there are more open ones: of those beyond it, what was
    /// told before is still known.
    pub(super) fn with<'a>(&self, told: impl Iterator<Item = &'a Mailbox>, last: Option<&Mailbox>) -> Self {
        let mut questions: Vec<Told> = told.map(Told::of).collect();
        if let Some(last) = last {
            let beyond = self.questions.iter().filter(|Told(_, put, _)| *put <= last.opened_at);
            let beyond: Vec<Told> = beyond.filter(|it| !questions.contains(it)).copied().collect();
            questions.extend(beyond);
        }
        let dropped = questions.get(QUESTIONS_MAX).map(|Told(_, put, _)| *put);
        questions.truncate(QUESTIONS_MAX);
        Self { questions, until: self.until.max(dropped) }
    }
}

#[cfg(test)]
mod tests {
    use bowline_store::{MailboxKind, MailboxState};

    use super::*;

    fn asked(run: i64, name: &str, second: i64) -> Mailbox {
        Mailbox {
            run: RunId(run),
            name: format!("approval:\"{name}\"#1"),
            kind: MailboxKind::Approval,
            state: MailboxState::Open,
            opened_at: Timestamp::from_second(second).unwrap(),
            until: None,
            about: None,
        }
    }

    #[test]
    fn a_question_is_known_by_its_run_its_name_and_when_it_was_put() {
        let known = Known::default().with([asked(1, "refund", 10)].iter(), None);
        assert!(known.holds(&asked(1, "refund", 10)));
        for other in [asked(2, "refund", 10), asked(1, "ship", 10), asked(1, "refund", 11)] {
            assert!(!known.holds(&other), "{other:?}");
        }
        let read: Known = serde_json::from_str(&serde_json::to_string(&known).unwrap()).unwrap();
        assert_eq!(read, known);
    }

    #[test]
    fn what_was_answered_is_dropped_and_what_is_beyond_the_list_is_kept() {
        let (old, newer) = (asked(1, "a", 10), asked(2, "a", 20));
        let known = Known::default().with([newer.clone(), old.clone()].iter(), None);
        assert!(!known.with([newer.clone()].iter(), None).holds(&old), "it was answered");
        assert!(known.with([newer.clone()].iter(), Some(&newer)).holds(&old), "it may be open");
    }

    #[test]
    fn past_the_limit_what_was_put_before_counts_as_told() {
        let many: Vec<Mailbox> =
            (0..i64::try_from(QUESTIONS_MAX).unwrap() + 5).rev().map(|n| asked(n, "a", n)).collect();
        let known = Known::default().with(many.iter(), None);
        assert_eq!(known.questions.len(), QUESTIONS_MAX);
        assert!(many.iter().all(|mailbox| known.holds(mailbox)));
        assert!(!known.holds(&asked(1, "a", 99_999)));
    }
}
