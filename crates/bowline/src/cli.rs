//! The command line of an app: `serve`, and what an operator does.
//!
//! What comes in: parsed [`Args`] and a [`CliContext`]. What goes out: lines for people (or JSON) and an exit code:
//! 0 done, 1 failed, 2 not understood.
//!
//! What must never happen here: a write past the commands of `bowline-dashboard`, and a secret on the screen.
//!
//! | Module | Story |
//! |---|---|
//! | [`args`] | what can be said |
//! | [`control`] | through the running server, or on the store itself if no server holds it |
//! | `operate` | the commands on runs |
//! | `tell` | what is said to runs: signals, decisions, outcomes |
//! | `export` | a run as a file, for a test |
//! | [`journals`] | whether the runs under way fit this build |
//! | [`send`] | posting a signed event |
//! | [`render`] | how runs look |
//! | [`error`] | how a failure is told |

pub mod args;
pub mod control;
pub mod error;
mod export;
pub mod journals;
mod operate;
mod pause;
pub mod render;
pub mod send;
mod tell;

use std::{
    fmt,
    io::{ErrorKind, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use bowline_engine::Rehearsal;
use bowline_model::{BoxFuture, BuildId, Clock, FlowRules};

pub use self::{
    args::{Args, Command, parse},
    control::Control,
    error::Error,
};

/// What every command returns.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// What the command line knows of its app.
pub struct CliContext {
    /// The app's name.
    pub app: String,
    /// The build that runs.
    pub build: BuildId,
    /// The rules by which the workflows' runs begin.
    pub rules: FlowRules,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where the SQLite store is.
    pub store: PathBuf,
    /// Where webhooks come in.
    pub listen: SocketAddr,
    /// How they come in there: `http`, or `https` where a certificate is set.
    pub scheme: &'static str,
    /// Where the admin API is, if the server that holds the store does not say.
    pub admin: SocketAddr,
    /// Runs the server until it is told to stop.
    pub serve: Box<dyn FnOnce() -> BoxFuture<'static, Result> + Send>,
    /// Looks at every setting.
    pub check: Box<dyn FnOnce() -> Vec<Checked> + Send>,
    /// This build's workflows, for runs that are under way to meet.
    pub rehearse: Box<dyn FnOnce() -> Result<Rehearsal> + Send>,
    /// Signs an event as its provider would.
    pub sign: Arc<send::Sign>,
}

impl fmt::Debug for CliContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CliContext")
            .field("build", &self.build)
            .field("store", &self.store)
            .field("listen", &self.listen)
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}

/// What `check` found of one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its name, e.g. `CRM_API_KEY`.
    pub name: String,
    /// What it is set to (no secret), or what is wrong.
    pub outcome: std::result::Result<String, String>,
}

/// Does what was said. What failed is told on the standard error.
pub async fn run(context: CliContext, args: Args) -> ExitCode {
    let done = match args.command() {
        Command::Serve => (context.serve)().await,
        Command::Check(args) if args.journals => journals::check(context, &args).await,
        Command::Check(_) => check(context).await,
        Command::Send(args) => send::send(&context, &args).await,
        Command::Runs(args) => operate::runs(&context, &args).await,
        Command::Dead(args) => operate::dead(&context, &args).await,
        Command::Triggers(args) => operate::triggers(&context, &args).await,
        Command::Show(args) => operate::show(&context, &args).await,
        Command::Retry(args) => operate::retry(&context, &args).await,
        Command::Replay(args) => operate::replay(&context, &args).await,
        Command::Fork(args) => operate::fork(&context, &args).await,
        Command::Export(args) => export::export(&context, &args).await,
        Command::Discard(args) => operate::discard(&context, &args).await,
        Command::Cancel(args) => operate::cancel(&context, &args).await,
        Command::Pause(args) => pause::pause(&context, args).await,
        Command::Resume(args) => pause::resume(&context, args).await,
        Command::Settle(args) => tell::settle(&context, args).await,
        Command::Signal(args) => tell::signal(&context, &args).await,
        Command::Approvals(args) => tell::approvals(&context, &args).await,
        Command::Approve(args) => tell::decide(&context, args, true).await,
        Command::Reject(args) => tell::decide(&context, args, false).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn check(context: CliContext) -> Result {
    let checked = (context.check)();
    print(&render::checked(&checked, render::Paint::Colour))?;
    let paused = pause::paused(&context.store, context.clock.clone()).await;
    // The settings were asked about: a store that cannot be read is told by what needs it.
    let paused = paused.unwrap_or_default();
    print(&render::paused(&paused, context.clock.now(), render::Paint::Colour))?;
    match checked.iter().filter(|checked| checked.outcome.is_err()).count() {
        0 => Ok(()),
        1 => Err(Error::new("1 setting is missing or wrong").hint("set it in the environment or in .env")),
        wrong => Err(Error::new(format!("{wrong} settings are missing or wrong"))
            .hint("set them in the environment or in .env")),
    }
}

/// Writes to the standard output: with colours on a terminal, and without where `NO_COLOR` asks for it.
fn print(text: &str) -> Result {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever read it has seen enough: `runs | head`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Error::new(format!("cannot write to the output: {error}"))),
    }
}

/// How wide the screen is, if the output goes to one.
fn screen_chars() -> Option<usize> {
    let (terminal_size::Width(chars), _) = terminal_size::terminal_size_of(std::io::stdout())?;
    Some(usize::from(chars))
}

fn complain(error: &Error) {
    // Nothing is left to tell it to if this fails.
    let _ = anstream::stderr().lock().write_all(render::error(error, render::Paint::Colour).as_bytes());
}
