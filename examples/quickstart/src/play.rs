//! The app with its stand-ins and its teller, until it is stopped.

use std::{
    env,
    fs::{self, OpenOptions},
    io,
    process::ExitCode,
    sync::Mutex,
    thread,
};

use bowline_model::{Clock, SystemClock};
use rustix::process::{Signal, getpid, kill_process};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::{
    Result,
    admin::Admin,
    again,
    crm::Crm,
    launch::DIR,
    place::{Place, shown},
    screen::{Tone, paint, say},
    stay,
    story::{self, Stage},
    stripe::Stripe,
    teller::Teller,
};

/// What is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The story, then whatever happens.
    Story,
    /// What was recovered, then whatever happens.
    Again,
    /// The story, then the end.
    Once,
}

/// How it ended.
enum Told {
    Truly,
    Otherwise,
    Stopped,
}

/// Serves the app in this thread, as its own `main` does, and tells the story in another.
pub(crate) fn play(part: Part) -> Result<ExitCode> {
    let place = Place::new(env::var_os(DIR).ok_or("started without its folder")?);
    let killed = fs::read_to_string(place.running()).ok();
    fs::write(place.running(), getpid().to_string())?;
    log_to(&place)?;
    let stage = Stage {
        stripe: Stripe::of_environment()?,
        crm: Crm::start(&place.crm())?,
        admin: Admin::of_environment()?,
        teller: Teller::default(),
        untold: vec![],
    };
    introduce(part, &place, &stage);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let teller = thread::spawn({
        let place = place.clone();
        move || runtime.block_on(told_or_stopped(part, place, stage, killed))
    });
    let served = stripe_to_crm::app().main();
    // A clean end: the next start has nobody to mourn.
    fs::remove_file(place.running())?;
    if served != ExitCode::SUCCESS {
        // It said why; the teller waits for an app that does not come.
        if part == Part::Again {
            say("`cargo run -p quickstart -- --fresh` forgets what was done before, and begins anew");
        }
        return Ok(served);
    }
    let told = teller.join().map_err(|_| "the teller of the story panicked")?;
    end(part, &place, &told)
}

async fn told_or_stopped(part: Part, place: Place, stage: Stage, killed: Option<String>) -> Told {
    tokio::select! {
        told = tell(part, place, stage, killed) => match told {
            Ok(told) => told,
            Err(error) => {
                say(format!("{} the app does not answer: {error}", paint(Tone::Bad, "error:")));
                stop();
                Told::Otherwise
            }
        },
        stopped = stopped() => match stopped {
            Ok(()) => Told::Stopped,
            Err(error) => {
                say(format!("{} no signals: {error}", paint(Tone::Bad, "error:")));
                stop();
                Told::Otherwise
            }
        },
    }
}

async fn tell(part: Part, place: Place, mut stage: Stage, killed: Option<String>) -> Result<Told> {
    let began = SystemClock.now();
    stage.admin.ready().await?;
    match part {
        Part::Once => {
            story::tell(&mut stage).await?;
            stop();
            return Ok(if stage.untold.is_empty() { Told::Truly } else { Told::Otherwise });
        }
        Part::Story => story::tell(&mut stage).await?,
        Part::Again => again::tell(&mut stage, began, killed).await?,
    }
    match stay::stay(&mut stage, &place).await? {}
}

fn introduce(part: Part, place: &Place, stage: &Stage) {
    let fact =
        |name: &str, value: String| say(format!("   {}  {value}", paint(Tone::Dim, format!("{name:<8}"))));
    let title = match part {
        Part::Story | Part::Once => "Bowline: examples/stripe-to-crm, with stand-ins for Stripe and the CRM",
        Part::Again => "Bowline, started again on the same store",
    };
    say(format!("\n{}\n", paint(Tone::Strong, title)));
    fact("webhooks", format!("{}{}", stage.stripe.url(), instead_of("8080", "BOWLINE_LISTEN", part)));
    fact("pages", format!("{}{}", stage.admin.page(), instead_of("8081", "BOWLINE_ADMIN", part)));
    fact("store", shown(&place.store()));
    fact("log", shown(&place.log()));
}

/// Says so if it is not the usual port: that was taken, or another was asked for.
fn instead_of(usual: &str, variable: &str, part: Part) -> String {
    let here = env::var(variable).is_ok_and(|address| address.ends_with(&format!(":{usual}")));
    if here || part == Part::Once { String::new() } else { format!("  (instead of port {usual})") }
}

/// Ends the app as an operator would.
fn stop() {
    let _ = kill_process(getpid(), Signal::TERM);
}

/// Ends when the process is asked to stop. The app hears it too, and stops by itself.
async fn stopped() -> io::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}

fn end(part: Part, place: &Place, told: &Told) -> Result<ExitCode> {
    let code = match told {
        Told::Truly => {
            place.remove()?;
            say(format!("\n{}\n", paint(Tone::Good, "It happened as told.")));
            ExitCode::SUCCESS
        }
        Told::Otherwise => {
            say(format!("\n{}\n", paint(Tone::Bad, "It did not happen as told.")));
            ExitCode::FAILURE
        }
        Told::Stopped if part == Part::Once => ExitCode::FAILURE,
        Told::Stopped => {
            say("\nStopped. What was open is on disk; `cargo run -p quickstart` goes on with it.\n");
            ExitCode::SUCCESS
        }
    };
    Ok(code)
}

/// The app's log goes to a file, so that the story can be read.
fn log_to(place: &Place) -> Result {
    let file = OpenOptions::new().create(true).append(true).open(place.log())?;
    let level = env::var("BOWLINE_LOG_LEVEL").unwrap_or_else(|_| "info".to_owned());
    tracing_subscriber::fmt()
        .compact()
        .with_ansi(false)
        .with_env_filter(EnvFilter::try_new(level)?)
        .with_writer(Mutex::new(file))
        .init();
    Ok(())
}
