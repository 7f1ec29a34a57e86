//! A loop over the contacts of a CRM that change meanwhile, in a process that is killed: is each one sent, under one key,
//! and does memory not grow with their number?
//!
//! What comes in: how many contacts, pages and kills. What goes out: tables, and a failure if a contact that was there all
//! the time was missed, or one was sent under two keys, or too many at once, or memory grew. The app is a process of its own;
//! the CRM's log, written before each answer, is what is believed.

pub(crate) mod app;
mod found;
mod life;

use std::{fmt::Write as _, fs::OpenOptions, io::Write as _, path::Path};

use bowline_model::{Clock, SystemClock};

use self::life::{Life, live};
use crate::{
    Result,
    args::{Args, RecordsArgs},
    machine, run,
};

/// How much more memory ten times as many contacts may take.
const GROWTH_BYTES_MAX: u64 = 20_000_000;
/// The run that the other one's memory is compared with has so many times fewer contacts.
const FEWER_TIMES: usize = 10;

/// Peaks of each round: of few contacts, and of all.
type Peaks = Vec<(u64, u64)>;

/// Measures, and prints tables.
///
/// # Errors
/// If the app does not end, or it did not do as it should.
pub(crate) fn run(args: &Args, records: &RecordsArgs) -> Result {
    let data_dir = run::data_dir(args)?;
    let machine = machine::describe(&data_dir)?;
    let killed = live(records, records.records, records.kills, &data_dir)?;
    let peaks = peaks(records, &data_dir)?;
    let report = report(records, &machine, &killed, &peaks)?;
    std::io::stdout().write_all(report.as_bytes())?;
    if args.write {
        OpenOptions::new().create(true).append(true).open(run::RESULTS)?.write_all(report.as_bytes())?;
    }
    if !killed.found.is_right() || killed.at_once > records.in_flight {
        return Err(format!("a contact was missed, or not sent as it should be: {:?}", killed.found).into());
    }
    match growth(&peaks) {
        Some(growth) if growth > GROWTH_BYTES_MAX => {
            Err(format!("memory grew by {:.1} MB (limit {:.0})", mb(growth), mb(GROWTH_BYTES_MAX)).into())
        }
        Some(_) | None => Ok(()),
    }
}

/// Interleaved, each in a new process, so that whatever else the machine does falls on both.
fn peaks(records: &RecordsArgs, data_dir: &Path) -> Result<Peaks> {
    let mut peaks = Vec::with_capacity(records.memory_rounds);
    for _ in 0..records.memory_rounds {
        let few = live(records, records.records / FEWER_TIMES, 0, data_dir)?;
        let all = live(records, records.records, 0, data_dir)?;
        peaks.push((few.peak_bytes, all.peak_bytes));
    }
    Ok(peaks)
}

fn median(mut of: Vec<u64>) -> Option<u64> {
    of.sort_unstable();
    of.get(of.len() / 2).copied()
}

fn medians(peaks: &Peaks) -> Option<(u64, u64)> {
    let (few, all) = peaks.iter().copied().unzip();
    Some((median(few)?, median(all)?))
}

fn growth(peaks: &Peaks) -> Option<u64> {
    medians(peaks).map(|(few, all)| all.saturating_sub(few))
}

/// Decimal, as limits are said; the table has MiB, as elsewhere.
fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn report(records: &RecordsArgs, machine: &str, killed: &Life, peaks: &Peaks) -> Result<String> {
    let mut out = String::new();
    let today = SystemClock.now().strftime("%Y-%m-%d %H:%M UTC");
    writeln!(out, "\n## {today}: a loop over {} records\n\n{machine}", records.records)?;
    writeln!(
        out,
        "One run goes over the contacts of a CRM, {} a page, with one PATCH each, {} in flight; the CRM takes {} ms for each. On \
         the way the process is killed (SIGKILL) {} times at random (seed {}), and contacts appear, vanish, get other values and \
         move to the end of the listing.\n",
        records.page, records.in_flight, records.crm_latency_ms, killed.kills, records.seed,
    )?;
    let (found, changes, summary) = (&killed.found, killed.changes, &killed.summary);
    writeln!(out, "| | |\n| --- | ---: |")?;
    writeln!(out, "| took, s, starts and kills included | {:.1} |", killed.took.as_secs_f64())?;
    let changed = [changes.appeared, changes.vanished, changes.altered, changes.moved].map(|n| n.to_string());
    writeln!(out, "| appeared, vanished, other values, moved | {} |", changed.join(", "))?;
    writeln!(out, "| pages read | {} |", found.pages)?;
    writeln!(out, "| PATCHes | {} |", found.patches)?;
    writeln!(out, "| of them again: after a kill, or of a contact that came again | {} |", found.again)?;
    writeln!(out, "| most PATCHes at once | {} |", killed.at_once)?;
    writeln!(out, "| there all the time, and missed | {} |", found.missing)?;
    writeln!(out, "| contacts under several keys | {} |", found.several_keys)?;
    writeln!(out, "| keys of several contacts, or none | {} |", found.unfit_keys)?;
    writeln!(
        out,
        "| items done, as the run says; left out as they came again | {}; {} |",
        summary.done, summary.again
    )?;
    writeln!(out, "| entries left in its journal | {} |", killed.journal_len)?;
    if let Some((few, all)) = medians(peaks) {
        write_memory(&mut out, records, peaks, few, all)?;
    }
    Ok(out)
}

fn write_memory(out: &mut String, records: &RecordsArgs, peaks: &Peaks, few: u64, all: u64) -> Result {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    writeln!(
        out,
        "\nPeak memory (`VmHWM`) of a process that does nothing else, without kills, {} rounds, interleaved:\n",
        peaks.len()
    )?;
    writeln!(out, "| records | median MiB | each |\n| ---: | ---: | --- |")?;
    let each = |of: fn(&(u64, u64)) -> u64| {
        let each: Vec<_> = peaks.iter().map(|peak| format!("{:.1}", mib(of(peak)))).collect();
        each.join(", ")
    };
    writeln!(out, "| {} | {:.1} | {} |", records.records / FEWER_TIMES, mib(few), each(|peak| peak.0))?;
    writeln!(out, "| {} | {:.1} | {} |", records.records, mib(all), each(|peak| peak.1))?;
    let (few, all) = (mb(few), mb(all));
    writeln!(out, "\nDifference of the medians: {:.1} MB (limit {:.0}).", all - few, mb(GROWTH_BYTES_MAX))?;
    Ok(())
}
