//! Tell: a message to a run. A signal for which it waits, or will; a person's decision.
//!
//! What must never happen here: a message that is answered before it is on disk, a decision that does not fit its
//! question.

use bowline_model::{
    Payload, Run, RunId, RunState,
    approval::{Decision, Question},
};
use bowline_store::{
    Address, Mailbox, MailboxFilter, MailboxKind, MailboxState, Post, Posted,
    mail::{MAILBOXES_PAGE_MAX, MESSAGE_BYTES_MAX, POST_ID_BYTES_MAX, SIGNAL_PREFIX},
};
use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::{Commands, Error};
use crate::{
    view::mailbox_title,
    wording::{clean, cut},
};

/// Longest name of a signal.
pub const SIGNAL_NAME_BYTES_MAX: usize = 512;
/// How much of a name an error repeats, in characters.
const NAME_SHOWN_CHARS_MAX: usize = 100;

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The run that has it: if the one that was named went on as another one, that one.
    pub run: RunId,
    /// To what it was said: the signal's name, the approval's.
    pub to: String,
    /// Whether it was kept.
    pub status: ToldStatus,
}

/// See [`Told::status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToldStatus {
    /// It is on disk, and the run gets it.
    Kept,
    /// One with this id was kept before; this one was not.
    Duplicate,
}

impl Commands {
    /// Sends a signal to a run that has not ended: its next wait for that name gets it, or the one that it is in. `body` is JSON;
    /// nothing at all is `null`. Of those with the same `id` the first is kept.
    ///
    /// # Durability
    /// `Kept` is said after the commit. A crash before that leaves no signal, or one: with an `id` it can be sent again.
    ///
    /// # Errors
    /// If there is no such run or it has ended, the wait for it timed out, too many wait to be read, the body is no JSON
    /// or too large; or the store does not answer.
    pub async fn signal(
        &self,
        run: RunId,
        name: &str,
        id: Option<String>,
        body: impl Into<bytes::Bytes>,
    ) -> Result<Told, Error> {
        if !(1..=SIGNAL_NAME_BYTES_MAX).contains(&name.len()) {
            let message =
                format!("a signal's name has 1 to {SIGNAL_NAME_BYTES_MAX} bytes, not {}", name.len());
            return Err(Error::invalid(message, "see what the workflow waits for: `show` says it"));
        }
        let body = json(body.into())?;
        self.post(run, format!("{SIGNAL_PREFIX}{name}"), name, id, body).await
    }

    /// Answers an approval for which a run waits: the one of that name, or the only one.
    ///
    /// # Durability
    /// The decision is on disk when this returns, and there is no other one. After a crash before that the question is
    /// open, or answered.
    ///
    /// # Errors
    /// If the run waits for no such approval, it was answered or timed out, or the decision does not fit the question:
    /// then with all that is wrong.
    pub async fn decide(
        &self,
        run: RunId,
        approval: Option<&str>,
        decision: Decision,
    ) -> Result<Told, Error> {
        let mailbox = self.approval(run, approval).await?;
        let run = mailbox.run;
        let title = mailbox_title(&mailbox.name);
        match mailbox.state {
            MailboxState::Open => {}
            MailboxState::Answered => return Err(Error::answered(run, &title)),
            MailboxState::Closed => return Err(Error::timed_out(run, &title)),
        }
        let question = mailbox.about.as_ref().and_then(|about| about.decode::<Question>().ok());
        let question = question.ok_or_else(|| Error::unreadable_question(run, &title))?;
        let decision = question.checked(decision).map_err(|wrong| Error::unfit(&title, wrong))?;
        let body = Payload::encode(&decision).expect("a decision has a JSON form");
        let approved = decision.approved;
        let told = self.post(run, mailbox.name, &title, None, body).await?;
        tracing::info!(run = run.0, approval = title, approved, "an approval was answered");
        Ok(told)
    }

    /// The run's approval of that name; without a name the only open one.
    async fn approval(&self, run: RunId, name: Option<&str>) -> Result<Mailbox, Error> {
        let (run, found) = self.where_now(run).await?;
        let filter = MailboxFilter {
            run: Some(run),
            kind: Some(MailboxKind::Approval),
            limit: MAILBOXES_PAGE_MAX,
            ..MailboxFilter::default()
        };
        let all = self.store.mailboxes(filter).await?;
        match found.state {
            RunState::Completed | RunState::Cancelled => return Err(Error::takes_no_mail(run, found.state)),
            // A dead letter gets its messages when it is retried.
            RunState::Queued | RunState::Running | RunState::Waiting | RunState::DeadLettered => {}
        }
        let open = |mailbox: &&Mailbox| mailbox.state == MailboxState::Open;
        let names =
            || all.iter().filter(open).map(|mailbox| mailbox_title(&mailbox.name)).collect::<Vec<_>>();
        match name {
            Some(name) => {
                let is_it = |mailbox: &&Mailbox| mailbox.name == name || mailbox_title(&mailbox.name) == name;
                let mut asked = all.iter().filter(|mailbox| is_it(mailbox) && open(mailbox));
                let it = asked.next();
                if let (Some(one), Some(other)) = (it, asked.next()) {
                    // Their keys read alike: only their whole names tell them apart.
                    let alike: Vec<_> = [one, other].iter().map(|mailbox| mailbox.name.clone()).collect();
                    return Err(Error::no_such_approval(run, None, &alike));
                }
                let it = it.or_else(|| all.iter().find(is_it));
                it.cloned().ok_or_else(|| Error::no_such_approval(run, Some(&shown(name)), &names()))
            }
            None => match all.iter().filter(open).collect::<Vec<_>>().as_slice() {
                [only] => Ok((*only).clone()),
                [] | [_, ..] => Err(Error::no_such_approval(run, None, &names())),
            },
        }
    }

    /// The run, or the one that went on in its place.
    async fn where_now(&self, run: RunId) -> Result<(RunId, Run), Error> {
        let found = self.store.run(run).await?;
        let latest = match found.as_ref().is_none_or(|found| found.state == RunState::Completed) {
            true => self.store.went_on(run).await?,
            false => None,
        };
        let (run, found) = match latest {
            Some(latest) => (latest, self.store.run(latest).await?),
            None => (run, found),
        };
        Ok((run, found.ok_or_else(|| Error::no_such_run(run))?))
    }

    async fn post(
        &self,
        run: RunId,
        mailbox: String,
        title: &str,
        id: Option<String>,
        body: Payload,
    ) -> Result<Told, Error> {
        if let Some(bytes) =
            id.as_ref().map(String::len).filter(|bytes| !(1..=POST_ID_BYTES_MAX).contains(bytes))
        {
            let message = format!("the Idempotency-Key has {bytes} bytes; it has 1 to {POST_ID_BYTES_MAX}");
            return Err(Error::invalid(message, "a UUID is enough"));
        }
        let to = Address::Mailbox { run, name: mailbox };
        let (run, status) = match self.store.post(Post { to, id, body, now: self.clock.now() }).await? {
            Posted::Kept { run, .. } => (run, ToldStatus::Kept),
            Posted::Duplicate { run } => (run, ToldStatus::Duplicate),
            Posted::Answered { run } => return Err(Error::answered(run, title)),
            Posted::Closed { run } => return Err(Error::timed_out(run, title)),
            Posted::Ended { run, state } => return Err(Error::takes_no_mail(run, state)),
            Posted::NoSuchRun => return Err(Error::no_such_run(run)),
            Posted::NoSuchMailbox => return Err(Error::no_such_approval(run, Some(title), &[])),
            Posted::TooMany { limit } => return Err(Error::too_many_messages(run, limit)),
        };
        if status == ToldStatus::Kept {
            (self.poke)();
        }
        Ok(Told { run, to: title.to_owned(), status })
    }
}

/// A body as it is kept: JSON, within the limit.
fn json(body: bytes::Bytes) -> Result<Payload, Error> {
    if body.len() > MESSAGE_BYTES_MAX {
        return Err(Error::too_large(body.len(), MESSAGE_BYTES_MAX));
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Payload::from_stored("null"));
    }
    // Its words name a place and what stands there, and no value.
    let read = serde_json::from_slice::<IgnoredAny>(&body);
    read.map_err(|error| Error::invalid(format!("the body is no JSON: {error}"), "send one JSON document"))?;
    Ok(Payload::from_stored(body))
}

fn shown(name: &str) -> String {
    cut(&clean(name), NAME_SHOWN_CHARS_MAX)
}
