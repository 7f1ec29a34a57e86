//! Inboxes of an app: a folder, and what each file in it starts.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bowline_ingress::{
    TriggerKind,
    inbox::{self, EVERY_DEFAULT, InboxFile, InboxSpec, Pattern, STABLE_DEFAULT},
};
use bowline_model::Variables;

use crate::{
    App, Workflow,
    triggers::{TWICE, Trigger, twins},
    workflow::Declared,
};

/// A folder into which others put files, and which of them are taken. A plain path is one.
///
/// | Option | Default |
/// |---|---|
/// | [`pattern`](Self::pattern) | `*`: all names |
/// | [`stable_for`](Self::stable_for): for how long length and time must not change | [2 s](STABLE_DEFAULT) |
/// | [`every`](Self::every): how often it is looked into | [1 s](EVERY_DEFAULT) |
///
/// Left alone are hidden files, names that say that a file is on its way (`.part`, `.tmp`, `.crdownload`, `~` and their
/// like), folders, links, and what is none of these.
#[derive(Debug, Clone)]
pub struct Inbox {
    folder: Folder,
    pattern: Pattern,
    stable_for: Duration,
    every: Duration,
}

#[derive(Debug, Clone)]
enum Folder {
    At(PathBuf),
    Variable(String),
}

impl Inbox {
    /// The folder at that path.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self::new(Folder::At(path.into()))
    }

    /// The folder that a variable of the environment names.
    pub fn folder_env(variable: impl Into<String>) -> Self {
        Self::new(Folder::Variable(variable.into()))
    }

    fn new(folder: Folder) -> Self {
        Self { folder, pattern: Pattern::new("*"), stable_for: STABLE_DEFAULT, every: EVERY_DEFAULT }
    }

    /// Takes only files whose names fit: `*` stands for any characters, `?` for one.
    pub fn pattern(mut self, pattern: impl Into<String>) -> Self {
        self.pattern = Pattern::new(pattern);
        self
    }

    /// For how long a file's length and time must not change before it is taken. Longer than a sender pauses.
    pub fn stable_for(mut self, time: Duration) -> Self {
        self.stable_for = time;
        self
    }

    /// How often the folder is looked into.
    pub fn every(mut self, time: Duration) -> Self {
        self.every = time;
        self
    }

    fn path(&self, name: &str, variables: &Variables) -> Option<PathBuf> {
        match &self.folder {
            Folder::At(path) => Some(path.clone()),
            Folder::Variable(variable) => {
                let purpose = format!("the folder of the inbox {name:?}");
                variables.require(variable, &purpose).map(PathBuf::from)
            }
        }
    }
}

impl From<&str> for Inbox {
    fn from(path: &str) -> Self {
        Self::folder(path)
    }
}

impl From<&Path> for Inbox {
    fn from(path: &Path) -> Self {
        Self::folder(path)
    }
}

impl From<PathBuf> for Inbox {
    fn from(path: PathBuf) -> Self {
        Self::folder(path)
    }
}

/// An inbox as the app keeps it.
pub(crate) struct DeclaredInbox<S> {
    name: String,
    inbox: Inbox,
    workflow: Declared<S>,
}

impl<S: Send + Sync + 'static> App<S> {
    /// Starts a run for each file that somebody puts into a folder, and moves the file once that run has ended.
    ///
    /// A file is taken when its length and time have not changed for a while. The workflow receives an
    /// [`InboxFile`]; the file stays in the folder until the run has ended, and can be read there.
    ///
    /// | The run | The file |
    /// |---|---|
    /// | goes on, waits, or is recovered | stays |
    /// | completed | is moved to `done/` in the folder |
    /// | was cancelled or discarded | is moved to `failed/` |
    /// | is a dead letter | stays for an operator's retry, and is not taken again |
    ///
    /// Nothing is overwritten or deleted: where a name is taken, the file gets a part of its id into its own. A file that
    /// is written to, or replaced, after it was taken is a new one. What was there once is known by name, length, time and
    /// inode for [400 days](inbox::KNOWN_FOR); to have a file taken again, `touch` it.
    ///
    /// A folder that is missing, a file that cannot be read or moved, and the like are shown with the app's triggers and
    /// logged, and tried again at every look.
    ///
    /// ```
    /// use bowline::prelude::*;
    ///
    /// struct Bank { ledger: Api }
    ///
    /// impl Bank {
    ///     async fn book(self: Arc<Self>, cx: Context, file: InboxFile) -> Result {
    ///         let lines: Vec<String> = cx
    ///             .step("read", async || Ok(String::from_utf8(file.read(10 << 20)?)?.lines().map(str::to_owned).collect()))
    ///             .await?;
    ///         for (number, line) in lines.iter().enumerate() {
    ///             cx.step("book", self.ledger.post("/entries").json(line)).key(number).await?;
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let app = App::new("bank", |setup| Bank { ledger: setup.api("ledger").base_url("https://ledger.example.com") })
    ///     .inbox(
    ///         "statements",
    ///         Inbox::folder("/var/spool/statements").pattern("*.csv").stable_for(secs(5)),
    ///         workflow("book statement", Bank::book),
    ///     );
    /// ```
    ///
    /// # Durability
    /// A file's event and run are on disk before anything is done with it. A crash before that: the file is still there,
    /// and is taken by the next process. After it: the next process knows the file's run. A crash between the run's end
    /// and the move: the next process moves the file.
    pub fn inbox<O>(
        mut self,
        name: impl Into<String>,
        inbox: impl Into<Inbox>,
        workflow: Workflow<S, InboxFile, O>,
    ) -> Self {
        let (name, inbox, workflow) = (name.into(), inbox.into(), workflow.into_declared());
        self.inboxes.push(DeclaredInbox { name, inbox, workflow });
        self
    }

    /// The inboxes as they run; what is wrong with them is recorded in the variables.
    pub(crate) fn bound_inboxes(&self, variables: &Variables) -> Vec<Trigger> {
        let specs: Vec<InboxSpec> = self.inboxes.iter().filter_map(|inbox| inbox.spec(variables)).collect();
        for spec in &specs {
            let problems = spec.problems();
            if !problems.is_empty() {
                variables.problem(format!("inbox {:?}", spec.name()), problems.join("; and it "));
            }
        }
        for problem in twins("inbox", specs.iter().map(InboxSpec::name)) {
            variables.problem(problem, TWICE);
        }
        specs.into_iter().map(trigger).collect()
    }
}

fn trigger(spec: InboxSpec) -> Trigger {
    Arc::new(move |intake, board, stopped| {
        let line = board.add(TriggerKind::Inbox, spec.name());
        Box::pin(inbox::run(spec.clone(), intake, line, stopped))
    })
}

impl<S> DeclaredInbox<S> {
    pub(crate) fn workflow(&self) -> &Declared<S> {
        &self.workflow
    }

    fn spec(&self, variables: &Variables) -> Option<InboxSpec> {
        let folder = self.inbox.path(&self.name, variables)?;
        let spec = InboxSpec::new(&self.name, folder, self.workflow.name().clone());
        let Inbox { folder: _, pattern, stable_for, every } = &self.inbox;
        Some(spec.pattern(pattern.clone()).stable_for(*stable_for).every(*every))
    }
}

impl<S> fmt::Debug for DeclaredInbox<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeclaredInbox")
            .field("name", &self.name)
            .field("inbox", &self.inbox)
            .finish_non_exhaustive()
    }
}
