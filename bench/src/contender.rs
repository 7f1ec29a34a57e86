//! What is measured: three servers that do the same for a caller, each a process of its own.

use std::path::Path;

use bowline_testing::{Process, Program, process::free_port};
use rusqlite::{Connection, OpenFlags};

use crate::{Error, Result, args::Args, crm, events::SECRET, floor, server::ServerName};

/// As whom the bench runs when it is Bowline's example.
pub(crate) const BOWLINE: ServerName = ServerName("stripe-to-crm");

/// A server that receives events and creates contacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    /// No durability.
    Bare,
    /// Hand-written durability.
    Durable,
    /// The example stripe-to-crm.
    Bowline,
}

/// A contender that runs.
pub(crate) struct Running {
    contender: Contender,
    process: Process,
    pub(crate) port: u16,
    admin_port: u16,
}

impl Contender {
    /// In the order of the table.
    pub(crate) const ALL: [Self; 3] = [Self::Bare, Self::Durable, Self::Bowline];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "floor: bare",
            Self::Durable => "floor: durable",
            Self::Bowline => "Bowline",
        }
    }

    fn role(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Durable => "durable",
            Self::Bowline => "bowline",
        }
    }

    /// Starts it with an empty store in that folder; it is ready to receive.
    pub(crate) fn start(self, args: &Args, dir: &Path, crm_url: &str) -> Result<Running> {
        let (port, admin_port) = (free_port(), free_port());
        let health = match self {
            Self::Bare | Self::Durable => format!("http://127.0.0.1:{port}/health"),
            Self::Bowline => format!("http://127.0.0.1:{admin_port}/health/ready"),
        };
        // To a file, as a service manager would: reading a pipe would be work of the bench.
        let program = Program::new("/bin/sh")
            .args(["-c", "exec \"$0\" \"$1\" >server.log 2>&1"])
            .arg(std::env::current_exe()?)
            .arg(self.role())
            .dir(dir)
            .env("STRIPE_WEBHOOK_SECRET", SECRET)
            .env("CRM_BASE_URL", crm_url)
            .env("CRM_API_KEY", crm::API_KEY)
            .env("LISTEN", format!("127.0.0.1:{port}"))
            .env("BOWLINE_LISTEN", format!("127.0.0.1:{port}"))
            .env("BOWLINE_ADMIN", format!("127.0.0.1:{admin_port}"))
            .env("BOWLINE_LOG", "json")
            .env("BOWLINE_LOG_LEVEL", &args.bowline_log_level)
            .ready_on_http(health);
        let process = program.start().map_err(|error| said(error.into(), dir))?;
        Ok(Running { contender: self, process, port, admin_port })
    }
}

impl Running {
    /// Its process id.
    ///
    /// # Errors
    /// If it died.
    pub(crate) fn id(&self) -> Result<u32> {
        self.process.id().ok_or_else(|| "the server died".into())
    }

    /// Checks that so many events are finished for it too, not only for the CRM.
    ///
    /// # Errors
    /// If not, or if it does not say.
    pub(crate) fn check_finished(&self, events: usize) -> Result {
        let finished = match self.contender {
            Contender::Bare => return Ok(()),
            Contender::Durable => marked_done(self.process.dir())?,
            Contender::Bowline => completed(self.admin_port)?,
        };
        if finished == events {
            return Ok(());
        }
        Err(format!("{} finished {finished} of {events} events", self.contender.name()).into())
    }

    /// An error with the end of the server's log.
    pub(crate) fn said(&self, error: Error) -> Error {
        said(error, self.process.dir())
    }
}

fn said(error: Error, dir: &Path) -> Error {
    const LINES_MAX: usize = 20;
    let log = std::fs::read_to_string(dir.join("server.log")).unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    let last = lines[lines.len().saturating_sub(LINES_MAX)..].join("\n");
    format!("{error}\nthe server's log ends with:\n{last}").into()
}

fn marked_done(dir: &Path) -> Result<usize> {
    let conn = Connection::open_with_flags(dir.join(floor::durable::FILE), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let count: i64 = conn.query_row("SELECT count(*) FROM done", [], |row| row.get(0))?;
    Ok(usize::try_from(count)?)
}

fn completed(admin_port: u16) -> Result<usize> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status: serde_json::Value = runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build()?;
        client.get(format!("http://127.0.0.1:{admin_port}/api/status")).send().await?.json().await
    })?;
    let completed = status["runs"]["completed"].as_u64().unwrap_or(0);
    Ok(usize::try_from(completed)?)
}
