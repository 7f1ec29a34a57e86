//! What can be said on the command line.

use std::{path::PathBuf, time::Duration};

use bowline_testing::crm::CONTACTS_MAX;
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
    /// Checks that a loop over records misses none and sends each under one key, in a process that is killed; and measures its
    /// memory.
    Records(RecordsArgs),
    /// The app that `records` starts and kills; configured by BOWLINE_LISTEN and the like.
    RecordsServer,
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

/// How many, and what goes wrong.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RecordsArgs {
    /// Records that the loop goes over. Its memory is compared with that of a loop over a tenth.
    #[arg(long, default_value_t = 5_000, value_parser = ten_to_most)]
    pub(crate) records: usize,
    /// Records of a page.
    #[arg(long, default_value_t = 100, value_parser = at_least_one)]
    pub(crate) page: usize,
    /// Records under way at a time.
    #[arg(long, default_value_t = 16, value_parser = at_least_one)]
    pub(crate) in_flight: usize,
    /// How often the process is killed (SIGKILL) on the way.
    #[arg(long, default_value_t = 3)]
    pub(crate) kills: usize,
    /// How long the CRM takes for a request, in milliseconds.
    #[arg(long, default_value_t = 10)]
    pub(crate) crm_latency_ms: u64,
    /// Rounds in which memory is measured; none if 0.
    #[arg(long, default_value_t = 5)]
    pub(crate) memory_rounds: usize,
    /// Of when it is killed, and how the records change.
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

/// So many that a tenth of them are some, and that the CRM lists them.
fn ten_to_most(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(records) if (10..=CONTACTS_MAX as usize).contains(&records) => Ok(records),
        Ok(_) => Err(format!("must be from 10 to {CONTACTS_MAX}")),
        Err(error) => Err(format!("{error}")),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}
