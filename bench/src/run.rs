//! All rounds, interleaved, so that whatever else the machine does falls on all contenders alike.

use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
};

use crate::{Result, args::Args, contender::Contender, crm::Crm, machine, round, round::Measured, table};

/// Where `--write` appends.
pub(crate) const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md");

/// What was measured in one round, in the order of [`Contender::ALL`].
pub(crate) type Round = [Measured; Contender::ALL.len()];

/// Measures all contenders in all rounds, and prints the table.
///
/// # Errors
/// If a contender fails: a table of those that are left would show nothing.
pub(crate) fn all(args: &Args) -> Result {
    let data_dir = data_dir(args)?;
    let machine = machine::describe(&data_dir)?;
    let crm = Crm::start(args.crm_latency())?;
    let mut rounds: Vec<Round> = Vec::with_capacity(args.rounds());
    for number in 0..args.rounds() {
        rounds.push(measure_round(number, args, &crm, &data_dir)?);
    }
    let report = table::report(args, &machine, &rounds);
    std::io::stdout().write_all(report.as_bytes())?;
    if args.write {
        OpenOptions::new().create(true).append(true).open(RESULTS)?.write_all(report.as_bytes())?;
        progress(&format!("appended to {RESULTS}"));
    }
    Ok(())
}

fn measure_round(number: usize, args: &Args, crm: &Crm, data_dir: &Path) -> Result<Round> {
    let mut measured = [None; Contender::ALL.len()];
    // Each round another one goes first: what is left of one measurement (dirty pages, say) must not always burden
    // the same successor.
    for turn in 0..Contender::ALL.len() {
        let place = (number + turn) % Contender::ALL.len();
        let contender = Contender::ALL[place];
        let found = round::measure(contender, args, crm, data_dir)?;
        progress(&format!(
            "round {} of {}: {:<14} {:>6.0} accepted/s {:>6.0} completed/s",
            number + 1,
            args.rounds(),
            contender.name(),
            found.accepted_per_s,
            found.completed_per_s,
        ));
        measured[place] = Some(found);
    }
    Ok(measured.map(|found| found.expect("every place had its turn")))
}

/// A folder on a real disk: beside this program, since /tmp is often in memory.
pub(crate) fn data_dir(args: &Args) -> Result<PathBuf> {
    let beside = || Ok(std::env::current_exe()?.parent().ok_or("the program has no folder")?.to_owned());
    args.data_dir.clone().map_or_else(beside, Ok)
}

#[allow(
    clippy::print_stderr,
    reason = "progress is for the terminal, the table for whoever reads the output"
)]
fn progress(line: &str) {
    eprintln!("{line}");
}
