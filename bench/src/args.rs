//! What can be said on the command line.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};

const EVENTS_QUICK: usize = 2_000;
const ROUNDS_QUICK: usize = 2;

/// Measures Bowline against two hand-written receivers, interleaved, and prints a table.
#[derive(Debug, Clone, Parser)]
#[command(name = "bench")]
pub(crate) struct Args {
    /// Signed events in each measurement.
    #[arg(long, default_value_t = 10_000, value_parser = at_least_one)]
    events: usize,
    /// Keep-alive connections that send them, each its next event as soon as the last was answered.
    #[arg(long, default_value_t = 64, value_parser = at_least_one)]
    pub(crate) connections: usize,
    /// Measurements of each contender; the table shows medians.
    #[arg(long, default_value_t = 5, value_parser = at_least_one)]
    rounds: usize,
    /// How long the CRM takes for a contact, in milliseconds.
    #[arg(long, default_value_t = 0)]
    crm_latency_ms: u64,
    /// 2,000 events and 2 rounds: shows that it works, not more.
    #[arg(long, conflicts_with_all = ["events", "rounds"])]
    quick: bool,
    /// How much Bowline logs. The floors log no good event, so neither does it here; `info`, its default elsewhere, is
    /// two lines per event.
    #[arg(long, default_value = "warn")]
    pub(crate) bowline_log_level: String,
    /// Where the stores are made and removed again; else beside this program. A RAM disk makes durability free.
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Also appends the table to bench/RESULTS.md.
    #[arg(long)]
    pub(crate) write: bool,
    /// Another measurement; or one of the servers that the bench starts, alone: for a profiler.
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
}

/// What to do instead. Servers are processes of their own, all configured by STRIPE_WEBHOOK_SECRET, CRM_BASE_URL and CRM_API_KEY.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Role {
    /// Measures Bowline under more load than the machine takes.
    Overload(OverloadArgs),
    /// Measures what runs that sleep cost.
    Sleepers(SleepersArgs),
    /// An app with a store of sleeping runs; configured by BOWLINE_LISTEN and the like.
    SleepersServer,
    /// Checks that runs of a key keep their order, with attempts that fail and a process that is killed.
    Keys(KeysArgs),
    /// What `keys` starts and kills: the app, in the folder that DIR says.
    KeysApp(KeysArgs),
    /// The floor without durability; listens on LISTEN.
    Bare,
    /// The floor with a group commit before the answer; listens on LISTEN, writes floor.db.
    Durable,
    /// The example stripe-to-crm; configured by BOWLINE_LISTEN and the like.
    Bowline,
}

/// How much more.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OverloadArgs {
    /// The load, as a multiple of what the machine takes.
    #[arg(long, default_value_t = 4.0)]
    pub(crate) times: f64,
    /// For how long.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// Of the times at which requests are sent.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// How many.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SleepersArgs {
    /// Runs that sleep.
    #[arg(long, default_value_t = 1_000_000, value_parser = at_least_one)]
    pub(crate) runs: usize,
}

/// How many, and what goes wrong.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct KeysArgs {
    /// Runs in all.
    #[arg(long, default_value_t = 100_000, value_parser = at_least_one)]
    pub(crate) runs: usize,
    /// Keys that they share, each the same number.
    #[arg(long, default_value_t = 1_000, value_parser = at_least_one)]
    pub(crate) keys: usize,
    /// How often the process is killed (SIGKILL) while it works.
    #[arg(long, default_value_t = 5)]
    pub(crate) kills: usize,
    /// Of which attempts fail, and when it is killed.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

impl Args {
    pub(crate) fn events(&self) -> usize {
        if self.quick { EVENTS_QUICK } else { self.events }
    }

    pub(crate) fn rounds(&self) -> usize {
        if self.quick { ROUNDS_QUICK } else { self.rounds }
    }

    pub(crate) fn crm_latency(&self) -> Duration {
        Duration::from_millis(self.crm_latency_ms)
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}
