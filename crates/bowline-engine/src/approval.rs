//! A question to a person, and the wait for the answer.

use std::{any::type_name, fmt, future::IntoFuture, time::Duration};

use bowline_model::{
    BoxFuture, Error, Family, Payload, Result,
    approval::{Decision, Question},
};
use bowline_store::{MailboxKind, NewMailbox};

use crate::{
    Context, WaitUntil,
    asking::Asking,
    board::{NewLeaf, NewWork, Opened},
    wait::{From, MailWait, StaysOpen, Until, Wait, at_most},
    waiting::{fits, untimed},
};

/// Longest part of a mailbox's name that is for people.
const TITLE_BYTES_MAX: usize = 1024;

/// The mailbox of that approval: what tells it apart, then its key as people read it. Two keys can read alike.
fn mailbox(opened: &Opened<'_>) -> String {
    let title = opened.key.to_string();
    let title = &title[..title.floor_char_boundary(TITLE_BYTES_MAX)];
    format!("approval:{}:{title}", opened.idempotency_key(0))
}

impl Context {
    /// Asks a person, and waits for the answer: it is shown on the dashboard's page of approvals, by the command line
    /// (`approvals`, `approve RUN`, `reject RUN`), and told to chats where alerts go.
    ///
    /// # Durability
    /// The question is on disk before the run comes to rest; the answer is taken in the commit that records it. Whether it
    /// or the timeout came first is decided in one transaction; who answers later is told so.
    ///
    /// # Errors
    /// If the question is past its limits: see [`Question::check`].
    ///
    /// ```no_run
    /// # async fn code(cx: bowline_engine::Context) -> bowline_model::Result<()> {
    /// use std::time::Duration;
    /// use bowline_model::approval::{Field, Question};
    ///
    /// let question = Question::new("Refund 900 EUR to C-17?").approver("finance").field("reason", Field::text("Why"));
    /// let decision = cx.approval("refund", question).timeout(Duration::from_secs(3 * 86_400)).await?;
    /// if decision.is_some_and(|decision| decision.approved) { /* .. */ }
    /// # Ok(()) }
    /// ```
    pub fn approval(&self, name: &str, question: Question) -> Approval<'_> {
        Approval { cx: self, name: name.to_owned(), old_names: vec![], question }
    }
}

/// A question to a person, and the wait for the answer. Made by [`Context::approval`].
#[must_use = "nobody is asked until it is awaited"]
pub struct Approval<'a> {
    cx: &'a Context,
    name: String,
    old_names: Vec<String>,
    question: Question,
}

impl<'a> Approval<'a> {
    /// The approval's name in builds before this one: runs under way go on waiting for the answer to what they asked. Call
    /// it again for a still older name.
    pub fn was(mut self, old_name: impl Into<String>) -> Self {
        self.old_names.push(old_name.into());
        self
    }

    /// Waits that long at most; then yields `None`, and an answer that comes later is refused.
    pub fn timeout(self, wait: Duration) -> WaitUntil<'a, Decision> {
        WaitUntil::new(Box::pin(self.wait(Some(Until::In(wait)))))
    }

    async fn wait(self, until: Option<Until>) -> Result<Option<Decision>> {
        let Self { cx, name, old_names, question } = self;
        question.check().map_err(|wrong| Error::permanent(format!("approval \"{name}\": {wrong}")))?;
        let about = Payload::encode(&question)?;
        let why = match &question.approver {
            Some(approver) => format!("waits for approval {name} by {approver}"),
            None => format!("waits for approval {name}"),
        };
        let why = at_most(why, until);
        let make = move |opened: &Opened<'_>| {
            let mailbox = mailbox(opened);
            let opens =
                NewMailbox { about: Some(about), ..NewMailbox::new(mailbox.clone(), MailboxKind::Approval) };
            let mail = MailWait {
                mailbox,
                before: vec![],
                from: From::World,
                at_address: false,
                opens: vec![opens],
                starts: None,
                check: fits::<Decision>,
                stays_open: StaysOpen::WhileAwaited,
            };
            Wait { until, mail: Some(mail), why }
        };
        let work = NewWork::Wait(Box::new(make));
        let leaf = cx.wait_leaf("approval", Family::Message, &name, type_name::<Decision>(), work);
        let leaf = NewLeaf { old_names, ..leaf };
        Asking::ask(cx.board(), leaf).await?.value().await
    }
}

impl<'a> IntoFuture for Approval<'a> {
    type Output = Result<Decision>;
    type IntoFuture = BoxFuture<'a, Result<Decision>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(untimed(self.wait(None)))
    }
}

impl fmt::Debug for Approval<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approval").field("name", &self.name).finish_non_exhaustive()
    }
}
