//! What is asked for, and the environment that it needs; then this process becomes that, with `exec`.
//!
//! Setting variables of a running process is not safe in Rust; giving them to a new program is. The process keeps its
//! id, so `kill` and Ctrl-C mean the app.

use std::{
    env,
    ffi::OsString,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use bowline_store::lock_holder;

use crate::{
    Result,
    place::{Place, shown},
    play::{self, Part},
    screen::{Tone, paint, say},
};

/// What tells the process what to be after `exec`.
pub(crate) const PART: &str = "QUICKSTART_PART";
/// The folder it works in.
pub(crate) const DIR: &str = "QUICKSTART_DIR";

/// Not a secret: Stripe and the app are the same process here.
const WEBHOOK_SECRET: &str = "whsec_quickstart";
const CRM_KEY: &str = "quickstart";

const USAGE: &str = "\
cargo run -p quickstart                 tells the story, then stays up; a second start goes on where it was
cargo run -p quickstart -- --fresh      forgets what was done before, and begins anew
cargo run -p quickstart -- --once       tells the story in a folder of its own, and ends: 0 if it happened as told
cargo run -p quickstart -- COMMAND ..   a command of the app (runs, show, dead, retry, replay, discard, send, check)";

/// The program: what was asked for on the command line, or what an earlier self made of it.
pub fn main() -> ExitCode {
    let done = match env::var(PART).as_deref() {
        Ok("app") => return stripe_to_crm::app().main(),
        Ok("story") => play::play(Part::Story),
        Ok("again") => play::play(Part::Again),
        Ok("once") => play::play(Part::Once),
        Ok(_) | Err(_) => launch(),
    };
    done.unwrap_or_else(|error| {
        say(format!("{} {error}", paint(Tone::Bad, "error:")));
        ExitCode::FAILURE
    })
}

fn launch() -> Result<ExitCode> {
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    let place = Place::find()?;
    match words.first().map(|word| word.to_string_lossy()).as_deref() {
        None => stay(&place),
        Some("--fresh") if words.len() == 1 => {
            refuse_if_running(&place)?;
            fs::create_dir_all(place.dir())?;
            place.clear()?;
            stay(&place)
        }
        Some("--once") if words.len() == 1 => once(&place),
        Some("--help" | "-h") => {
            say(USAGE);
            Ok(ExitCode::SUCCESS)
        }
        Some(word) if word.starts_with('-') => Err(format!("{word} is not understood\n\n{USAGE}").into()),
        Some(_) => command(&place, words),
    }
}

/// The story, then whatever happens; or what was recovered, if there was a story.
fn stay(place: &Place) -> Result<ExitCode> {
    refuse_if_running(place)?;
    fs::create_dir_all(place.dir())?;
    let part = if place.store().exists() { "again" } else { "story" };
    let (events, admin, crm) = (port(8080)?, port(8081)?, port(0)?);
    let variables = variables(place, [&events, &admin, &crm])?;
    keep(place, &variables)?;
    become_program(place, part, vec![], variables)
}

/// The story in a folder of its own, whatever else runs.
fn once(place: &Place) -> Result<ExitCode> {
    let place = place.once();
    fs::create_dir_all(place.dir())?;
    let (events, admin, crm) = (port(0)?, port(0)?, port(0)?);
    let variables = variables(&place, [&events, &admin, &crm])?;
    become_program(&place, "once", vec![], variables)
}

/// A command of the app, with the environment of the one that runs, or ran last.
fn command(place: &Place, words: Vec<OsString>) -> Result<ExitCode> {
    let kept = fs::read_to_string(place.environment()).map_err(|_| {
        format!("there is nothing in {} yet; `cargo run -p quickstart` first", shown(place.dir()))
    })?;
    let variables = kept.lines().filter_map(|line| line.split_once('='));
    let variables = variables.map(|(name, value)| (name.to_owned(), value.into())).collect();
    become_program(place, "app", words, variables)
}

fn refuse_if_running(place: &Place) -> Result {
    let Some(holder) = lock_holder(&place.store()) else { return Ok(()) };
    let process = holder.pid.map_or("another process".to_owned(), |pid| format!("process {pid}"));
    Err(format!(
        "it runs already, as {process}; try `cargo run -q -p quickstart -- runs`, or stop it with Ctrl-C there"
    )
    .into())
}

/// That port of loopback, or a free one. It stays taken until `exec` closes it.
fn port(wanted: u16) -> Result<TcpListener> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted));
    Ok(bound.or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?)
}

type Variables = Vec<(String, OsString)>;

/// The environment of the app: what a real deployment would set.
fn variables(place: &Place, [events, admin, crm]: [&TcpListener; 3]) -> Result<Variables> {
    let mut store = OsString::from("sqlite:");
    store.push(place.store());
    let set = |name: &str, default: SocketAddr| {
        (name.to_owned(), env::var_os(name).unwrap_or_else(|| default.to_string().into()))
    };
    Ok(vec![
        set("BOWLINE_LISTEN", events.local_addr()?),
        set("BOWLINE_ADMIN", admin.local_addr()?),
        ("BOWLINE_STORE".to_owned(), store),
        ("STRIPE_WEBHOOK_SECRET".to_owned(), WEBHOOK_SECRET.into()),
        ("CRM_BASE_URL".to_owned(), format!("http://{}", crm.local_addr()?).into()),
        ("CRM_API_KEY".to_owned(), CRM_KEY.into()),
    ])
}

/// Keeps the variables for commands in other terminals.
fn keep(place: &Place, variables: &Variables) -> Result {
    let lines: Vec<_> =
        variables.iter().map(|(name, value)| format!("{name}={}\n", value.to_string_lossy())).collect();
    Ok(fs::write(place.environment(), lines.concat())?)
}

fn become_program(place: &Place, part: &str, words: Vec<OsString>, variables: Variables) -> Result<ExitCode> {
    let error = Command::new(env::current_exe()?)
        .arg0("quickstart")
        .args(words)
        .envs(variables)
        .env(PART, part)
        .env(DIR, place.dir())
        .exec();
    // Only a failure returns.
    Err(error.into())
}
