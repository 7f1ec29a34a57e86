//! What can be said on the command line.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use bowline_dashboard::view::parse_state;
use bowline_model::{RunId, RunState};
use bowline_store::store::RUNS_PAGE_MAX;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};

/// A parsed command line.
#[derive(Debug, Clone, Parser)]
#[command(about = "Serve this app's automations, and look after their runs", disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

impl Args {
    /// What to do: `serve`, if nothing is said.
    pub fn command(self) -> Command {
        self.command.unwrap_or(Command::Serve)
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Receive events and run workflows (the default)
    Serve,
    /// List runs, newest first
    Runs(RunsArgs),
    /// Show a run's steps and attempts in time
    Show(ShowArgs),
    /// List dead letters: runs that need a person
    Dead(DeadArgs),
    /// List schedules, polls and inboxes: when each acts next, and what goes wrong
    Triggers(TriggersArgs),
    /// Let dead letters go on; what they have done stays done
    Retry(RetryArgs),
    /// Run a stored event again, as a new run
    Replay(ReplayArgs),
    /// Run a stored event again, with what an ended run recorded before a step
    Fork(ForkArgs),
    /// Close dead letters that need no more work
    Discard(DiscardArgs),
    /// End open runs, and the children that they wait for
    Cancel(CancelArgs),
    /// Say what became of a step of a dead letter when that is not known, and let it go on
    Settle(SettleArgs),
    /// Send a signal to a run
    Signal(SignalArgs),
    /// List the questions that runs ask people
    Approvals(ApprovalsArgs),
    /// Say yes to what a run asks
    Approve(DecideArgs),
    /// Say no to what a run asks
    Reject(DecideArgs),
    /// Keep the runs of a workflow from being driven; events are accepted
    Pause(PauseArgs),
    /// Let the runs of a paused workflow go on
    Resume(ResumeArgs),
    /// Write a run with its event and journal as a file, for a test to replay
    Export(ExportArgs),
    /// Post an event to this app, signed as its provider would
    Send(SendArgs),
    /// Say which settings are missing or wrong, or which runs under way do not fit this build
    Check(CheckArgs),
}

/// `check`
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct CheckArgs {
    /// Instead of the settings: replay what is recorded of every run under way against this build, without any effect; the
    /// server may run meanwhile
    #[arg(long)]
    pub journals: bool,
    /// With --journals: dead letters too
    #[arg(long, requires = "journals")]
    pub dead: bool,
    /// With --journals: only runs of this workflow
    #[arg(long, requires = "journals")]
    pub workflow: Option<String>,
}

/// `runs`
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct RunsArgs {
    /// Only runs in these states: queued, running, waiting, completed, cancelled, dead
    #[arg(long, value_delimiter = ',', value_parser = parse_state)]
    pub state: Vec<RunState>,
    /// Only runs of this workflow
    #[arg(long)]
    pub workflow: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 20, value_parser = limit)]
    pub limit: usize,
    /// Only runs older than this one
    #[arg(long, value_parser = run_number, value_name = "RUN")]
    pub before: Option<RunId>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `dead`
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct DeadArgs {
    /// Only runs of this workflow
    #[arg(long)]
    pub workflow: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 20, value_parser = limit)]
    pub limit: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `triggers`
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct TriggersArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `show RUN`
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct ShowArgs {
    /// The run's number
    #[arg(value_parser = run_number)]
    pub run: RunId,
    /// Also show what steps yielded and remotes answered (possibly personal data)
    #[arg(long)]
    pub payloads: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `retry RUN.. | --all`
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct RetryArgs {
    /// The runs' numbers
    #[arg(value_parser = run_number, value_name = "RUN", required_unless_present = "all", conflicts_with = "all")]
    pub runs: Vec<RunId>,
    /// Retry every dead letter, at most 1,000
    #[arg(long)]
    pub all: bool,
    /// With --all: only runs of this workflow
    #[arg(long, conflicts_with = "runs")]
    pub workflow: Option<String>,
    /// Why, for the journal
    #[arg(long, alias = "why")]
    pub reason: Option<String>,
}

/// `replay RUN`
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct ReplayArgs {
    /// The number of the run to run again
    #[arg(value_parser = run_number)]
    pub run: RunId,
    /// Send the same idempotency keys: remotes that still know them do nothing twice
    #[arg(long)]
    pub same_keys: bool,
}

/// `fork RUN --from STEP`
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct ForkArgs {
    /// The number of the ended run
    #[arg(value_parser = run_number)]
    pub run: RunId,
    /// The step from which on everything is done anew, as `show` names it
    #[arg(long, value_name = "STEP")]
    pub from: String,
    /// Why, for the journal
    #[arg(long, alias = "reason")]
    pub why: Option<String>,
}

/// `discard RUN..`
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct DiscardArgs {
    /// The runs' numbers
    #[arg(value_parser = run_number, value_name = "RUN", required = true)]
    pub runs: Vec<RunId>,
    /// Undo what its steps did first, newest first
    #[arg(long)]
    pub undo: bool,
    /// Why, for the journal
    #[arg(long, alias = "why")]
    pub reason: Option<String>,
}

/// `cancel RUN.. | --all`
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct CancelArgs {
    /// The runs' numbers
    #[arg(value_parser = run_number, value_name = "RUN", required_unless_present = "all", conflicts_with = "all")]
    pub runs: Vec<RunId>,
    /// Cancel every open run, at most 1,000
    #[arg(long)]
    pub all: bool,
    /// With --all: only runs of this workflow
    #[arg(long, conflicts_with = "runs")]
    pub workflow: Option<String>,
    /// With --all: only runs in these states: queued, running, waiting
    #[arg(long, value_delimiter = ',', value_parser = parse_state, conflicts_with = "runs")]
    pub state: Vec<RunState>,
    /// Why, for the journal
    #[arg(long, alias = "reason")]
    pub why: Option<String>,
}

/// `settle RUN STEP --done JSON | --not-done`
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(group = clap::ArgGroup::new("outcome").args(["done", "not_done"]).required(true))]
pub struct SettleArgs {
    /// The run's number
    #[arg(value_parser = run_number)]
    pub run: RunId,
    /// The step, by the name that `show` gives it
    pub step: String,
    /// It happened, and yielded this: JSON, or @FILE, or - for the standard input
    #[arg(long, value_name = "JSON")]
    pub done: Option<String>,
    /// It did not happen: send it again, under a new idempotency key
    #[arg(long)]
    pub not_done: bool,
    /// Why, for the journal
    #[arg(long, alias = "reason")]
    pub why: Option<String>,
}

/// `signal RUN NAME [JSON]`
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct SignalArgs {
    /// The run's number
    #[arg(value_parser = run_number)]
    pub run: RunId,
    /// The signal's name
    pub name: String,
    /// What it says: JSON, or @FILE, or - for the standard input; nothing is null
    #[arg(value_name = "JSON", allow_hyphen_values = true)]
    pub value: Option<String>,
    /// Its id: of those with the same one the first is kept
    #[arg(long)]
    pub id: Option<String>,
}

/// `approvals`
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct ApprovalsArgs {
    /// Only those of this run
    #[arg(value_parser = run_number, value_name = "RUN")]
    pub run: Option<RunId>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `approve RUN`, `reject RUN`
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct DecideArgs {
    /// The run's number
    #[arg(value_parser = run_number)]
    pub run: RunId,
    /// Which approval, if the run asks several
    #[arg(long)]
    pub name: Option<String>,
    /// Fill a field in; say it once for each
    #[arg(long = "set", value_name = "FIELD=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Who decides; without it the name that this machine knows you by
    #[arg(long, value_name = "WHO")]
    pub by: Option<String>,
    /// Why, in your words
    #[arg(long, alias = "reason")]
    pub why: Option<String>,
}

/// `pause WORKFLOW`
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct PauseArgs {
    /// The workflow's name
    #[arg(value_name = "WORKFLOW")]
    pub workflow: String,
    /// Why, for who looks at the runs
    #[arg(long)]
    pub why: Option<String>,
}

/// `resume WORKFLOW`
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct ResumeArgs {
    /// The workflow's name
    #[arg(value_name = "WORKFLOW")]
    pub workflow: String,
}

/// `export RUN`
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct ExportArgs {
    /// The run's number
    #[arg(value_parser = run_number)]
    pub run: RunId,
    /// Where to; without it the standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `send PATH --file event.json`
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct SendArgs {
    /// The webhook's path, e.g. /webhooks/stripe
    #[arg(value_parser = path)]
    pub path: String,
    /// The event's body; - reads the standard input
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// The event's type, where its provider says it in a header and not in the body, e.g. push
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// The event's id, where its provider says it in a header; without it one that is the same for the same body
    #[arg(long)]
    pub id: Option<String>,
    /// Where the app listens, if not on this machine as configured, e.g. <https://hooks.example.com>. Of an app with a
    /// certificate: the name that the certificate is for.
    #[arg(
        long,
        help = "Where the app listens, if not on this machine as configured, e.g. https://hooks.example.com; with TLS: the \
                certificate's name",
        value_name = "URL"
    )]
    pub to: Option<String>,
}

/// Parses a command line, the program's own name first. Help, the version and usage errors are printed here.
///
/// # Errors
/// The exit code: 0 after help or the version, 2 after a usage error.
pub fn parse<I, T>(app: &str, version: &str, args: I) -> Result<Args, ExitCode>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    try_parse(app, version, args).map_err(|error| {
        // If even this cannot be printed, the exit code still tells.
        let _ = error.print();
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
            _ => ExitCode::from(2),
        }
    })
}

fn try_parse<I, T>(app: &str, version: &str, args: I) -> Result<Args, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    // `bin_name` too: usage lines show the app's name, however the file is called or reached.
    let mut command = <Args as CommandFactory>::command()
        .name(app.to_owned())
        .bin_name(app.to_owned())
        .version(version.to_owned());
    let matches = command.try_get_matches_from_mut(args)?;
    Args::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

fn limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(limit) if (1..=RUNS_PAGE_MAX).contains(&limit) => Ok(limit),
        Ok(_) | Err(_) => Err(format!("is not a number from 1 to {RUNS_PAGE_MAX}")),
    }
}

fn run_number(text: &str) -> Result<RunId, String> {
    text.parse().map_err(|_| "a run is said by its number, as `runs` lists it".to_owned())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("is not FIELD=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn path(text: &str) -> Result<String, String> {
    if text.starts_with('/') && !text.starts_with("//") {
        Ok(text.to_owned())
    } else {
        Err("does not begin with one /; for another machine use --to".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, clap::Error> {
        let words = std::iter::once("/usr/bin/app-1").chain(line.split_whitespace());
        try_parse("payments", "1.2.3", words).map(Args::command)
    }

    #[track_caller]
    fn check_refused(line: &str, expect: &str) {
        let said = parsed(line).unwrap_err().to_string();
        assert!(said.contains(expect), "{said}");
        assert!(!said.contains("app-1"), "the app's own name: {said}");
    }

    #[test]
    fn the_definition_is_consistent() {
        <Args as CommandFactory>::command().debug_assert();
    }

    #[test]
    fn nothing_said_means_serve() {
        assert_eq!(parsed("").unwrap(), Command::Serve);
        assert_eq!(parsed("serve").unwrap(), Command::Serve);
    }

    #[test]
    fn the_version_names_app_and_build() {
        assert_eq!(parsed("--version").unwrap_err().to_string(), "payments 1.2.3\n");
    }

    #[test]
    fn states_are_listed_with_commas() {
        let Command::Runs(args) = parsed("runs --state dead,waiting --limit 5").unwrap() else { panic!() };
        assert_eq!((args.state, args.limit), (vec![RunState::DeadLettered, RunState::Waiting], 5));
    }

    #[test]
    fn a_retry_names_runs_or_all_and_not_both() {
        let Command::Retry(args) = parsed("retry 7 9").unwrap() else { panic!() };
        assert_eq!(args.runs, [RunId(7), RunId(9)]);
        let Command::Retry(args) = parsed("retry --all --workflow w").unwrap() else { panic!() };
        assert_eq!((args.all, args.workflow.as_deref()), (true, Some("w")));
        check_refused("retry", "<RUN>");
        check_refused("retry 7 --all", "cannot be used with");
        check_refused("retry 7 --workflow w", "cannot be used with");
        check_refused("retry --workflow w", "<RUN>");
    }

    #[test]
    fn a_cancel_names_runs_or_all_and_only_open_states() {
        let Command::Cancel(args) = parsed("cancel 7 9 --why late").unwrap() else { panic!() };
        assert_eq!((args.runs, args.why.as_deref()), (vec![RunId(7), RunId(9)], Some("late")));
        let Command::Cancel(args) = parsed("cancel --all --workflow w --state waiting").unwrap() else {
            panic!()
        };
        assert_eq!((args.all, args.state), (true, vec![RunState::Waiting]));
        check_refused("cancel", "<RUN>");
        check_refused("cancel 7 --all", "cannot be used with");
        check_refused("cancel 7 --workflow w", "cannot be used with");
    }

    #[test]
    fn a_settlement_says_what_it_yielded_or_that_it_did_not_happen() {
        let Command::Settle(args) = parsed("settle 7 create --done {\"id\":1}").unwrap() else { panic!() };
        assert_eq!((args.step.as_str(), args.done.as_deref()), ("create", Some("{\"id\":1}")));
        let Command::Settle(args) = parsed("settle 7 create --not-done").unwrap() else { panic!() };
        assert!(args.not_done);
        check_refused("settle 7 create", "<--done <JSON>|--not-done>");
        check_refused("settle 7 create --done 1 --not-done", "cannot be used with");
    }

    #[test]
    fn a_signal_may_be_a_negative_number_and_a_field_holds_whatever_follows_the_first_sign() {
        let Command::Signal(args) = parsed("signal 7 paid -5").unwrap() else { panic!() };
        assert_eq!(args.value.as_deref(), Some("-5"));
        let Command::Approve(args) = parsed("approve 7 --set note=a=b --set told=yes").unwrap() else {
            panic!()
        };
        assert_eq!(args.set, [("note".to_owned(), "a=b".to_owned()), ("told".to_owned(), "yes".to_owned())]);
        check_refused("reject 7 --set note", "is not FIELD=VALUE");
        let Command::Reject(args) = parsed("reject 7 --by kim").unwrap() else { panic!() };
        assert_eq!(args.by.as_deref(), Some("kim"));
    }

    #[test]
    fn an_event_may_be_sent_with_its_type_and_id() {
        let Command::Send(args) = parsed("send /hooks --file e.json --type push --id d-1").unwrap() else {
            panic!()
        };
        assert_eq!((args.kind.as_deref(), args.id.as_deref()), (Some("push"), Some("d-1")));
        let Command::Send(args) = parsed("send /hooks --file e.json").unwrap() else { panic!() };
        assert_eq!((args.kind, args.id), (None, None));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        check_refused("runs --state alive", "there is no state \"alive\"");
        check_refused("runs --limit 0", "is not a number from 1 to 1000");
        check_refused("show seven", "'seven'");
        check_refused("send webhooks/stripe --file e.json", "does not begin with one /");
        check_refused("frobnicate", "frobnicate");
    }
}
