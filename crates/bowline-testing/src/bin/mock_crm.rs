//! `mock-crm`: the [`MockCrm`] as a program of its own, for load tests and for trying things by hand.

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use bowline_testing::{MockCrm, MockCrmOptions};
use clap::Parser;

/// A CRM stand-in: POST and GET /api/contacts, PATCH /api/contacts/ID (each needs X-Api-Key). It never deduplicates.
#[derive(Parser)]
#[command(name = "mock-crm")]
struct Arguments {
    /// The port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Appends one line of JSON per request to this file, before the answer.
    #[arg(long)]
    log: Option<PathBuf>,
    /// The one key to accept; without it, any.
    #[arg(long, env = "CRM_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// How long each request for contacts takes, in milliseconds.
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Answers the first N requests with 503.
    #[arg(long, default_value_t = 0)]
    fail_first: u64,
    /// Lists so many contacts.
    #[arg(long, default_value_t = 0)]
    contacts: u64,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let mut options = MockCrmOptions::default();
    options.port = arguments.port;
    options.log = arguments.log;
    options.api_key = arguments.api_key;
    options.latency = Duration::from_millis(arguments.latency_ms);
    options.fail_first = arguments.fail_first;
    options.contacts = arguments.contacts;

    let crm = MockCrm::start(options)?;
    let mut out = io::stdout();
    writeln!(out, "listening on 127.0.0.1:{}", crm.port())?;
    out.flush()?;
    loop {
        std::thread::park();
    }
}
